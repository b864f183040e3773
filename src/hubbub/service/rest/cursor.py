"""Where the next page of a listing begins, as an opaque text that only this service can make."""

import base64
import hashlib
import hmac
from collections.abc import Iterable

_MAC_BYTES = 16
MAX_CURSOR_CHARS = 2048


def make(key: str, *, hub: str, group: str, after: str) -> str:
    """A token for "behind this connection id", good for this group of this hub alone.

    base64url without padding: a caller may encode it again or not, it stays the same.
    """
    data = _mac(key, hub, group, after) + after.encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def read(token: str, keys: Iterable[str], *, hub: str, group: str) -> str | None:
    """The connection id, or None: of another group, of another service, or changed."""
    if len(token) > MAX_CURSOR_CHARS:
        return None
    try:
        data = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        after = data[_MAC_BYTES:].decode()
    except ValueError:
        return None
    # The whole text is compared: the last letter has bits that decoding does not look at.
    expected = (make(key, hub=hub, group=group, after=after) for key in keys)
    return after if any(hmac.compare_digest(token, one) for one in expected) else None


def _mac(key: str, hub: str, group: str, after: str) -> bytes:
    # A key of its own, so that no token of another kind can ever pass for this one. No hub name
    # has a "/", and the length says where the group ends.
    own_key = hmac.digest(key.encode(), b"hubbub continuation token", hashlib.sha256)
    text = f"{hub}/{len(group)}/{group}{after}"
    return hmac.digest(own_key, text.encode(), hashlib.sha256)[:_MAC_BYTES]

"""How a case ends that does not pass."""

import contextlib
import json
import re

from hubbub.protocol.errors import HubbubError

_LONGEST = 240
_MOST_BYTES = 40
_SECRETS = re.compile(
    r"""(access_token=|awps_reconnection_token=|Bearer |"(?:reconnectionToken|token)": ?")[^&"\s]+"""
)


class CaseFailed(HubbubError):
    """The service did not do what the case says. The text: what was expected, what came."""

    code = "CaseFailed"

    def __init__(self, expected: str, came: str) -> None:
        super().__init__(f"expected {expected}; came {came}")


class NotApplicable(HubbubError):
    """The case cannot be judged here; the text is the reason."""

    code = "NotApplicable"


class CannotRun(HubbubError):
    """No case can be run: wrong use, or no service to talk to."""

    code = "CannotRun"


class NobodyThere(CannotRun):
    """No Web PubSub service answers at the address."""

    code = "NobodyThere"


def shown(value: object) -> str:
    """A value for people: short, on one line, without tokens."""
    if isinstance(value, bytes):
        text = _of_bytes(value)
    elif isinstance(value, str):
        text = value
    else:
        text = json.dumps(value, ensure_ascii=False, default=str)
    text = _SECRETS.sub(r"\1…", text).replace("\n", "\\n")
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text)} characters)"


def _of_bytes(data: bytes) -> str:
    """As text where it is text, else in hexadecimal digits."""
    with contextlib.suppress(UnicodeDecodeError):
        text = data.decode()
        if text.isprintable():
            return text
    more = "…" if len(data) > _MOST_BYTES else ""
    return f"{data[:_MOST_BYTES].hex(' ')}{more} ({len(data)} bytes)"

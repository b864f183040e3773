"""Access tokens (HS256 JWTs) and reconnection tokens: made and checked, with the time passed in.

The signature is PyJWT's business. The claims are judged here, because the rules of the protocol
(skew, audiences, strings for lists) are not those of the library. No message of an error holds a
token or a key. Keys are used as the UTF-8 bytes of their text, never decoded.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import jwt
import msgspec
from jwt.algorithms import HMACAlgorithm

from hubbub.protocol import limits
from hubbub.protocol.errors import InvalidName, InvalidToken
from hubbub.protocol.names import user_id as check_user_id

_ALGORITHM = "HS256"
_jws = jwt.PyJWS(algorithms=[_ALGORITHM])
_hmac_sha256 = HMACAlgorithm(HMACAlgorithm.SHA256)
_MAX_USUAL_HEADER_CHARS = 256
_MAX_KNOWN_CHARS = 1024
"""Of a token that may be remembered."""
_TO_BASE64 = bytes.maketrans(b"-_+/=", b"+/???")
"""The letters of JWTs as those of the library, which are themselves none in a JWT."""
_decode_claims = msgspec.json.Decoder(dict[str, Any]).decode


@dataclass(frozen=True, slots=True)
class ClientClaims:
    """What a client token says. Group names are as given, not checked.

    `user_id`: None for an anonymous user. `claims`: every claim of the token, values as texts.
    """

    user_id: str | None
    roles: tuple[str, ...]
    groups: tuple[str, ...]
    claims: Mapping[str, list[str]]


def make_client_token(
    key: str,
    *,
    audience: str,
    now: float,
    life_s: float,
    user_id: str | None = None,
    roles: Sequence[str] = (),
    groups: Sequence[str] = (),
) -> str:
    """A token that lets a client in at `audience` (`http(s)://host/client/hubs/<hub>`).

    Args:  now: Unix seconds.  roles, groups: left out of the token when empty.
    """
    claims: dict[str, Any] = {"aud": audience, "iat": int(now), "exp": int(now + life_s)}
    if user_id:
        claims["sub"] = user_id
    if roles:
        claims["role"] = list(roles)
    if groups:
        claims["webpubsub.group"] = list(groups)
    return _sign(key, claims)


def check_client_token(
    token: str, keys: Iterable[str], *, audiences: Collection[str], now: float, skew_s: float
) -> ClientClaims:
    """The claims of a token that is good for one of `audiences` (compared without case).

    Args:    keys: primary first.  now: Unix seconds.
    Raises:  InvalidToken.
    """
    claims = _verified(token, keys)
    check_times(claims, now, skew_s)
    wanted = {audience.lower() for audience in audiences}
    if not any(audience.lower() in wanted for audience in _texts(claims, "aud")):
        raise InvalidToken("the token is for another audience")
    return ClientClaims(
        user_id=_user_id(claims),
        roles=_texts(claims, "role"),
        groups=_texts(claims, "webpubsub.group"),
        claims={name: _as_texts(value) for name, value in claims.items()},
    )


def make_rest_token(key: str, *, url: str, now: float, life_s: float) -> str:
    """A token for one REST request to `url`."""
    return _sign(key, {"aud": url, "iat": int(now), "exp": int(now + life_s)})


def check_rest_token(
    token: str, keys: tuple[str, ...], *, urls: Collection[str], now: float, skew_s: float
) -> None:
    """Nothing if the token is good for a request to one of `urls`, or InvalidToken.

    An audience counts without its query and one trailing slash, as given and also percent-decoded
    once, and without case: some clients sign the whole address, others the address up to `?`. An
    encoded `?` belongs to a name, so the query is cut before anything is decoded.

    Args:  urls: the address of the request without its query, with the raw and the decoded path.
    """
    known = _verified if len(token) > _MAX_KNOWN_CHARS else _known
    claims = known(token, keys)
    check_times(claims, now, skew_s)
    audiences = _texts(claims, "aud")
    if any(audience in urls for audience in audiences):
        return
    wanted = {url.lower() for url in urls}
    for audience in audiences:
        address = audience.partition("?")[0].removesuffix("/")
        if address.lower() in wanted or unquote(address).lower() in wanted:
            return
    raise InvalidToken("the token is for another address")


def make_reconnection_token(key: str, *, hub: str, connection_id: str, expires_at: float) -> str:
    """An opaque proof that its bearer was connection `connection_id`, good until `expires_at`."""
    expiry = int(expires_at).to_bytes(_EXPIRY_BYTES)
    proof = _reconnection_mac(key, expiry, hub, connection_id)
    return _base64url(expiry + proof).decode()


def check_reconnection_token(
    token: str, keys: Iterable[str], *, hub: str, connection_id: str, now: float
) -> bool:
    """True if one of `keys` made the token for this connection and it has not expired."""
    if len(token) != _RECONNECTION_TOKEN_CHARS:
        return False
    try:
        data = base64.b64decode(token + "==", altchars=b"-_", validate=True)
    except ValueError:
        return False
    expiry, proof = data[:_EXPIRY_BYTES], data[_EXPIRY_BYTES:]
    if now >= int.from_bytes(expiry):
        return False
    return any(
        hmac.compare_digest(proof, _reconnection_mac(key, expiry, hub, connection_id))
        for key in keys
    )


_EXPIRY_BYTES = 8
_RECONNECTION_TOKEN_CHARS = 54
"""40 bytes (expiry and SHA-256) in base64url without padding."""


def _reconnection_mac(key: str, expiry: bytes, hub: str, connection_id: str) -> bytes:
    # A key of its own, so that no token of another kind can ever pass for this one. A hub name
    # has no "/", so no two pairs of hub and connection id make the same text.
    own_key = hmac.digest(key.encode(), b"hubbub reconnection token", hashlib.sha256)
    text = f"{hub}/{connection_id}".encode(errors="surrogatepass")
    return hmac.digest(own_key, expiry + text, hashlib.sha256)


def _sign(key: str, claims: dict[str, Any]) -> str:
    return jwt.encode(claims, key.encode(), algorithm=_ALGORITHM)


def _verified(token: str, keys: Iterable[str]) -> dict[str, Any]:
    """The claims of a token signed with one of `keys`."""
    if len(token) > limits.MAX_TOKEN_BYTES:
        raise InvalidToken(f"the token is longer than {limits.MAX_TOKEN_BYTES} bytes")
    if not token.isascii():
        raise InvalidToken("the token is no JWT")
    try:
        claims = _decode_claims(_signed_content(token, keys))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidToken("the content of the token is no JSON object") from error
    return claims


@lru_cache(maxsize=512)
def _known(token: str, keys: tuple[str, ...]) -> Mapping[str, Any]:
    """As `_verified`, remembered: the SDKs date tokens in whole seconds, so who sends a lot to one
    address shows the same token many times."""
    return _verified(token, keys)


def _signed_content(token: str, keys: Iterable[str]) -> bytes:
    keys = tuple(keys)
    content = _usual_content(token, keys)
    if content is not None:
        return content
    for key in keys:
        try:
            signed: bytes = _jws.decode(token, key.encode(), algorithms=[_ALGORITHM])
            return signed
        except jwt.InvalidSignatureError:
            continue  # perhaps signed with the next key
        except jwt.InvalidAlgorithmError as error:
            raise InvalidToken(f"the token is not signed with {_ALGORITHM}") from error
        except (jwt.PyJWTError, RecursionError) as error:
            raise InvalidToken("the token is no JWT") from error
    raise InvalidToken("the token is not signed with a key of this service")


def _usual_content(token: str, keys: Sequence[str]) -> bytes | None:
    """The content of a token with a usual header that one of `keys` has signed; else None.

    PyJWT reads the header and looks the key over for each token anew, which is most of the CPU of
    a REST call; header and key are nearly always the same. This only lets in what PyJWT lets in,
    and refuses nothing: None leaves the judgement to PyJWT.
    """
    signed, _, signature = token.rpartition(".")
    header, dot, content = signed.partition(".")
    if not dot or len(header) > _MAX_USUAL_HEADER_CHARS or not _is_usual_header(header):
        return None
    message, told = signed.encode(), signature.encode()
    for key in keys:
        mac = _begun_mac(key)
        if mac is None:
            continue
        mac = mac.copy()
        mac.update(message)
        if hmac.compare_digest(_base64url(mac.digest()), told):
            break
    else:
        return None
    data = content.encode().translate(_TO_BASE64) + b"=" * (-len(content) % 4)
    try:
        return binascii.a2b_base64(data, strict_mode=True)
    except ValueError:
        return None


@lru_cache(maxsize=32)
def _is_usual_header(header: str) -> bool:
    """True for what PyJWT takes and no extension changes the meaning of the rest."""
    try:
        fields = _jws.get_unverified_header(f"{header}.e30.")
    except (jwt.PyJWTError, RecursionError):
        return False
    return fields.get("alg") == _ALGORITHM and not fields.keys() & {"b64", "crit"}


@lru_cache(maxsize=8)
def _begun_mac(key: str) -> hmac.HMAC | None:
    """To be copied: it has taken the key. None where PyJWT has something to say about it."""
    try:
        prepared = _hmac_sha256.prepare_key(key.encode())
    except jwt.PyJWTError:
        return None
    return (
        None if _hmac_sha256.check_key_length(prepared) else hmac.new(prepared, digestmod="sha256")
    )


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def check_times(claims: Mapping[str, Any], now: float, skew_s: float) -> None:
    """Nothing if `exp`, which must be there, and `nbf` allow the token now, or InvalidToken."""
    expires_at = _time(claims, "exp")
    if expires_at is None:
        raise InvalidToken("the token has no exp")
    if now - skew_s > expires_at:
        raise InvalidToken("the token has expired")
    not_before = _time(claims, "nbf")
    if not_before is not None and now + skew_s < not_before:
        raise InvalidToken("the token is not valid yet")


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    if name not in claims:
        return None
    value: float = claims[name]
    if type(value) not in (int, float):
        raise InvalidToken(f"{name} of the token is no number")
    return value


def _user_id(claims: dict[str, Any]) -> str | None:
    subject = claims.get("sub", "")
    if subject == "":
        return None
    if not isinstance(subject, str):
        raise InvalidToken("sub of the token is no string")
    try:
        return check_user_id(subject)
    except InvalidName as error:
        raise InvalidToken(f"sub of the token: {error}") from error


def _texts(claims: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """A claim that is a string or an array of strings; one value may come without its array."""
    value = claims.get(name, [])
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InvalidToken(f"{name} of the token must be a string or an array of strings")
    return tuple(value)


def _as_texts(value: Any) -> list[str]:
    items = value if isinstance(value, list) else [value]
    return [item if isinstance(item, str) else msgspec.json.encode(item).decode() for item in items]

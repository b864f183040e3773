"""Bearer tokens of one identity provider (OpenID Connect), for REST calls beside key-signed ones.

The provider's keys are fetched when a token needs them and kept. Only a token that claims to be
of our issuer and for us can cause a fetch, and however many such tokens come, one fetch runs.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

import aiohttp
import jwt
import msgspec
from jwt.algorithms import has_crypto

from hubbub import clock
from hubbub.protocol import limits
from hubbub.protocol.errors import HubbubError, InvalidToken, SettingsError
from hubbub.protocol.tokens import check_times
from hubbub.service.settings_table import issuer_fault

log = logging.getLogger(__name__)

ALGORITHMS: Final = ("RS256", "ES256")
"""Signatures with a public key; a shared secret or none at all would let anybody sign."""
FETCH_TIMEOUT_S: Final = 5
"""For one document of the provider, whole."""
MAX_DOCUMENT_BYTES: Final = 262_144
"""Large providers list some ten keys, each with certificates: about 20 kB."""
FETCH_PAUSE_S: Final = 60
"""At least so long between two fetches, whatever key ids tokens name."""
FIRST_FETCH_PAUSE_S: Final = 5
"""The same while there is no key yet, so that a provider that comes back is soon noticed."""
KEYS_FRESH_S: Final = 3600
"""Older keys are fetched again while they are still used."""
KEYS_LIFE_S: Final = 24 * 3600
"""Older keys are not trusted: the provider may have withdrawn them."""
_MIN_RSA_BITS: Final = 2048

_ACCEPT = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "hubbub"}
_jws = jwt.PyJWS(algorithms=list(ALGORITHMS))

_Keys = Mapping[tuple[str, str], Any]
"""Key id and algorithm → public key."""


class IssuerUnavailable(HubbubError):
    """The keys of the identity provider cannot be had now, so its tokens cannot be judged."""

    code = "IssuerUnavailable"
    retryable = True


class _BadDocument(Exception):
    """What the provider sent cannot be used; the text says why."""


class Oidc:
    """Judges tokens of one issuer. `open` and `close` belong to its owner."""

    def __init__(
        self,
        issuer: str,
        audience: str,
        *,
        skew_s: float,
        now: Callable[[], float] = clock.wall,
        monotonic: Callable[[], float] = clock.monotonic,
    ) -> None:
        """`now`: Unix seconds. Raises `SettingsError`, also without what checks signatures."""
        if fault := issuer_fault(issuer):
            raise SettingsError([f"auth.oidc_issuer: {fault}"])
        if not has_crypto:
            more = "pip install 'hubbub[oidc]'"
            raise SettingsError([f"auth.oidc_issuer: needs more packages; install them: {more}"])
        self._issuer = issuer
        self._audience = audience
        self._skew_s = skew_s
        self._now = now
        self._monotonic = monotonic
        self._session: aiohttp.ClientSession | None = None
        self._keys: _Keys = {}
        self._fetched_at = 0.0
        self._fetch_due_at = 0.0
        self._fetching: asyncio.Task[None] | None = None

    async def open(self) -> None:
        self._session = aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=_ACCEPT,
            timeout=aiohttp.ClientTimeout(total=FETCH_TIMEOUT_S),
            auto_decompress=False,
            trust_env=False,
        )

    async def close(self) -> None:
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])
        if self._session is not None:
            await self._session.close()

    async def check(self, token: str) -> None:
        """Nothing if the token is good now. Raises: InvalidToken, IssuerUnavailable."""
        if len(token) > limits.MAX_TOKEN_BYTES or not token.isascii():
            raise InvalidToken("the token is no JWT of a usual size")
        try:
            content = _jws.decode_complete(token, options={"verify_signature": False})
            claims = msgspec.json.decode(content["payload"], type=dict[str, Any])
        except (jwt.PyJWTError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidToken("the token is no JWT") from error
        header: dict[str, Any] = content["header"]
        algorithm, key_id = header.get("alg"), header.get("kid")
        if algorithm not in ALGORITHMS:
            raise InvalidToken(f"the token is not signed with {' or '.join(ALGORITHMS)}")
        if not isinstance(key_id, str):
            raise InvalidToken("the token does not name its key")
        self._judge(claims)
        key = await self._key(key_id, algorithm)
        try:
            _jws.decode(token, key, algorithms=[algorithm])
        except jwt.PyJWTError as error:
            raise InvalidToken("the token is not signed with the key that it names") from error

    def _judge(self, claims: dict[str, Any]) -> None:
        """Everything but the signature; texts are compared as they are, with their case."""
        if claims.get("iss") != self._issuer:
            raise InvalidToken("the token is of another issuer")
        audiences = claims.get("aud")
        if audiences != self._audience and not (
            isinstance(audiences, list) and self._audience in audiences
        ):
            raise InvalidToken("the token is for another audience")
        check_times(claims, self._now(), self._skew_s)

    # --- keys --------------------------------------------------------------------------------

    async def _key(self, key_id: str, algorithm: str) -> Any:
        age_s = self._monotonic() - self._fetched_at
        if age_s >= KEYS_LIFE_S:
            self._keys = {}
        key = self._keys.get((key_id, algorithm))
        if key is None:
            fetching = self._fetch_when_due()
            if fetching is not None:
                # Shielded: others wait for the same keys when this caller goes away.
                await asyncio.shield(fetching)
            key = self._keys.get((key_id, algorithm))
        elif age_s >= KEYS_FRESH_S:
            self._fetch_when_due()
        if key is not None:
            return key
        if not self._keys:
            raise IssuerUnavailable("the keys of the identity provider cannot be had now")
        raise InvalidToken("the token names a key that its issuer does not have")

    def _fetch_when_due(self) -> asyncio.Task[None] | None:
        """The fetch under way, begun now if it is time, or None."""
        if self._fetching is None and self._monotonic() >= self._fetch_due_at:
            self._fetching = asyncio.create_task(self._fetch())
        return self._fetching

    async def _fetch(self) -> None:
        try:
            self._keys = await self._fetched_keys()
            self._fetched_at = self._monotonic()
            log.info("issuer=%s keys=%d", self._issuer, len(self._keys))
        except _BadDocument as error:
            log.warning("issuer=%s: no keys: %s", self._issuer, error)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            log.warning("issuer=%s: no keys: not reached: %s", self._issuer, type(error).__name__)
        except Exception:
            log.exception("issuer=%s: no keys", self._issuer)
        finally:
            pause_s = FETCH_PAUSE_S if self._keys else FIRST_FETCH_PAUSE_S
            self._fetch_due_at = self._monotonic() + pause_s
            self._fetching = None

    async def _fetched_keys(self) -> _Keys:
        address = self._issuer.removesuffix("/") + "/.well-known/openid-configuration"
        configuration = await self._document(address)
        if configuration.get("issuer") != self._issuer:
            raise _BadDocument("the configuration names another issuer")
        keys_address = configuration.get("jwks_uri")
        if not isinstance(keys_address, str) or issuer_fault(keys_address, may_query=True):
            raise _BadDocument("the configuration names no safe address of keys")
        entries = (await self._document(keys_address)).get("keys")
        keys = dict(filter(None, map(_read_key, entries if isinstance(entries, list) else [])))
        if not keys:
            raise _BadDocument(f"there is no key for {' or '.join(ALGORITHMS)}")
        return keys

    async def _document(self, address: str) -> dict[str, Any]:
        assert self._session is not None, "open() comes first"
        content = bytearray()
        async with self._session.get(address, allow_redirects=False) as response:
            if response.status != 200:
                raise _BadDocument(f"status {response.status}")
            async for chunk in response.content.iter_any():
                content += chunk
                if len(content) > MAX_DOCUMENT_BYTES:
                    raise _BadDocument(f"more than {MAX_DOCUMENT_BYTES:,} bytes")
        try:
            return msgspec.json.decode(content, type=dict[str, Any])
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise _BadDocument("no JSON object") from error


def _read_key(entry: Any) -> tuple[tuple[str, str], Any] | None:
    """One entry of a key set; None for one that is not for us, or not to be trusted."""
    match entry:
        case {"kty": "RSA", "kid": str(key_id)}:
            algorithm = "RS256"
        case {"kty": "EC", "crv": "P-256", "kid": str(key_id)}:
            algorithm = "ES256"
        case _:
            return None
    if entry.get("use", "sig") != "sig" or entry.get("alg", algorithm) != algorithm or "d" in entry:
        return None
    try:
        key = jwt.PyJWK.from_dict(entry, algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        log.warning("kid=%r: no usable key: %s", key_id[:100], type(error).__name__)
        return None
    if algorithm == "RS256" and key.key_size < _MIN_RSA_BITS:
        return None
    return (key_id, algorithm), key

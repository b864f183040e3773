"""What one case works with: a hub of its own, clients, REST calls, and the event handler."""

import contextlib
import io
import secrets
import time
import warnings
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn
from urllib.parse import quote

import aiohttp
import jwt
import msgspec
from jwt.warnings import InsecureKeyLengthWarning
from yarl import URL

from hubbub.testing.conformance.failures import CaseFailed, NotApplicable, shown
from hubbub.testing.conformance.handler import Desk, Listener
from hubbub.testing.conformance.wire import (
    JSON,
    PROTOBUF,
    RELIABLE,
    RELIABLE_PROTOBUF,
    Refused,
    WireClient,
)

ALL_ROLES = ("webpubsub.joinLeaveGroup", "webpubsub.sendToGroup")
JOIN = ("webpubsub.joinLeaveGroup",)
SEND = ("webpubsub.sendToGroup",)
_MAX_LINES = 200
_LARGE_BYTES = 65_536
_LARGE_FACTOR = 2.5
"""So many times longer than an answer may take one mebibyte, if the service is far away."""
_HANDLER_S = 20.0
"""How much longer a handshake may take when an event handler may be asked four times before it."""
_PUBSUB = {JSON, RELIABLE, PROTOBUF, RELIABLE_PROTOBUF}


@dataclass(frozen=True, slots=True)
class Target:
    """The service, as its connection string tells it. `client_base`: where clients connect."""

    endpoint: str
    client_base: str
    key: str = field(repr=False)
    second_key: str | None = field(repr=False, default=None)


@dataclass(frozen=True, slots=True)
class Answer:
    """Of a REST call; `told` names the call."""

    told: str
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        try:
            return msgspec.json.decode(self.body)
        except msgspec.DecodeError:
            raise CaseFailed(f"JSON in the answer to {self.told}", shown(self.body)) from None

    def expect(self, status: int, code: str | None = None) -> "Answer":
        """`code`: in the header x-ms-error-code."""
        if self.status != status:
            came = f"{self.status} {shown(self.body)}".rstrip()
            raise CaseFailed(f"{status} for {self.told}", came)
        came_code = self.headers.get("x-ms-error-code")
        if code is not None and came_code != code:
            raise CaseFailed(f"x-ms-error-code {code} for {self.told}", str(came_code))
        return self


def sign(claims: Mapping[str, Any], key: str | bytes, **headers: str) -> str:
    """A token, signed with HS256. A short key is the service's business."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InsecureKeyLengthWarning)
        return jwt.encode(dict(claims), key, "HS256", headers=headers or None)


class Trial:
    """`hub`: of this case alone, except in the upstream cases; there names hold `tag`."""

    def __init__(
        self, target: Target, hub: str, http: aiohttp.ClientSession, timeout_s: float
    ) -> None:
        self.target = target
        self.hub = hub
        self.timeout_s = timeout_s
        self.large_s = _LARGE_FACTOR * timeout_s
        """How much longer a message of one mebibyte may take."""
        self.recovery_window_s = 30.0
        self.hubs: dict[str, str] = {}
        """Of the variants, by their names."""
        self.tag = secrets.token_hex(6)
        self.lines: deque[str] = deque(maxlen=_MAX_LINES)
        """What was said, latest last."""
        self._listener: Listener | None = None
        self._desk: Desk | None = None
        self._is_over = False
        self.http = http
        self._clients: list[WireClient] = []

    @property
    def desk(self) -> Desk:
        assert self._desk is not None, "only cases with a variant have one"
        return self._desk

    @property
    def listener(self) -> Listener:
        assert self._listener is not None, "only cases with a variant have one"
        return self._listener

    @contextlib.asynccontextmanager
    async def running(self, listener: Listener | None) -> AsyncIterator["Trial"]:
        """Clients are cut at the end. `listener`: of an upstream case."""
        try:
            if listener is None:
                yield self
                return
            self._listener = listener
            with listener.desk(self.tag, self.timeout_s, self.say) as self._desk:
                yield self
        finally:
            self._is_over = True
            for client in self._clients:
                await client.ended()

    def say(self, line: str) -> None:
        if not self._is_over:  # how clients are cut at the end is nothing to tell
            self.lines.append(line)

    def name(self, text: str = "g") -> str:
        """A name of a group or user that no other case has."""
        return f"{text}-{self.tag}"

    # --- clients -----------------------------------------------------------------------------

    def token(
        self,
        *,
        hub: str | None = None,
        user: str | None = None,
        roles: Iterable[str] = ALL_ROLES,
        groups: Iterable[str] = (),
        life_s: float = 3600,
        key: str | None = None,
        **claims: Any,
    ) -> str:
        """A client token. `life_s` may be negative. `claims` come last and win."""
        values: dict[str, Any] = {
            "aud": f"{self.target.client_base}/client/hubs/{hub or self.hub}",
            "exp": int(time.time() + life_s),
            "role": list(roles),
            "webpubsub.group": list(groups),
        }
        if user is not None:
            values["sub"] = user
        return sign({**values, **claims}, key or self.target.key)

    async def client(
        self,
        subprotocol: str | None = JSON,
        *,
        hub: str | None = None,
        path: str | None = None,
        token: str | None = None,
        query: str = "",
        headers: Mapping[str, str] | None = None,
        expects_hello: bool = True,
        answers_pings: bool = True,
        patience_s: float = 0,
        **claims: Any,
    ) -> WireClient:
        """Connect; a PubSub client has its `connected` message in `hello`.

        `subprotocol`: one or several with commas. `token`: "" for none, else made of the claims.
        `patience_s`: how much longer than usual its waits may take, the handshake too.
        Raises: Refused.
        """
        if token is None:
            token = self.token(hub=hub, **claims)
        path = path or f"/client/hubs/{hub or self.hub}"
        parts = [token and f"access_token={token}", query]
        if self._desk is not None:
            parts.append(f"conformance={self.tag}")
        target = path + ("&" if "?" in path else "?") + "&".join(part for part in parts if part)
        client = WireClient(
            f"client {len(self._clients) + 1}",
            self.say,
            self.timeout_s + patience_s,
            answers_pings,
        )
        self._clients.append(client)
        offered = {} if subprotocol is None else {"Sec-WebSocket-Protocol": subprotocol}
        self.say(f"{client.label} connects to {shown(target)} offering {subprotocol}")
        url = self.target.client_base.replace("http", "ws", 1) + target
        limit_s = self.timeout_s + patience_s + (_HANDLER_S if self._desk is not None else 0)
        try:
            await client.open(url, {**offered, **(headers or {})}, limit_s)
        except Refused as refused:
            self.say(f"{client.label} is answered {refused.status} {shown(refused.body)}".rstrip())
            raise
        if client.subprotocol in _PUBSUB and expects_hello:
            client.hello = await client.next()
            if client.hello.get("event") != "connected":
                raise CaseFailed("`connected` as the first message", shown(client.hello))
        return client

    async def recover(
        self, lost: WireClient, *, expects_hello: bool = True, **options: Any
    ) -> WireClient:
        """Take up the session of a lost client, which has to be the same connection then.

        Options: `connection_id`, `proof`, and those of `client`.
        """
        connection_id = options.pop("connection_id", lost.connection_id)
        proof = options.pop("proof", lost.hello.get("reconnectionToken") or "none")
        options.setdefault("token", "")
        again = await self.client(
            options.pop("subprotocol", lost.subprotocol),
            query=f"awps_connection_id={quote(connection_id)}"
            f"&awps_reconnection_token={quote(str(proof), safe='')}",
            expects_hello=expects_hello,
            **options,
        )
        if expects_hello:
            self.equal(again.connection_id, connection_id, "connectionId after the recovery")
        return again

    async def refused(self, *statuses: int, subprotocol: str | None = JSON, **how: Any) -> Refused:
        """A handshake that has to be answered with one of these statuses."""
        wanted = f"the handshake to be refused with {' or '.join(map(str, statuses))}"
        try:
            client = await self.client(subprotocol, expects_hello=False, **how)
        except Refused as refused:
            if refused.status not in statuses:
                came = f"{refused.status} {shown(refused.body)}".rstrip()
                raise CaseFailed(wanted, came) from None
            return refused
        client.cut()
        raise CaseFailed(wanted, "101: the client was let in")

    # --- REST --------------------------------------------------------------------------------

    def rest_token(
        self, url: str, *, key: str | None = None, life_s: float = 600, **claims: Any
    ) -> str:
        """For a call of this URL. `claims` win; None leaves one out."""
        values: dict[str, Any] = {"aud": url, "exp": int(time.time() + life_s), **claims}
        values = {name: value for name, value in values.items() if value is not None}
        return sign(values, key or self.target.key)

    async def rest(
        self,
        method: str,
        path: str,
        body: bytes | AsyncIterator[bytes] = b"",
        content_type: str | None = None,
        *,
        query: str = "api-version=2024-12-01",
        headers: Mapping[str, str] | None = None,
        token: str | None = None,
        expect: int | None = None,
        hub: str | None = None,
    ) -> Answer:
        """One call. `path`: below the hub, or whole if it starts with /api or /_. `token`: "" for
        none."""
        if not path.startswith(("/api", "/_")):
            path = f"/api/hubs/{hub or self.hub}{path}"
        url = self.target.endpoint + path
        if token is None:
            token = self.rest_token(url)
        sent = dict(headers or {})
        if token:
            sent.setdefault("Authorization", f"Bearer {token}")
        if content_type is not None:
            sent["Content-Type"] = content_type
        target = f"{path}?{query}" if query else path
        told = f"{method} {shown(target)}"
        self.say(
            f"REST > {told} {shown(body) if isinstance(body, bytes) else 'in chunks'}".rstrip()
        )
        try:
            answer = await self._exchange(told, method, target, body, sent)
        except TimeoutError:
            raise CaseFailed(f"an answer to {told}", "none in time") from None
        self.say(f"REST < {answer.status} {shown(answer.body)}".rstrip())
        return answer if expect is None else answer.expect(expect)

    async def _exchange(
        self,
        told: str,
        method: str,
        target: str,
        body: bytes | AsyncIterator[bytes],
        headers: Mapping[str, str],
    ) -> Answer:
        """Raises: TimeoutError, OSError, aiohttp.ClientError."""
        content: Any = io.BytesIO(body) if isinstance(body, bytes) and body else body or None
        is_large = isinstance(body, bytes) and len(body) > _LARGE_BYTES
        limit_s = self.timeout_s + (self.large_s if is_large else 0)
        # What the service does not read of a large body must not hold up the next call.
        session = aiohttp.ClientSession() if is_large else contextlib.nullcontext(self.http)
        async with (
            session as http,
            http.request(
                method,
                # The target as written here, not as the library would tidy it.
                URL(self.target.endpoint + target, encoded=True),
                data=content,
                headers=headers,
                skip_auto_headers=("Content-Type",),
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=limit_s),
            ) as response,
        ):
            return Answer(told, response.status, response.headers, await response.read())

    async def send(
        self,
        body: bytes | AsyncIterator[bytes],
        content_type: str | None = "text/plain",
        *,
        to: str = "",
        expect: int | None = 202,
        **how: Any,
    ) -> Answer:
        """Send by REST; `to`: "" for the whole hub, or for example "/users/u"."""
        return await self.rest("POST", f"{to}/:send", body, content_type, expect=expect, **how)

    async def fence(self, *clients: WireClient) -> None:
        """Nothing else was on its way to these: what is sent to the hub now comes next."""
        await self.send(b"fence")
        for client in clients:
            await self.got_fence(client)

    async def got_fence(self, client: WireClient) -> None:
        came = await client.next()
        if _data_of(came) != "fence":
            raise CaseFailed(f"nothing for {client.label}", shown(came))

    async def reached(self, people: Mapping[str, WireClient]) -> str:
        """Names of those who had got `hi` before the message that is now sent to all."""
        await self.send(b"end")
        names = ""
        for name, client in people.items():
            data = _data_of(await client.next())
            if data == "hi":
                names += name
                data = _data_of(await client.next())
            self.equal(data, "end", f"the next message of {client.label}")
        return names

    # --- judging -----------------------------------------------------------------------------

    def check(self, is_good: object, expected: str, came: object) -> None:
        """Fail the case unless it is good."""
        if not is_good:
            raise CaseFailed(expected, shown(came))

    def equal(self, came: object, wanted: object, what: str) -> None:
        if came != wanted:
            raise CaseFailed(f"{what} to be {shown(wanted)}", shown(came))

    def not_applicable(self, reason: str) -> NoReturn:
        raise NotApplicable(reason)


def _data_of(came: Any) -> Any:
    """Of a message, or a plain client's frame itself."""
    return came.get("data") if isinstance(came, dict) else came

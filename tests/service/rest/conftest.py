"""A REST app over real hubs that only write down what they were asked to send."""

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import jwt
import pytest
from tests.service import kinds

from hubbub.protocol.roles import Permissions
from hubbub.protocol.service_session import ServiceSession
from hubbub.service.connection import Connection, Socket
from hubbub.service.engine.interface import HealthState, NodeInfo
from hubbub.service.hub import Hub
from hubbub.service.observe import Counts
from hubbub.service.outbox import Outbox
from hubbub.service.rest.app import create_app
from hubbub.service.settings import Settings
from hubbub.service.upstream import EventSource

KEY = "primary-key-of-the-test-with-enough-bytes="
OTHER_KEY = "secondary-key-of-the-test-with-enough-bytes"
NOW = 1_800_000_000
HOST = "push.test:8080"
ORIGIN = f"http://{HOST}"
JSON = {"content-type": "application/json"}
TEXT = {"content-type": "text/plain"}


@dataclass
class Sent:
    """One call of a hub: what, where, and how."""

    hub: str
    verb: str
    target: str | None
    payload: Any
    options: dict[str, Any]


class FakeUpstream:
    """Keeps who has left, and why."""

    def __init__(self):
        self.left = []

    def connected(self, source):
        pass

    def disconnected(self, source, reason):
        self.left.append((source.connection_id, reason))


class FakeSocket:
    """Keeps what is written and how it was closed."""

    def __init__(self):
        self.written = []
        self.closed = None
        self.outbox = Outbox(
            cast(asyncio.Transport, self), max_messages=5, max_bytes=10_000, now=lambda: 0.0
        )

    def write(self, data):
        self.written.append(data)

    def close(self, code, reason):
        self.closed = (code, reason)


class FakeHub(Hub):
    """Who is where is real; sends are written down."""

    def __init__(self, name: str, node: "FakeNode"):
        super().__init__(name, node.settings, node.engine, node.upstream, Counts(), lambda *_: "t")
        self.node = node

    def send_to_all(self, payload, **options):
        self.node.record(self.name, "all", None, payload, options)

    def send_to_group(self, group, payload, **options):
        self.node.record(self.name, "group", group, payload, options)

    def send_to_user(self, user_id, payload, **options):
        self.node.record(self.name, "user", user_id, payload, options)

    def send_to_connection(self, connection_id, payload, **options):
        self.node.record(self.name, "connection", connection_id, payload, options)


@dataclass
class FakeEngine:
    health: HealthState = HealthState.UP

    def nodes(self):
        return {"n1": NodeInfo("n1", "1.2.3")}


@dataclass
class FakeNode:
    settings: Settings = field(default_factory=Settings)
    keys: tuple[str, ...] = (KEY, OTHER_KEY)
    engine: FakeEngine = field(default_factory=FakeEngine)
    connection_count: int = 7
    is_draining: bool = False
    sent: list[Sent] = field(default_factory=list)
    fault: Exception | None = None
    upstream: FakeUpstream = field(default_factory=FakeUpstream)
    hubs: dict[str, FakeHub] = field(default_factory=dict)

    def hub(self, name: str) -> FakeHub:
        if name not in self.hubs:
            self.hubs[name] = FakeHub(name, self)
        return self.hubs[name]

    def find_hub(self, name: str) -> FakeHub | None:
        return self.hubs.get(name)

    def record(self, hub, verb, target, payload, options):
        if self.fault is not None:
            raise self.fault
        self.sent.append(Sent(hub, verb, target, payload, options))


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of an error, the same in header and body."""
        assert self.headers["x-ms-error-code"] == self.json["code"]
        return self.json["code"]


def make_token(claims: dict[str, Any], key: str | bytes = KEY, **options: Any) -> str:
    return jwt.encode({"exp": NOW + 60, **claims}, key, algorithm="HS256", **options)


class Bench:
    """Speaks ASGI to the app, so that paths, headers and chunks arrive exactly as written."""

    def __init__(self, settings: Settings) -> None:
        self.node = FakeNode(settings)
        self.app = create_app(self.node, now=lambda: NOW)
        self.chunks_read = 0

    @property
    def sent(self) -> list[Sent]:
        return self.node.sent

    @property
    def hub(self) -> FakeHub:
        return self.node.hub("chat")

    def connect(
        self, name: str, *, user: str | None = None, groups: Iterable[str] = (), roles=()
    ) -> Connection:
        """A JSON client of hub chat."""
        source = EventSource(hub="chat", connection_id=name, origin="localhost", user_id=user)
        session = ServiceSession(name, Permissions(roles), is_reliable=False)
        connection = Connection(session, source, form=kinds.JSON, subprotocol="json")
        self.hub.admit(connection, cast(Socket, FakeSocket()), groups)
        return connection

    def members(self, group: str) -> list[str]:
        return sorted(self.hub.groups[group].members) if group in self.hub.groups else []

    @property
    def only(self) -> Sent:
        assert len(self.sent) == 1
        return self.sent[0]

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: str = "api-version=2024-12-01",
        headers: dict[str, str] | Iterable[tuple[str, str]] = (),
        body: bytes | list[bytes] = b"",
        token: str | None = "",
        host: str | None = HOST,
        hangs_up: bool = False,
    ) -> Answer | None:
        """`token` "": a right one; None: no Authorization. `body` a list: chunks, no length."""
        pairs = list(headers.items() if isinstance(headers, dict) else headers)
        if host is not None:
            pairs.append(("host", host))
        if token == "":
            token = make_token({"aud": f"http://{host}{path}"})
        if token is not None:
            pairs.append(("authorization", f"Bearer {token}"))
        if isinstance(body, bytes):
            if not any(name == "content-length" for name, _ in pairs):
                pairs.append(("content-length", str(len(body))))
            body = [body]
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": "/the/app/reads/the/raw/one",
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(n.lower().encode(), v.encode("latin-1")) for n, v in pairs],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8080),
        }
        return await self._run(scope, body, hangs_up)

    async def _run(self, scope, chunks, hangs_up) -> Answer | None:
        waiting = list(chunks)
        out: list[Any] = []
        self.chunks_read = 0

        async def receive():
            if not waiting:
                return {"type": "http.disconnect"}
            self.chunks_read += 1
            body = waiting.pop(0)
            return {"type": "http.request", "body": body, "more_body": bool(waiting) or hangs_up}

        async def send(message):
            out.append(message)

        await self.app(scope, receive, send)
        if not out:
            return None
        start, *rest = out
        headers = {n.decode(): v.decode() for n, v in start["headers"]}
        return Answer(start["status"], headers, b"".join(m.get("body", b"") for m in rest))

    async def send(self, body: bytes | list[bytes] = b"x", **options: Any) -> Answer:
        """Send to all of hub chat."""
        options.setdefault("headers", TEXT)
        return await self.request("POST", "/api/hubs/chat/:send", body=body, **options)


@pytest.fixture
def bench() -> Bench:
    return Bench(Settings())


@pytest.fixture
def make_bench():
    return lambda **settings: Bench(Settings(**settings))


@pytest.fixture
def world() -> SimpleNamespace:
    """Names of this file for the tests beside it."""
    return SimpleNamespace(**{k: v for k, v in globals().items() if k.isupper()}, token=make_token)

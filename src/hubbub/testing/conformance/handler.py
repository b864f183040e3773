"""The event handler of the upstream cases: records what the service asks, answers as a case wants.

One listener serves all cases. A request belongs to the case whose tag is in it (in the query of
`connect`, in the user id, in the data), and from then on by its connection id.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Self

import msgspec
from aiohttp import web

from hubbub.testing.conformance.failures import CannotRun, CaseFailed, shown

_MAX_BODY_BYTES = 8 * 1_048_576
_MAX_QUESTIONS = 1000
_HAS_NO_TYPE = web.ResponseKey("has_no_type", bool)


@dataclass(frozen=True, slots=True)
class Call:
    """One request of the service. Header names in lower case, values as bytes on the wire."""

    method: str
    target: str
    headers: tuple[tuple[str, bytes], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """The values as one text; None when there are none."""
        values = [value.decode("utf-8", "replace") for key, value in self.headers if key == name]
        return ",".join(values) if values else None

    @property
    def event(self) -> str:
        return self.header("ce-eventname") or ""

    @property
    def is_user_event(self) -> bool:
        return (self.header("ce-type") or "").startswith("azure.webpubsub.user.")

    @property
    def path_name(self) -> str:
        """Of the variant, or of one of its handlers."""
        return self.target.lstrip("/").partition("/")[0]

    @property
    def json(self) -> Any:
        """The body; what is no JSON fails the case."""
        try:
            return msgspec.json.decode(self.body)
        except msgspec.DecodeError:
            raise CaseFailed(f"JSON in the request {self.event}", shown(self.body)) from None


@dataclass(frozen=True, slots=True)
class Reply:
    status: int = 204
    body: bytes = b""
    content_type: str | None = None
    headers: tuple[tuple[str, str], ...] = ()


Answer = Reply | Callable[[Call], Reply | Awaitable[Reply]]


@dataclass
class Desk:
    """What one case has to do with the handler. `answers`: by event name, "*" for other user events."""

    tag: str
    timeout_s: float
    say: Callable[[str], None]
    answers: dict[str, Answer] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    aborted: list[Call] = field(default_factory=list)
    """Those whose sender went away before they were answered."""
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def events(self, name: str) -> list[Call]:
        return [call for call in self.calls if call.event == name]

    @property
    def user_events(self) -> list[Call]:
        return [call for call in self.calls if call.is_user_event]

    async def wait_for(self, name: str, count: int = 1) -> list[Call]:
        """The requests of one event, as soon as there are so many."""
        await self.until(lambda: len(self.events(name)) >= count, f"{count} request(s) {name}")
        return self.events(name)

    async def until(self, condition: Callable[[], bool], wanted: str) -> None:
        try:
            async with asyncio.timeout(self.timeout_s):
                while not condition():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            names = ", ".join(call.event for call in self.calls) or "none"
            raise CaseFailed(f"{wanted} at the handler", f"these: {names}") from None

    async def reply_to(self, call: Call) -> Reply:
        self.calls.append(call)
        self.say(f"handler < {call.method} {call.event} {shown(call.body)}")
        self._news.set()
        answer = self.answers.get(call.event) or Reply()
        if call.is_user_event and call.event not in self.answers:
            answer = self.answers.get("*", answer)
        try:
            result = answer if isinstance(answer, Reply) else answer(call)
            reply = result if isinstance(result, Reply) else await result
        except asyncio.CancelledError:
            self.aborted.append(call)
            self.say(f"handler: the service gave up {call.event}")
            self._news.set()
            raise
        self.say(f"handler > {reply.status} {shown(reply.body)}".rstrip())
        return reply


class Listener:
    """`async with Listener(host, port)`: serves the desks of all cases."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self.port = host, port
        self._desks: dict[str, Desk] = {}
        self._by_connection: dict[str, Desk] = {}
        self.questions: list[Call] = []
        """The OPTIONS and GET requests."""
        self.first: dict[str, str] = {}
        """First part of a path → the method of the first request for it."""
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=_MAX_BODY_BYTES)
        app.router.add_route("*", "/{rest:.*}", self._serve)
        app.on_response_prepare.append(_leave_out_type)
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=1)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, self._host, self.port)
        try:
            await site.start()
        except OSError as error:
            await self._stack.aclose()
            raise CannotRun(f"cannot listen on {self._host}:{self.port}: {error}") from error
        self.port = int(runner.addresses[0][1])
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def url(self) -> str:
        """Where a service on this machine reaches it."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.port}"

    def asked(self, path_name: str) -> list[Call]:
        """The questions about one variant."""
        return [call for call in self.questions if call.path_name == path_name]

    @contextlib.contextmanager
    def desk(self, tag: str, timeout_s: float, say: Callable[[str], None]) -> Iterator[Desk]:
        """A desk for one case, as long as it runs."""
        desk = self._desks[tag] = Desk(tag, timeout_s, say)
        try:
            yield desk
        finally:
            del self._desks[tag]

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        headers = tuple((k.decode("latin-1").lower(), v) for k, v in request.raw_headers)
        call = Call(request.method, request.raw_path, headers, await request.read())
        self.first.setdefault(call.path_name, call.method)
        if call.method != "POST":
            if len(self.questions) < _MAX_QUESTIONS:
                self.questions.append(call)
            if call.path_name == "mute":
                await asyncio.Event().wait()  # until the service gives up
            return _response(_permission(call))
        desk = self._desk_of(call)
        return _response(Reply() if desk is None else await desk.reply_to(call))

    def _desk_of(self, call: Call) -> Desk | None:
        """None: of a case that is over, or of a client of somebody else."""
        connection = call.header("ce-connectionid") or ""
        desk = self._by_connection.get(connection)
        if desk is None:
            told = f"{call.header('ce-userid')} ".encode() + call.body
            found = (it for tag, it in self._desks.items() if tag.encode() in told)
            desk = next(found, None)
            if desk is not None:
                self._by_connection[connection] = desk
        return desk if desk is None or desk.tag in self._desks else None


def _permission(call: Call) -> Reply:
    """May the service send events? What the path's name says."""
    origin = call.header("webhook-request-origin") or ""
    name, allowed = call.path_name, "WebHook-Allowed-Origin"
    if name == "case":
        return Reply(200, headers=((allowed, origin.upper()),))
    if name == "lines":
        return Reply(200, headers=((allowed, "other.example"), (allowed, origin)))
    if name == "bare":
        return Reply(200)
    if name == "other":
        return Reply(200, headers=((allowed, "other.example"),))
    if name == "denied":
        return Reply(401)
    if name == "get" and call.method == "OPTIONS":
        return Reply(404)
    return Reply(200, headers=((allowed, "*"),))


def _response(reply: Reply) -> web.Response:
    response = web.Response(status=reply.status, body=reply.body)
    for name, value in reply.headers:
        response.headers.add(name, value)
    if reply.content_type is not None:
        response.headers["Content-Type"] = reply.content_type
    else:
        response[_HAS_NO_TYPE] = True
    return response


async def _leave_out_type(request: web.Request, response: web.StreamResponse) -> None:
    """The library names a type where a case wants none."""
    if _HAS_NO_TYPE in response:
        response.headers.popall("Content-Type", None)

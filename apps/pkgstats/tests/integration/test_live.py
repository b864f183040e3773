"""The live parts against a real hubbub: who gets in, with which rights, and what arrives."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin, Subprotocol

from hubbub.appserver import RequestError
from pkgstats.live import groups
from pkgstats.live.publisher import publish_changes
from pkgstats.models import OutboxRow
from pkgstats.site import Site

MODEL = "@azure/web-pubsub-client"
GROUP = f"pkg:{MODEL}"


pytestmark = pytest.mark.asyncio(loop_scope="module")


class Visitor:
    """A browser of one person: a cookie, and a connection for each open page."""

    def __init__(self, site: Site) -> None:
        self.http = httpx2.AsyncClient(base_url=site.url, trust_env=False)
        self._origin = Origin(site.url)
        self._open: list[ClientConnection] = []

    async def open(self, page: str = f"/{GROUP}", origin: str | None = None) -> ClientConnection:
        answer = await self.http.get("/negotiate", params={"for": page})
        connection = await connect(
            answer.json()["url"],
            origin=Origin(origin) if origin else self._origin,
            subprotocols=[Subprotocol("json.webpubsub.azure.v1")],
            proxy=None,
        )
        self._open.append(connection)
        assert (await message(connection))["event"] == "connected"
        return connection

    async def close(self) -> None:
        for connection in self._open:
            await connection.close()
        await self.http.aclose()


@pytest_asyncio.fixture(loop_scope="module")
async def visitor(site: Site) -> AsyncIterator[Visitor]:
    visitor = Visitor(site)
    yield visitor
    await visitor.close()


@pytest_asyncio.fixture(loop_scope="module")
async def other_visitor(site: Site) -> AsyncIterator[Visitor]:
    visitor = Visitor(site)
    yield visitor
    await visitor.close()


async def message(connection: ClientConnection) -> dict[str, Any]:
    return json.loads(await asyncio.wait_for(connection.recv(), 5))  # type: ignore[no-any-return]


async def until(connection: ClientConnection, wanted: Callable[[dict[str, Any]], bool]) -> Any:
    """The first message that is wanted; others are passed over."""
    while not wanted(received := await message(connection)):
        pass
    return received


async def ask(connection: ClientConnection, **request: Any) -> dict[str, Any]:
    """The answer to one request."""
    await connection.send(json.dumps(request))
    keys = ("ackId", "invocationId")
    answers = ("ack", "invokeResponse")
    return await until(  # type: ignore[no-any-return]
        connection,
        lambda m: m["type"] in answers and any(k in m and m[k] == request.get(k) for k in keys),
    )


def watchers_of(count: int) -> Callable[[dict[str, Any]], bool]:
    return lambda m: (
        m["type"] == "message"
        and m["data"]["t"] == "watchers"
        and m["data"]["data"] == {"count": count}
    )


async def watch(connection: ClientConnection, name: str = MODEL) -> dict[str, Any]:
    event = {"type": "event", "event": "watch", "ackId": 9, "dataType": "json"}
    return await ask(connection, **event, data={"name": name})


# --- who gets in ------------------------------------------------------------------------------


async def test_l11_page_of_a_foreign_origin_is_refused_with_403(visitor: Visitor) -> None:
    with pytest.raises(InvalidStatus) as caught:
        await visitor.open(origin="http://evil.example")
    assert caught.value.response.status_code == 403


async def test_l01_negotiate_gives_the_right_to_join_this_page_only(visitor: Visitor) -> None:
    connection = await visitor.open()
    assert (await ask(connection, type="joinGroup", group=GROUP, ackId=1))["success"] is True
    other = await ask(connection, type="joinGroup", group="pkg:react", ackId=2)
    assert (other["success"], other["error"]["name"]) == (False, "Forbidden")
    send = {"type": "sendToGroup", "group": GROUP, "dataType": "text", "data": "x"}
    sent = await ask(connection, **send, ackId=3)
    assert (sent["success"], sent["error"]["name"]) == (False, "Forbidden")


async def test_l01_negotiate_for_a_page_without_group_gives_no_rights(visitor: Visitor) -> None:
    connection = await visitor.open("/about")
    joined = await ask(connection, type="joinGroup", group=GROUP, ackId=1)
    assert joined["error"]["name"] == "Forbidden"


@pytest.mark.parametrize(
    "headers", [{"sec-fetch-site": "cross-site"}, {"origin": "http://evil.example"}]
)
async def test_l01_negotiate_asked_by_another_site_answers_403(
    visitor: Visitor, headers: dict[str, str]
) -> None:
    answer = await visitor.http.get("/negotiate?for=/", headers=headers)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


async def test_l01_visitor_keeps_one_anonymous_id(visitor: Visitor) -> None:
    first = await visitor.http.get("/negotiate?for=/")
    cookie = first.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert first.headers["cache-control"] == "no-store"
    assert "set-cookie" not in (await visitor.http.get("/negotiate?for=/")).headers
    forged = await visitor.http.get("/negotiate?for=/", headers={"cookie": "pkgstats_visitor=a b"})
    assert "set-cookie" in forged.headers


async def test_eventhandler_takes_no_event_without_hubbubs_signature(visitor: Visitor) -> None:
    headers = {
        "ce-awpsversion": "1.0",
        "ce-hub": "pkgstats",
        "ce-connectionid": "c1",
        "ce-type": "azure.webpubsub.sys.connect",
        "webhook-request-origin": "127.0.0.1",
    }
    answer = await visitor.http.post("/eventhandler", headers=headers, content=b"{}")
    assert answer.status_code == 401


# --- what arrives -----------------------------------------------------------------------------


async def test_l02_committed_figure_goes_through_group_to_every_page_and_is_marked_sent(
    visitor: Visitor, other_visitor: Visitor, catalog: Any
) -> None:
    pages = [await visitor.open(), await other_visitor.open()]
    id = catalog.commit("downloads", {"total": 134226})
    for page in pages:
        received = await until(page, lambda m: m["type"] == "message")
        assert (received["from"], received["group"]) == ("group", GROUP)
        envelope = received["data"]
        assert (envelope["v"], envelope["id"], envelope["t"]) == (1, id, "downloads")
        assert envelope["data"] == {"total": 134226}
        assert envelope["simulated"] is True
    async with asyncio.timeout(5):
        while id not in catalog.sent:
            await asyncio.sleep(0.01)


async def test_l02_page_of_another_package_hears_nothing(visitor: Visitor, catalog: Any) -> None:
    page = await visitor.open("/pkg:react")
    catalog.commit("downloads", {"total": 1})
    catalog.commit("downloads", {"total": 2}, name="react")
    received = await until(page, lambda m: m["type"] == "message")
    assert received["data"]["data"] == {"total": 2}


class RefusingClient:
    """Stands for a hubbub that refuses: `answers` says how, one for each send, None accepts."""

    def __init__(self, answers: list[RequestError | None]) -> None:
        self._answers = answers
        self.sent: list[int] = []

    async def send_to_group(self, group: str, message: Any) -> None:
        error = self._answers.pop(0)
        if error is not None:
            raise error
        self.sent.append(message["id"])


class OneBatch:
    """A catalog with one batch of messages."""

    def __init__(self, rows: list[OutboxRow]) -> None:
        self._rows = rows
        self.marked: list[int] = []

    async def changes(self) -> AsyncIterator[list[OutboxRow]]:
        yield self._rows

    async def mark_sent(self, ids: list[int]) -> None:
        self.marked += ids


@pytest.mark.parametrize(
    ("error", "sent", "marked"),
    [
        (RequestError("later", status=503, retryable=True), [1], [1]),
        (RequestError("nobody there", status=None), [1], [1]),
        (RequestError("never", status=400), [1, 3], [1, 2, 3]),
    ],
)
async def test_publisher_keeps_what_is_refused_for_now_and_drops_what_is_refused_for_ever(
    sample_catalog: Any, error: RequestError, sent: list[int], marked: list[int]
) -> None:
    catalog = sample_catalog()
    for _ in range(3):
        catalog.commit("downloads", {"total": 1})
    waiting = [row for _ in range(3) for row in catalog.outbox.get_nowait()]
    rows = [OutboxRow(i, "group", r.target, r.t, r.at, r.data) for i, r in enumerate(waiting, 1)]
    one_batch, client = OneBatch(rows), RefusingClient([None, error, None])
    await publish_changes(one_batch, client)  # type: ignore[arg-type]
    assert (client.sent, one_batch.marked) == (sent, marked)


# --- what pages say ---------------------------------------------------------------------------


async def test_l08_watchers_are_people_not_tabs_and_leaving_counts_down(
    visitor: Visitor, other_visitor: Visitor, catalog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "PUBLISH_EVERY_S", 0.05)
    first, second_tab = await visitor.open("/pkg:ws"), await visitor.open("/pkg:ws")
    assert (await watch(first, "ws"))["success"] is True
    await watch(second_tab, "ws")
    await until(first, watchers_of(1))
    other = await other_visitor.open("/pkg:ws")
    await watch(other, "ws")
    await until(first, watchers_of(2))
    await other.close()
    await until(first, watchers_of(1))
    assert catalog.watched["ws"] == 1


@pytest.mark.parametrize("name", ["", "@..", "a/b", 7, None, "x" * 300])
async def test_l08_watch_of_what_is_no_package_is_refused(visitor: Visitor, name: Any) -> None:
    connection = await visitor.open()
    assert (await watch(connection, name))["success"] is False


async def test_l06_suggest_over_the_socket_gives_the_answer_of_the_api(visitor: Visitor) -> None:
    connection = await visitor.open("/")
    invoke = {"type": "invoke", "target": "event", "event": "suggest", "dataType": "json"}
    question = {"q": "pubsub", "limit": 8}
    answer = await ask(connection, **invoke, invocationId="1", data=question)
    assert answer["success"] is True
    assert answer["data"] == (await visitor.http.get("/api/v1/suggest?q=pubsub")).json()
    nothing = await ask(connection, **invoke, invocationId="2", data={"q": "zzz"})
    assert (nothing["success"], nothing["data"]["items"]) == (True, [])
    wrong = await ask(connection, **invoke, invocationId="3", data={"q": 7})
    assert wrong["success"] is False

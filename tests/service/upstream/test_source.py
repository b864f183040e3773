import asyncio

import pytest
from yarl import URL

from hubbub.service.upstream import EventSource

URL_A = URL("http://127.0.0.1:9/a")


def make_source(traceparent: str | None = None) -> EventSource:
    return EventSource(hub="chat", connection_id="c1", origin="h", traceparent=traceparent)


def test_event_ids_start_at_one() -> None:
    source = make_source()
    assert [source.take_event_id(), source.take_event_id()] == [1, 2]
    assert source.next_event_id == 3


@pytest.mark.parametrize(
    ("traceparent", "is_kept"),
    [
        (f"00-{'a' * 32}-{'b' * 16}-01", True),
        ("nonsense", False),
        (f"00-{'a' * 32}-{'b' * 16}-01\r\nX: y", False),
        (None, False),
    ],
)
def test_traceparent_is_kept_when_it_is_one(traceparent: str | None, is_kept: bool) -> None:
    assert make_source(traceparent).traceparent == (traceparent if is_kept else None)


async def test_cookies_go_back_where_they_match() -> None:
    source = make_source()
    assert source.cookie_header(URL_A) == ""
    source.keep_cookies(["a=1; Path=/", "b=2; Path=/other", "c=3; Secure; Path=/"], URL_A)
    assert source.cookie_header(URL_A) == "a=1"
    assert source.cookie_header(URL("http://127.0.0.1:9/other")) == "a=1; b=2"
    assert source.cookie_header(URL("http://127.0.0.2/a")) == ""


async def test_cookies_of_one_connection_are_bounded() -> None:
    source = make_source()
    for number in range(60):
        source.keep_cookies([f"c{number}=1; Path=/"], URL_A)
    assert source.cookie_header(URL_A).count("=") == 50


async def test_action_runs_at_once_when_idle_and_else_after_the_last_call() -> None:
    source = make_source()
    ran: list[str] = []
    source.when_idle(lambda: ran.append("at once"))
    assert ran == ["at once"]
    source.begin_call()
    source.begin_call()
    source.when_idle(lambda: ran.append("later"))
    source.end_call()
    await asyncio.sleep(0)
    assert ran == ["at once"]
    source.end_call()
    await asyncio.sleep(0)
    assert ran == ["at once", "later"]

"""Expectations: they wait, and say what was expected and what came."""

import asyncio

import pytest

from hubbub.testing import eventually, expect_event
from hubbub.testing.plugin import Hubbub

pytestmark = pytest.mark.virtual_time


async def test_eventually_waits_for_a_value_or_something_true(hubbub: Hubbub) -> None:
    values: list[int] = []
    asyncio.get_running_loop().call_later(3, values.append, 7)
    assert await eventually(lambda: values) == [7]
    assert await eventually(lambda: len(values), 1) == 1
    assert 3 <= hubbub.clock.time() < 3.1


async def test_eventually_takes_async_checks_and_asserts() -> None:
    async def check() -> None:
        assert asyncio.get_running_loop().time() > 2, "too early"

    await eventually(check, None)
    with pytest.raises(AssertionError, match="after 1 s still: no"):
        await eventually(never, None, within=1)


def never() -> None:
    raise AssertionError("no")


async def test_eventually_ends_with_a_check_that_does_not() -> None:
    async def hangs() -> None:
        await asyncio.Event().wait()

    async def runs_out_of_time() -> None:
        raise TimeoutError("of the check")

    with pytest.raises(AssertionError, match="does not end"):
        await eventually(hangs, None, within=2)
    with pytest.raises(TimeoutError, match="of the check"):
        await eventually(runs_out_of_time, None, within=2)


async def test_eventually_says_what_was_expected_and_what_came(hubbub: Hubbub) -> None:
    with pytest.raises(AssertionError, match="expected 2 within 30 s, got 1"):
        await eventually(lambda: 1, 2, within=30)
    with pytest.raises(AssertionError, match=r"expected something true within 5 s, got \[\]"):
        await eventually(list)
    assert 35 <= hubbub.clock.time() < 36


async def test_expected_event_is_given_and_another_one_is_named(hubbub: Hubbub) -> None:
    async with hubbub.hub() as hub, hub.client() as client:
        async with expect_event(client, "server-message", data="b") as message:
            await hub.backend.send_to_all("a")
            await hub.backend.send_to_all("b")
        assert message.event.sequence_id == 2
        expected = r"expected the event recovered\(connection_id='x'\), got server-message\("
        with pytest.raises(AssertionError, match=expected + r".*nothing else within 5 s"):
            async with expect_event(client, "recovered", connection_id="x"):
                await hub.backend.send_to_all("c")
        with pytest.raises(AssertionError, match=r"got .*; then the client stopped"):
            async with expect_event(client, "gap"):
                await client.stop()
        with pytest.raises(
            ValueError, match=r"there is no event 'recoverd'; there are .*recovered"
        ):
            expect_event(client, "recoverd")


async def test_failing_body_is_not_hidden_by_an_event_that_did_not_come(hubbub: Hubbub) -> None:
    async with hubbub.hub() as hub, hub.client() as client:
        with pytest.raises(ZeroDivisionError):
            async with expect_event(client, "gap"):
                raise ZeroDivisionError
        assert hubbub.clock.time() == 0


async def test_hub_says_every_number_that_is_not_as_expected(hubbub: Hubbub) -> None:
    async with hubbub.hub() as hub, hub.client(groups=["g"]):
        await hub.expect(connections=1, groups={"g": 1, "h": 0}, counts={"connections.opened": 1})
        text = "expected 2 connections, got 1; expected 0 members of 'g', got 1"
        with pytest.raises(AssertionError, match=text):
            await hub.expect(connections=2, groups={"g": 0})

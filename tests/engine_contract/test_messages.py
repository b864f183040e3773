import asyncio

import pytest

from hubbub.protocol.errors import EngineUnavailable, MessageTooLarge
from hubbub.service.engine.interface import HealthState

SUBJECT = ("g", "chat", "room 1")


async def test_publish_reaches_the_other_node_once_it_has_subscribed(cluster, inbox):
    a, b = await cluster.node("a"), await cluster.node("b")
    await b.subscribe(SUBJECT, inbox.take)
    a.publish(SUBJECT, b"hello")
    await inbox.until_data(b"hello")
    assert inbox.got == [(SUBJECT, b"hello")]


async def test_publish_keeps_the_order_of_one_publisher(cluster, inbox):
    a, b = await cluster.node("a"), await cluster.node("b")
    await b.subscribe(SUBJECT, inbox.take)
    expected = [str(number).encode() for number in range(1000)]
    for number, data in enumerate(expected):
        a.publish(SUBJECT, data)
        if number % 100 == 0:
            await asyncio.sleep(0)
    await inbox.until_data(*expected)


async def test_publish_keeps_the_order_of_each_of_two_publishers(cluster, inbox):
    a, b, c = await cluster.node("a"), await cluster.node("b"), await cluster.node("c")
    await c.subscribe(SUBJECT, inbox.take)
    for number in range(200):
        a.publish(SUBJECT, b"a%d" % number)
        b.publish(SUBJECT, b"b%d" % number)
    await inbox.until(lambda i: len(i.got) == 400)
    for name in (b"a", b"b"):
        got = [data for _, data in inbox.got if data.startswith(name)]
        assert got == [name + b"%d" % number for number in range(200)]


async def test_publish_never_comes_back_to_the_publisher(cluster, inbox):
    a, b = await cluster.node("a"), await cluster.node("b")
    await a.subscribe(SUBJECT, inbox.take)
    a.publish(SUBJECT, b"mine")
    await a.published()
    b.publish(SUBJECT, b"theirs")
    await inbox.until_data(b"theirs")


async def test_publish_does_not_call_back_from_inside(cluster, inbox):
    a, b = await cluster.node("a"), await cluster.node("b")
    await b.subscribe(SUBJECT, inbox.take)
    a.publish(SUBJECT, b"x")
    assert inbox.got == []
    await inbox.until_data(b"x")


async def test_publish_from_a_callback_comes_after_it(cluster, inbox, other_inbox):
    a, b = await cluster.node("a"), await cluster.node("b")
    steps = []

    def answer(subject, data):
        steps.append("in")
        b.publish(("back",), data)
        steps.append("out")

    def back(subject, data):
        steps.append("back")
        inbox.take(subject, data)

    await b.subscribe(SUBJECT, answer)
    await a.subscribe(("back",), back)
    a.publish(SUBJECT, b"x")
    await inbox.until_data(b"x")
    assert steps == ["in", "out", "back"]


async def test_names_are_taken_as_they_are(cluster, inbox):
    a, b = await cluster.node("a"), await cluster.node("b")
    subjects = [
        ("g", "ü€😀"),
        ("g", "a.b"),
        ("g", "*"),
        ("g", ">"),
        ("g", " "),
        ("g", "A"),
        ("g", "a"),
    ]
    for subject in subjects:
        await b.subscribe(subject, inbox.take)
    for subject in subjects:
        a.publish(subject, b"x")
    await inbox.until(lambda i: len(i.got) >= len(subjects))
    assert [subject for subject, _ in inbox.got] == subjects


async def test_wild_subscription_gets_what_starts_with_its_subject(cluster, inbox):
    a, b = await cluster.node("a"), await cluster.node("b")
    await b.subscribe(("c", "chat"), inbox.take, wild=True)
    for subject in (("c", "chat", "1"), ("c", "chatty", "2"), ("c",), ("c", "chat", "1", "x")):
        a.publish(subject, b"")
    a.publish(("c", "chat", "last"), b"")
    await inbox.until(lambda i: any("last" in subject for subject, _ in i.got))
    assert [subject for subject, _ in inbox.got] == [
        ("c", "chat", "1"),
        ("c", "chat", "1", "x"),
        ("c", "chat", "last"),
    ]


async def test_two_subscriptions_of_one_node_both_get_it(cluster, inbox, other_inbox):
    a, b = await cluster.node("a"), await cluster.node("b")
    await b.subscribe(SUBJECT, inbox.take)
    await b.subscribe(SUBJECT[:1], other_inbox.take, wild=True)
    a.publish(SUBJECT, b"x")
    await inbox.until_data(b"x")
    await other_inbox.until_data(b"x")


async def test_unsubscribed_callback_is_not_called_again(cluster, inbox, other_inbox):
    a, b = await cluster.node("a"), await cluster.node("b")
    subscription = await b.subscribe(SUBJECT, inbox.take)
    assert subscription.subject == SUBJECT
    await b.subscribe(SUBJECT, other_inbox.take)
    a.publish(SUBJECT, b"on its way")
    await b.unsubscribe(subscription)
    seen = len(inbox.got)
    a.publish(SUBJECT, b"after")
    await other_inbox.until_data(b"on its way", b"after")
    assert len(inbox.got) == seen


async def test_raising_callback_costs_the_others_nothing(cluster, inbox):
    a, b = await cluster.node("a"), await cluster.node("b")
    reported = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))

    def fail(subject, data):
        raise RuntimeError("broken")

    await b.subscribe(SUBJECT, fail)
    await b.subscribe(SUBJECT, inbox.take)
    a.publish(SUBJECT, b"1")
    a.publish(SUBJECT, b"2")
    await inbox.until_data(b"1", b"2")
    assert [str(context["exception"]) for context in reported] == ["broken"] * 2


async def test_payload_of_the_limit_is_carried_and_one_byte_more_refused(cluster, inbox):
    a, b = await cluster.node("a"), await cluster.node("b")
    await b.subscribe(SUBJECT, inbox.take)
    limit = a.guarantees.max_payload_bytes
    with pytest.raises(MessageTooLarge):
        a.publish(SUBJECT, bytes(limit + 1))
    with pytest.raises(MessageTooLarge):
        await a.ask(SUBJECT, bytes(limit + 1))
    a.publish(SUBJECT, bytes(limit))
    await inbox.until(lambda i: len(i.got) == 1)
    assert len(inbox.got[0][1]) == limit


async def test_closed_engine_is_down_and_refuses(cluster):
    a = await cluster.node("a")
    assert a.health is HealthState.UP
    await a.close(0)
    await a.close(0)
    assert a.health is HealthState.DOWN
    with pytest.raises(EngineUnavailable):
        a.publish(SUBJECT, b"")
    with pytest.raises(EngineUnavailable):
        await a.ask(SUBJECT, b"")
    with pytest.raises(EngineUnavailable):
        await a.subscribe(SUBJECT, lambda subject, data: None)


async def test_closed_node_gets_nothing_any_more(cluster, inbox, other_inbox):
    a, b, c = await cluster.node("a"), await cluster.node("b"), await cluster.node("c")
    await b.subscribe(SUBJECT, inbox.take)
    await c.subscribe(SUBJECT, other_inbox.take)
    await b.close(0)
    a.publish(SUBJECT, b"x")
    await other_inbox.until_data(b"x")
    assert inbox.got == []

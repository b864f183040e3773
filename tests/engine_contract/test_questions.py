import asyncio

import pytest

from hubbub.protocol.errors import NoResponders, TimedOut

SUBJECT = ("q", "chat", "c1")


async def shout(subject, data):
    return data.upper()


async def never(subject, data):
    await asyncio.Event().wait()
    return b""


def answer_with(text):
    async def answer(subject, data):
        return text

    return answer


async def test_ask_is_answered_by_another_node(cluster):
    a, b = await cluster.node("a"), await cluster.node("b")
    await b.serve(SUBJECT, shout)
    assert await a.ask(SUBJECT, b"x") == b"X"


async def test_ask_is_answered_by_my_own_server(cluster):
    a = await cluster.node("a")
    await a.serve(SUBJECT, shout)
    assert await a.ask(SUBJECT, b"x") == b"X"


async def test_ask_gets_one_answer_when_two_nodes_serve(cluster):
    a, b, c = await cluster.node("a"), await cluster.node("b"), await cluster.node("c")
    await b.serve(SUBJECT, answer_with(b"b"))
    await c.serve(SUBJECT, answer_with(b"c"))
    assert await a.ask(SUBJECT, b"") in (b"b", b"c")


async def test_ask_wild_server_gets_the_whole_subject(cluster):
    a, b = await cluster.node("a"), await cluster.node("b")

    async def name(subject, data):
        return "/".join(subject).encode()

    await b.serve(("q", "chat"), name, wild=True)
    assert await a.ask(("q", "chat", "c9"), b"") == b"q/chat/c9"


async def test_ask_without_a_server_fails_at_once(cluster):
    a = await cluster.node("a")
    await cluster.node("b")
    async with asyncio.timeout(5):  # far below the limit of the question
        with pytest.raises(NoResponders):
            await a.ask(SUBJECT, b"", timeout_s=60)


async def test_ask_after_the_server_has_gone_fails_at_once(cluster):
    a, b = await cluster.node("a"), await cluster.node("b")
    server = await b.serve(SUBJECT, shout)
    await b.unsubscribe(server)
    with pytest.raises(NoResponders):
        await a.ask(SUBJECT, b"", timeout_s=60)


async def test_ask_a_server_that_does_not_answer_times_out(cluster):
    a, b = await cluster.node("a"), await cluster.node("b")
    await b.serve(SUBJECT, never)
    with pytest.raises(TimedOut):
        await a.ask(SUBJECT, b"", timeout_s=0.05)


async def test_ask_a_server_that_raises_times_out(cluster):
    a, b = await cluster.node("a"), await cluster.node("b")
    reported = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))

    async def fail(subject, data):
        raise RuntimeError("broken")

    await b.serve(SUBJECT, fail)
    with pytest.raises(TimedOut):
        await a.ask(SUBJECT, b"", timeout_s=0.05)
    assert [str(context["exception"]) for context in reported] == ["broken"]


async def test_ask_cancelled_passes_the_cancellation_on(cluster):
    a, b = await cluster.node("a"), await cluster.node("b")
    await b.serve(SUBJECT, never)
    question = asyncio.ensure_future(a.ask(SUBJECT, b"", timeout_s=60))
    await asyncio.sleep(0)
    question.cancel()
    with pytest.raises(asyncio.CancelledError):
        await question


async def test_questions_are_answered_side_by_side(cluster):
    a, b = await cluster.node("a"), await cluster.node("b")
    gate = asyncio.Event()

    async def wait(subject, data):
        if data == b"slow":
            await gate.wait()
        else:
            gate.set()
        return data

    await b.serve(SUBJECT, wait)
    assert await asyncio.gather(a.ask(SUBJECT, b"slow"), a.ask(SUBJECT, b"quick")) == [
        b"slow",
        b"quick",
    ]


async def test_ask_nodes_gathers_the_answers_of_all(cluster):
    nodes = {name: await cluster.node(name) for name in "abc"}
    for name, node in nodes.items():
        await node.serve(("_node",), answer_with(name.encode()))
    answers = await nodes["a"].ask_nodes(b"", timeout_s=5)
    assert answers.replies == {"a": b"a", "b": b"b", "c": b"c"}
    assert answers.missing == frozenset()


async def test_ask_nodes_names_a_node_that_does_not_answer(cluster):
    a, b = await cluster.node("a"), await cluster.node("b")
    await a.serve(("_node",), shout)
    await b.serve(("_node",), never)
    answers = await a.ask_nodes(b"x", timeout_s=0.05)
    assert answers.replies == {"a": b"X"}
    assert answers.missing == {"b"}


async def test_ask_nodes_after_a_kill_names_the_dead_until_its_lease_ends(cluster, inbox):
    a, b = await cluster.node("a"), await cluster.node("b")
    a.on_node(inbox.hear)
    for node in (a, b):
        await node.serve(("_node",), shout)
    await cluster.kill(b)
    answers = await a.ask_nodes(b"x", timeout_s=0.05)
    assert answers.replies == {"a": b"X"}
    assert answers.missing == {"b"} or "b" not in a.nodes()
    await inbox.until(lambda i: bool(i.nodes))
    answers = await a.ask_nodes(b"x", timeout_s=0.05)
    assert answers.missing == frozenset()

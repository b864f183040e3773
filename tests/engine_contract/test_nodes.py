import asyncio

from hubbub.service.engine.interface import NodeState

JOINED, DRAINING, LEFT = NodeState.JOINED, NodeState.DRAINING, NodeState.LEFT


async def test_nodes_holds_me_and_the_others(cluster):
    a, b = await cluster.node("a"), await cluster.node("b")
    assert set(a.nodes()) == set(b.nodes()) == {"a", "b"}
    assert a.nodes()["b"].state is JOINED


async def test_on_node_tells_who_joined_and_who_left(cluster, inbox):
    a = await cluster.node("a")
    a.on_node(inbox.hear)
    b = await cluster.node("b")
    await inbox.until(lambda i: len(i.nodes) == 1)
    await b.close(0)
    await inbox.until(lambda i: len(i.nodes) == 2)
    assert inbox.nodes == [("b", JOINED), ("b", LEFT)]
    assert set(a.nodes()) == {"a"}


async def test_close_with_grace_lets_a_running_question_end(cluster, inbox, other_inbox):
    a, b = await cluster.node("a"), await cluster.node("b")
    a.on_node(inbox.hear)
    b.on_node(other_inbox.hear)
    started, gate = asyncio.Event(), asyncio.Event()

    async def slow(subject, data):
        started.set()
        await gate.wait()
        return b"done"

    await b.serve(("q",), slow)
    question = asyncio.ensure_future(a.ask(("q",), b"", timeout_s=10))
    await started.wait()
    closing = asyncio.ensure_future(b.close(10))
    await inbox.until(lambda i: len(i.nodes) == 1)
    gate.set()
    assert await question == b"done"
    await closing
    await inbox.until(lambda i: len(i.nodes) == 2)
    assert inbox.nodes == [("b", DRAINING), ("b", LEFT)]
    assert other_inbox.nodes == []  # nobody is told of itself


async def test_killed_node_is_told_as_left_when_its_lease_is_over(cluster, inbox):
    a, b = await cluster.node("a"), await cluster.node("b")
    a.on_node(inbox.hear)
    await cluster.kill(b)
    await inbox.until(lambda i: len(i.nodes) == 1)
    assert inbox.nodes == [("b", LEFT)]
    assert set(a.nodes()) == {"a"}


async def test_node_callback_may_ask_and_publish(cluster, inbox):
    a = await cluster.node("a")
    a.on_node(lambda node: a.publish(("hello",), node.id.encode()))
    b = await cluster.node("b")
    await b.subscribe(("hello",), inbox.take)
    await cluster.node("c")
    await inbox.until(lambda i: any(data == b"c" for _, data in i.got))


async def test_guarantees_of_a_cluster_say_so(cluster):
    a = await cluster.node("a")
    assert a.guarantees.distributed
    assert a.guarantees.max_payload_bytes >= 1_048_576
    assert a.guarantees.settle_s >= 0

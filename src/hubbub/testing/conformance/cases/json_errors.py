"""What no valid message is: the service closes with 1007, and nobody else notices."""

import json
from collections.abc import Sequence

from hubbub.testing.conformance.registry import case
from hubbub.testing.conformance.trial import Trial
from hubbub.testing.conformance.wire import JSON, RELIABLE

_JOIN = '{"type":"joinGroup","group":"g","ackId":%s}'
_SEND = '{"type":"sendToGroup","group":"g",%s}'
_EVENT = '{"type":"event","event":%s,"data":1,"ackId":1}'
_LONG_METADATA = json.dumps({f"k{i}": "v" * 1000 for i in range(9)})

BAD: dict[str, Sequence[str]] = {
    "CP-058": [_JOIN % ack_id for ack_id in ("-1", "1.5", '"1"', "18446744073709551616")],
    "CP-061": ["{"],
    "CP-062": ["", "[]", '"x"', "null"],
    "CP-063": ['{"group":"g1"}', '{"type":1}'],
    "CP-064": ['{"type":"nope","ackId":1}'],
    "CP-066": [
        '{"type":"joinGroup","ackId":1}',
        '{"type":"joinGroup","group":5}',
        '{"type":"joinGroup","group":""}',
        '{"type":"joinGroup","group":"  "}',
        json.dumps({"type": "joinGroup", "group": "x" * 1025}),
    ],
    "CP-068": [_SEND % '"ackId":1'],
    "CP-069": [
        _SEND % '"dataType":"text","data":5',
        _SEND % '"dataType":"binary","data":"***"',
        _SEND % '"dataType":"xml","data":"a"',
        _SEND % '"dataType":1,"data":"a"',
    ],
    "CP-070": [_SEND % '"data":1,"noEcho":"yes"'],
    "CP-071": [_EVENT % json.dumps(name) for name in ("1x", "a b", "x" * 129, "")],
    "CP-083": [
        _SEND % '"data":1,"metadata":{"k":1}',
        _SEND % '"data":1,"metadata":{"a b":"v"}',
        _SEND % f'"data":1,"metadata":{_LONG_METADATA}',
        _SEND % '"data":1,"ttlSeconds":301',
    ],
}
"""Id → texts that each end the connection."""


def _register(case_id: str, texts: Sequence[str]) -> None:
    @case(case_id)
    async def bad_messages(trial: Trial) -> None:
        await _each_ends_with_1007(trial, texts, JSON)


async def _each_ends_with_1007(trial: Trial, texts: Sequence[str], subprotocol: str) -> None:
    other = await trial.client()
    for text in texts:
        client = await trial.client(subprotocol)
        await client.send(text)
        await client.closed(1007)
        trial.check(not client.was_acked(), "no ack for what is no message", "an ack")
    await other.quiet()


for _id, _texts in BAD.items():
    _register(_id, _texts)


@case("CP-074", is_ours=True)
async def bytes_that_are_no_utf_8(trial: Trial) -> None:
    client = await trial.client()
    await client.send(b'{"type":"sendToGroup","group":"g","data":"\xff"}')
    await client.closed(1007)


@case("CP-097")
async def bad_sequence_acks(trial: Trial) -> None:
    texts = ['{"type":"sequenceAck","sequenceId":"5"}', '{"type":"sequenceAck"}']
    await _each_ends_with_1007(trial, texts, RELIABLE)

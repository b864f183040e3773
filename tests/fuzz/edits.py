"""Damaged seeds: what hypothesis and the growth test give to a harness."""

import random
from collections.abc import Sequence


def damaged(seed: bytes, words: Sequence[bytes], draw: random.Random) -> bytes:
    """A few edits: cut, doubled, overwritten, a word put in, or nothing left of it at all."""
    data = bytearray(seed)
    for _ in range(draw.randrange(7)):
        at = draw.randrange(len(data) + 1)
        to = min(len(data), at + draw.choice((1, 1, 4, 16, len(data))))
        match draw.randrange(6):
            case 0:
                del data[at:to]
            case 1:
                data[at:at] = data[at:to]
            case 2:
                data[at:to] = draw.randbytes(to - at)
            case 3:
                data[at:at] = draw.choice(words) if words else b""
            case 4 if at < len(data):
                data[at] ^= 1 << draw.randrange(8)
            case _:
                data[at:at] = bytes((draw.randrange(256),))
    return bytes(data)

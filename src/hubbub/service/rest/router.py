"""Raw request path → operation. Segments are matched still encoded, so that `%2F` splits nothing."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

from starlette.responses import Response

from hubbub.service.rest.call import Call

Handler = Callable[[Call], Awaitable[Response]]


class Operation(NamedTuple):
    name: str
    handler: Handler
    is_open: bool = False
    """Needs no token."""
    is_served_while_draining: bool = False


Operations = Mapping[str, Operation]
"""HTTP method → operation."""


class Match(NamedTuple):
    operations: Operations
    names: Mapping[str, bytes]
    """What stands in place of `{…}`, still percent-encoded."""

    @property
    def allowed(self) -> str:
        return ", ".join(sorted(self.operations))


class _Shape(NamedTuple):
    literals: tuple[int, ...]
    names: tuple[int, ...]


class Router:
    """Finds the route by one look-up: all paths of the same length have their literals in the
    same places."""

    def __init__(self, routes: Sequence[tuple[str, Operations]]) -> None:
        self._shapes: dict[int, _Shape] = {}
        self._routes: dict[tuple[bytes, ...], tuple[Operations, tuple[str, ...]]] = {}
        for path, operations in routes:
            segments = path.encode().split(b"/")[1:]
            places = range(len(segments))
            shape = _Shape(
                tuple(i for i in places if not segments[i].startswith(b"{")),
                tuple(i for i in places if segments[i].startswith(b"{")),
            )
            if self._shapes.setdefault(len(segments), shape) != shape:
                raise AssertionError(f"{path}: another path of this length has other literals")
            key = _key(segments, shape)
            if key in self._routes:
                raise AssertionError(f"{path}: twice in the table")
            names = [segments[i].decode().strip("{}") for i in shape.names]
            self._routes[key] = (operations, tuple(names))

    def find(self, raw_path: bytes) -> Match | None:
        root, *segments = raw_path.split(b"/")
        shape = self._shapes.get(len(segments))
        if root or shape is None:
            return None
        route = self._routes.get(_key(segments, shape))
        if route is None:
            return None
        operations, names = route
        return Match(operations, {n: segments[i] for n, i in zip(names, shape.names, strict=True)})


def _key(segments: list[bytes], shape: _Shape) -> tuple[bytes, ...]:
    """The length is part of the key: literals alone do not tell `/{h}/x` from `/{h}/{c}/x`."""
    folded = [segments[i].lower().replace(b"%3a", b":", 1) for i in shape.literals]
    return (b"%d" % len(segments), *folded)

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


class _Shape:
    """The paths of one length."""

    def __init__(self, literals: tuple[int, ...], names: tuple[int, ...]) -> None:
        self.literals, self.names = literals, names
        self.routes: dict[tuple[bytes, ...], tuple[Operations, tuple[str, ...]]] = {}
        """By their literals, in lower case."""

    def find(self, segments: list[bytes]) -> Match | None:
        key = tuple([segments[i] for i in self.literals])
        route = self.routes.get(key) or self.routes.get(_folded(key))
        if route is None:
            return None
        operations, names = route
        return Match(operations, dict(zip(names, [segments[i] for i in self.names], strict=True)))


class Router:
    """Finds the route by one look-up: all paths of the same length have their literals in the
    same places."""

    def __init__(self, routes: Sequence[tuple[str, Operations]]) -> None:
        self._shapes: dict[int, _Shape] = {}
        for path, operations in routes:
            segments = path.encode().split(b"/")[1:]
            places = range(len(segments))
            literals = tuple(i for i in places if not segments[i].startswith(b"{"))
            shape = _Shape(literals, tuple(i for i in places if i not in literals))
            shape = self._shapes.setdefault(len(segments), shape)
            if shape.literals != literals:
                raise AssertionError(f"{path}: another path of this length has other literals")
            key = _folded(tuple([segments[i] for i in literals]))
            if key in shape.routes:
                raise AssertionError(f"{path}: twice in the table")
            names = [segments[i].decode().strip("{}") for i in shape.names]
            shape.routes[key] = (operations, tuple(names))

    def find(self, raw_path: bytes) -> Match | None:
        root, *segments = raw_path.split(b"/")
        shape = self._shapes.get(len(segments))
        return None if root or shape is None else shape.find(segments)


def _folded(literals: tuple[bytes, ...]) -> tuple[bytes, ...]:
    return tuple([literal.lower().replace(b"%3a", b":", 1) for literal in literals])

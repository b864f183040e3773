"""What a connection may do in which group: its roles, and the changes made at run time."""

from collections.abc import Iterable
from enum import StrEnum
from functools import lru_cache

from hubbub.protocol import limits
from hubbub.protocol.errors import HubbubError, InvalidName
from hubbub.protocol.names import group_name


class Permission(StrEnum):
    JOIN_LEAVE_GROUP = "joinLeaveGroup"
    SEND_TO_GROUP = "sendToGroup"


class TooManyRules(HubbubError):
    """A connection already has the most literal rules it may have; nothing was changed."""

    code = "Error.Connection.Conflict"


class Permissions:
    """The rights of one connection: literal rules, then patterns, then "any group".

    `ignored`: the roles that are unknown, malformed or above the limits, as they were given.
    """

    __slots__ = ("_join", "_send", "ignored")

    ignored: tuple[str, ...]

    def __init__(self, roles: Iterable[str] = ()) -> None:
        self._join: _Rules | None = None
        self._send: _Rules | None = None
        self.ignored = tuple([role for role in roles if not self._add(role)])

    def can_join(self, group: str) -> bool:
        """True if the connection may join and leave `group`."""
        return self._join is not None and self._join.allow(group)

    def can_send(self, group: str) -> bool:
        """True if the connection may send to `group`."""
        return self._send is not None and self._send.allow(group)

    def allows(self, permission: Permission, group: str) -> bool:
        if permission is Permission.JOIN_LEAVE_GROUP:
            return self.can_join(group)
        return self.can_send(group)

    def grant(self, permission: Permission, group: str) -> None:
        """Allow one group, by its literal name. Raises TooManyRules."""
        self._rules(permission).grant(group)

    def revoke(self, permission: Permission, group: str) -> None:
        """Deny one group, by its literal name, whatever the roles allow. Raises TooManyRules."""
        self._rules(permission).revoke(group)

    def _rules(self, permission: Permission) -> "_Rules":
        if permission is Permission.JOIN_LEAVE_GROUP:
            if self._join is None:
                self._join = _Rules()
            return self._join
        if self._send is None:
            self._send = _Rules()
        return self._send

    def _add(self, role: str) -> bool:
        for permission, (any_group, literal, pattern) in _ROLES.items():
            if role == any_group:
                self._rules(permission).any_group = True
                return True
            if role.startswith(literal):
                return self._rules(permission).add_literal(role.removeprefix(literal))
            if role.startswith(pattern):
                return self._rules(permission).add_pattern(role.removeprefix(pattern))
        return False


_ROLES = {
    permission: (
        f"webpubsub.{permission.value}",
        f"webpubsub.{permission.value}.",
        f"webpubsub.{permission.value}s.",
    )
    for permission in Permission
}
"""Per permission: the role for any group, the prefix of a literal name, the prefix of a pattern."""


class _Rules:
    """The rules of one permission. A literal rule beats patterns and "any group"."""

    __slots__ = ("allowed", "any_group", "denied", "patterns")

    def __init__(self) -> None:
        self.any_group = False
        self.allowed: set[str] = set()
        self.denied: set[str] = set()
        self.patterns: dict[str, _Pattern] = {}

    def allow(self, group: str) -> bool:
        if group in self.allowed:
            return True
        if group in self.denied:
            return False
        return self._roles_allow(group)

    def _roles_allow(self, group: str) -> bool:
        return self.any_group or any(p.matches(group) for p in self.patterns.values())

    def add_literal(self, group: str) -> bool:
        try:
            group_name(group)
        except InvalidName:
            return False
        if group not in self.allowed and len(self.allowed) >= limits.MAX_LITERAL_RULES:
            return False
        self.allowed.add(group)
        return True

    def add_pattern(self, text: str) -> bool:
        if text in self.patterns:
            return True
        if len(self.patterns) >= limits.MAX_PATTERNS:
            return False
        pattern = _compile(text)
        if pattern is None:
            return False
        self.patterns[text] = pattern
        return True

    def grant(self, group: str) -> None:
        if group in self.denied:
            self.denied.remove(group)
        elif not self.allow(group):
            self._check_room()
            self.allowed.add(group)

    def revoke(self, group: str) -> None:
        if group in self.denied:
            return
        if self._roles_allow(group):
            if group not in self.allowed:
                self._check_room()
            self.denied.add(group)
        self.allowed.discard(group)

    def _check_room(self) -> None:
        if len(self.allowed) + len(self.denied) >= limits.MAX_LITERAL_RULES:
            raise TooManyRules(
                f"a connection has at most {limits.MAX_LITERAL_RULES} literal rules per permission"
            )


class _Pattern:
    """A compiled group pattern; matching takes time in proportion to the name, for every pattern.

    All ways through the pattern are followed at once, one bit each: bit i of the state means
    "the elements before element i are used up". A backtracking regular expression would need
    the fifth power of the length for five stars.
    """

    __slots__ = ("_end", "_literals", "_question_marks", "_stars", "_wide_stars")

    def __init__(self, elements: list[str]) -> None:
        """`elements`: one-character literals, or "\\?", "\\*" and "\\**" for the symbols."""
        self._literals: dict[str, int] = {}
        self._question_marks = self._stars = self._wide_stars = 0
        for position, element in enumerate(elements):
            bit = 1 << position
            if element == _ONE:
                self._question_marks |= bit
            elif element == _STAR:
                self._stars |= bit
            elif element == _WIDE_STAR:
                self._wide_stars |= bit
            else:
                self._literals[element] = self._literals.get(element, 0) | bit
        self._end = 1 << len(elements)

    def matches(self, name: str) -> bool:
        """True if the whole of `name` fits."""
        literals = self._literals
        any_star = self._stars | self._wide_stars
        # A star may stand for nothing: a state before it is also a state behind it. Stars are
        # never neighbours, so one step is enough.
        state = 1 | (1 & any_star) << 1
        for character in name:
            if character == ".":
                used = state & literals.get(".", 0)
                stays = state & self._wide_stars
            else:
                used = state & (literals.get(character, 0) | self._question_marks)
                stays = state & any_star
            state = used << 1 | stays
            if not state:
                return False
            state |= (state & any_star) << 1
        return bool(state & self._end)


_ONE, _STAR, _WIDE_STAR = "\\?", "\\*", "\\**"


@lru_cache(maxsize=256)
def _compile(text: str) -> _Pattern | None:
    """The pattern, or None if it is against the rules. Connections share compiled patterns."""
    if not 0 < len(text) <= limits.MAX_PATTERN_CHARS:
        return None
    elements: list[str] = []
    stars = 0
    characters = iter(text)
    for character in characters:
        if character == "\\":
            escaped = next(characters, "")
            if escaped not in ("*", "?", "\\"):
                return None
            elements.append(escaped)
        elif character == "*":
            stars += 1
            if elements and elements[-1] in (_STAR, _WIDE_STAR):
                elements[-1] = _WIDE_STAR
            else:
                elements.append(_STAR)
        else:
            elements.append(_ONE if character == "?" else character)
    return _Pattern(elements) if stars <= limits.MAX_PATTERN_STARS else None

"""OData filter → predicate over connections: read once, checked once, applied to many.

    or  →  and  →  comparison, `in`  →  not  →  literal, field, call, (…)      loosest first

Types are known from the text alone, null included, so every fault is found before the first
connection is looked at, and a predicate that was made never raises. Nothing here recurses deeper
than the nesting that `limits.MAX_FILTER_DEPTH` allows, neither reading nor applying.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from enum import Enum
from typing import Any, NamedTuple

from hubbub.protocol import filter_functions as functions
from hubbub.protocol import limits
from hubbub.protocol.errors import HubbubError


class InvalidFilter(HubbubError, ValueError):
    """A filter against the grammar or with the wrong types. The message is for its author."""

    code = "InvalidFilter"


class Attributes(NamedTuple):
    """What a filter may ask about a connection."""

    connection_id: str
    user_id: str | None
    groups: AbstractSet[str]
    protocol: str | None


Predicate = Callable[[Attributes], bool]


def compile_filter(text: str) -> Predicate:
    """The predicate that `text` describes, or InvalidFilter. Not for "": that is no filter."""
    if len(text) > limits.MAX_FILTER_CHARS:
        raise _invalid(text, f"A filter has at most {limits.MAX_FILTER_CHARS} characters.")
    parser = _Parser(text)
    node = parser.expression()
    parser.expect_end()
    parser.require(node, _BOOL, 0)
    return node.evaluate


# --- types -----------------------------------------------------------------------------------


class _Type(Enum):
    NULL = "null"
    BOOL = "bool"
    INT = "int"
    STRING = "string"
    COLLECTION = "collection"


_BOOL, _INT, _STRING, _COLLECTION = _Type.BOOL, _Type.INT, _Type.STRING, _Type.COLLECTION

_Evaluate = Callable[[Attributes], Any]
"""Gives a value of the node's type, or None (a filter's `null`) unless the type is BOOL."""


class _Node(NamedTuple):
    """A part of the filter. `constant`: a literal, the same for everybody."""

    type: _Type
    evaluate: _Evaluate
    constant: bool = False


_IMAGINARY = Attributes("", None, frozenset(), None)
"""Whose values name the types in error messages."""


# --- tokens ----------------------------------------------------------------------------------


class _Token(NamedTuple):
    kind: str
    """`word`, `string`, `integer`, `sign`, or `end`."""
    text: str
    start: int
    end: int


_TOKEN = re.compile(
    r"(?P<space>[ \t\r\n]+)"
    r"|(?P<word>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<string>'[^']*(?:''[^']*)*')"
    r"|(?P<integer>[+-]?[0-9]+)(?!\w)"
    r"|(?P<sign>[(),])"
)
_WORD_AT_FAULT = re.compile(r"[^\s(),']+|.", re.DOTALL)

_COMPARISONS = frozenset(("eq", "ne", "gt", "ge", "lt", "le"))
_KEYWORDS = _COMPARISONS | {"and", "or", "not", "in"}
_OTHER_ODATA = frozenset(("add", "sub", "mul", "div", "divby", "mod", "has", "any", "all"))
_MAX_DIGITS = len(str(limits.MAX_FILTER_INTEGER))


def _tokens(text: str) -> Iterator[_Token]:
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise _unreadable(text, position)
        position = match.end()
        kind = str(match.lastgroup)
        if kind != "space":
            yield _Token(kind, match.group(), match.start(), position)
    yield _Token("end", "", position, position)


def _unreadable(text: str, position: int) -> InvalidFilter:
    if text[position] == "'":
        return _invalid(text[position:], "The string has no end.")
    match = _WORD_AT_FAULT.match(text, position)
    assert match is not None, "one character fits always"
    return _invalid(text, f"Invalid token '{_short(match.group())}'.")


def _invalid(fragment: str, detail: str) -> InvalidFilter:
    return InvalidFilter(f"Invalid syntax for '{_short(fragment)}': {detail} (Parameter 'filter')")


def _short(text: str) -> str:
    return text if len(text) <= 100 else text[:99] + "…"


# --- grammar ---------------------------------------------------------------------------------


class _Parser:
    """Reads from left to right; makes and checks the nodes from the inside out."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._source = _tokens(text)
        self._token = next(self._source)
        self._end = 0  # of the token before
        self._depth = 0

    # --- reading ---

    def _advance(self) -> _Token:
        token = self._token
        self._end = token.end
        if token.kind != "end":
            self._token = next(self._source)
        return token

    def _is_next(self, text: str) -> bool:
        token = self._token
        return token.text == text and token.kind in ("word", "sign")

    def _take(self, text: str) -> bool:
        if not self._is_next(text):
            return False
        self._advance()
        return True

    def _expect(self, text: str) -> None:
        if not self._take(text):
            raise self._unexpected(f", expect '{text}'")

    def expect_end(self) -> None:
        if self._token.kind != "end":
            raise self._unexpected()

    def _unexpected(self, wanted: str = "") -> InvalidFilter:
        token = self._token
        if token.kind == "end":
            return _invalid(self._text, f"The filter ends too early{wanted}.")
        if token.text in _OTHER_ODATA:
            return _invalid(self._text, f"Token '{token.text}' is not supported.")
        return _invalid(self._text, f"Invalid token '{_short(token.text)}'{wanted}.")

    def require(self, node: _Node, wanted: _Type, start: int, *, null: bool = False) -> None:
        """Check a type. `start`: where the part begins that wants it; `null` is as good."""
        if node.type is wanted or (null and node.type is _Type.NULL):
            return
        fragment = self._text[start : self._end]
        raise _invalid(fragment, f"Type '{_type_name(node)}', expect '{wanted.value}'.")

    # --- or, and ---

    def expression(self) -> _Node:
        """`or` of `and` of comparisons. A long chain is one node, however long."""
        start = self._token.start
        first = self._comparison()
        if not (self._is_next("and") or self._is_next("or")):
            return first
        self.require(first, _BOOL, start)
        alternatives = [[first.evaluate]]
        while True:
            if self._take("or"):
                alternatives.append([])
            elif not self._take("and"):
                break
            node = self._comparison()
            self.require(node, _BOOL, start)
            alternatives[-1].append(node.evaluate)
        return _Node(_BOOL, _any_of([_all_of(terms) for terms in alternatives]))

    # --- eq, ne, gt, ge, lt, le, in ---

    def _comparison(self) -> _Node:
        start = self._token.start
        left = self._unary()
        if self._token.kind != "word":
            return left
        operator = self._token.text
        if operator == "in":
            self._advance()
            return _Node(_BOOL, self._membership(left.evaluate))
        if operator not in _COMPARISONS:
            return left
        self._advance()
        right = self._unary()
        if operator in ("eq", "ne"):
            return _Node(_BOOL, _equality(left, right, operator == "eq"))
        self.require(left, _INT, start, null=True)
        self.require(right, _INT, start, null=True)
        return _Node(_BOOL, _order(operator, left.evaluate, right.evaluate))

    def _membership(self, left: _Evaluate) -> _Evaluate:
        start = self._token.start
        if not self._is_next("("):
            collection = self._unary()
            self.require(collection, _COLLECTION, start)
            return _in_collection(left, collection.evaluate)
        items = self._list()
        if len(items) == 1 and items[0].type is _COLLECTION:
            return _in_collection(left, items[0].evaluate)
        return _in_list(left, items)

    def _list(self) -> list[_Node]:
        """What stands in parentheses, separated by commas: at least one expression."""
        opening = self._token
        self._expect("(")
        self._depth += 1
        if self._depth > limits.MAX_FILTER_DEPTH:
            raise self._too_deep(opening.start)
        items = [self.expression()]
        while self._take(","):
            items.append(self.expression())
        self._expect(")")
        self._depth -= 1
        return items

    def _too_deep(self, start: int) -> InvalidFilter:
        return _invalid(self._text[start:], f"Nested deeper than {limits.MAX_FILTER_DEPTH}.")

    # --- not, literals, fields, calls, (…) ---

    def _unary(self) -> _Node:
        start = self._token.start
        negations = 0
        while self._take("not"):
            negations += 1
            if negations > limits.MAX_FILTER_DEPTH:
                raise self._too_deep(start)
        node = self._primary()
        if not negations:
            return node
        self.require(node, _BOOL, start)
        evaluate = _negation(node.evaluate) if negations % 2 else node.evaluate
        return _Node(_BOOL, evaluate)

    def _primary(self) -> _Node:
        token = self._token
        if self._is_next("("):
            items = self._list()
            if len(items) > 1:
                raise _invalid(
                    self._text[token.start : self._end], "A list stands only behind 'in'."
                )
            return items[0]
        if token.kind in ("end", "sign") or token.text in _KEYWORDS:
            raise self._unexpected()
        self._advance()
        if token.kind == "string":
            return _literal(_STRING, token.text[1:-1].replace("''", "'"))
        if token.kind == "integer":
            return _literal(_INT, _integer(token.text))
        if token.text in _CONSTANTS:
            return _literal(*_CONSTANTS[token.text])
        if self._is_next("("):
            return self._call(token, self._list())
        field = _FIELDS.get(token.text.lower())
        if field is None:
            is_odata = token.text in _OTHER_ODATA
            problem = "Token '%s' is not supported." if is_odata else "Unknown identifier '%s'."
            raise _invalid(self._text, problem % _short(token.text))
        return _Node(*field)

    def _call(self, name: _Token, arguments: Sequence[_Node]) -> _Node:
        function = _FUNCTIONS.get(name.text)
        if function is None:
            what = "is not supported" if name.text in _OTHER_ODATA else "is no function"
            raise _invalid(self._text[name.start :], f"Token '{_short(name.text)}' {what}.")
        if not function.fewest <= len(arguments) <= len(function.parameters):
            fragment = self._text[name.start : self._end]
            raise _invalid(fragment, f"Wrong number of arguments: {len(arguments)}.")
        for wanted, argument in zip(function.parameters, arguments, strict=False):
            if name.text == "length" and argument.type is _COLLECTION:
                continue
            self.require(argument, wanted, name.start, null=True)
        evaluate = _application(function.of, [argument.evaluate for argument in arguments])
        return _Node(function.type, evaluate)


def _literal(type: _Type, value: object) -> _Node:
    return _Node(type, lambda _: value, constant=True)


def _integer(text: str) -> int:
    # The digits first: int() of a very long text is slow, or refused.
    if len(text.lstrip("+-0")) <= _MAX_DIGITS:
        value = int(text)
        if -limits.MAX_FILTER_INTEGER - 1 <= value <= limits.MAX_FILTER_INTEGER:
            return value
    raise _invalid(text, "An integer has at most 32 bits.")


def _type_name(node: _Node) -> str:
    """A field has its declared type; all else the one that it has without a user."""
    is_field = any(node.evaluate is evaluate for _, evaluate in _FIELDS.values())
    return (node.type if is_field or node.evaluate(_IMAGINARY) is not None else _Type.NULL).value


# --- what nodes do ---------------------------------------------------------------------------


def _all_of(terms: Sequence[_Evaluate]) -> _Evaluate:
    if len(terms) == 1:
        return terms[0]

    def evaluate(a: Attributes) -> bool:
        for term in terms:
            if not term(a):
                return False
        return True

    return evaluate


def _any_of(terms: Sequence[_Evaluate]) -> _Evaluate:
    if len(terms) == 1:
        return terms[0]

    def evaluate(a: Attributes) -> bool:
        for term in terms:
            if term(a):
                return True
        return False

    return evaluate


def _negation(operand: _Evaluate) -> _Evaluate:
    return lambda a: not operand(a)


def _is_same(one: object, other: object) -> bool:
    """Same type and same value: 1 is not true, and null is null."""
    return type(one) is type(other) and one == other


def _equality(left: _Node, right: _Node, is_wanted: bool) -> _Evaluate:
    if left.constant:
        left, right = right, left
    one, other = left.evaluate, right.evaluate
    if right.constant:  # nearly always; looked at once, it costs less for each connection
        wanted = other(_IMAGINARY)
        kind = type(wanted)

        def evaluate(a: Attributes) -> bool:
            value = one(a)
            return (type(value) is kind and value == wanted) is is_wanted

        return evaluate
    return lambda a: _is_same(one(a), other(a)) is is_wanted


def _order(operator: str, left: _Evaluate, right: _Evaluate) -> _Evaluate:
    compare = _ORDERS[operator]

    def evaluate(a: Attributes) -> bool:
        one, other = left(a), right(a)
        return one is not None and other is not None and compare(one, other)

    return evaluate


_ORDERS: dict[str, Callable[[int, int], bool]] = {
    "gt": int.__gt__,
    "ge": int.__ge__,
    "lt": int.__lt__,
    "le": int.__le__,
}


def _in_collection(left: _Evaluate, collection: _Evaluate) -> _Evaluate:
    def evaluate(a: Attributes) -> bool:
        value = left(a)
        return isinstance(value, str) and value in collection(a)

    return evaluate


def _in_list(left: _Evaluate, items: Sequence[_Node]) -> _Evaluate:
    """Literals are looked up at once, so that a list of a thousand users costs no more than one."""
    constants = [item.evaluate(_IMAGINARY) for item in items if item.constant]
    known = frozenset((type(value), value) for value in constants)
    others = [item.evaluate for item in items if not item.constant]

    def evaluate(a: Attributes) -> bool:
        value = left(a)
        if not isinstance(value, AbstractSet) and (type(value), value) in known:
            return True
        for other in others:
            if _is_same(value, other(a)):
                return True
        return False

    return evaluate


def _application(function: Callable[..., object], arguments: Sequence[_Evaluate]) -> _Evaluate:
    if len(arguments) == 1:
        (only,) = arguments
        return lambda a: function(only(a))
    if len(arguments) == 2:
        first, second = arguments
        return lambda a: function(first(a), second(a))
    first, second, third = arguments
    return lambda a: function(first(a), second(a), third(a))


# --- words ------------------------------------------------------------------------------------


class _Function(NamedTuple):
    of: Callable[..., object]
    parameters: tuple[_Type, ...]
    type: _Type
    fewest: int
    """Arguments that must be there."""


_FUNCTIONS = {
    "length": _Function(functions.length, (_STRING,), _INT, 1),
    "tolower": _Function(functions.tolower, (_STRING,), _STRING, 1),
    "toupper": _Function(functions.toupper, (_STRING,), _STRING, 1),
    "trim": _Function(functions.trim, (_STRING,), _STRING, 1),
    "substring": _Function(functions.substring, (_STRING, _INT, _INT), _STRING, 2),
    "concat": _Function(functions.concat, (_STRING, _STRING), _STRING, 2),
    "indexof": _Function(functions.indexof, (_STRING, _STRING), _INT, 2),
    "startswith": _Function(functions.startswith, (_STRING, _STRING), _BOOL, 2),
    "endswith": _Function(functions.endswith, (_STRING, _STRING), _BOOL, 2),
    "contains": _Function(functions.contains, (_STRING, _STRING), _BOOL, 2),
}

_CONSTANTS: dict[str, tuple[_Type, object]] = {
    "true": (_BOOL, True),
    "false": (_BOOL, False),
    "null": (_Type.NULL, None),
}

_FIELDS: dict[str, tuple[_Type, _Evaluate]] = {
    "userid": (_STRING, lambda a: a.user_id),
    "connectionid": (_STRING, lambda a: a.connection_id),
    "groups": (_COLLECTION, lambda a: a.groups),
    "protocol": (_STRING, lambda a: a.protocol),
}

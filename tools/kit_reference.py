"""The reference of `hubbub.testing`, from its docstrings and those below its attributes."""

import ast
from collections.abc import Iterator
from pathlib import Path

from hubbub import testing

_HERE = Path(testing.__file__).parent
_MODULES = (
    *("plugin", "hub", "faults", "handler", "clock"),
    *("expect", "fake_service", "fake_peer", "checks"),
)
_GIVEN = {"VirtualClock", "ExpectedEvent", "FakePeer", "HandlerServer"}
"""Users get these from the kit and never make one."""


def kit_reference() -> str:
    """A section for each public name, in the order of their places in the kit."""
    sections = [_section(node) for node in _public_nodes()]
    return "\n\n".join(sections)


def _public_nodes() -> Iterator[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    for module in _MODULES:
        yield from _nodes_of(module)


def _nodes_of(
    module: str,
) -> Iterator[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.parse((_HERE / f"{module}.py").read_text()).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and (
            node.name in testing.__all__ or node.name == "Hubbub"
        ):
            yield node


def _section(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    if not isinstance(node, ast.ClassDef):
        return f"## `{_call(node)}`\n\n{_paragraphs(node)}"
    title = "Fixture `hubbub`" if node.name == "Hubbub" else f"`{_constructor(node)}`"
    parts = [f"## {title}", _paragraphs(node)]
    for member in node.body:
        if isinstance(member, ast.FunctionDef) and member.name == "__init__":
            parts.append(_paragraphs(member))
    rows = [f"| `{name}` | {meaning} |" for name, meaning in _members(node)]
    if rows:
        parts.append("\n".join(["| | |", "| --- | --- |", *rows]))
    return "\n\n".join(part for part in parts if part)


def _constructor(node: ast.ClassDef) -> str:
    for member in node.body:
        if node.name in _GIVEN:
            break
        if isinstance(member, ast.FunctionDef) and member.name == "__init__":
            return _call(member).replace("__init__", node.name).removeprefix("await ")
    return node.name


def _members(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for member in node.body:
        if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef):
            if member.name == "__init__":
                yield from _attributes(member)
            elif not member.name.startswith("_") and ast.get_docstring(member):
                decorators = [ast.unparse(decorator) for decorator in member.decorator_list]
                if not any(decorator.endswith(".setter") for decorator in decorators):
                    is_property = "property" in decorators
                    yield member.name if is_property else _call(member), _prose(member)


def _attributes(
    constructor: ast.FunctionDef | ast.AsyncFunctionDef,
) -> Iterator[tuple[str, str]]:
    """Those with a text below."""
    for place, text in zip(constructor.body, constructor.body[1:], strict=False):
        target = place.targets[0] if isinstance(place, ast.Assign) else getattr(place, "target", 0)
        if (
            isinstance(target, ast.Attribute)
            and not target.attr.startswith("_")
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
        ):
            yield target.attr, _flat(str(text.value.value))


def _call(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """As a user writes it: names of parameters, without types; required ones first."""
    arguments = node.args
    names = [one.arg for one in arguments.args if one.arg != "self"]
    if arguments.vararg is not None:
        names.append(f"*{arguments.vararg.arg}")
    names += [f"{one.arg}=…" for one in arguments.kwonlyargs]
    if arguments.kwarg is not None:
        names.append(f"**{arguments.kwarg.arg}")
    prefix = "await " if isinstance(node, ast.AsyncFunctionDef) else ""
    return f"{prefix}{node.name}({', '.join(names)})"


def _prose(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """For a cell of a table."""
    return _flat(ast.get_docstring(node) or "")


def _paragraphs(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """What is indented is code and stays as it is."""
    found = (ast.get_docstring(node) or "").split("\n\n")
    return "\n\n".join(text if text.startswith("    ") else _flat(text) for text in found)


def _flat(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|").replace("<", "&lt;")

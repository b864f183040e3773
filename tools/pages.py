"""Everything in docs/ that a program writes: one table of what is written where.

python -m tools.pages       writes all of it; tests/docs compares

`docs/reference/settings.md` has a writer of its own: `python -m hubbub.service.settings_page`.
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tools import generated

from hubbub import appserver, service
from hubbub.cli.main import build_parser
from hubbub.protocol import errors
from hubbub.protocol.service_session import TRANSITIONS, Effect, State
from hubbub.service.rest.app import ROUTES

DOCS = Path(__file__).resolve().parent.parent / "docs"


# --- the command line ------------------------------------------------------------------------


def commands() -> dict[str, argparse.ArgumentParser]:
    """Every command of `hubbub` and its parser."""
    for action in build_parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    raise AssertionError("hubbub has commands")


def cli_commands() -> str:
    """A section per command. Not the text of `--help`, whose form differs between Pythons."""
    return "\n\n".join(_command(name, parser) for name, parser in commands().items())


def _command(name: str, parser: argparse.ArgumentParser) -> str:
    lines = [f"## `hubbub {name}`", "", _prose(parser.description), ""]
    lines += ["| option | meaning |", "| --- | --- |"]
    lines += [f"| {_option(action)} | {_meaning(action)} |" for action in _options(parser)]
    lines += [f"\n{sentence}" for sentence in _exclusive(parser)]
    if parser.epilog:
        lines += ["", "```text", parser.epilog.rstrip(), "```"]
    return "\n".join(lines)


def _prose(text: str | None) -> str:
    """Text of the parser as a paragraph of Markdown."""
    return " ".join((text or "").split()).replace("<", "&lt;")


def _options(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        if not isinstance(action, argparse._HelpAction):
            yield action


def _option(action: argparse.Action) -> str:
    metavar: Any = action.metavar or action.dest.upper()
    if not action.option_strings:
        return f"`{metavar}`"
    names = ", ".join(action.option_strings)
    return f"`{names}`" if action.nargs == 0 else f"`{names} {_value(action, metavar)}`"


def _value(action: argparse.Action, metavar: str) -> str:
    return metavar if action.metavar or action.choices is None else "TYPE"


def _meaning(action: argparse.Action) -> str:
    text = _prose(action.help).replace("|", r"\|")
    text = text[:1].upper() + text[1:]
    if action.choices is not None:
        text += ". One of " + ", ".join(f"`{choice}`" for choice in action.choices)
    if action.required and action.option_strings:
        text += ". Required"
    return text.rstrip(".") + "."


def _exclusive(parser: argparse.ArgumentParser) -> Iterator[str]:
    for group in parser._mutually_exclusive_groups:
        names = ", ".join(_option(action) for action in group._group_actions)
        yield f"{'Exactly' if group.required else 'At most'} one of {names}."


# --- states of a session ---------------------------------------------------------------------


def session_states() -> str:
    """The state table of a reliable session as a Mermaid diagram."""
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {State.ATTACHED.value}: connected"]
    for (before, event), (after, effect) in TRANSITIONS.items():
        label = event.value if effect is Effect.NONE else f"{event.value} / {effect.value}"
        lines.append(f"    {before.value} --> {after.value}: {label}")
    return "\n".join([*lines, "```"])


# --- routes ----------------------------------------------------------------------------------


def rest_routes() -> str:
    """Every HTTP route, and who may call it."""
    lines = ["| route | operation | token |", "| --- | --- | --- |"]
    for path, operations in ROUTES:
        methods: dict[str, list[str]] = {}
        for method, operation in operations.items():
            token = "none" if operation.is_open else "needed"
            methods.setdefault(f"{operation.name} | {token}", []).append(method)
        for meaning, names in methods.items():
            lines.append(f"| {', '.join(names)} `{path}` | {meaning} |")
    return "\n".join(lines)


# --- errors ----------------------------------------------------------------------------------


def error_classes() -> str:
    """Every error that users of the packages may meet, with its stable word for programs."""
    lines = ["| class | `code` | again? | meaning |", "| --- | --- | --- | --- |"]
    for module in (errors, appserver, service):
        names = module.__all__ if module is not errors else vars(module)
        for name in names:
            kind = getattr(module, name)
            if not isinstance(kind, type) or not issubclass(kind, errors.HubbubError):
                continue
            if module is not errors and hasattr(errors, name):
                continue  # told already
            own = kind.__doc__ if "__doc__" in vars(kind) and kind.__doc__ else ""
            is_retryable = "yes" if kind.retryable else "no"
            if kind is errors.RequestError:
                is_retryable = "the error says"
            meaning = _prose(own.partition("\n\n")[0])
            lines.append(
                f"| `{module.__name__}.{name}` | `{kind.code}` | {is_retryable} | {meaning} |"
            )
    return "\n".join(lines)


GENERATED: dict[tuple[str, str], Callable[[], str]] = {
    ("reference/cli.md", "commands"): cli_commands,
    ("reference/errors.md", "errors"): error_classes,
    ("design/0004-sessions.md", "states"): session_states,
    ("wire.md", "routes"): rest_routes,
}
"""(page in docs/, name of the part) → who writes it."""


def main() -> None:
    for (page, name), make in GENERATED.items():
        generated.write(DOCS / page, name, make())


if __name__ == "__main__":
    main()

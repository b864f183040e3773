"""Everything in docs/ that a program writes: one table of what is written where.

python -m tools.pages       writes all of it; tests/docs compares

`docs/reference/settings.md` has a writer of its own: `python -m hubbub.service.settings_page`.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tools import generated
from tools.kit_reference import kit_reference

from hubbub import appserver, service
from hubbub.cli.main import build_parser
from hubbub.protocol import client_events, errors
from hubbub.protocol.client_events import State as ClientState
from hubbub.protocol.client_events import Timer
from hubbub.protocol.client_options import ClientOptions
from hubbub.protocol.client_table import TABLE
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


# --- states of a client ----------------------------------------------------------------------

_INPUTS: dict[type, str] = {
    client_events.Start: "start()",
    client_events.CancelStart: "start() cancelled",
    client_events.Stop: "stop()",
    client_events.UrlObtained: "address obtained",
    client_events.UrlFailed: "no address",
    client_events.SocketOpened: "socket open",
    client_events.SocketFailed: "socket refused",
    client_events.SocketLost: "socket lost",
    client_events.Received: "frame",
    client_events.Undecodable: "frame that is no message",
    client_events.Submit: "operation",
    client_events.Cancel: "operation cancelled",
}

_LIMITS: dict[Timer, str] = {
    Timer.PAUSE: "`recovery.delay` or `reconnect_retry`",
    Timer.TRY: "{credential_s:g} s for the address, {open_s:g} s for the socket, {connected_s:g} s"
    " for `connected`; in a recovery `recovery.probe_timeout`, {recovery_try_s:g} s, and for the"
    " socket as much again for each try in a row that was not open in time",
    Timer.START: "`start_timeout`, {start_s:g} s",
    Timer.WINDOW: "`recovery.window`, {recovery_window_s:g} s from the loss",
    Timer.SEQUENCE_ACK: "`sequence_ack.interval`, {sequence_ack_s:g} s after the first message;"
    " earlier after {sequence_ack_messages} messages or {sequence_ack_bytes:,} bytes",
    Timer.KEEP_ALIVE: "a ping after `keep_alive_interval`, {keep_alive_interval_s:g} s of silence;"
    " the link is dead after `keep_alive_timeout`, {keep_alive_timeout_s:g} s",
    Timer.REJOIN: "{rejoin_s:g} s",
    Timer.OPERATION: "`operation_timeout` and `message_retry`",
    Timer.STREAM: "a keep-alive after a third of the stream's `idle_timeout`; a repeat after 10 ms,"
    " doubled up to 5 s",
    Timer.CLOSE: "`close_timeout`, {close_s:g} s",
}


def client_states() -> str:
    """The ways from state to state of a client as a Mermaid diagram, one arrow per pair."""
    ways: dict[tuple[ClientState, ClientState], list[str]] = {}
    for (before, trigger), row in TABLE.items():
        for after in sorted(row.to - {before}):
            words = (
                f"{trigger.name.lower()} over" if isinstance(trigger, Timer) else _INPUTS[trigger]
            )
            ways.setdefault((before, after), []).append(words.replace("_", " "))
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {ClientState.STOPPED.value}"]
    for (before, after), causes in ways.items():
        lines.append(f"    {before.value} --> {after.value}: {', '.join(causes)}")
    return "\n".join([*lines, "```"])


def client_timers() -> str:
    """What a client waits for, in which states, and how long by default."""
    options = asdict(ClientOptions())
    lines = ["| timer | is | in the states | by default |", "| --- | --- | --- | --- |"]
    for timer in Timer:
        states = ", ".join(state.value for (state, trigger) in TABLE if trigger is timer)
        limit = _LIMITS[timer].format(**options)
        name = timer.name.lower().replace("_", " ")
        lines.append(f"| {name} | {timer.value} | {states} | {limit} |")
    return "\n".join(lines)


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
    ("reference/client-states.md", "states"): client_states,
    ("reference/client-states.md", "timers"): client_timers,
    ("reference/testing.md", "kit"): kit_reference,
    ("wire.md", "routes"): rest_routes,
}
"""(page in docs/, name of the part) → who writes it."""


def main() -> None:
    for (page, name), make in GENERATED.items():
        generated.write(DOCS / page, name, make())


if __name__ == "__main__":
    main()

"""Which cases there are, which function runs which of them, and why the others cannot be seen."""

import csv
import importlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

from hubbub.testing.conformance.failures import CannotRun

if TYPE_CHECKING:
    from hubbub.testing.conformance.trial import Trial

AREAS = (
    "handshake",
    "json",
    "json_errors",
    "reliable",
    "protobuf",
    "groups",
    "streams_and_state",
    "rest_send",
    "rest_filters",
    "rest_manage",
    "rest_permissions",
    "rest_tokens",
    "upstream_validation",
    "upstream_connect",
    "upstream_events",
    "upstream_clients",
    "upstream_lifecycle",
)
"""Modules of `hubbub.testing.conformance.cases`."""

Run = Callable[["Trial"], Awaitable[None]]


class Known(NamedTuple):
    """One numbered sentence of the table of cases."""

    id: str
    area: str
    summary: str
    scope: str


@dataclass(frozen=True, slots=True)
class Case:
    """What runs one or more ids.

    `variants`: of the event handlers that it needs (see `variants`); the first is where it runs.
    `needs_second_key`: of the service. `seconds`: that it has to wait for. `is_ours`: the
    documentation is silent, so that another service may rightly do otherwise.
    """

    ids: tuple[str, ...]
    run: Run
    variants: tuple[str, ...] = ()
    needs_second_key: bool = False
    seconds: float = 0
    is_ours: bool = False


_registered: list[Case] = []


def case(
    *ids: str,
    variant: str | None = None,
    and_variant: str | None = None,
    needs_second_key: bool = False,
    seconds: float = 0,
    is_ours: bool = False,
) -> Callable[[Run], Run]:
    """Register a function as what runs these ids."""
    variants = tuple(name for name in (variant, and_variant) if name is not None)

    def register(run: Run) -> Run:
        _registered.append(Case(ids, run, variants, needs_second_key, seconds, is_ours))
        return run

    return register


def all_cases() -> Sequence[Case]:
    """Every case that can be run from outside, by area."""
    for area in AREAS:
        importlib.import_module(f"hubbub.testing.conformance.cases.{area}")
    return tuple(_registered)


def known() -> dict[str, Known]:
    """The cases of a service, by id; those of clients (CL) are not among them."""
    text = files("hubbub.testing.conformance").joinpath("cases.tsv").read_text(encoding="utf-8")
    rows = csv.reader(text.splitlines()[1:], delimiter="\t", quoting=csv.QUOTE_NONE)
    return {row[0]: Known(*row) for row in rows if not row[0].startswith("CL-")}


def check_patterns(patterns: Sequence[str]) -> None:
    """Raises: CannotRun for one that names no case."""
    ids = known()
    for pattern in patterns:
        if not any(is_wanted(case_id, [pattern]) for case_id in ids):
            raise CannotRun(f"no case about a service has an id like {pattern}; see --list")


def is_wanted(case_id: str, patterns: Sequence[str]) -> bool:
    """Does one of the patterns (`CP-0*`, without case) name this id? No patterns: every id."""
    return not patterns or any(fnmatchcase(case_id, pattern.upper()) for pattern in patterns)

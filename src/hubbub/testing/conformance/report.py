"""What came out: as text, as Markdown, as JSON."""

import json
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

PASSED, FAILED, NOT_APPLICABLE = "passed", "failed", "not applicable"


@dataclass(frozen=True, slots=True)
class Result:
    """`text`: of a failure, what was expected and what came; or why it is not applicable.

    `said`: the end of what was sent and received. `is_ours`: see `registry.Case`.
    """

    id: str
    status: str
    text: str = ""
    said: tuple[str, ...] = ()
    seconds: float = 0
    summary: str = ""
    area: str = ""
    is_ours: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    endpoint: str
    results: Sequence[Result] = field(default_factory=tuple)

    def of(self, status: str) -> list[Result]:
        return [result for result in self.results if result.status == status]

    @property
    def counts(self) -> dict[str, int]:
        return {status: len(self.of(status)) for status in (PASSED, FAILED, NOT_APPLICABLE)}

    @property
    def exit_status(self) -> int:
        return 1 if self.of(FAILED) else 0


_OURS = "a decision of hubbub; another service may rightly do otherwise"


def as_text(report: Report) -> str:
    """For a terminal: what failed with its reason, then the ids, then the count."""
    lines: list[str] = []
    for result in report.of(FAILED):
        lines += [*failure_lines(result), ""]
    if passed := report.of(PASSED):
        ids = " ".join(result.id for result in passed)
        lines += ["passed:", *textwrap.wrap(ids, 96, initial_indent="  ", subsequent_indent="  ")]
    if report.of(NOT_APPLICABLE):
        lines += ["", "not applicable:"]
    for reason, found in _by_reason(report).items():
        told = " ".join(found)
        lines.append(f"  {reason}")
        lines += textwrap.wrap(told, 96, initial_indent="    ", subsequent_indent="    ")
    counted = ", ".join(f"{count} {status}" for status, count in report.counts.items())
    return "\n".join([*lines, "", f"{report.endpoint}: {counted}"])


def failure_lines(result: Result) -> list[str]:
    """One failed case for people."""
    lines = [f"FAILED {result.id}: {result.summary}", f"  {result.text}"]
    if result.is_ours:
        lines.append(f"  ({_OURS})")
    if result.said:
        lines += ["  what was said before:", *(f"    {line}" for line in result.said)]
    return lines


def _by_reason(report: Report) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for result in report.of(NOT_APPLICABLE):
        found.setdefault(result.text, []).append(result.id)
    return found


def as_json(report: Report) -> str:
    """The same for programs: `counts`, and every case under `results`."""
    return json.dumps(as_data(report), ensure_ascii=False, indent=1)


def as_data(report: Report) -> dict[str, Any]:
    return {
        "endpoint": report.endpoint,
        "counts": report.counts,
        "results": [
            {
                "id": result.id,
                "status": result.status,
                "summary": result.summary,
                "text": result.text,
                "said": list(result.said),
                "seconds": round(result.seconds, 3),
                "decidedByHubbub": result.is_ours,
            }
            for result in report.results
        ],
    }


def as_markdown(report: Report) -> str:
    """Tables for a page: the count by area, what failed, what is not applicable, every case."""
    lines = ["| area | passed | failed | not applicable |", "| --- | --- | --- | --- |"]
    for area in [*dict.fromkeys(result.area for result in report.results), None]:
        mine = Report("", [result for result in report.results if area in (result.area, None)])
        cells = " | ".join(str(count) for count in mine.counts.values())
        lines.append(f"| {area or '**all**'} | {cells} |")
    if failed := report.of(FAILED):
        lines += ["", "| failed | what | why |", "| --- | --- | --- |"]
        lines += [f"| {it.id} | {_cell(it.summary)} | {_cell(it.text)} |" for it in failed]
    if report.of(NOT_APPLICABLE):
        lines += ["", "| not applicable, because | cases |", "| --- | --- |"]
        for reason, ids in _by_reason(report).items():
            lines.append(f"| {_cell(reason)} | {', '.join(ids)} |")
    lines += ["", f"A star marks {_OURS}.", "", "| case | result | what |", "| --- | --- | --- |"]
    for it in report.results:
        star = " *" if it.is_ours else ""
        lines.append(f"| {it.id}{star} | {it.status} | {_cell(it.summary)} |")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")

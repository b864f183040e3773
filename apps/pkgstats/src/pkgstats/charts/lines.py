"""Several packages on one axis: each line has its own colour and its own dash."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from pkgstats.charts.svg import axis_number, coordinate, span_words, ticks
from pkgstats.models import By, Point, Series

DASHES = ("", "9 4", "2 3", "12 3 2 3", "5 2", "1 4 6 4")
"""One for each of the six packages that a comparison may have."""

MAX_LABEL = 21
"""Characters beside the chart, in the widest of the faces."""


class _Frame(NamedTuple):
    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int


_FRAMES = {
    "l": _Frame(1000, 340, 52, 200, 12, 26),
    "m": _Frame(680, 300, 52, 10, 12, 26),
    "s": _Frame(340, 240, 44, 8, 12, 26),
}
SIZES = tuple(_FRAMES)
"""Three sizes, of which CSS shows one; only the largest has the names at the ends of the lines."""


def indexed(series: Sequence[Series]) -> list[list[float | None]]:
    """Each series with its first figure (above zero) as 100; None before it and at holes."""
    result = []
    for one in series:
        first = next((value for value in map(_whole, one.points) if value), None)
        result.append(
            [
                None if value is None or first is None else 100 * value / first
                for value in map(_whole, one.points)
            ]
        )
    return result


def line_chart(
    series: Sequence[Series], by: By, *, as_index: bool, simulated: bool, size: str
) -> str:
    """One line for each series (all with the same points); `""` where none has a figure.

    A point with a day missing is a hole and lifts the pen: a part would look like a fall.
    """
    values: list[list[float | None]]
    values = indexed(series) if as_index else [[_whole(item) for item in s.points] for s in series]
    known = [value for line in values for value in line if value is not None]
    if not known or len(series[0].points) < 2:
        return ""
    frame = _FRAMES[size]
    marks = ticks(int(max(known)) + (max(known) % 1 > 0), 5)
    uid = f"cmp-{size}"
    title = (
        f"{'Downloads, first ' + by + ' = 100' if as_index else 'Downloads a ' + by}, "
        f"{span_words(series[0].points[0].start, series[0].points[-1].end)}"
        f"{' (simulated)' if simulated else ''}"
    )
    facts = " ".join(_facts(one) for one in series)
    slots = _label_slots(frame, values, marks[-1]) if size == "l" else {}
    lines = [_line(frame, k, values[k], marks[-1]) for k in range(len(series))]
    labels = [
        f'<text x="{frame.width - frame.right + 12}" y="{coordinate(slots[k])}">'
        f"{escape(_short_name(one.name))}</text>"
        if k in slots
        else ""
        for k, one in enumerate(series)
    ]
    return (
        f'<svg class="chart at-{size}" role="img" aria-labelledby="{uid}-t {uid}-d" '
        f'viewBox="0 0 {frame.width} {frame.height}" '
        f'width="{frame.width}" height="{frame.height}">'
        f'<title id="{uid}-t">{escape(title)}</title><desc id="{uid}-d">{escape(facts)}</desc>'
        + _axes(frame, marks, series[0].points)
        + "".join(
            f'<g class="q{k + 1}">{line}{labels[k]}</g>' for k, line in enumerate(lines) if line
        )
        + "</svg>"
    )


def swatch(position: int) -> str:
    """The stroke of a series, for legend and table."""
    return (
        f'<svg class="q{position + 1}" width="34" height="10" viewBox="0 0 34 10" '
        f'aria-hidden="true"><path d="M0 5H34" stroke="currentColor" stroke-width="2.4"'
        f"{_dash(position)}/></svg>"
    )


def _whole(point: Point) -> int | None:
    return None if point.missing or point.partial else point.count


def _dash(position: int) -> str:
    return f' stroke-dasharray="{DASHES[position]}"' if DASHES[position] else ""


def _facts(one: Series) -> str:
    known = [value for value in map(_whole, one.points) if value is not None]
    if not known:
        return f"{one.name}: no figures."
    holes = sum(item.missing for item in one.points)
    gaps = f" {holes} days without a figure." if holes else ""
    return (
        f"{one.name}: from {known[0]:,} to {known[-1]:,}, low {min(known):,}, "
        f"high {max(known):,}.{gaps}"
    )


def _short_name(name: str) -> str:
    """What fits beside the chart; legend and table have the whole name."""
    short = name if len(name) <= MAX_LABEL else name.rpartition("/")[2]
    return short if len(short) <= MAX_LABEL else short[: MAX_LABEL - 1] + "…"


def _x(frame: _Frame, position: int, count: int) -> float:
    return frame.left + position * (frame.width - frame.left - frame.right) / (count - 1)


def _y(frame: _Frame, value: float, top: float) -> float:
    return frame.top + (frame.height - frame.top - frame.bottom) * (1 - value / top)


def _line(frame: _Frame, position: int, values: Sequence[float | None], top: int) -> str:
    path, dots, pen_down, end = "", "", False, None
    for i, value in enumerate(values):
        if value is None:
            pen_down = False
            continue
        end = _x(frame, i, len(values)), _y(frame, value, top)
        path += f"{'L' if pen_down else 'M'}{coordinate(end[0])} {coordinate(end[1])}"
        is_last = i + 1 == len(values) or values[i + 1] is None
        if not pen_down and is_last:  # alone between two holes: a line of no length
            dots += f'<circle cx="{coordinate(end[0])}" cy="{coordinate(end[1])}" r="2" {_FILLED}/>'
        pen_down = True
    if end is None:
        return ""
    return (
        f'<path class="ln" d="{path}"{_dash(position)}/>{dots}'
        f'<circle cx="{coordinate(end[0])}" cy="{coordinate(end[1])}" r="3" {_FILLED}/>'
    )


_FILLED = 'fill="currentColor"'


def _label_slots(
    frame: _Frame, values: Sequence[Sequence[float | None]], top: int
) -> dict[int, float]:
    """Heights of the names: at the ends of their lines, 16 px apart, all inside the frame."""
    ends = {}
    for k, line in enumerate(values):
        last = next((value for value in reversed(line) if value is not None), None)
        if last is not None:
            ends[k] = _y(frame, last, top) + 4
    slots, floor = {}, float(frame.height - 8)
    for k in sorted(ends, key=lambda k: -ends[k]):
        floor = slots[k] = min(ends[k], floor)
        floor -= 16
    lift = max(0.0, 12 - min(slots.values(), default=12))
    return {k: y + lift for k, y in slots.items()}


def _axes(frame: _Frame, marks: Sequence[int], items: Sequence[Point]) -> str:
    parts = []
    for mark in marks:
        y = _y(frame, mark, marks[-1])
        parts.append(
            f'<path class="{"g" if mark else "ax"}" '
            f'd="M{frame.left} {coordinate(y)}H{frame.width - frame.right}"/>'
            f'<text x="{frame.left - 8}" y="{coordinate(y + 4)}" text-anchor="end">'
            f"{axis_number(mark)}</text>"
        )
    free_from = 0.0
    for i in range(1, len(items)):
        day = items[i].end
        if day.month == items[i - 1].end.month:
            continue
        x = _x(frame, i, len(items))
        parts.append(f'<path class="ax" d="M{coordinate(x)} {frame.height - frame.bottom}v5"/>')
        if x - 16 >= free_from and x + 16 <= frame.width:
            text = f"{day:%Y}" if day.month == 1 else f"{day:%b}"
            parts.append(
                f'<text x="{coordinate(x)}" y="{frame.height - 7}" text-anchor="middle">{text}'
                "</text>"
            )
            free_from = x + 18
    return "".join(parts)

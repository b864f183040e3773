"""Charts as SVG text: the same numbers in, the same bytes out.

Every chart has `role="img"` and says in words what it shows (range, low, high, holes). A day
without a figure is a hole: it is drawn as an empty place, never as zero. A simulated series is
hatched, a recorded one is filled, so that the two differ without colour and in print.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from html import escape
from typing import NamedTuple

QUIET_SPAN = 0.16
"""A sparkline's height spans at least this share of the mean: noise isn't blown up to drama."""


class Frame(NamedTuple):
    """Outer size and inner margins of a chart, in px."""

    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int
    gap: float

    @property
    def plot_width(self) -> int:
        return self.width - self.left - self.right

    @property
    def plot_height(self) -> int:
        return self.height - self.top - self.bottom


FRAMES = {
    "ml": Frame(720, 250, 52, 6, 22, 26, 2),
    "s": Frame(340, 210, 48, 4, 22, 26, 1.5),
}
"""Two sizes, of which CSS shows one: axis text stays readable on every screen."""


def coordinate(value: float) -> str:
    """A coordinate with at most one decimal."""
    return f"{value:.1f}".rstrip("0").rstrip(".")


def ticks(top: int, want: int) -> list[int]:
    """At most `want + 1` round steps from zero to at least `top` (>= 0)."""
    power = 1
    while True:
        for step in (power, 2 * power, 5 * power):
            if top <= step * want:
                return [step * i for i in range(max(1, -(-top // step)) + 1)]
        power *= 10


def axis_number(value: int) -> str:
    """A tick's label: short enough for the margin."""
    for unit, sign in ((1_000_000, "M"), (10_000, "k")):
        if value >= unit:
            per = 1_000_000 if sign == "M" else 1000
            return f"{value / per:.1f}".removesuffix(".0") + f" {sign}"
    return f"{value:,}"


def day_words(day: date) -> str:
    return f"{day:%a} {day.day} {day:%B}"


def span_words(first: date, last: date) -> str:
    """`1 to 30 June 2026`; month and year are said once where both ends share them."""
    if (first.year, first.month) == (last.year, last.month):
        return f"{first.day} to {last.day} {last:%B} {last.year}"
    year = "" if first.year == last.year else f" {first.year}"
    return f"{first.day} {first:%B}{year} to {last.day} {last:%B} {last.year}"


def sparkline(sums: Sequence[int | None], *, width: int = 64, height: int = 20) -> str:
    """Running seven-day sums as a line, a hole as a gap; `""` where fewer than two are known."""
    known = [v for v in sums if v is not None]
    if len(known) < 2:
        return ""
    low, high = min(known), max(known)
    label = f"{len(sums)} seven-day sums, {low:,} to {high:,}"
    span = max(high - low, sum(known) / len(known) * QUIET_SPAN) or 1
    floor = (low + high - span) / 2
    step = (width - 6) / (len(sums) - 1)
    path, pen_down, end = "", False, (0.0, 0.0)
    for i, value in enumerate(sums):
        if value is None:
            pen_down = False
            continue
        end = 1 + i * step, height - 3 - (value - floor) / span * (height - 6)
        path += f"{'L' if pen_down else 'M'}{coordinate(end[0])} {coordinate(end[1])}"
        pen_down = True
    return (
        f'<svg class="spark" role="img" aria-label="{label}" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}"><path d="{path}" fill="none" stroke="currentColor" '
        f'stroke-width="1.2"/><circle cx="{coordinate(end[0])}" cy="{coordinate(end[1])}" r="2.2" '
        f'fill="currentColor"/></svg>'
    )


def daily_chart(
    name: str, start: date, values: Sequence[int | None], *, simulated: bool, size: str
) -> str:
    """One column a day for package `name`; `""` where no day has a figure. `size`: see `FRAMES`."""
    known = [v for v in values if v is not None]
    if not known:
        return ""
    frame = FRAMES[size]
    marks = ticks(max(known), 4)
    uid = f"dl-{size}"
    return "".join(
        [
            f'<svg class="chart at-{size}" role="img" aria-labelledby="{uid}-t {uid}-d" '
            f'viewBox="0 0 {frame.width} {frame.height}" '
            f'width="{frame.width}" height="{frame.height}">',
            _words(uid, name, start, values, simulated),
            _weekends(frame, start, len(values)),
            _value_axis(frame, marks),
            _columns(frame, uid, values, marks[-1], simulated),
            _day_axis(frame, start, len(values)),
            _highest(frame, values, marks[-1]),
            "</svg>",
        ]
    )


def _words(uid: str, name: str, start: date, values: Sequence[int | None], simulated: bool) -> str:
    days = {start + timedelta(days=i): v for i, v in enumerate(values) if v is not None}
    low, high = min(days, key=lambda d: days[d]), max(days, key=lambda d: days[d])
    period = span_words(start, start + timedelta(days=len(values) - 1))
    return (
        f'<title id="{uid}-t">Downloads of {escape(name)} a day, {period}'
        f"{' (simulated)' if simulated else ''}</title>"
        f'<desc id="{uid}-d">{len(values)} days, {sum(days.values()):,} in all. '
        f"Low {days[low]:,} on {day_words(low)}, high {days[high]:,} on {day_words(high)}. "
        f"{_holes_words(len(values) - len(days))}</desc>"
    )


def _holes_words(holes: int) -> str:
    if not holes:
        return "No day is missing."
    return f"{holes} {'day' if holes == 1 else 'days'} without a figure."


def _weekends(frame: Frame, start: date, count: int) -> str:
    step = frame.plot_width / count
    bands = [i for i in range(count) if (start + timedelta(days=i)).weekday() >= 5]
    return "".join(
        f'<path class="we" d="M{coordinate(frame.left + i * step)} {frame.top}'
        f'h{coordinate(step)}v{frame.plot_height}h-{coordinate(step)}z"/>'
        for i in bands
    )


def _value_axis(frame: Frame, marks: list[int]) -> str:
    lines = []
    for mark in marks:
        y = _y(frame, mark, marks[-1])
        lines.append(
            f'<path class="{"g" if mark else "ax"}" '
            f'd="M{frame.left} {coordinate(y)}H{frame.width - frame.right}"/>'
            f'<text x="{frame.left - 8}" y="{coordinate(y + 4)}" text-anchor="end">'
            f"{axis_number(mark)}</text>"
        )
    return "".join(lines)


def _columns(
    frame: Frame, uid: str, values: Sequence[int | None], top: int, simulated: bool
) -> str:
    step = frame.plot_width / len(values)
    base = coordinate(_y(frame, 0, top))
    shape = "".join(
        f"M{coordinate(frame.left + i * step + frame.gap)} {base}"
        f"V{coordinate(_y(frame, v, top))}h{coordinate(step - 2 * frame.gap)}V{base}"
        for i, v in enumerate(values)
        if v is not None
    )
    hatch = (
        f'<pattern id="{uid}-h" width="4" height="4" patternUnits="userSpaceOnUse" '
        'patternTransform="rotate(45)">'
        '<path d="M0 0V4" stroke="currentColor" stroke-width="1.6"/></pattern>'
    )
    fill = f"url(#{uid}-h)" if simulated else "currentColor"
    return (
        f"{hatch if simulated else ''}"
        f'<path class="tint" d="{shape}"/><path class="col" fill="{fill}" d="{shape}"/>'
    )


def _day_axis(frame: Frame, start: date, count: int) -> str:
    step = frame.plot_width / count
    mondays = [i for i in range(count) if (start + timedelta(days=i)).weekday() == 0]
    labels = []
    for nth, i in enumerate(mondays):
        day = start + timedelta(days=i)
        text = f"{day.day} {day:%b}" if frame.plot_width > 400 or nth == 0 else str(day.day)
        x = coordinate(frame.left + i * step + step / 2)
        labels.append(
            f'<path class="ax" d="M{x} {frame.height - frame.bottom}v5"/>'
            f'<text x="{x}" y="{frame.height - 7}" text-anchor="middle">{text}</text>'
        )
    return "".join(labels)


def _highest(frame: Frame, values: Sequence[int | None], top: int) -> str:
    high, at = max((v, -i) for i, v in enumerate(values) if v is not None)
    step = frame.plot_width / len(values)
    x = frame.left - at * step + step / 2
    text = f"{high:,}"
    half = len(text) * 4
    x = min(max(x, frame.left + half), frame.width - half)
    y = _y(frame, high, top) - 6
    return (
        f'<text class="em" x="{coordinate(x)}" y="{coordinate(y)}" '
        f'text-anchor="middle">{text}</text>'
    )


def _y(frame: Frame, value: int, top: int) -> float:
    return frame.top + frame.plot_height * (1 - value / top)

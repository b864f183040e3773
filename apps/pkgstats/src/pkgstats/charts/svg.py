"""Charts as SVG text: the same numbers in, the same bytes out.

Every chart has `role="img"` and says in words what it shows (range, low, high, holes). A day
without a figure is a hole: it is drawn as an empty place, never as zero. A simulated series is
hatched, a recorded one is filled, so that the two differ without colour and in print.
"""

from collections.abc import Sequence
from datetime import date
from html import escape
from typing import NamedTuple

from pkgstats.models import By, Point

QUIET_SPAN = 0.16
"""A sparkline's height spans at least this share of the mean: noise isn't blown up to drama."""

MAX_BANDS = 90
"""Days with grey bands for weekends; more of them would be a grey cloth."""


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
    for by, sign in ((1_000_000, "M"), (10_000, "k")):
        if value >= by:
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


def column_chart(
    name: str, items: Sequence[Point], by: By, *, simulated: bool, size: str, key: str = "dl"
) -> str:
    """One column a day, week or month; `""` where no point has a figure. `size`: see `FRAMES`.

    `name`: what the downloads are of; `key`: differs between the charts of a page.
    """
    known = [item.count for item in items if item.count is not None]
    if not known:
        return ""
    frame = FRAMES[size]
    marks = ticks(max(known), 4)
    uid = f"{key}-{size}"
    values = [item.count for item in items]
    return "".join(
        [
            f'<svg class="chart at-{size}" role="img" aria-labelledby="{uid}-t {uid}-d" '
            f'viewBox="0 0 {frame.width} {frame.height}" '
            f'width="{frame.width}" height="{frame.height}">',
            f'<title id="{uid}-t">{escape(title_words(name, items, by, simulated))}</title>'
            f'<desc id="{uid}-d">{escape(facts_words(items, by))}</desc>',
            _weekends(frame, items) if by is By.DAY and len(items) <= MAX_BANDS else "",
            _value_axis(frame, marks),
            _columns(frame, uid, items, marks[-1], simulated),
            _time_axis(frame, items, by),
            _highest(frame, values, marks[-1]),
            "</svg>",
        ]
    )


def title_words(name: str, items: Sequence[Point], by: By, simulated: bool) -> str:
    """`Downloads of ws a week, 1 January to 30 June 2026 (simulated)`."""
    period = span_words(items[0].start, items[-1].end)
    return f"Downloads of {name} a {by}, {period}{' (simulated)' if simulated else ''}"


def facts_words(items: Sequence[Point], by: By) -> str:
    """Number of columns, sum, low, high, change and holes, in sentences."""
    known = [(item.count, item) for item in items if item.count is not None]
    low, high = min(known, key=_count_of), max(known, key=_count_of)
    many = f"{len(items)} {by}{'' if len(items) == 1 else 's'}"
    change = ""
    if by is not By.DAY and len(known) > 1 and (first := known[0][0]) > 0:
        change = f" From {first:,} to {known[-1][0]:,}, {signed((known[-1][0] - first) / first)}."
    return (
        f"{many}, {sum(count for count, _ in known):,} in all. "
        f"Low {low[0]:,} {point_words(low[1], by)}, high {high[0]:,} {point_words(high[1], by)}."
        f"{change} {holes_words(sum(item.missing for item in items))}"
        f"{f' The last {by} is not over.' if items[-1].partial else ''}"
    )


def drawn(points: Sequence[Point]) -> Sequence[Point]:
    """Without a first week or month that the range cuts: a short column would look like a rise."""
    return points[1:] if len(points) > 1 and points[0].partial else points


def point_words(item: Point, by: By) -> str:
    """`on Mon 1 June`, `in the week of 1 June 2026`, `in June 2026`."""
    if by is By.DAY:
        return f"on {day_words(item.start)}"
    if by is By.WEEK:
        return f"in the week of {item.start.day} {item.start:%B %Y}"
    return f"in {item.start:%B %Y}"


def period_words(item: Point, by: By) -> str:
    """The same for the head of a table's row."""
    if by is By.MONTH:
        return f"{item.start:%B %Y}"
    return day_words(item.start) if by is By.DAY else span_words(item.start, item.end)


def signed(share: float) -> str:
    """A change with its sign: `+0.6 %`, `−12.0 %`."""
    return f"{share:+.1%}".replace("-", "\N{MINUS SIGN}").replace("%", "\N{NO-BREAK SPACE}%")


def holes_words(holes: int) -> str:
    if not holes:
        return "No day is missing."
    return f"{holes} {'day' if holes == 1 else 'days'} without a figure."


def _count_of(pair: tuple[int, Point]) -> int:
    return pair[0]


def _weekends(frame: Frame, items: Sequence[Point]) -> str:
    step = frame.plot_width / len(items)
    bands = [i for i, item in enumerate(items) if item.start.weekday() >= 5]
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


def _columns(frame: Frame, uid: str, items: Sequence[Point], top: int, simulated: bool) -> str:
    """Whole ones are filled or hatched; those with missing or coming days are open."""
    whole = _shape(
        frame, [None if item.missing or item.partial else item.count for item in items], top
    )
    part = _shape(
        frame, [item.count if item.missing or item.partial else None for item in items], top
    )
    hatch = (
        f'<pattern id="{uid}-h" width="4" height="4" patternUnits="userSpaceOnUse" '
        'patternTransform="rotate(45)">'
        '<path d="M0 0V4" stroke="currentColor" stroke-width="1.6"/></pattern>'
    )
    fill = f"url(#{uid}-h)" if simulated else "currentColor"
    opened = f'<path class="col" fill="none" stroke-dasharray="3 2" d="{part}"/>' if part else ""
    return (
        f"{hatch if simulated else ''}"
        f'<path class="tint" d="{whole}{part}"/><path class="col" fill="{fill}" d="{whole}"/>'
        f"{opened}"
    )


def _shape(frame: Frame, values: Sequence[int | None], top: int) -> str:
    step = frame.plot_width / len(values)
    gap = min(frame.gap, step / 5)
    base = coordinate(_y(frame, 0, top))
    return "".join(
        f"M{coordinate(frame.left + i * step + gap)} {base}"
        f"V{coordinate(_y(frame, v, top))}h{coordinate(step - 2 * gap)}V{base}"
        for i, v in enumerate(values)
        if v is not None
    )


def _time_axis(frame: Frame, items: Sequence[Point], by: By) -> str:
    """A mark at each Monday, or where a month begins; names only where there is room for them."""
    step = frame.plot_width / len(items)
    is_wide = frame.plot_width > 400
    room = 46 if is_wide else 34
    labels, free_from = [], 0.0
    for nth, i in enumerate(_marked(items, by)):
        x = frame.left + i * step + step / 2
        labels.append(f'<path class="ax" d="M{coordinate(x)} {frame.height - frame.bottom}v5"/>')
        text = _tick_words(
            items[i].end if by is By.WEEK else items[i].start,
            by,
            len(items),
            short=not is_wide and nth > 0,
        )
        if x - room / 2 >= free_from and x + room / 4 <= frame.width:
            labels.append(
                f'<text x="{coordinate(x)}" y="{frame.height - 7}" text-anchor="middle">{text}'
                "</text>"
            )
            free_from = x + room / 2
    return "".join(labels)


def _marked(items: Sequence[Point], by: By) -> list[int]:
    if by is By.DAY and len(items) <= MAX_BANDS:
        return [i for i, item in enumerate(items) if item.start.weekday() == 0]
    months = [(item.end.year, item.end.month) for item in items]
    return [i for i, month in enumerate(months) if by is By.MONTH or (i and month != months[i - 1])]


def _tick_words(day: date, by: By, count: int, *, short: bool) -> str:
    if by is By.DAY and count <= MAX_BANDS:
        return str(day.day) if short else f"{day.day} {day:%b}"
    return f"{day:%b}" if day.month != 1 else f"{day:%Y}"


def _highest(frame: Frame, values: Sequence[int | None], top: int) -> str:
    high, at = max((v, -i) for i, v in enumerate(values) if v is not None)
    step = frame.plot_width / len(values)
    x = frame.left - at * step + step / 2
    text = f"{high:,}"
    half = len(text) * 4.6
    x = min(max(x, frame.left + half), frame.width - half)
    y = _y(frame, high, top) - 6
    return (
        f'<text class="em" x="{coordinate(x)}" y="{coordinate(y)}" '
        f'text-anchor="middle">{text}</text>'
    )


def _y(frame: Frame, value: int, top: int) -> float:
    return frame.top + frame.plot_height * (1 - value / top)

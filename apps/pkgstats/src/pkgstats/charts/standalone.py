"""Pictures that leave the site: charts and badges to embed, cards to share.

They bring their colours along as attributes, because a picture has no style sheet and the
policy of the site allows no style inside a document.
"""

from __future__ import annotations

from datetime import date
from html import escape

from pkgstats.charts.svg import FRAMES, coordinate, sparkline
from pkgstats.models import SIMULATED, PackageData
from pkgstats.series import running_sums
from pkgstats.web import words

LIGHT = {"paper": "#fbfcfb", "sunk": "#eef2f0", "rule": "#d3dbd7", "edge": "#76857e"} | {
    "ink": "#14201b",
    "ink2": "#48554f",
}
DARK = {"paper": "#111719", "sunk": "#1a2225", "rule": "#2e3a3e", "edge": "#758489"} | {
    "ink": "#e7edea",
    "ink2": "#b1beb9",
}
MARK = "#ffdc3d"
SANS = "Segoe UI,Roboto,Noto Sans,Liberation Sans,DejaVu Sans,Arial,sans-serif"
MONO = "Cascadia Mono,Roboto Mono,Liberation Mono,DejaVu Sans Mono,Consolas,monospace"
CARD_SIZE = 1200, 630
_CHAR_WIDTH = 6.6
_HEADING = 26
_NAMESPACE = 'xmlns="http://www.w3.org/2000/svg"'


def chart(svg: str, heading: str, *, dark: bool = False) -> str:
    """A chart of a page as a document of its own, with words above that say what it shows."""
    colours = DARK if dark else LIGHT
    for name, attributes in {
        "g": f'stroke="{colours["rule"]}" fill="none"',
        "ax": f'stroke="{colours["edge"]}" fill="none"',
        "we": f'fill="{colours["sunk"]}"',
        "tint": f'fill="{colours["paper"]}"',
        "col": f'color="{colours["ink2"]}" stroke="{colours["ink2"]}"',
        "em": f'fill="{colours["ink"]}" font-weight="600"',
    }.items():
        svg = svg.replace(f'class="{name}"', attributes)
    svg = svg.replace("<text x=", f'<text fill="{colours["ink2"]}" x=')
    head, _, rest = svg.partition(">")
    frame = FRAMES["ml"]
    height = frame.height + _HEADING
    return (
        f'<svg {_NAMESPACE} width="{frame.width}" height="{height}" '
        f'viewBox="0 0 {frame.width} {height}" font-family="{SANS}" font-size="13" '
        f'color="{colours["ink"]}"><rect width="100%" height="100%" fill="{colours["paper"]}"/>'
        f'<text x="8" y="18" font-weight="600" fill="{colours["ink"]}">{escape(heading)}</text>'
        f'<svg y="{_HEADING}" {head[head.index("role=") :]}>{rest}</svg>'
    )


def badge(label: str, value: str) -> str:
    """A badge: what is counted, and how many."""
    left, right = _width(label), _width(value)
    whole = left + right
    return (
        f'<svg {_NAMESPACE} role="img" width="{whole}" height="20" viewBox="0 0 {whole} 20" '
        f'font-family="{SANS}" font-size="11"><title>{escape(label)}: {escape(value)}</title>'
        f'<rect width="{left}" height="20" fill="{LIGHT["ink"]}"/>'
        f'<rect x="{left}" width="{right}" height="20" fill="{MARK}"/>'
        f'<text x="{left / 2:g}" y="14" text-anchor="middle" fill="{LIGHT["paper"]}">'
        f"{escape(label)}</text>"
        f'<text x="{left + right / 2:g}" y="14" text-anchor="middle" font-weight="600" '
        f'fill="{LIGHT["ink"]}">{escape(value)}</text></svg>'
    )


def card(data: PackageData) -> str:
    """The picture for links to a package's page: 1200 x 630."""
    width, height = CARD_SIZE
    size = min(64.0, 1080 / (0.61 * len(data.name)))
    lines = _wrapped(data.description, 56, 2)
    parts = [
        f'<svg {_NAMESPACE} width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="{SANS}" color="{LIGHT["ink"]}" fill="{LIGHT["ink"]}">'
        f"<title>{escape(data.name)}</title>"
        f'<rect width="{width}" height="{height}" fill="{LIGHT["paper"]}"/>'
        f'<rect x="60" y="56" width="188" height="60" fill="{MARK}"/>',
        # As wide as its box, whichever face is there to draw it.
        '<text x="74" y="99" font-size="38" font-weight="700" textLength="160" '
        'lengthAdjust="spacingAndGlyphs">pkgstats</text>',
        _text(60, 226, size, data.name, weight=700, family=MONO),
        *(_text(60, 290 + 44 * i, 32, line) for i, line in enumerate(lines)),
        f'<path d="M60 400H1140" stroke="{LIGHT["ink"]}" stroke-width="3"/>',
        *_card_figure(data),
        "</svg>",
    ]
    return "".join(parts)


def _card_figure(data: PackageData) -> list[str]:
    facts = [f"v{data.version}", *([data.license] if data.license else [])]
    if data.deprecated:
        facts.append("deprecated")
    parts = []
    if data.downloads is not None and data.downloads.start and data.downloads.end:
        least = "≥ " if data.downloads.is_at_least else ""
        days = f"downloads in {len(data.downloads.days)} days to {_day(data.downloads.end)}"
        parts.append(_text(60, 500, 84, f"{least}{data.downloads.total:,}", weight=700))
        parts.append(_text(60, 546, 28, days, colour=LIGHT["ink2"]))
        line = sparkline(running_sums(data.downloads.days), width=460, height=130)
        parts.append(_placed(line, 680, 430))
    parts.append(_text(60, 598, 28, " · ".join(facts)))
    if data.simulated:
        parts.append(_hatched())
        parts.append(_text(980, 95, 28, SIMULATED, anchor="middle"))
    return parts


def _placed(svg: str, x: int, y: int) -> str:
    inner = svg.partition(">")[2].removesuffix("</svg>").replace('stroke-width="1.2"', "")
    inner = inner.replace('r="2.2"', 'r="7"')
    return f'<g transform="translate({x} {y})" stroke-width="4">{inner}</g>' if inner else ""


def _hatched() -> str:
    """The edge of everything simulated, and a frame for the words that say so."""
    lines = "".join(f"M{x} 16l16 -16" for x in range(-16, CARD_SIZE[0], 12))
    return (
        f'<path d="{lines}" stroke="{LIGHT["ink2"]}" stroke-width="3"/>'
        '<rect x="820" y="60" width="320" height="52" fill="none" '
        f'stroke="{LIGHT["ink2"]}" stroke-width="2" stroke-dasharray="8 5"/>'
    )


def _text(
    x: float,
    y: float,
    size: float,
    text: str,
    *,
    weight: int = 400,
    family: str = "",
    anchor: str = "start",
    colour: str = "",
) -> str:
    more = f' font-family="{family}"' if family else ""
    more += f' fill="{colour}"' if colour else ""
    return (
        f'<text x="{coordinate(x)}" y="{coordinate(y)}" font-size="{coordinate(size)}" '
        f'font-weight="{weight}" text-anchor="{anchor}"{more}>{escape(text)}</text>'
    )


def _wrapped(text: str, width: int, most: int) -> list[str]:
    """At most `most` lines; what does not fit ends with an ellipsis."""
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word[:width]}".strip()
    if len(lines) > most:
        lines = [*lines[: most - 1], lines[most - 1][: width - 1].rstrip() + "…"]
    return lines if lines[0] else []


def _day(value: date) -> str:
    return words.day(value)


def _width(text: str) -> int:
    return round(len(text) * _CHAR_WIDTH) + 12

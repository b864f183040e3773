"""Markdown of a readme → safe HTML with its outline. Pure and slow: run it in a worker thread."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from html import escape
from html.parser import HTMLParser
from typing import Literal

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

from pkgstats.models import Heading, Readme
from pkgstats.readme.sanitise import (
    CODE_PREFIX,
    ID_PREFIX,
    IMAGE_CLASS,
    SCROLL_CLASS,
    clean,
    resolver,
)

RENDERER = 2
"""Raised when the output changes: stored readmes are then rendered again."""

MAX_HIGHLIGHTED = 50_000
MAX_HEADINGS = 500
MAX_NESTING = 20
MAX_HTML_DEPTH = 500
"""The sanitiser's time grows with the square of this: 100,000 open tags would take minutes."""

Images = Literal["off", "click", "direct"]

_LANGUAGES = {
    *("js", "javascript", "jsx", "mjs", "ts", "typescript", "tsx", "json", "jsonc", "json5"),
    *("bash", "sh", "shell", "zsh", "console", "html", "xml", "svg", "css", "scss", "less"),
    *("yaml", "yml", "toml", "ini", "diff", "sql", "graphql", "python", "py", "go", "rust"),
    *("java", "c", "cpp", "csharp", "cs", "ruby", "rb", "php", "dockerfile", "make", "vue"),
}
_ALIASES = {"mjs": "js", "jsonc": "json", "vue": "html", "svg": "xml"}
_MAY_BE_EMPTY = {"alt", "open"}
_TASK = re.compile(r"\[([ xX])\]\s")
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)")
_VOID = {"br", "hr", "img", "source", "wbr", "input", "meta", "link", "area", "col", "embed"}
_NOT_IN_SLUG = re.compile(r"[^\w\- ]")


def render(
    markdown: str,
    *,
    images: Images,
    repo_url: str | None = None,
    repo_dir: str | None = None,
    truncated: bool = False,
) -> Readme:
    """A readme as safe HTML: headings one level down, relative links into the repository."""
    resolve = resolver(repo_url, repo_dir)
    markdown = markdown.replace("\x00", "")
    raw = _markdown(html=True).render(markdown)
    if _depth(raw) > MAX_HTML_DEPTH:
        raw = _markdown(html=False).render(markdown)
    html, headings = _finish(clean(raw, resolve), images)
    return Readme(clean(html, resolve), tuple(headings), truncated)


def as_text(markdown: str, *, truncated: bool = False) -> Readme:
    """The readme as its author typed it: for one that cannot be rendered in time."""
    html = f'<pre tabindex="0" role="region" aria-label="Readme">{escape(markdown)}</pre>'
    return Readme(html, (), truncated)


@cache
def _markdown(*, html: bool) -> MarkdownIt:
    parser = MarkdownIt(
        "gfm-like", {"html": html, "highlight": _highlight, "maxNesting": MAX_NESTING}
    )
    parser.core.ruler.after("inline", "task_list", _task_list)
    parser.core.ruler.push("align", _align)
    return parser


def _depth(html: str) -> int:
    """How deep tags are nested at most, told without building a tree."""
    depth = deepest = 0
    for match in _TAG.finditer(html):
        if match[2].lower() not in _VOID:
            depth = max(0, depth - 1) if match[1] else depth + 1
            deepest = max(deepest, depth)
    return deepest


def _highlight(code: str, language: str, _attributes: str) -> str:
    language = language.lower()
    if language not in _LANGUAGES or len(code) > MAX_HIGHLIGHTED:
        return ""
    try:
        lexer = get_lexer_by_name(_ALIASES.get(language, language), stripnl=False)
    except ClassNotFound:
        return ""
    return str(highlight(code, lexer, HtmlFormatter(nowrap=True, classprefix=CODE_PREFIX)))


def _task_list(state: StateCore) -> None:
    """`- [x]` becomes a sign: an input field would be a form in a foreign text."""
    for before, token in zip(state.tokens, state.tokens[2:], strict=False):
        if token.type != "inline" or before.type != "list_item_open" or not token.children:
            continue
        first = token.children[0]
        if first.type == "text" and (match := _TASK.match(first.content + " ")):
            sign = "☐" if match[1] == " " else "☑"
            first.content = f"{sign} {first.content[match.end() :]}"


def _align(state: StateCore) -> None:
    """Columns keep their alignment, without an inline style."""
    for token in state.tokens:
        if token.type in ("th_open", "td_open") and (style := token.attrs.pop("style", None)):
            token.attrSet("align", str(style).removeprefix("text-align:"))


def _finish(html: str, images: Images) -> tuple[str, list[Heading]]:
    writer = _Finisher(images)
    writer.feed(html)
    writer.close()
    return "".join(writer.out), writer.headings


class _Finisher(HTMLParser):
    """Goes over *clean* HTML once: heading levels and ids, scroll boxes, images."""

    def __init__(self, images: Images) -> None:
        super().__init__(convert_charrefs=True)
        self.out: list[str] = []
        self.headings: list[Heading] = []
        self._images = images
        self._open: dict[str, int] = {}
        self._heading: tuple[int, str | None, int] | None = None
        self._heading_text: list[str] = []
        self._ids: dict[str, int] = {}
        self._boxes: dict[str, int] = {}

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs if value or name in _MAY_BE_EMPTY}
        self._open[tag] = self._open.get(tag, 0) + 1
        if _is_heading(tag):
            self._heading = (int(tag[1]), values.get("id"), len(self.out))
            self._heading_text = []
            self.out.append("")  # written when the text is known
        elif tag == "pre":
            self._write(tag, values | self._scrolling("Code"))
        elif tag == "table":
            self._write("div", {"class": SCROLL_CLASS} | self._scrolling("Table"))
            self._write(tag, values)
        elif tag == "img":
            self._image(values)
        elif tag == "source":
            if self._images == "direct" and "srcset" in values:
                self._write(tag, values)
        elif tag != "picture" or self._images == "direct":
            self._write(tag, values)

    def handle_endtag(self, tag: str) -> None:
        self._open[tag] = max(0, self._open.get(tag, 0) - 1)
        if _is_heading(tag) and self._heading is not None:
            self._end_heading()
        elif tag == "table":
            self.out.append("</table></div>")
        elif tag != "picture" or self._images == "direct":
            self.out.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        self.out.append(escape(data, quote=False))
        self._heading_text.append(data)

    def _write(self, tag: str, values: dict[str, str]) -> None:
        written = "".join(f' {name}="{escape(value)}"' for name, value in values.items())
        self.out.append(f"<{tag}{written}>")

    def _scrolling(self, what: str) -> dict[str, str]:
        """For a box that scrolls: in reach of the keyboard, with a name of its own."""
        self._boxes[what] = number = self._boxes.get(what, 0) + 1
        return {"tabindex": "0", "role": "region", "aria-label": f"{what} {number} of the readme"}

    def _end_heading(self) -> None:
        assert self._heading is not None
        level, own_id, position = self._heading
        text = " ".join("".join(self._heading_text).split())
        anchor = self._unique(own_id or ID_PREFIX + _slug(text))
        lower = min(level + 1, 6)
        self.out[position] = f'<h{lower} id="{escape(anchor)}">'
        self.out.append(f"</h{lower}>")
        self._heading = None
        in_outline = not (self._open.get("li") or self._open.get("blockquote"))
        if in_outline and text and len(self.headings) < MAX_HEADINGS:
            self.headings.append(Heading(level, text, anchor))

    def _unique(self, anchor: str) -> str:
        seen = self._ids.get(anchor)
        self._ids[anchor] = 0 if seen is None else seen + 1
        return anchor if seen is None else f"{anchor}-{seen + 1}"

    def _image(self, values: dict[str, str]) -> None:
        source, alt = values.get("src"), values.get("alt", "")
        if source and self._images == "direct":
            self._write("img", values | {"alt": alt, "loading": "lazy"})
        elif alt or source:
            text = alt or "image"
            if source and not self._open.get("a"):
                self._write("a", {"class": IMAGE_CLASS, "href": source})
                self.handle_data(text)
                self.out.append("</a>")
            else:
                self._write("span", {"class": IMAGE_CLASS})
                self.handle_data(text)
                self.out.append("</span>")


def _is_heading(tag: str) -> bool:
    return len(tag) == 2 and tag[0] == "h" and tag[1] in "123456"


def _slug(text: str) -> str:
    """The anchor that readers of the usual code hosts expect."""
    return _NOT_IN_SLUG.sub("", text.strip().lower()).replace(" ", "-") or "section"

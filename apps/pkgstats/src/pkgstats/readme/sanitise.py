"""The only way from somebody else's HTML to ours.

`clean` keeps a short list of tags and attributes. What it gives out is a fixed point: cleaning it
again changes nothing, so no second reader can see something else in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from html import escape
from urllib.parse import quote, urljoin, urlsplit

import nh3
from pygments.token import STANDARD_TYPES

from pkgstats.sources.repository import file_base

ID_PREFIX = "user-content-"
LINK_REL = "nofollow ugc noopener noreferrer"
MAX_URL = 2000
MAX_PASSES = 5

CODE_PREFIX = "h-"
"""Before the classes of coloured code: `o` or `s1` would be somebody else's as well."""
SCROLL_CLASS = "readme-scroll"
IMAGE_CLASS = "readme-image"
"""A link that stands for an image which is not loaded (by itself)."""

_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_TAGS = {
    *_HEADINGS,
    *("a", "p", "br", "hr", "div", "span", "center", "blockquote", "pre", "code", "kbd", "samp"),
    *("ul", "ol", "li", "dl", "dt", "dd", "details", "summary", "figure", "figcaption"),
    *("table", "thead", "tbody", "tfoot", "tr", "th", "td", "caption"),
    *("em", "strong", "b", "i", "u", "s", "del", "ins", "sub", "sup", "small", "mark", "q"),
    *("abbr", "cite", "dfn", "var", "time", "wbr", "img", "picture", "source"),
}
_ALIGNED = ("p", "div", "img", "th", "td", "tr", *_HEADINGS)
_ATTRIBUTES: dict[str, set[str]] = {
    "a": {"href", "title", "id"},
    "img": {"src", "srcset", "alt", "title", "width", "height", "loading"},
    "source": {"media", "type", "srcset"},
    "ol": {"start"},
    "th": {"colspan", "rowspan"},
    "td": {"colspan", "rowspan"},
    "details": {"open"},
    "pre": {"tabindex", "role", "aria-label"},
    "div": {"tabindex", "role", "aria-label"},
    "abbr": {"title"},
    **{heading: {"id"} for heading in _HEADINGS},
}
for _tag in _ALIGNED:
    _ATTRIBUTES.setdefault(_tag, set()).add("align")
_VALUES = {
    "align": re.compile(r"left|right|center"),
    "loading": re.compile(r"lazy"),
    "tabindex": re.compile(r"0"),
    "role": re.compile(r"region"),
    "width": re.compile(r"\d{1,4}(?:px|%)?"),
    "height": re.compile(r"\d{1,4}(?:px|%)?"),
    "colspan": re.compile(r"\d{1,3}"),
    "rowspan": re.compile(r"\d{1,3}"),
    "start": re.compile(r"\d{1,9}"),
    "type": re.compile(r"image/[a-z0-9.+-]+"),
    "media": re.compile(r"[a-z0-9():. -]{1,100}"),
}
_CLASSES = {
    "span": {CODE_PREFIX + name for name in STANDARD_TYPES.values() if name} | {IMAGE_CLASS},
    "a": {IMAGE_CLASS},
    "div": {SCROLL_CLASS},
}
_DROPPED_WITH_CONTENT = {"script", "style", "noscript", "template", "iframe", "object", "title"}
_CANDIDATE = re.compile(r"(\S+?)(?:\s+(\d+(?:\.\d+)?[xw]))?")
_SPACE = re.compile(r"[\x00-\x20\x7f]+")

Resolve = Callable[[str, bool], str | None]
"""(address as written, is it an image) → absolute address or None."""


def clean(html: str, resolve: Resolve) -> str:
    """Safe HTML; addresses go through `resolve`, ids get a prefix so that they clobber nothing.

    Cleaned until nothing changes any more: an HTML parser reads some odd nestings (a heading in a
    table in a heading) differently after they were written out. What never settles is shown as text.
    """

    def attribute(tag: str, name: str, value: str) -> str | None:
        if name == "href":
            return _link(value, resolve)
        if name == "src":
            return resolve(value, True)
        if name == "srcset":
            return _srcset(value, resolve)
        if name == "id":
            return _prefixed(value)
        if name in _VALUES:
            return value if _VALUES[name].fullmatch(value) else None
        return value

    for _ in range(MAX_PASSES):
        cleaned = _clean_once(html, attribute)
        if cleaned == html:
            return html
        html = cleaned
    return escape(html)


def _clean_once(html: str, attribute: Callable[[str, str, str], str | None]) -> str:
    return nh3.clean(
        html,
        tags=_TAGS,
        clean_content_tags=_DROPPED_WITH_CONTENT,
        attributes=_ATTRIBUTES,
        attribute_filter=attribute,
        strip_comments=True,
        link_rel=LINK_REL,
        allowed_classes=_CLASSES,
        url_schemes={"http", "https", "mailto"},
    )


def resolver(repo_url: str | None, repo_dir: str | None) -> Resolve:
    """Relative addresses lead into the repository (folder of the package, `HEAD`), or nowhere."""

    def resolve(value: str, is_image: bool) -> str | None:
        value = _SPACE.sub("", value)
        if not value or len(value) > MAX_URL:
            return None
        try:
            parts = urlsplit(value)
            host, _port = parts.hostname, parts.port
        except ValueError:
            return None
        if parts.scheme:
            allowed = ("http", "https") if is_image else ("http", "https", "mailto")
            good = parts.scheme in allowed and (host or parts.scheme == "mailto")
            return quote(value, safe=_URL_SAFE) if good else None
        if parts.netloc:
            return quote(f"https:{value}", safe=_URL_SAFE) if host else None
        return _in_repository(value, repo_url, repo_dir, is_image)

    return resolve


_URL_SAFE = "!#$%&'()*+,/:;=?@[]~"


def _in_repository(
    value: str, repo_url: str | None, repo_dir: str | None, is_image: bool
) -> str | None:
    if repo_url is None or "\\" in value:
        return None
    base = file_base(repo_url, raw=is_image)
    folder = f"{base}{quote(repo_dir)}/" if repo_dir else base
    joined = urljoin(base, value.lstrip("/")) if value.startswith("/") else urljoin(folder, value)
    return quote(joined, safe=_URL_SAFE) if joined.startswith(base) else None


def _link(value: str, resolve: Resolve) -> str | None:
    value = value.strip()
    if value.startswith("#"):
        target = _prefixed(value[1:])
        return f"#{target}" if target else None
    return resolve(value, False)


def _prefixed(value: str) -> str | None:
    name = _SPACE.sub("", value)[:200]
    if not name:
        return None
    return name if name.startswith(ID_PREFIX) else ID_PREFIX + name


def _srcset(value: str, resolve: Resolve) -> str | None:
    """Each candidate by itself: the sanitiser library does not look into this attribute."""
    kept = []
    for part in value.split(","):
        match = _CANDIDATE.fullmatch(part.strip())
        if match and (url := resolve(match[1], True)):
            kept.append(f"{url} {match[2]}" if match[2] else url)
    return ", ".join(kept) or None

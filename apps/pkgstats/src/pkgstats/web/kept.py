"""Pages that are rendered already, as long as what they show is the very same."""

from __future__ import annotations

import gzip
import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property

MAX_PAGES = 256
MAX_BYTES = 16 * 1024 * 1024
COMPRESS_LEVEL = 6


@dataclass
class Rendered:
    """The bytes of a page, with its ETag; compressed when somebody first asks for it so."""

    body: bytes

    @cached_property
    def etag(self) -> str:
        return f'W/"{hashlib.sha256(self.body).hexdigest()[:32]}"'

    @cached_property
    def compressed(self) -> bytes:
        return gzip.compress(self.body, COMPRESS_LEVEL, mtime=0)


class KeptPages:
    """The pages asked for last. `shows` is the value a page was made of, compared by identity."""

    def __init__(self) -> None:
        self._pages: OrderedDict[tuple[object, ...], tuple[object, Rendered]] = OrderedDict()
        self._bytes = 0

    def get(self, key: tuple[object, ...], shows: object) -> Rendered | None:
        found = self._pages.get(key)
        if found is None or found[0] is not shows:
            return None
        self._pages.move_to_end(key)
        return found[1]

    def put(self, key: tuple[object, ...], shows: object, page: Rendered) -> None:
        if (old := self._pages.pop(key, None)) is not None:
            self._bytes -= len(old[1].body)
        self._pages[key] = (shows, page)
        self._bytes += len(page.body)
        while len(self._pages) > MAX_PAGES or self._bytes > MAX_BYTES:
            _, (_, last) = self._pages.popitem(last=False)
            self._bytes -= len(last.body)

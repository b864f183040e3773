"""The JSON API, and the answer that it shares with the suggestions over the socket.

Every answer has an ETag; every error is JSON with `error` and `code`. The schema of all of it is
served at SCHEMA_PATH.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from functools import cache
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pkgstats import __version__, grammar, series
from pkgstats.catalog import Catalog
from pkgstats.models import By, NotFound, NotFoundReason, PackageData, Series
from pkgstats.web import answers
from pkgstats.web.pages import not_found_status

MAX_TEXT = 500
"""Longer texts are no search: the grammar cuts at 64 characters anyway."""
MAX_LIMIT = 20
DEFAULT_LIMIT = 8
MAX_PAGE = 100

SCHEMA_PATH = "/api/v1/openapi.json"
PUBLIC_FOR = "public, max-age=60"
SEARCH_FOR = "private, max-age=30"
ASKED_EACH_TIME = "no-cache"
FOR_EVERY_SITE = {
    "access-control-allow-origin": "*",
    "access-control-expose-headers": "ETag",
    "cross-origin-resource-policy": "cross-origin",
}
"""Nothing here depends on who asks: pages of other sites may read it."""


class BadQuestion(ValueError):
    """A question that has no answer; the text says what was wanted."""


async def suggestions(catalog: Catalog, text: object, limit: object) -> dict[str, Any]:
    """Suggestions as JSON. Nothing found is an empty list; raises BadQuestion."""
    if not isinstance(text, str) or len(text) > MAX_TEXT:
        raise BadQuestion(f"q must be a text of at most {MAX_TEXT} characters")
    if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= MAX_LIMIT:
        raise BadQuestion(f"limit must be a number from 1 to {MAX_LIMIT}")
    items = await catalog.suggest(text, limit)
    answer: dict[str, Any] = {"items": [asdict(item) for item in items]}
    if catalog.simulated:
        answer["simulated"] = True
    return answer


def routes(catalog: Catalog) -> list[Route]:
    """The routes below /api/v1/."""
    api = _Api(catalog)
    handlers: dict[str, _Answer] = {
        "package": api.package,
        "downloads": api.downloads,
        "search": api.search,
        "suggest": api.suggest,
    }
    return [
        Route(SCHEMA_PATH, schema),
        *(Route(f"/api/v1/{name}", _answered(catalog, fn)) for name, fn in handlers.items()),
        Route("/api/{path:path}", _answered(catalog, api.unknown)),
    ]


def error_response(
    status: int, text: str, code: str, headers: Mapping[str, str] | None = None
) -> Response:
    """An error as JSON, for whoever asked under /api/."""
    body = msgspec.json.encode(answers.ErrorAnswer(text, code))
    return Response(body, status, {**FOR_EVERY_SITE, **(headers or {})}, "application/json")


class _NoAnswer(Exception):
    def __init__(self, status: HTTPStatus, answer: answers.ErrorAnswer) -> None:
        super().__init__(answer.error)
        self.status = status
        self.answer = answer


_Answer = Callable[[Mapping[str, str]], Awaitable[tuple[Any, str]]]
"""Fields of the query → the answer, and how long it may be kept."""


def _answered(catalog: Catalog, answer: _Answer) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        try:
            found, kept = await answer(request.query_params)
        except BadQuestion as error:
            return error_response(HTTPStatus.BAD_REQUEST, str(error), "bad_question")
        except _NoAnswer as error:
            told = msgspec.structs.replace(error.answer, simulated=catalog.simulated)
            headers = {"cache-control": "no-store", **FOR_EVERY_SITE}
            if error.status == HTTPStatus.SERVICE_UNAVAILABLE:
                headers["retry-after"] = "60"
            return Response(msgspec.json.encode(told), error.status, headers, "application/json")
        return conditional(request, msgspec.json.encode(found), "application/json", kept)

    return handle


def conditional(
    request: Request, body: bytes, media_type: str, kept: str, **headers: str
) -> Response:
    """A body with its ETag; 304 for a reader that has these bytes already."""
    etag = f'W/"{hashlib.sha256(body).hexdigest()[:32]}"'
    told = {"cache-control": kept, "etag": etag, **FOR_EVERY_SITE, **headers}
    asked = [tag.strip() for tag in request.headers.get("if-none-match", "").split(",")]
    if etag in asked or "*" in asked:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=told)
    return Response(body, HTTPStatus.OK, told, media_type)


class _Api:
    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def package(self, query: Mapping[str, str]) -> tuple[Any, str]:
        page = await self._page(query)
        return answers.package_answer(page), PUBLIC_FOR

    async def downloads(self, query: Mapping[str, str]) -> tuple[Any, str]:
        range_, by = read_range(query)
        page = await self._page({"name": query.get("name", "")})
        found = await self._catalog.series(page.name, range_, by)
        asked = Series(page.name, range_, by, (), 0, 0)
        return answers.downloads_answer(page, found, asked), PUBLIC_FOR

    async def search(self, query: Mapping[str, str]) -> tuple[Any, str]:
        text = query.get("q", "")
        if not grammar.clean(text) or len(text) > MAX_TEXT:
            raise BadQuestion(f"q must be a text of 1 to {MAX_TEXT} characters")
        page = _number(query, "page", 1, MAX_PAGE)
        return answers.search_answer(await self._catalog.search(text, page)), SEARCH_FOR

    async def suggest(self, query: Mapping[str, str]) -> tuple[Any, str]:
        limit = _number(query, "limit", DEFAULT_LIMIT, MAX_LIMIT)
        return await suggestions(self._catalog, query.get("q"), limit), ASKED_EACH_TIME

    async def unknown(self, query: Mapping[str, str]) -> tuple[Any, str]:
        text = f"There is no such answer here; {SCHEMA_PATH} lists all of them."
        raise _NoAnswer(HTTPStatus.NOT_FOUND, answers.ErrorAnswer(text, "no_such_address"))

    async def _page(self, query: Mapping[str, str]) -> PackageData:
        name, version = query.get("name", ""), query.get("version") or None
        if not name:
            raise BadQuestion("name must be the name of a package")
        found = await self._catalog.package(name, version)
        if not isinstance(found, NotFound):
            return found
        if found.reason is NotFoundReason.NOT_A_NAME:
            raise BadQuestion("name must be the name of a package")
        status = not_found_status(found.reason)
        near = [answers.suggestion(item) for item in found.suggestions]
        told = answers.origins(found.origins)
        raise _NoAnswer(status, answers.ErrorAnswer(found.words, found.reason.value, near, told))


def read_range(query: Mapping[str, str]) -> tuple[str, By]:
    """`range` and `by` of a question about counts; raises BadQuestion."""
    range_ = query.get("range") or series.DEFAULT_RANGE
    if range_ not in series.RANGES:
        raise BadQuestion(f"range must be one of {', '.join(series.RANGES)}")
    text = query.get("by")
    if not text:
        return range_, series.default_by(range_)
    try:
        return range_, By(text)
    except ValueError:
        raise BadQuestion(f"by must be one of {', '.join(By)}") from None


def _number(query: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and 1 <= int(text) <= most):
        raise BadQuestion(f"{name} must be a number from 1 to {most}")
    return int(text)


async def schema(request: Request) -> Response:
    """The API described as OpenAPI 3.1, made from the very types that are encoded."""
    return conditional(request, schema_body(), "application/json", PUBLIC_FOR)


_OPERATIONS: dict[str, tuple[str, type, dict[str, tuple[bool, str, dict[str, Any]]]]] = {
    "package": (
        "One version of a package",
        answers.PackageAnswer,
        {
            "name": (True, "name of the package", {"type": "string", "maxLength": 214}),
            "version": (False, "version or tag; latest when left out", {"type": "string"}),
        },
    ),
    "downloads": (
        "Downloads of a package over a range",
        answers.DownloadsAnswer,
        {
            "name": (True, "name of the package", {"type": "string", "maxLength": 214}),
            "range": (False, "how far back", {"enum": list(series.RANGES), "default": "30d"}),
            "by": (False, "what a point adds up; left out: what suits", {"enum": list(By)}),
        },
    ),
    "search": (
        "Packages that match a text, 50 a page",
        answers.SearchAnswer,
        {
            "q": (True, "free text", {"type": "string", "maxLength": MAX_TEXT}),
            "page": (False, "", {"type": "integer", "minimum": 1, "maximum": MAX_PAGE}),
        },
    ),
    "suggest": (
        "Suggestions for a text being typed",
        answers.SuggestAnswer,
        {
            "q": (True, "what is typed so far", {"type": "string", "maxLength": MAX_TEXT}),
            "limit": (False, "", {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT}),
        },
    ),
}


@cache
def schema_body() -> bytes:
    """The schema as it is served."""
    types = [operation[1] for operation in _OPERATIONS.values()] + [answers.ErrorAnswer]
    _, components = msgspec.json.schema_components(
        types, ref_template="#/components/schemas/{name}"
    )
    error = _content("ErrorAnswer")
    paths = {
        f"/api/v1/{name}": {
            "get": {
                "operationId": name,
                "summary": summary,
                "parameters": [
                    {
                        "name": field,
                        "in": "query",
                        "required": required,
                        "description": words,
                        "schema": kind,
                    }
                    for field, (required, words, kind) in fields.items()
                ],
                "responses": {
                    "200": {"description": summary, **_content(answer.__name__)},
                    "304": {"description": "what `If-None-Match` names is still right"},
                    "400": {"description": "a field is missing or out of range", **error},
                    "404": {"description": "no such package or version", **error},
                    "503": {"description": "nothing known here and no answer yet", **error},
                },
            }
        }
        for name, (summary, answer, fields) in _OPERATIONS.items()
    }
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {"title": "pkgstats", "version": __version__},
            "paths": paths,
            "components": {"schemas": components},
        }
    )


def _content(name: str) -> dict[str, Any]:
    reference = {"$ref": f"#/components/schemas/{name}"}
    return {"content": {"application/json": {"schema": reference}}}

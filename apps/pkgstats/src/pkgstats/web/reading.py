"""The pages to read: home, results, a package, people, comparisons."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from pkgstats import grammar
from pkgstats.catalog import Catalog
from pkgstats.grammar import HomeQuery, NameQuery, PackageQuery, ScopeQuery, SearchQuery, UserQuery
from pkgstats.models import NotFound, PackageList
from pkgstats.urls import CompareQuery, address, compare_path, read_path
from pkgstats.web import lists, pages
from pkgstats.web.choices import Picker
from pkgstats.web.kept import KeptPages
from pkgstats.web.pictures import can_draw_png
from pkgstats.web.render import Renderer, base, here, page_number, raw_path, theme
from pkgstats.web.visitor import visitor_of

MAX_SUGGESTED = 5


class ReadingPages:
    """Each answers from what the catalog knows; none waits for more than it does."""

    def __init__(self, catalog: Catalog, renderer: Renderer) -> None:
        self._catalog = catalog
        self._renderer = renderer
        self._kept = KeptPages()

    async def page(self, request: Request) -> Response:
        """Every address that the box can lead to."""
        raw = raw_path(request)
        route = read_path(raw, request.url.query)
        if raw == "/":
            match route:
                case SearchQuery(text, note):
                    return await self._results(request, text, note)
                case None | HomeQuery():
                    return self._renderer.html(
                        request, "home.html", home=await self._catalog.home()
                    )
                case _:
                    return RedirectResponse(address(route), HTTPStatus.SEE_OTHER)
        if route is None or isinstance(route, HomeQuery | SearchQuery):
            raise HTTPException(HTTPStatus.NOT_FOUND)
        if raw != address(route):
            query = f"?{request.url.query}" if request.url.query else ""
            return RedirectResponse(address(route) + query, HTTPStatus.PERMANENT_REDIRECT)
        match route:
            case PackageQuery(name, version):
                return await self._package(request, name, version)
            case CompareQuery(names):
                return await self._compare(request, names)
            case NameQuery(name) | UserQuery(name):
                return await self._people(request, name)
            case ScopeQuery(name):
                return await self._scope(request, name)

    async def compare_form(self, request: Request) -> Response:
        """`/compare`: the form, or the comparison that it asks for."""
        text = request.query_params.get("packages", "")
        names = list(dict.fromkeys(text.replace(",", " ").split()))
        good = [name for name in names if grammar.is_package_name(name)]
        is_open = text.rstrip().endswith(",")  # from a package's page: more names are to come
        if good and len(good) == len(names) <= grammar.MAX_COMPARED and not is_open:
            return RedirectResponse(compare_path(good), HTTPStatus.SEE_OTHER)
        problem = ""
        if len(names) > grammar.MAX_COMPARED:
            problem = f"At most {grammar.MAX_COMPARED} packages fit one chart."
        elif len(good) < len(names):
            wrong = next(name for name in names if name not in good)
            problem = f"“{wrong}” is no package name."
        known = (await self._catalog.home()).popular
        example = [item.card.name for item in known[:3]]
        return self._renderer.html(
            request,
            "compare_form.html",
            packages=f"{text} " if is_open else text,
            problem=problem,
            example=example,
        )

    async def _results(self, request: Request, text: str, note: str) -> Response:
        result = await self._catalog.search(text, page_number(request))
        near = () if result.cards else await self._catalog.near(text, MAX_SUGGESTED)
        return self._renderer.html(
            request,
            "results.html",
            result=result,
            note=" ".join(filter(None, (note, result.note))),
            near=near,
            text=request.query_params.get("search", ""),
        )

    async def _package(self, request: Request, name: str, version: str | None) -> Response:
        data = await self._catalog.package(name, version)
        box = f"pkg:{name}" + (f"@{version}" if version else "")
        if isinstance(data, NotFound):
            status, page = pages.not_found_status(data.reason), pages.not_found_page(data)
            return self._renderer.html(request, "not_found.html", status, page=page, text=box)
        visitor = visitor_of(request)
        is_starred = visitor is not None and await self._catalog.has_star(visitor, name)
        key = (here(request), theme(request), base(request), is_starred)
        kept = self._kept.get(key, data)
        if kept is None:
            picker = Picker(raw_path(request), "downloads")
            chosen = picker.read(request.query_params)
            series = None
            if data.downloads is not None:
                series = await self._catalog.series(name, chosen.range, chosen.by)
            kept = self._renderer.render(
                request,
                "package.html",
                page=pages.package_page(data, series, chosen, picker),
                is_starred=is_starred,
                has_card=can_draw_png(),
                text=box,
            )
            self._kept.put(key, data, kept)
        return self._renderer.answer(request, kept, kept=True)

    async def _people(self, request: Request, name: str) -> Response:
        """`@name` means a user or a scope: both, each under its own heading."""
        page = page_number(request)
        user, scope = await asyncio.gather(
            self._catalog.user(name, page), self._catalog.scope(name, page)
        )
        return await self._lists(request, f"@{name}", [user, scope])

    async def _scope(self, request: Request, name: str) -> Response:
        scope = await self._catalog.scope(name, page_number(request))
        return await self._lists(request, f"@{name}", [scope])

    async def _lists(self, request: Request, name: str, found: list[PackageList]) -> Response:
        status, near = HTTPStatus.OK, []
        if not any(one.cards for one in found):
            status = HTTPStatus.NOT_FOUND
            near = await self._catalog.near(name.removeprefix("@"), MAX_SUGGESTED)
        return self._renderer.html(
            request,
            "people.html",
            status,
            name=name,
            path=raw_path(request),
            people=[lists.part(one) for one in found],
            parts_found=status == HTTPStatus.OK,
            near=near,
            text=name,
        )

    async def _compare(self, request: Request, names: tuple[str, ...]) -> Response:
        query = request.query_params
        picker = Picker(compare_path(names), "h-d", usual="6m")
        chosen = picker.read(query)
        found = await self._catalog.compare(names, chosen.range, chosen.by)
        status = HTTPStatus.OK if found.cards else HTTPStatus.NOT_FOUND
        page = lists.comparison(found, chosen, picker, query.get("scale") == "index")
        return self._renderer.html(request, "compare.html", status, page=page)

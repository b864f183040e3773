"""HttpSource against recorded exchanges: every answer lands in the right row."""

import asyncio
import base64
import gzip
import hashlib
import io
import re
import tarfile
import tracemalloc
from collections.abc import AsyncIterator, Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from pkgstats.settings import InvalidSetting
from pkgstats.sources import http as http_module
from pkgstats.sources.base import (
    Answer,
    Change,
    Changes,
    Failing,
    FoundPage,
    Limited,
    NoData,
    NotOffered,
    NotSet,
    Release,
    Unchanged,
    Validators,
)
from pkgstats.sources.fetch import tls_context
from pkgstats.sources.http import HttpSource, tarball_address
from pkgstats.sources.npmrc import Found, NpmConfig
from pkgstats.sources.recorded import data_json

NOW = datetime(2026, 7, 1, 6, 0, tzinfo=UTC)
REGISTRY = "https://registry.example"
DOWNLOADS = "https://downloads.example"
REPLICATE = "https://replicate.example"
CONFIG = NpmConfig(Found(REGISTRY, "PKGSTATS_REGISTRY"))
WEEK = (date(2026, 6, 24), date(2026, 6, 30))

Handler = Callable[[httpx2.Request], httpx2.Response]
MakeSource = Callable[..., HttpSource]


@pytest.fixture
async def source(
    network: Callable[[Handler], httpx2.MockTransport],
) -> AsyncIterator[MakeSource]:
    """Make sources whose network is a function; all of them are closed at the end."""
    made: list[HttpSource] = []

    def make(
        handler: Handler,
        config: NpmConfig = CONFIG,
        downloads: str = DOWNLOADS,
        replicate: str = REPLICATE,
    ) -> HttpSource:
        transport = network(handler)
        made.append(HttpSource(config, downloads, replicate, now=lambda: NOW, transport=transport))
        return made[-1]

    yield make
    for one in made:
        await one.close()


class Recorded:
    """Answers every request with one recorded exchange and remembers what was asked."""

    def __init__(self, case: str) -> None:
        self.exchange = data_json(f"http/{case}.json")
        self.requests: list[httpx2.Request] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        wanted = self.exchange["response"]
        headers = {k: v for k, v in wanted["headers"].items() if k != "content-length"}
        if "body" in wanted:
            return httpx2.Response(wanted["status"], headers=headers, json=wanted["body"])
        return httpx2.Response(wanted["status"], headers=headers, text=wanted["body_text"])

    @property
    def asked(self) -> str:
        return str(self.requests[-1].url)


def describe(outcome: object) -> object:
    """An outcome without its free parts."""
    if isinstance(outcome, Limited):
        return outcome.until - NOW
    return outcome if isinstance(outcome, Failing) else type(outcome)


HTML = Failing("answered with a web page")
CUT = Failing("the answer is cut short")
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("case", "name", "outcome"),
    [
        ("registry/packument-200-with-validators", "@demo/widget", Answer),
        ("registry/packument-404-empty", "demo-no-such-name", NoData),
        ("registry/packument-404-json", "demo-no-such-name", NoData),
        ("registry/packument-200-html", "demo-widget", HTML),
        ("registry/packument-200-truncated", "demo-widget", CUT),
        ("registry/packument-unpublished", "demo-gone", Answer),
        ("registry/ping", "demo-widget", Failing("the answer is no packument of this name")),
        ("downloads/503-empty", "demo-widget", Failing("answered 503")),
        ("downloads/429-html-block-page", "demo-widget", MINUTE),
        ("downloads/429-retry-after", "demo-widget", timedelta(seconds=120)),
        ("downloads/429-retry-after-date", "demo-widget", timedelta(minutes=10)),
        ("search/429-retry-after-zero", "demo-widget", MINUTE),
    ],
)
async def test_f06_f07_packument_answers_land_in_their_row(
    source: MakeSource, case: str, name: str, outcome: object
) -> None:
    assert describe(await source(Recorded(case)).packument(name)) == outcome


async def test_packument_of_a_scoped_name_is_asked_with_its_slash_escaped(
    source: MakeSource,
) -> None:
    recorded = Recorded("registry/packument-200-with-validators")
    answer = await source(recorded).packument("@demo/widget")
    assert recorded.requests[0].url.raw_path.lower() == b"/@demo%2fwidget"
    assert isinstance(answer, Answer)
    assert answer.value.etag == '"5-cc33"'
    assert recorded.requests[0].headers["user-agent"].startswith("pkgstats/")


async def test_packument_when_we_hold_a_copy_sends_its_validators(source: MakeSource) -> None:
    recorded = Recorded("registry/packument-304")
    answer = await source(recorded).packument("@demo/widget", Validators('"5-cc33"', None))
    assert recorded.requests[0].headers["if-none-match"] == '"5-cc33"'
    assert answer == Unchanged(NOW)


async def test_packument_of_four_megabytes_is_read_whole(source: MakeSource) -> None:
    versions = {f"1.0.{i}": {"description": "x" * 900} for i in range(4500)}
    body = {"name": "demo-big", "dist-tags": {"latest": "1.0.4499"}, "versions": versions}
    answer = await source(lambda request: httpx2.Response(200, json=body)).packument("demo-big")
    assert isinstance(answer, Answer)
    assert len(answer.value.releases) == 4500


async def test_packument_of_a_private_scope_goes_to_its_own_registry(source: MakeSource) -> None:
    recorded = Recorded("registry/packument-404-empty")
    config = NpmConfig(CONFIG.registry, {"own": Found("https://own.example/npm", "@own:registry")})
    await source(recorded, config).packument("@own/x")
    assert recorded.asked.lower() == "https://own.example/npm/@own%2fx"


async def test_every_ability_without_an_address_is_not_set(source: MakeSource) -> None:
    asked: list[httpx2.Request] = []

    def never(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        return httpx2.Response(500)

    empty = source(never, NpmConfig(None), "", "")
    assert isinstance(await empty.changes(None), NotSet)
    assert isinstance(await empty.version_downloads("ws"), NotSet)
    assert isinstance(await empty.packument("ws"), NotSet)
    assert isinstance(await empty.latest("ws"), NotSet)
    assert isinstance(await empty.contents("ws", Release("1.0.0")), NotSet)
    assert isinstance(await empty.search("ws", 20, 0), NotSet)
    assert isinstance(await empty.scope_packages("ws"), NotSet)
    assert isinstance((await empty.downloads(["ws"], *WEEK))["ws"], NotSet)
    assert asked == []


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (httpx2.ConnectError("x"), "no connection"),
        (httpx2.ReadTimeout("x"), "no answer in time"),
        (httpx2.RemoteProtocolError("x"), "the answer is cut short"),
    ],
)
async def test_f06_a_broken_connection_is_failing_and_not_an_exception(
    source: MakeSource, error: Exception, reason: str
) -> None:
    def broken(request: httpx2.Request) -> httpx2.Response:
        raise error

    assert await source(broken).packument("ws") == Failing(reason)


async def test_a_host_that_fails_three_times_is_left_alone(source: MakeSource) -> None:
    asked = []

    def broken(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        raise httpx2.ConnectError("x")

    failing = source(broken)
    for _ in range(5):
        assert isinstance(await failing.packument("ws"), Failing)
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("case", "outcome"),
    [
        ("registry/manifest-404-empty", NoData),
        ("registry/manifest-404-json", NoData),
        ("registry/packument-200-html", HTML),
        ("registry/packument-200-truncated", Failing("the answer is no manifest")),
    ],
)
async def test_latest_answers_land_in_their_row(
    source: MakeSource, case: str, outcome: object
) -> None:
    assert describe(await source(Recorded(case)).latest("left-pad")) == outcome


async def test_latest_of_the_recorded_manifest_is_its_version(source: MakeSource) -> None:
    manifest = data_json("manifests/azure-web-pubsub-client-latest.json")
    found = source(lambda request: httpx2.Response(200, json=manifest))
    answer = await found.latest("@azure/web-pubsub-client")
    assert isinstance(answer, Answer)
    assert answer.value == "1.1.0"


@pytest.mark.parametrize(
    ("body", "encoding", "outcome"),
    [
        (gzip.compress(b'{"version": "1.2.3"}'), "gzip", Answer),
        (b'{"version": "1.2.3"}', "identity", Answer),
        (gzip.compress(b'{"version": "1.2.3"}')[:-9], "gzip", CUT),
        (b'{"version": "1.2.3"}', "gzip", Failing("the answer cannot be read")),
        (b'{"version": "1.2.3"}', "br", Failing("the answer cannot be read")),
        (gzip.compress(bytes(40 * 2**20)), "gzip", NotOffered),
        (b"", "gzip", Failing("the answer is no manifest")),
    ],
)
async def test_packed_answers_are_unpacked_no_further_than_the_limit(
    source: MakeSource, body: bytes, encoding: str, outcome: object
) -> None:
    headers = {"content-encoding": encoding}

    async def stream() -> AsyncIterator[bytes]:
        yield body

    found = source(lambda request: httpx2.Response(200, headers=headers, content=stream()))
    tracemalloc.start()
    answer = await found.latest("demo")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert describe(answer) == outcome
    assert peak < 30 * 2**20


async def test_an_answer_that_says_it_is_too_large_is_not_read(source: MakeSource) -> None:
    read = []

    async def stream() -> AsyncIterator[bytes]:
        read.append(1)
        yield b"x"

    headers = {"content-length": str(100 * 2**20)}
    found = source(lambda request: httpx2.Response(200, headers=headers, content=stream()))
    answer = await found.contents("demo", Release("1.0.0", integrity="sha512-x"))
    assert answer == NotOffered("larger than 10 MB")
    assert read == []


async def test_a_host_that_sends_a_byte_now_and_then_is_given_up(
    source: MakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pkgstats.sources.fetch.WHOLE_ANSWER_S", 0.05)

    async def stream() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    found = source(lambda request: httpx2.Response(200, content=stream()))
    assert await found.packument("demo") == Failing("no answer in time")


def test_a_cafile_that_cannot_be_read_is_an_invalid_setting(tmp_path: Path) -> None:
    (tmp_path / "no.pem").write_text("no certificate")
    for file in ("no.pem", "missing.pem"):
        with pytest.raises(InvalidSetting, match="cafile"):
            tls_context(str(tmp_path / file))


# Tarballs


def packed(files: dict[str, bytes]) -> tuple[bytes, str]:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    data = buffer.getvalue()
    return data, "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()


async def test_r08_contents_come_from_the_tarball_on_our_registry(
    source: MakeSource, wire_bytes: Callable[[bytes], httpx2.AsyncByteStream]
) -> None:
    data, integrity = packed({"package/README.md": b"# Hello", "package/index.js": b"1"})
    asked = []

    def serve(request: httpx2.Request) -> httpx2.Response:
        asked.append(str(request.url))
        # Some hosts say so of every .tgz: the file itself is meant, and its checksum is of it.
        return httpx2.Response(200, headers={"content-encoding": "gzip"}, stream=wire_bytes(data))

    elsewhere = "https://elsewhere.example/@demo/widget/-/widget-2.1.0.tgz"
    release = Release("2.1.0", integrity=integrity, tarball=elsewhere)
    answer = await source(serve).contents("@demo/widget", release)
    assert isinstance(answer, Answer)
    assert (answer.value.readme, answer.value.file_count) == ("# Hello", 2)
    assert (answer.value.packed_size, answer.value.unpacked_size) == (len(data), 8)
    assert asked == [f"{REGISTRY}/@demo/widget/-/widget-2.1.0.tgz"]


@pytest.mark.parametrize("integrity", ["sha512-AAAA", "sha1-" + "0" * 40, None])
async def test_contents_that_do_not_match_their_checksum_are_not_used(
    source: MakeSource, integrity: str | None
) -> None:
    data, _right = packed({"package/README.md": b"# Hello"})
    found = source(lambda request: httpx2.Response(200, content=data))
    answer = await found.contents("demo-widget", Release("1.0.0", integrity=integrity))
    assert isinstance(answer, NotOffered)


async def test_a03_a_tarball_that_is_not_there_is_not_offered(source: MakeSource) -> None:
    answer = await source(Recorded("registry/tarball-404")).contents("demo-gone", Release("1.0.0"))
    assert isinstance(answer, NotOffered)


async def test_contents_above_the_limit_are_not_read_to_the_end(
    source: MakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_module, "MAX_PACKED", 2**20)
    sent = []

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(64):
            sent.append(1)
            yield bytes(2**18)

    found = source(lambda request: httpx2.Response(200, content=endless()))
    answer = await found.contents("demo-widget", Release("1.0.0", integrity="sha512-x"))
    assert answer == NotOffered("larger than 1 MB")
    assert len(sent) < 10


@pytest.mark.parametrize(
    ("registry", "name", "named", "address"),
    [
        ("https://r.example", "ws", "https://x.example/ws/-/ws-1.0.0.tgz", "/ws/-/ws-1.0.0.tgz"),
        (
            "https://r.example/npm",
            "ws",
            "https://x.example/ws/-/ws-1.0.0.tgz",
            "/npm/ws/-/ws-1.0.0.tgz",
        ),
        ("https://r.example/npm", "ws", "https://r.example/npm/ws/-/a.tgz", "/npm/ws/-/a.tgz"),
        (
            "https://r.example",
            "@s/n",
            "https://x.example/@s%2fn/-/n-1.0.0.tgz",
            "/@s/n/-/n-1.0.0.tgz",
        ),
        ("https://r.example/npm", "ws", "https://r.example/download/ws/1", "/download/ws/1"),
        ("https://r.example", "@s/n", None, "/@s/n/-/n-1.0.0.tgz"),
        ("https://r.example", "ws", "https://x.example/../../etc/passwd", "/ws/-/ws-1.0.0.tgz"),
        # These would name another host when they were put behind the registry's name.
        ("https://r.example", "ws", ".x.example/a.tgz", "/ws/-/ws-1.0.0.tgz"),
        ("https://r.example", "ws", "@x.example/a.tgz", "/ws/-/ws-1.0.0.tgz"),
        ("https://r.example", "ws", ":8443/a.tgz", "/ws/-/ws-1.0.0.tgz"),
        ("https://r.example", "ws", "https://x.example/a b\x01\\.tgz", "/a%20b%01%5C.tgz"),
    ],
)
def test_tarball_address_is_always_on_the_registry(
    registry: str, name: str, named: str | None, address: str
) -> None:
    found = tarball_address(registry, name, Release("1.0.0", tarball=named))
    assert found == f"https://r.example{address}"


# Counts


@pytest.mark.parametrize(
    ("case", "outcome"),
    [
        ("range-week", Answer),
        ("range-all-zero", Answer),
        ("range-true-zeros", Answer),
        ("range-zero-at-end", Answer),
        ("bulk-scoped-400", Failing("answered 400")),
        ("429-retry-after-date", timedelta(minutes=10)),
        ("429-html-block-page", MINUTE),
        ("unknown-404", NoData),
        ("not-offered-404-empty", NotOffered),
        ("200-html-block-page", NotOffered),
        ("200-truncated", CUT),
        ("503-empty", Failing("answered 503")),
        ("429-no-retry-after", MINUTE),
        ("429-retry-after", timedelta(seconds=120)),
    ],
)
async def test_a03_downloads_answers_land_in_their_row(
    source: MakeSource, case: str, outcome: object
) -> None:
    answers = await source(Recorded(f"downloads/{case}")).downloads(["demo-widget"], *WEEK)
    assert describe(answers["demo-widget"]) == outcome


async def test_downloads_of_a_scoped_name_are_asked_with_a_plain_slash(source: MakeSource) -> None:
    recorded = Recorded("downloads/range-last-month.azure-web-pubsub-client")
    name = "@azure/web-pubsub-client"
    answers = await source(recorded).downloads([name], date(2026, 6, 1), date(2026, 6, 30))
    answer = answers[name]
    assert recorded.asked == f"{DOWNLOADS}/downloads/range/2026-06-01:2026-06-30/{name}"
    assert isinstance(answer, Answer)
    assert sum(item.count or 0 for item in answer.value) == 134_113


async def test_downloads_in_bulk_tell_unknown_names_from_known_ones(source: MakeSource) -> None:
    recorded = Recorded("downloads/bulk-range")
    names = ["demo-widget", "demo-popular", "demo-no-such-name"]
    answers = await source(recorded).downloads(names, date(2020, 1, 1), date(2026, 6, 30))
    assert [describe(answers[name]) for name in names] == [Answer, Answer, NoData]
    assert "/2025-07-01:2026-06-30/" in recorded.asked  # a year at most in bulk


async def test_downloads_published_as_zero_are_holes(source: MakeSource) -> None:
    found = source(Recorded("downloads/range-zero-holes"))
    answer = (await found.downloads(["demo-popular"], *WEEK))["demo-popular"]
    assert isinstance(answer, Answer)
    assert [i for i, item in enumerate(answer.value) if item.count is None] == [3, 9, 17, 23]


# Search and organisations


@pytest.mark.parametrize(
    ("case", "outcome"),
    [
        ("two-results", Answer),
        ("page-2", Answer),
        ("scope", Answer),
        ("maintainer", Answer),
        ("missing-optional-fields", Answer),
        ("empty", Answer),
        ("not-offered-404-empty", NotOffered),
        ("403-html-block-page", NotOffered),
        ("text-too-short-400", NoData),
        ("200-truncated", Failing("the answer is no search result")),
        ("429-no-retry-after", MINUTE),
        ("429-retry-after-zero", MINUTE),
    ],
)
async def test_a03_a05_search_answers_land_in_their_row(
    source: MakeSource, case: str, outcome: object
) -> None:
    assert describe(await source(Recorded(f"search/{case}")).search("widget", 20, 0)) == outcome


async def test_a12_search_results_hold_no_mail_address(source: MakeSource) -> None:
    recorded = Recorded("search/two-results")
    answer = await source(recorded).search("a b&c", 20, 40)
    assert isinstance(answer, Answer)
    page: FoundPage = answer.value
    assert recorded.asked == f"{REGISTRY}/-/v1/search?text=a+b%26c&size=20&from=40"
    assert page.found[0].name == "demo-widget"
    assert page.found[0].publisher == "demo-team"
    assert page.found[0].weekly_downloads == 4439
    assert "@demo.example" not in repr(page)


async def test_search_total_may_promise_more_than_there_is(source: MakeSource) -> None:
    answer = await source(Recorded("search/total-larger-than-served")).search("x y", 250, 5000)
    assert isinstance(answer, Answer)
    assert (answer.value.found, answer.value.total) == ((), 181_034)


@pytest.mark.parametrize(
    ("case", "outcome"),
    [
        ("search/org-packages", Answer),
        ("search/org-404", NoData),
        ("search/not-offered-404-empty", NotOffered),
        ("registry/user-403", NotOffered),
    ],
)
async def test_organisation_answers_land_in_their_row(
    source: MakeSource, case: str, outcome: object
) -> None:
    assert describe(await source(Recorded(case)).scope_packages("demo")) == outcome


# Counts of versions


@pytest.mark.parametrize(
    ("case", "outcome"),
    [
        ("versions/last-week.scoped", Answer),
        ("versions/unknown-404", NoData),
        ("versions/slash-not-escaped-404", NotOffered),
        ("downloads/200-html-block-page", NotOffered),
        ("downloads/429-html-block-page", MINUTE),
        ("downloads/429-no-retry-after", MINUTE),
        ("downloads/503-empty", Failing("answered 503")),
        ("downloads/200-truncated", CUT),
        ("downloads/bulk-scoped-400", Failing("answered 400")),
    ],
)
async def test_a03_version_counts_land_in_their_row(
    source: MakeSource, case: str, outcome: object
) -> None:
    assert describe(await source(Recorded(case)).version_downloads("@demo/widget")) == outcome


async def test_a07_version_counts_of_the_model_add_up_to_its_week(source: MakeSource) -> None:
    recorded = Recorded("versions/last-week.azure-web-pubsub-client")
    answer = await source(recorded).version_downloads("@azure/web-pubsub-client")
    assert isinstance(answer, Answer)
    counts = Recorded("downloads/point-last-week.azure-web-pubsub-client").exchange
    assert sum(answer.value.values()) == counts["response"]["body"]["downloads"]


async def test_version_counts_of_a_scoped_name_are_asked_with_its_slash_escaped(
    source: MakeSource,
) -> None:
    recorded = Recorded("versions/last-week.scoped")
    answer = await source(recorded).version_downloads("@demo/widget")
    assert recorded.requests[0].url.raw_path == b"/versions/@demo%2Fwidget/last-week"
    assert isinstance(answer, Answer)
    assert answer.value == {"2.1.0": 1204, "2.0.3": 377, "2.0.0-rc.1": 4, "1.9.9": 0}


async def test_version_counts_keep_only_what_is_a_count(source: MakeSource) -> None:
    rows = {"1.0.0": 3, "../x": 1, "1.0.1": True, "1.0.2": -1, "1.0.3": "5", "1.0.4": 1.5}
    found = source(lambda request: httpx2.Response(200, json={"downloads": rows}))
    answer = await found.version_downloads("demo")
    assert isinstance(answer, Answer)
    assert answer.value == {"1.0.0": 3}


# Changes

WIDGETS = (Change("demo-widget"), Change("@demo/widget"))


@pytest.mark.parametrize(
    ("case", "since", "outcome"),
    [
        (
            "page-1",
            "1000",
            Changes(
                (Change("demo-newborn", is_first=True), *WIDGETS, Change("demo-gone", True)),
                "1015",
                has_more=True,
            ),
        ),
        ("page-2-repeat", "1015", Changes((Change("demo-widget"),), "1040", has_more=True)),
        ("caught-up", "1040", Changes((), "1040")),
        ("deleted-then-new", "1041", Changes((Change("demo-again"),), "1051", has_more=True)),
        (
            "opaque-seq",
            "1040-g1AAAA",
            Changes((Change("demo-gauge", is_first=True),), "1041-g1AAAB", has_more=True),
        ),
        ("now", None, Changes((), "2200")),
        ("seq-went-back", "1051", Changes((), "12", is_reset=True)),
        ("cursor-refused-400", "999999999999", Changes((), None, is_reset=True)),
        ("200-truncated", "1000", Failing("the answer is no list of changes")),
        ("429-retry-after", "1000", MINUTE),
        ("not-offered-404-empty", "1000", NotOffered),
        ("include-docs-refused-400", None, Failing("answered 400")),
    ],
)
async def test_a03_a05_changes_land_in_their_row(
    source: MakeSource, case: str, since: str | None, outcome: object
) -> None:
    recorded = Recorded(f"changes/{case}")
    answer = await source(recorded).changes(since)
    found = answer.value if isinstance(answer, Answer) else describe(answer)
    assert found == outcome
    limit = 0 if since is None else 500
    assert recorded.asked == f"{REPLICATE}/registry/_changes?since={since or 'now'}&limit={limit}"


# The recorded files themselves


NOT_ASKED_FOR = {
    "registry/dist-tags",
    "registry/dist-tags-full",
    "downloads/bulk-point",
    "downloads/bulk-all-unknown",
    "downloads/point-last-day",
    "downloads/point-last-week.azure-web-pubsub-client",
    "downloads/point-last-month.azure-web-pubsub-client",
    "downloads/point-whole-registry",
}
"""End points that no loader uses: the packument has the tags, ranges hold the sums."""


def test_f08_every_recorded_exchange_is_read_by_a_test() -> None:
    tests = Path(__file__).parents[1]
    text = "".join(path.read_text("utf-8") for path in tests.rglob("test_*.py"))
    folder = Path(http_module.__file__).parents[1] / "data" / "http"
    cases = {path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.json")}
    unread = {case for case in cases if not re.search(rf'["/]{case.rpartition("/")[2]}["/.]', text)}
    assert unread <= NOT_ASKED_FOR
    assert NOT_ASKED_FOR <= cases


def files() -> list[Path]:
    folder = Path(http_module.__file__).parents[1] / "data"
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a12_no_recorded_file_holds_a_mail_address_or_a_registry_host() -> None:
    mail = re.compile(r"[A-Za-z0-9._+-]+@[A-Za-z0-9-]+\.[A-Za-z]{2,}")
    checked = 0
    for path in files():
        text = path.read_text("utf-8")
        assert not mail.search(text), path.name
        assert '"tarball": "http' not in text, path.name
        checked += 1
    assert checked > 80


def test_recorded_data_stays_small() -> None:
    assert sum(path.stat().st_size for path in files()) < 1_000_000


def test_registry_requests_of_every_recorded_exchange_use_placeholders() -> None:
    for path in files():
        if path.parent.parent.name == "http":
            exchange: dict[str, Any] = data_json(f"http/{path.parent.name}/{path.name}")
            assert exchange["note"], path.name
            assert ".example/" in exchange["request"]["url"], path.name

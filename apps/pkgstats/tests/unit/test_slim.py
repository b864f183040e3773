"""One slimmer for every form a packument comes in."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pkgstats.models import Engine, ModuleKind, PublishedSource
from pkgstats.sources.base import Packument
from pkgstats.sources.recorded import data_json
from pkgstats.sources.repository import file_base, repository_directory, repository_link
from pkgstats.sources.slim import (
    NotAPackument,
    parse_time,
    slim_packument,
    slim_release,
    version_key,
)


def packument(file: str) -> Packument:
    body = data_json(f"packuments/{file}.json")
    return slim_packument(body, body["name"])


def test_f03_published_is_the_time_of_each_version_where_the_registry_tells_it() -> None:
    widget = packument("made-up.full-form")
    assert widget.published_source is PublishedSource.REGISTRY
    latest = widget.release("2.1.0")
    assert latest is not None
    assert latest.published_at == datetime(2026, 5, 2, 8, 30, tzinfo=UTC)


@pytest.mark.parametrize("file", ["azure-web-pubsub-client", "left-pad", "express", "react", "ws"])
def test_f03_dates_of_a_lean_mirror_are_known_to_be_no_publish_dates(file: str) -> None:
    assert packument(file).published_source is PublishedSource.MIRROR


def test_slim_packument_full_form_keeps_tags_people_and_sizes() -> None:
    widget = packument("made-up.full-form")
    assert widget.latest == "2.1.0"
    assert dict(widget.dist_tags)["next"] == "3.0.0-beta.2"
    assert widget.maintainers == ("demo-team", "demo-bot")
    assert [item.version for item in widget.releases] == ["3.0.0-beta.2", "2.1.0", "1.9.9"]
    latest = widget.releases[1]
    assert (latest.unpacked_size, latest.file_count) == (20480, 9)
    assert latest.repo_dir == "packages/widget"
    assert {item.kind for item in latest.dependencies} == {"dependencies", "peerDependencies"}


def test_slim_packument_abbreviated_form_has_no_dates_and_no_description() -> None:
    widget = packument("made-up.abbreviated")
    assert widget.published_source is PublishedSource.UNKNOWN
    assert widget.releases[0].description == ""
    assert widget.releases[0].module is None  # the form has no field that could tell


def test_slim_packument_when_latest_points_nowhere_takes_the_highest_release() -> None:
    assert packument("made-up.latest-missing").latest == "1.0.0"
    assert packument("made-up.no-versions").latest is None


def test_slim_packument_odd_forms_become_the_same_fields() -> None:
    odd = {item.version: item for item in packument("made-up.odd-forms").releases}
    assert odd["1.0.0"].keywords == ("one", "two three")
    assert odd["1.0.0"].engines == (Engine("node", ">= 0.2.0"),)
    assert [odd[v].license for v in sorted(odd)] == [
        "MIT",
        "MIT, Apache-2.0",
        "SEE LICENSE IN LICENSE.txt",
        "UNLICENSED",
        "MIT, BSD",
        "(MIT OR Apache-2.0)",
    ]
    assert odd["1.0.2"].homepage is None  # javascript:
    assert odd["1.0.4"].homepage == "https://demo.example/"
    assert odd["1.0.4"].repo_dir is None  # ../../etc
    assert odd["1.0.3"].published_at is None
    assert odd["1.0.5"].maintainers == ("demo-team",)


def test_a08_only_a_text_that_says_something_is_a_deprecation() -> None:
    odd = {item.version: item for item in packument("made-up.odd-forms").releases}
    assert odd["1.0.2"].deprecated is None  # false
    assert odd["1.0.3"].deprecated is None  # ""
    assert odd["1.0.4"].deprecated == "broken; use 1.0.5"
    react = packument("react").release("16.14.0")
    assert react is not None
    assert react.deprecated is None


@pytest.mark.parametrize(
    ("manifest", "module"),
    [
        ({"main": "a.js"}, ModuleKind.CJS),
        ({"main": "a.js", "type": "module"}, ModuleKind.ESM),
        ({"main": "a.mjs"}, ModuleKind.ESM),
        ({"main": "a.js", "module": "a.mjs"}, ModuleKind.BOTH),
        ({"exports": {".": {"import": "./a.mjs", "require": "./a.cjs"}}}, ModuleKind.BOTH),
        ({"exports": {"import": "./a.mjs"}}, ModuleKind.ESM),
        ({"type": "module", "exports": "./a.js"}, ModuleKind.ESM),
        ({}, None),
    ],
)
def test_a09_module_badge_follows_the_manifest(
    manifest: dict[str, Any], module: ModuleKind | None
) -> None:
    assert slim_release(manifest, "1.0.0").module is module


def test_a09_types_badge_looks_into_exports_too() -> None:
    assert slim_release({"types": "a.d.ts"}, "1.0.0").has_types
    assert slim_release({"exports": {".": {"types": "./a.d.ts"}}}, "1.0.0").has_types
    assert not slim_release({"exports": {"./types": "./a.js"}}, "1.0.0").has_types


def test_a12_nothing_that_looks_like_a_mail_address_is_kept() -> None:
    mail = "someone" + "@" + "mail.example"
    manifest = {
        "description": f"Ask {mail}",
        "deprecated": f"write to {mail}",
        "homepage": f"https://x.example/?to={mail}",
        "keywords": [mail, "kept"],
        "license": f"MIT {mail}",
        "author": {"name": "x", "email": mail},
        "maintainers": [{"name": "demo-team", "email": mail}, f"{mail} <{mail}>"],
        "_npmUser": {"name": mail},
    }
    release = slim_release(manifest, "1.0.0")
    assert b"mail.example" not in msgspec.json.encode(release)
    assert release.keywords == ("kept",)
    assert release.maintainers == ("demo-team",)


def test_a08_a_notice_that_names_a_version_stays_as_it_is() -> None:
    notice = "use left-pad@1.3.0 or @scope/name@2.0.0-beta.1"
    assert slim_release({"deprecated": notice}, "1.0.0").deprecated == notice


@pytest.mark.parametrize(
    ("written", "link"),
    [
        ("git+ssh://git" + "@github.com/o/n.git", "https://github.com/o/n"),
        ("git" + "@github.com:o/n.git", "https://github.com/o/n"),
        ("github:o/n", "https://github.com/o/n"),
        ("o/n", "https://github.com/o/n"),
        ("gitlab:o/n/m", "https://gitlab.com/o/n/m"),
        ("gist:abc123", "https://gist.github.com/abc123"),
        ("git://h.example/o/n.git#main", "https://h.example/o/n"),
        ("git+https://h.example/o/n", "https://h.example/o/n"),
        ("git+ssh://git" + "@h.example:o/n.git", "https://h.example/o/n"),
        ("ssh://git" + "@h.example:22/o/n", "https://h.example/o/n"),
        ("https://user:word" + "@h.example:8443/o/n/", "https://h.example:8443/o/n"),
        ("javascript:alert(1)", None),
        ("file:///etc/passwd", None),
        ("https://h.example/../../x", None),
        ("just words", None),
        ("", None),
    ],
)
def test_r11_repository_of_any_spelling_becomes_a_link(written: str, link: str | None) -> None:
    assert repository_link(written) == link
    assert repository_link({"type": "git", "url": written}) == link


def test_r09_repository_files_are_shown_at_head() -> None:
    assert file_base("https://github.com/o/n", raw=False) == "https://github.com/o/n/blob/HEAD/"
    assert file_base("https://gitlab.com/o/n", raw=True) == "https://gitlab.com/o/n/-/raw/HEAD/"
    assert repository_directory({"directory": "./packages/x/"}) == "packages/x"
    assert repository_directory({"directory": "/../x"}) is None


def test_version_key_orders_as_semantic_versions_do() -> None:
    ordered = [
        "x",
        "0.9.0",
        "1.0.0-alpha",
        "1.0.0-alpha.1",
        "1.0.0-beta",
        "1.0.0",
        "1.0.10",
        "10.0.0",
    ]
    assert sorted(reversed(ordered), key=version_key) == ordered


@pytest.mark.parametrize("body", [None, [], "x", {}, {"name": "other"}])
def test_slim_packument_when_it_is_another_document_says_so(body: object) -> None:
    with pytest.raises(NotAPackument):
        slim_packument(body, "demo-widget")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    "author repository license licenses keywords engines deprecated description homepage bugs dist"
    " dependencies peerDependencies maintainers _npmUser exports main module type types".split()
)


@given(st.dictionaries(FIELDS, JSON, max_size=8), JSON)
@settings(max_examples=200, deadline=None)
def test_slim_release_whatever_comes_in_never_fails(manifest: dict[str, Any], time: object) -> None:
    release = slim_release(manifest, "1.0.0", time)
    assert msgspec.json.decode(msgspec.json.encode(release), type=type(release)) == release


@given(st.text(max_size=30))
def test_parse_time_of_any_text_is_utc_or_none(text: str) -> None:
    time = parse_time(text)
    assert time is None or time.utcoffset() is not None

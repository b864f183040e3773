"""Against the registry of this machine's npm configuration. Off unless PKGSTATS_LIVE=1 is set.

Two questions and one tarball through the npm client: are the shapes still what the code expects?
"""

import os
from collections.abc import AsyncIterator

import pytest

from pkgstats.readme.render import render
from pkgstats.sources.base import Answer
from pkgstats.sources.http import HttpSource
from pkgstats.sources.npm_cli import NpmCliSource
from pkgstats.sources.npmrc import NpmConfig
from pkgstats.sources.recorded import MODEL, MODEL_VERSION, data_json

pytestmark = pytest.mark.skipif(
    os.environ.get("PKGSTATS_LIVE") != "1", reason="asks a real registry: set PKGSTATS_LIVE=1"
)


@pytest.fixture
async def source() -> AsyncIterator[NpmCliSource]:
    source = NpmCliSource(HttpSource(NpmConfig(None)))
    yield source
    await source.close()


async def test_the_model_package_still_has_its_shape(source: NpmCliSource) -> None:
    answer = await source.packument(MODEL)
    assert isinstance(answer, Answer), answer
    release = answer.value.release(MODEL_VERSION)
    assert release is not None
    assert release.integrity is not None
    contents = await source.contents(MODEL, release)
    assert isinstance(contents, Answer), contents
    recorded = data_json(f"files/azure-web-pubsub-client-{MODEL_VERSION}.json")
    assert (
        contents.value.packed_size,
        contents.value.unpacked_size,
        contents.value.file_count,
    ) == (
        recorded["packed"],
        recorded["unpacked"],
        recorded["count"],
    )
    readme = render(contents.value.readme or "", images="off")
    outline = data_json(f"readmes/azure-web-pubsub-client-{MODEL_VERSION}.headings.json")
    assert [{"level": h.level, "text": h.text} for h in readme.headings] == outline

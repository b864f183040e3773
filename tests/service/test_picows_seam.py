"""What we rely on in picows beyond its public surface; a new version that differs fails here."""

import asyncio
import importlib.metadata

from hubbub.service.picows_seam import WebSocketFactory


async def test_factory_is_captured_and_the_loop_is_left_as_it_was() -> None:
    loop = asyncio.get_running_loop()
    before = loop.create_server
    factory = await WebSocketFactory.create(max_frame_bytes=1000)
    assert loop.create_server == before
    protocol = factory._make_protocol()
    assert isinstance(protocol, asyncio.BufferedProtocol)
    assert {"connection_made", "get_buffer", "buffer_updated"} <= set(dir(protocol))


def test_pinned_version_is_the_one_that_was_looked_at() -> None:
    assert importlib.metadata.version("picows").startswith("2.3.")

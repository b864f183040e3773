"""Hours in virtual time, with a real service on a real socket."""

import asyncio
from typing import Any

import pytest
from picows import WSMsgType

from hubbub.client import Client
from hubbub.client.transport import Transport
from hubbub.testing.plugin import Hubbub


@pytest.mark.virtual_time
async def test_cl_104_cl_066_idle_hour_is_no_loss_and_only_our_pings_are_sent(
    hubbub: Hubbub, monkeypatch: pytest.MonkeyPatch
) -> None:
    pings: list[Any] = []
    monkeypatch.setattr(Transport, "ping", lambda self: pings.append(self))
    kinds: set[Any] = set()
    seen = Transport.on_ws_frame

    def see(self: Transport, transport: Any, frame: Any) -> None:
        kinds.add(frame.msg_type)
        seen(self, transport, frame)

    monkeypatch.setattr(Transport, "on_ws_frame", see)
    settings = {"web_socket_keep_alive_interval_s": 120}
    async with hubbub.hub(settings=settings) as hub:
        client = Client(hub.url())
        lost: list[object] = []
        client.on("recovering", lost.append)
        async with client:
            began = client.stats
            await asyncio.sleep(3600)
            now = client.stats
            # One `ping` each 15 s and its `pong`; the service's own pings count as life too.
            assert 3600 / 15 * 0.8 <= now.frames_out - began.frames_out <= 3600 / 15
            answered = now.frames_in - began.frames_in
            assert answered >= now.frames_out - began.frames_out - 1, "the last is on its way"
            assert client.is_connected
        assert lost == []
        assert pings == []
        assert WSMsgType.PONG not in kinds, "nothing that the library itself has asked for"
        assert hub.service.counts["connections.opened"] == 1


@pytest.mark.virtual_time
async def test_credential_in_a_thread_does_not_find_its_time_gone(hubbub: Hubbub) -> None:
    async with hubbub.hub() as hub, Client(hub.url, credential_timeout=0.01) as client:
        assert client.is_connected

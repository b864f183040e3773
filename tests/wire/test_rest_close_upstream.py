"""What the event handler hears of a connection that was closed by REST."""

import time

import httpx2
import pytest
from tests.wire.client import until
from tests.wire.upstream_helpers import JR, KEY, Client, J, Stage, stage
from websockets.exceptions import ConnectionClosed

from hubbub.protocol import tokens


async def close(on: Stage, client: Client, reason: str = "bye") -> None:
    url = f"{on.service.url}/api/hubs/chat/connections/{client.hello['connectionId']}"
    token = tokens.make_rest_token(KEY, url=url, now=time.time(), life_s=60)
    async with httpx2.AsyncClient(trust_env=False) as http:
        headers = {"Authorization": f"Bearer {token}"}
        answer = await http.delete(url, params={"reason": reason}, headers=headers)
    assert answer.status_code == 204


@pytest.mark.parametrize("subprotocol", [J, JR])
async def test_ue_044_closed_connection_is_reported_with_the_reason(subprotocol: str) -> None:
    async with stage() as on:
        client = await on.open(subprotocol)
        await on.handler.wait_for("connected")
        await close(on, client)
        (gone,) = await on.handler.wait_for("disconnected")
        assert gone.json == {"reason": "bye"}
        assert gone.header("ce-connectionId") == client.hello["connectionId"]
        assert (await client.closed()).code == 1000
        await close(on, client, "again")
        await on.service.drain()
        assert len(on.handler.events("disconnected")) == 1


async def test_ra_100_lost_client_that_is_closed_cannot_recover_and_is_reported_once() -> None:
    async with stage() as on:
        client = await on.open(JR)
        await on.handler.wait_for("connected")
        client.cut()
        await until(lambda: on.service.counts.get("connections.lost"))
        await close(on, client)
        query = (
            f"awps_connection_id={client.hello['connectionId']}"
            f"&awps_reconnection_token={client.hello['reconnectionToken']}"
        )
        with pytest.raises(ConnectionClosed) as refused:
            await on.open(JR, token="", query=query)
        assert refused.value.rcvd is not None
        assert refused.value.rcvd.code == 1008
        (gone,) = await on.handler.wait_for("disconnected")
        assert gone.json == {"reason": "bye"}
        await on.service.drain()
        assert len(on.handler.events("disconnected")) == 1

"""Who gets in, and what the first frame is (cases CP-001 to CP-022, CP-135 to CP-137)."""

import asyncio
import base64
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

import jwt
import pytest
from tests.wire.client import (
    JR,
    Closed,
    J,
    RawClient,
    Refusal,
    access_key,
    access_token,
    is_success,
)

from hubbub.service import HubSettings, Service, Settings

Connect = Callable[..., Awaitable[RawClient]]
StartService = Callable[..., Awaitable[Service]]


async def status_of(service: Service, target: str, **options: Any) -> int:
    with pytest.raises(Refusal) as refusal:
        await RawClient.open(service, target, **options)
    return refusal.value.status


async def test_cp_001_valid_token_gets_101_and_connected(
    service: Service, connect: Connect
) -> None:
    client = await connect(service, J, user_id="u1")
    assert client.headers["sec-websocket-protocol"] == J
    assert client.hello["type"] == "system"
    assert client.hello["userId"] == "u1"
    assert client.hello["connectionId"]
    assert "reconnectionToken" not in client.hello


@pytest.mark.parametrize("path", ["/client/?hub=hub1&", "/client?hub=hub1&"])
async def test_cp_002_legacy_path_is_the_same(service: Service, path: str) -> None:
    target = f"{path}access_token={access_token(service)}"
    client = await RawClient.open(service, target, subprotocols=J)
    assert (await client.json())["event"] == "connected"
    await client.close()


async def test_cp_003_token_in_the_header_gets_in(service: Service) -> None:
    headers = {"Authorization": f"Bearer {access_token(service)}"}
    client = await RawClient.open(service, "/client/hubs/hub1", subprotocols=J, headers=headers)
    assert (await client.json())["event"] == "connected"
    await client.close()


async def test_token_in_the_query_wins_over_the_header(service: Service) -> None:
    headers = {"Authorization": f"Bearer {access_token(service)}"}
    target = "/client/hubs/hub1?access_token=abc"
    assert await status_of(service, target, headers=headers) == 401


async def test_cp_004_no_token_gets_401(service: Service) -> None:
    assert await status_of(service, "/client/hubs/hub1", subprotocols=J) == 401


async def test_cp_005_expiry_has_five_minutes_of_skew(service: Service) -> None:
    late = access_token(service, now=time.time() - 3600 - 600)
    assert await status_of(service, f"/client/hubs/hub1?access_token={late}") == 401
    fresh = access_token(service, now=time.time() - 3600 - 120)
    client = await RawClient.open(service, f"/client/hubs/hub1?access_token={fresh}")
    await client.close()


async def test_cp_006_wrong_key_gets_401(service: Service) -> None:
    token = access_token(service, key="another key, also long enough for HS256")
    assert await status_of(service, f"/client/hubs/hub1?access_token={token}") == 401


async def test_cp_007_token_of_another_hub_gets_401(service: Service) -> None:
    token = access_token(service, "hub2")
    assert await status_of(service, f"/client/hubs/hub1?access_token={token}") == 401


async def test_cp_008_secondary_key_is_good(start_service: StartService, connect: Connect) -> None:
    second = "the secondary key, long enough for HS256"
    service = await start_service(access_key_secondary=second)
    token = access_token(service, key=second)
    assert (await connect(service, J, token=token)).hello["connectionId"]


async def test_cp_009_expiry_does_not_end_a_live_connection(connect: Connect) -> None:
    clock = [time.time()]
    async with Service(Settings(port=0), now=lambda: clock[0]) as service:
        client = await connect(service, J, life_s=2)
        clock[0] += 3600
        ack = await client.ask({"type": "joinGroup", "group": "g", "ackId": 1})
        assert is_success(ack)
        late = access_token(service, now=clock[0] - 3600, life_s=2)
        assert await status_of(service, f"/client/hubs/hub1?access_token={late}") == 401


async def test_cp_010_hub_names_ignore_case(service: Service, connect: Connect) -> None:
    member = await connect(service, J, groups=("g",))
    token = access_token(service, "hub1", roles=("webpubsub.sendToGroup",))
    shouting = await connect(service, J, hub="HUB1", token=token)
    await shouting.send({"type": "sendToGroup", "group": "g", "dataType": "text", "data": "x"})
    assert (await member.json())["data"] == "x"


@pytest.mark.parametrize("hub", ["1bad", "a" * 129, "a/b", "a%20b", "a%0A"])
async def test_cp_011_invalid_hub_gets_400(service: Service, hub: str) -> None:
    assert await status_of(service, f"/client/hubs/{hub}") == 400


@pytest.mark.parametrize("path", ["/client/hubs/", "/nope", "/", "/client/hub/hub1"])
async def test_cp_012_unknown_path_gets_404(service: Service, path: str) -> None:
    assert await status_of(service, path) == 404


async def test_cp_013_plain_get_on_the_client_path_gets_400(service: Service) -> None:
    target = f"/client/hubs/hub1?access_token={access_token(service)}"
    host, port = service.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {target} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
    assert (await reader.readline()).split()[1] == b"400"
    writer.close()


async def test_cp_014_invalid_group_in_the_token_gets_400(service: Service) -> None:
    token = access_token(service, groups=("x" * 1025,))
    assert await status_of(service, f"/client/hubs/hub1?access_token={token}") == 400


async def test_cp_019_first_known_subprotocol_is_chosen(service: Service, connect: Connect) -> None:
    client = await connect(service, f"a, {J}, {JR}")
    assert client.headers["sec-websocket-protocol"] == J
    assert client.hello["event"] == "connected"


async def test_cp_021_custom_subprotocol_alone_makes_a_plain_client(
    service: Service, connect: Connect
) -> None:
    client = await connect(service, "custom.p", groups=("g",))
    assert "sec-websocket-protocol" not in client.headers
    sender = await connect(service, J)
    await sender.send({"type": "sendToGroup", "group": "g", "dataType": "text", "data": "x"})
    assert await client.text() == "x"


async def test_cp_030_send_to_group_mode_needs_one_group(service: Service) -> None:
    base = f"/client/hubs/hub1?access_token={access_token(service)}&webpubsub_mode=sendToGroup"
    assert await status_of(service, base) == 400
    assert await status_of(service, base + "&group=a&group=b") == 400
    assert await status_of(service, base + "&group=%20") == 400


async def test_cp_031_unknown_mode_gets_400(service: Service) -> None:
    target = f"/client/hubs/hub1?access_token={access_token(service)}&webpubsub_mode=foo"
    assert await status_of(service, target) == 400


async def test_cp_135_mqtt_path_gets_404(service: Service) -> None:
    assert await status_of(service, "/clients/mqtt/hubs/hub1", subprotocols="mqtt") == 404


async def test_cp_137_anonymous_client_is_let_in_where_allowed(start_service: StartService) -> None:
    service = await start_service(hubs={"hub1": HubSettings(anonymous_connect_policy="allow")})
    client = await RawClient.open(service, "/client/hubs/hub1", subprotocols=J)
    hello = await client.json()
    assert hello["event"] == "connected"
    assert not hello.get("userId")
    ack = await client.ask({"type": "joinGroup", "group": "g", "ackId": 1})
    assert ack["error"]["name"] == "Forbidden"
    # A bad token is still a bad token.
    assert await status_of(service, "/client/hubs/hub1?access_token=abc") == 401


async def test_alg_none_and_garbage_tokens_get_401(service: Service) -> None:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    claims = {"aud": f"{service.url}/client/hubs/hub1", "exp": time.time() + 3600}
    unsigned = f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(claims)}."
    for token in (unsigned, "abc", "a.b.c", "x" * 20_000, quote("é")):
        assert await status_of(service, f"/client/hubs/hub1?access_token={token}") == 401


async def test_quota_reached_gets_429_with_retry_after(
    start_service: StartService, connect: Connect
) -> None:
    service = await start_service(max_connections=2)
    await connect(service, J)
    second = await connect(service, None)
    with pytest.raises(Refusal) as refusal:
        await connect(service, J)
    assert refusal.value.status == 429
    assert refusal.value.headers["retry-after"] == "1"
    await second.close()
    await connect(service, J)


async def test_ra_090_role_as_plain_string_is_applied(service: Service, connect: Connect) -> None:
    claims = {
        "aud": f"{service.url}/client/hubs/hub1",
        "exp": int(time.time()) + 60,
        "role": "webpubsub.joinLeaveGroup",
        "webpubsub.group": "g1",
    }
    client = await connect(service, J, token=jwt.encode(claims, access_key(service), "HS256"))
    assert is_success(await client.ask({"type": "joinGroup", "group": "g", "ackId": 1}))


async def test_anonymous_hello_has_no_user_id(service: Service, connect: Connect) -> None:
    client = await connect(service, J)
    assert not client.hello.get("userId")
    with pytest.raises(Closed):
        await client.close()
        await client.next()

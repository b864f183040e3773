"""The event handler as the service sees it: who may call, what callbacks get, what goes back."""

import asyncio
import base64
import logging
from typing import Any

import msgspec
import pytest

from hubbub.appserver import (
    ConnectedRequest,
    ConnectRequest,
    ConnectResponse,
    DataType,
    DisconnectedRequest,
    EventHandler,
    HandlerAnswer,
    InvalidName,
    Refused,
    UserEventRequest,
    UserEventResponse,
)
from hubbub.protocol import cloudevents

CONNECTION = "0f9c97a2f0bf4706afe87a14e0797b11"
PRIMARY = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789ABCDEFGH"
SECONDARY = "secondary-key-secondary-key-secondary-key-00"
JSON = "application/json; charset=utf-8"

CONNECT = "azure.webpubsub.sys.connect"
CONNECTED = "azure.webpubsub.sys.connected"
DISCONNECTED = "azure.webpubsub.sys.disconnected"


def headers(kind: str, content_type: str = JSON, **changes: str | None) -> dict[str, str]:
    """Headers of an event, as the service writes them; a change to None takes one away."""
    fields: dict[str, str | None] = {
        "WebHook-Request-Origin": "service.example",
        "Content-Type": content_type,
        "ce-specversion": "1.0",
        "ce-awpsversion": "1.0",
        "ce-type": kind,
        "ce-source": f"/hubs/chat/client/{CONNECTION}",
        "ce-id": "3",
        "ce-time": "2026-01-01T00:00:00Z",
        "ce-hub": "chat",
        "ce-connectionId": CONNECTION,
        "ce-eventName": kind.rpartition(".")[2],
        "ce-signature": cloudevents.signature(CONNECTION, [PRIMARY, SECONDARY]),
    }
    fields |= {name.replace("_", "-"): value for name, value in changes.items()}
    return {name: value for name, value in fields.items() if value is not None}


def user_event(
    name: str, content_type: str = "text/plain", **changes: str | None
) -> dict[str, str]:
    return headers(f"azure.webpubsub.user.{name}", content_type, **changes)


def lines(answer: HandlerAnswer, name: str) -> list[str]:
    return [value for key, value in answer.headers if key.lower() == name.lower()]


def states_of(answer: HandlerAnswer) -> Any:
    (value,) = lines(answer, "ce-connectionState")
    return msgspec.json.decode(base64.b64decode(value))


@pytest.fixture
def handler() -> EventHandler:
    return EventHandler("chat")


# --- validation ------------------------------------------------------------------------------


async def test_options_without_allowed_endpoints_allows_everybody(handler: EventHandler) -> None:
    answer = await handler.handle("OPTIONS", cloudevents.validation_headers("service.example"))
    assert answer.status == 200
    assert lines(answer, "WebHook-Allowed-Origin") == ["*"]
    assert answer.body == b""


async def test_ue_072_options_without_awps_version_is_not_ours(handler: EventHandler) -> None:
    answer = await handler.handle("OPTIONS", {"WebHook-Request-Origin": "service.example"})
    assert answer.status == 404


async def test_ue_073_options_without_origin_is_malformed(handler: EventHandler) -> None:
    assert (await handler.handle("OPTIONS", {"ce-awpsversion": "1.0"})).status == 400


async def test_ue_074_options_with_allowed_endpoints_has_one_line_per_host() -> None:
    handler = EventHandler(
        "chat", allowed_endpoints=["https://A.example", "https://b.example:443/x"]
    )
    answer = await handler.handle("OPTIONS", cloudevents.validation_headers("other.example"))
    assert answer.status == 200
    assert lines(answer, "WebHook-Allowed-Origin") == ["a.example", "b.example"]


async def test_options_with_port_in_allowed_endpoint_matches_with_and_without_it() -> None:
    handler = EventHandler("chat", allowed_endpoints=["http://localhost:8080", "http://[::1]:81"])
    answer = await handler.handle("OPTIONS", cloudevents.validation_headers("localhost"))
    origins = lines(answer, "WebHook-Allowed-Origin")
    assert origins == ["localhost:8080", "localhost", "[::1]:81", "[::1]"]
    assert cloudevents.is_origin_allowed(origins, "localhost")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
async def test_other_methods_are_refused_with_those_allowed(
    handler: EventHandler, method: str
) -> None:
    answer = await handler.handle(method, headers(CONNECT))
    assert answer.status == 405
    assert lines(answer, "Allow") == ["OPTIONS, POST"]


# --- who may send events ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"ce-awpsversion": None}, 404),
        ({"WebHook-Request-Origin": None}, 400),
        ({"ce-hub": "other"}, 404),
        ({"ce-hub": None}, 404),
        ({"ce-connectionId": None}, 400),
        ({"ce-connectionId": "\udcff"}, 400),
        ({"ce-type": None}, 400),
        ({"ce-type": "com.example.other"}, 400),
        ({"ce-type": "azure.webpubsub.user."}, 400),
        ({"ce-type": "azure.webpubsub.sys.joined"}, 404),
    ],
)
async def test_post_that_is_no_event_for_this_handler_is_refused(
    handler: EventHandler, changes: dict[str, Any], status: int
) -> None:
    answer = await handler.handle("POST", headers(CONNECT, **changes), b"{}")
    assert answer.status == status


async def test_ue_075_hub_in_other_case_is_the_same_hub() -> None:
    handler = EventHandler("Chat")
    assert (await handler.handle("POST", headers(CONNECT, ce_hub="cHAT"), b"{}")).status == 204
    assert (await handler.handle("POST", headers(CONNECT, ce_hub="chat2"), b"{}")).status == 404


@pytest.mark.parametrize(
    "signature",
    [
        None,
        "",
        "sha256=",
        "sha256=" + "0" * 64,
        cloudevents.signature("other-connection", [PRIMARY]),
        cloudevents.signature(CONNECTION, ["x" * 40]),
        cloudevents.signature(CONNECTION, [PRIMARY]).removeprefix("sha256="),
        cloudevents.signature(CONNECTION, [PRIMARY])[:-1],
        "sha256=é",
    ],
)
async def test_ue_079_signature_when_wrong_is_401_and_no_callback_runs(
    signature: str | None,
) -> None:
    handler = EventHandler("chat", access_keys=[PRIMARY])

    @handler.on_connect
    async def connect(request: ConnectRequest) -> None:
        raise AssertionError("not to be called")

    answer = await handler.handle("POST", headers(CONNECT, ce_signature=signature), b"{}")
    assert answer.status == 401


@pytest.mark.parametrize(
    ("own_keys", "sent"),
    [
        ([PRIMARY], [PRIMARY]),
        ([PRIMARY], [PRIMARY, SECONDARY]),
        ([SECONDARY], [PRIMARY, SECONDARY]),
        (["n" * 40, SECONDARY], [SECONDARY]),
    ],
)
async def test_ue_079_signature_when_any_part_fits_any_key_is_taken(
    own_keys: list[str], sent: list[str]
) -> None:
    handler = EventHandler("chat", access_keys=own_keys)
    signature = cloudevents.signature(CONNECTION, sent).replace(",", " , ")
    answer = await handler.handle("POST", headers(CONNECT, ce_signature=signature), b"{}")
    assert answer.status == 204


async def test_signature_of_the_published_example_is_taken() -> None:
    handler = EventHandler("chat", access_keys=[PRIMARY])
    signature = "sha256=8805d739a12d46f22bcb15382a8c1c2bf38ae8f04566017bd613d5ef47cafe2c"
    answer = await handler.handle("POST", headers(CONNECT, ce_signature=signature), b"{}")
    assert answer.status == 204


async def test_event_of_a_service_that_is_not_allowed_is_403() -> None:
    handler = EventHandler("chat", allowed_endpoints=["https://Service.example"])
    assert (await handler.handle("POST", headers(CONNECT), b"{}")).status == 204
    other = headers(CONNECT) | {"WebHook-Request-Origin": "other.example"}
    assert (await handler.handle("POST", other, b"{}")).status == 403


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("access_keys", []),
        ("access_keys", ["", PRIMARY]),
        ("access_keys", PRIMARY),
        ("allowed_endpoints", []),
        ("allowed_endpoints", "https://x"),
        ("allowed_endpoints", ["https://"]),
    ],
)
def test_handler_when_a_list_would_let_in_all_or_nobody_is_not_made(
    option: str, value: Any
) -> None:
    with pytest.raises(ValueError):
        EventHandler("chat", **{option: value})


def test_handler_when_hub_name_is_wrong_is_not_made() -> None:
    with pytest.raises(InvalidName):
        EventHandler("1bad")


# --- connect ---------------------------------------------------------------------------------

CONNECT_BODY = msgspec.json.encode(
    {
        "claims": {"sub": ["alice"], "exp": ["1790000000"]},
        "query": {"x": ["1", "2"]},
        "headers": {"User-Agent": ["t"]},
        "subprotocols": ["a", "json.webpubsub.azure.v1"],
        "clientCertificates": [],
        "more": {"of": "later versions"},
    }
)


async def test_connect_hands_the_handshake_to_its_callback(handler: EventHandler) -> None:
    seen: list[ConnectRequest] = []

    @handler.on_connect
    async def connect(request: ConnectRequest) -> None:
        seen.append(request)

    fields = headers(
        CONNECT, ce_userId="alice", ce_subprotocol="p", ce_connectionState="eyJrIjoxfQ=="
    )
    answer = await handler.handle("POST", fields, CONNECT_BODY)
    assert (answer.status, answer.body) == (204, b"")
    (request,) = seen
    assert request.claims == {"sub": ["alice"], "exp": ["1790000000"]}
    assert request.query == {"x": ["1", "2"]}
    assert request.headers == {"User-Agent": ["t"]}
    assert request.subprotocols == ["a", "json.webpubsub.azure.v1"]
    context = request.context
    assert (context.hub, context.connection_id, context.event_name) == (
        "chat",
        CONNECTION,
        "connect",
    )
    assert (context.user_id, context.subprotocol, context.states) == ("alice", "p", {"k": 1})
    assert (context.origin, context.event_id) == ("service.example", "3")
    assert context.signature == fields["ce-signature"]


async def test_connect_without_callback_lets_in(handler: EventHandler) -> None:
    answer = await handler.handle("POST", headers(CONNECT), CONNECT_BODY)
    assert (answer.status, answer.body, list(answer.headers)) == (204, b"", [])


@pytest.mark.parametrize(
    ("response", "body"),
    [
        (ConnectResponse(), None),
        (ConnectResponse(user_id=""), {"userId": ""}),
        (ConnectResponse(roles=[], groups=()), {"roles": [], "groups": []}),
        (
            ConnectResponse(user_id="é", groups=("a",), roles=["r"], subprotocol="a"),
            {"userId": "é", "groups": ["a"], "roles": ["r"], "subprotocol": "a"},
        ),
    ],
)
async def test_connect_response_says_only_what_it_changes(
    handler: EventHandler, response: ConnectResponse, body: Any
) -> None:
    @handler.on_connect
    async def connect(request: ConnectRequest) -> ConnectResponse:
        return response

    answer = await handler.handle("POST", headers(CONNECT), CONNECT_BODY)
    if body is None:
        assert (answer.status, answer.body) == (204, b"")
    else:
        assert answer.status == 200
        assert lines(answer, "Content-Type") == [JSON]
        assert msgspec.json.decode(answer.body) == body
    assert lines(answer, "ce-connectionState") == []


async def test_ue_077_connect_with_states_and_user_answers_both(handler: EventHandler) -> None:
    @handler.on_connect
    async def connect(request: ConnectRequest) -> ConnectResponse:
        return ConnectResponse(user_id="u", states={"k": 1})

    answer = await handler.handle("POST", headers(CONNECT), CONNECT_BODY)
    assert answer.status == 200
    assert answer.body == b'{"userId":"u"}'
    assert lines(answer, "ce-connectionState") == ["eyJrIjoxfQ=="]


async def test_states_alone_go_with_204_and_empty_ones_clear(handler: EventHandler) -> None:
    states: dict[str, int] = {"k": 1}

    @handler.on_connect
    async def connect(request: ConnectRequest) -> ConnectResponse:
        return ConnectResponse(states=states)

    answer = await handler.handle("POST", headers(CONNECT), CONNECT_BODY)
    assert (answer.status, states_of(answer)) == (204, {"k": 1})
    states.clear()
    answer = await handler.handle("POST", headers(CONNECT), CONNECT_BODY)
    assert lines(answer, "ce-connectionState") == [""]


@pytest.mark.parametrize("status", [400, 401, 403, 599])
async def test_connect_when_refused_answers_status_and_text_without_state(
    handler: EventHandler, status: int
) -> None:
    @handler.on_connect
    async def connect(request: ConnectRequest) -> ConnectResponse:
        raise Refused(status, "not yöu")

    answer = await handler.handle("POST", headers(CONNECT), CONNECT_BODY)
    assert (answer.status, answer.body.decode()) == (status, "not yöu")
    assert lines(answer, "Content-Type") == ["text/plain; charset=utf-8"]


@pytest.mark.parametrize("status", [200, 302, 399, 600])
def test_refusal_with_a_status_that_is_none_is_an_error(status: int) -> None:
    with pytest.raises(ValueError, match="400 to 599"):
        Refused(status)


@pytest.mark.parametrize("body", [b"", b"{bad", b"[]", b'{"claims":5}', b"\xff", b"[" * 100_000])
async def test_connect_with_malformed_body_is_400(handler: EventHandler, body: bytes) -> None:
    answer = await handler.handle("POST", headers(CONNECT), body)
    assert answer.status == 400


@pytest.mark.parametrize(
    "state",
    ["not-base64-json", "", "e30", "W10=", "NQ==", base64.b64encode(b"[" * 50_000).decode(), "é"],
)
async def test_ue_078_state_that_is_no_json_object_reads_as_empty(
    handler: EventHandler, state: str
) -> None:
    seen: list[Any] = []

    @handler.on_connect
    async def connect(request: ConnectRequest) -> None:
        seen.append(request.context.states)

    answer = await handler.handle("POST", headers(CONNECT, ce_connectionState=state), b"{}")
    assert answer.status == 204
    assert seen == [{}]


@pytest.mark.parametrize("name", ["Zoë", "日本", "plain"])
async def test_ue_066_user_id_arrives_as_text_whatever_the_framework_made_of_it(
    handler: EventHandler, name: str
) -> None:
    seen: list[str | None] = []

    @handler.on_connect
    async def connect(request: ConnectRequest) -> None:
        seen.append(request.context.user_id)

    as_latin1 = name.encode().decode("latin-1")
    await handler.handle("POST", headers(CONNECT, ce_userId=as_latin1), b"{}")
    await handler.handle("POST", headers(CONNECT, ce_userId=name), b"{}")
    assert seen == [name, name]


async def test_repeated_header_counts_once_the_first(handler: EventHandler) -> None:
    pairs = [*headers(CONNECT).items(), ("CE-HUB", "other"), ("ce-awpsversion", "9")]
    assert (await handler.handle("POST", pairs, b"{}")).status == 204


# --- user events -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content_type", "body", "data", "data_type"),
    [
        ("text/plain", "hé".encode(), "hé", DataType.TEXT),
        ("Text/Plain; charset=UTF-8", b"hi", "hi", DataType.TEXT),
        ('text/plain; x=y; charset="utf-8"', b"", "", DataType.TEXT),
        ("application/json", b'{"a":[1]}', {"a": [1]}, DataType.JSON),
        ("application/json; charset=utf-8", b'"x"', "x", DataType.JSON),
        ("application/octet-stream", b"\xff\x00", b"\xff\x00", DataType.BINARY),
        ("application/x-protobuf", b"\x0a", b"\x0a", DataType.PROTOBUF),
    ],
)
async def test_user_event_is_decoded_as_its_content_type_says(
    handler: EventHandler, content_type: str, body: bytes, data: object, data_type: DataType
) -> None:
    seen: list[UserEventRequest] = []

    @handler.on_event("Order.Created-1")
    async def order(request: UserEventRequest) -> None:
        seen.append(request)

    fields = user_event("Order.Created-1", content_type)
    fields |= {"ce-invocationId": "7", "X-WebPubSub-Metadata-Trace": "t1"}
    answer = await handler.handle("POST", fields, body)
    assert (answer.status, answer.body) == (204, b"")
    (request,) = seen
    assert (request.data, request.data_type, request.body) == (data, data_type, body)
    assert (request.event, request.invocation_id) == ("Order.Created-1", "7")
    assert request.metadata == {"trace": "t1"}
    assert request.context.event_name == "Order.Created-1"


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/xml", b"<a/>", 415),
        ("", b"x", 415),
        ("text/plain; charset=utf-16", b"x", 415),
        ("application/json; charset=nope", b"1", 415),
        ("text/plain", b"\xff", 400),
        ("application/json", b"{bad", 400),
        ("application/json", b"", 400),
        ("application/json", b'"\xff"', 400),
        ("application/json", b"[" * 100_000, 400),
    ],
)
async def test_ue_076_user_event_that_cannot_be_read_is_refused(
    handler: EventHandler, content_type: str, body: bytes, status: int
) -> None:
    @handler.on_event("*")
    async def any_event(request: UserEventRequest) -> str:
        return "not to be answered"

    answer = await handler.handle("POST", user_event("e", content_type), body)
    assert answer.status == status


@pytest.mark.parametrize(
    ("value", "status", "content_type", "body"),
    [
        (None, 204, [], b""),
        ("hé", 200, ["text/plain; charset=utf-8"], "hé".encode()),
        ("", 204, [], b""),
        (b"\x00", 200, ["application/octet-stream"], b"\x00"),
        ({"a": 1}, 200, [JSON], b'{"a":1}'),
        ([], 200, [JSON], b"[]"),
        (0, 200, [JSON], b"0"),
        (UserEventResponse(), 204, [], b""),
        (UserEventResponse("x"), 200, ["text/plain; charset=utf-8"], b"x"),
        (UserEventResponse("x", DataType.JSON), 200, [JSON], b'"x"'),
        (UserEventResponse(None, DataType.JSON), 200, [JSON], b"null"),
        (UserEventResponse(b'{"a": 1}', DataType.JSON), 200, [JSON], b'{"a": 1}'),
        (UserEventResponse(b"t", DataType.TEXT), 200, ["text/plain; charset=utf-8"], b"t"),
    ],
)
async def test_user_event_answer_is_written_by_its_value(
    handler: EventHandler, value: object, status: int, content_type: list[str], body: bytes
) -> None:
    @handler.on_event("e")
    async def event(request: UserEventRequest) -> object:
        return value

    answer = await handler.handle("POST", user_event("e"), b"x")
    assert (answer.status, answer.body) == (status, body)
    assert lines(answer, "Content-Type") == content_type


async def test_user_event_answer_with_states_stores_them(handler: EventHandler) -> None:
    @handler.on_event("e")
    async def event(request: UserEventRequest) -> UserEventResponse:
        return UserEventResponse("x", states={**request.context.states, "n": 2})

    fields = user_event("e", ce_connectionState="eyJrIjoxfQ==")
    answer = await handler.handle("POST", fields, b"x")
    assert states_of(answer) == {"k": 1, "n": 2}


async def test_user_event_goes_to_its_own_callback_before_the_general_one(
    handler: EventHandler,
) -> None:
    @handler.on_event("*")
    async def other(request: UserEventRequest) -> str:
        return f"other {request.event}"

    @handler.on_event("a")
    async def own(request: UserEventRequest) -> str:
        return "own"

    assert (await handler.handle("POST", user_event("a"), b"")).body == b"own"
    assert (await handler.handle("POST", user_event("A"), b"")).body == b"other A"


async def test_user_event_that_no_callback_takes_is_404_unless_there_is_none_at_all(
    handler: EventHandler,
) -> None:
    assert (await handler.handle("POST", user_event("b"), b"")).status == 204

    @handler.on_event("a")
    async def own(request: UserEventRequest) -> None:
        return None

    assert (await handler.handle("POST", user_event("b"), b"")).status == 404


async def test_user_event_called_connected_is_a_user_event(handler: EventHandler) -> None:
    @handler.on_event("connected")
    async def event(request: UserEventRequest) -> str:
        return "user"

    assert (await handler.handle("POST", user_event("connected"), b"")).body == b"user"


async def test_callback_when_it_fails_is_500_with_one_log_line_and_no_detail(
    handler: EventHandler, caplog: pytest.LogCaptureFixture
) -> None:
    @handler.on_event("boom")
    async def event(request: UserEventRequest) -> None:
        raise RuntimeError("database password is 123")

    @handler.on_connect
    async def connect(request: ConnectRequest) -> ConnectResponse:
        return ConnectResponse(states={"big": "x" * 8192})

    answer = await handler.handle("POST", user_event("boom"), b"")
    assert (answer.status, answer.body) == (500, b"")
    answer = await handler.handle("POST", headers(CONNECT), b"{}")
    assert answer.status == 500
    assert [record.getMessage() for record in caplog.records] == [
        f"event callback failed: hub=chat event={name} connection_id={CONNECTION}"
        for name in ("boom", "connect")
    ]


@pytest.mark.parametrize(
    "value",
    [UserEventResponse({"a": 1}, DataType.TEXT), UserEventResponse("x", DataType.BINARY), object()],
)
async def test_answer_that_cannot_be_written_is_500(handler: EventHandler, value: object) -> None:
    @handler.on_event("e")
    async def event(request: UserEventRequest) -> object:
        return value

    assert (await handler.handle("POST", user_event("e"), b"")).status == 500


async def test_callback_when_cancelled_passes_the_cancellation_on(handler: EventHandler) -> None:
    started = asyncio.Event()

    @handler.on_event("e")
    async def event(request: UserEventRequest) -> None:
        started.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(handler.handle("POST", user_event("e"), b""))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_callback_when_registered_twice_or_not_async_is_refused(handler: EventHandler) -> None:
    @handler.on_connect
    async def connect(request: ConnectRequest) -> None:
        return None

    with pytest.raises(ValueError, match="already"):
        handler.on_connect(connect)
    with pytest.raises(TypeError, match="async"):
        handler.on_event("e")(lambda request: None)  # type: ignore[type-var]
    with pytest.raises(InvalidName):
        handler.on_event("1bad")


# --- notifications ---------------------------------------------------------------------------


async def test_ue_080_connected_is_answered_before_its_callback_ends(
    handler: EventHandler,
) -> None:
    may_end, ended = asyncio.Event(), asyncio.Event()

    @handler.on_connected
    async def connected(request: ConnectedRequest) -> None:
        await may_end.wait()
        ended.set()

    answer = await handler.handle("POST", headers(CONNECTED), b"{}")
    assert answer.status == 204
    assert not ended.is_set()
    may_end.set()
    await handler.aclose()
    assert ended.is_set()


async def test_disconnected_callback_gets_the_reason_and_waits_for_connected(
    handler: EventHandler,
) -> None:
    may_end = asyncio.Event()
    order: list[str] = []

    @handler.on_connected
    async def connected(request: ConnectedRequest) -> None:
        await may_end.wait()
        order.append("connected")

    @handler.on_disconnected
    async def disconnected(request: DisconnectedRequest) -> None:
        order.append(f"disconnected {request.context.connection_id} {request.reason}")

    await handler.handle("POST", headers(CONNECTED), b"{}")
    await handler.handle("POST", headers(DISCONNECTED), b'{"reason":"bye"}')
    await handler.handle("POST", headers(DISCONNECTED, ce_connectionId="c2"), b'{"reason":null}')
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert order == ["disconnected c2 "]
    may_end.set()
    await handler.aclose()
    assert order[1:] == ["connected", f"disconnected {CONNECTION} bye"]


async def test_notification_callback_when_it_fails_is_logged_with_its_event(
    handler: EventHandler, caplog: pytest.LogCaptureFixture
) -> None:
    @handler.on_disconnected
    async def disconnected(request: DisconnectedRequest) -> None:
        raise RuntimeError("x")

    with caplog.at_level(logging.ERROR):
        answer = await handler.handle("POST", headers(DISCONNECTED), b"")
        assert answer.status == 204
        await handler.aclose()
    (record,) = caplog.records
    assert "event=disconnected" in record.getMessage()


async def test_notification_with_malformed_body_is_400(handler: EventHandler) -> None:
    assert (await handler.handle("POST", headers(DISCONNECTED), b"{bad")).status == 400


async def test_close_when_a_callback_does_not_end_cancels_it(handler: EventHandler) -> None:
    was_cancelled = asyncio.Event()

    @handler.on_connected
    async def connected(request: ConnectedRequest) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            was_cancelled.set()

    await handler.handle("POST", headers(CONNECTED), b"{}")
    await asyncio.sleep(0)
    await handler.aclose(timeout=0)
    assert was_cancelled.is_set()


async def test_notifications_when_too_many_run_keep_the_service_waiting(
    handler: EventHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hubbub.appserver.event_handler._MAX_NOTIFICATIONS", 2)
    handler = EventHandler("chat")
    may_end = asyncio.Event()

    @handler.on_connected
    async def connected(request: ConnectedRequest) -> None:
        await may_end.wait()

    for name in ("a", "b"):
        await handler.handle("POST", headers(CONNECTED, ce_connectionId=name), b"{}")
    third = asyncio.create_task(
        handler.handle("POST", headers(CONNECTED, ce_connectionId="c"), b"{}")
    )
    for _ in range(5):
        await asyncio.sleep(0)
    assert not third.done()
    may_end.set()
    assert (await third).status == 204
    await handler.aclose()

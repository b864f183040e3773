"""The names that others may build on. A change here is a change for them: see CHANGELOG.md."""

import importlib
from importlib.metadata import version

import pytest

import hubbub

PUBLIC = {
    "hubbub": {
        "AckTimeoutError",
        "AuthenticationError",
        "Client",
        "ClientError",
        "ClientStateError",
        "ClientStoppedError",
        "ConnectError",
        "ConnectTimeoutError",
        "CredentialError",
        "HubbubError",
        "InvocationError",
        "InvocationTimeoutError",
        "SendMessageError",
        "StreamClosedError",
        "StreamError",
        "StreamTimeoutError",
        "SubprotocolError",
        "SyncClient",
        "__version__",
        "connect",
        "connect_sync",
    },
    "hubbub.client": {
        "BufferOptions",
        "Client",
        "ClientOptions",
        "ClientStats",
        "Codec",
        "ConnectedEvent",
        "CredentialContext",
        "CredentialProvider",
        "DisconnectedEvent",
        "EventStream",
        "GapEvent",
        "GroupMemberState",
        "GroupMessageEvent",
        "GroupStatesChangedEvent",
        "GroupStream",
        "GroupStreamWriter",
        "GroupStreams",
        "HandlerErrorEvent",
        "InvokeResult",
        "NegotiateCredential",
        "Observer",
        "Portal",
        "ReconnectingEvent",
        "RecoveredEvent",
        "RecoveringEvent",
        "RecoveryOptions",
        "Registration",
        "RejoinGroupFailedEvent",
        "RetryOptions",
        "SendResult",
        "SequenceAckOptions",
        "ServerMessageEvent",
        "SlowConsumerEvent",
        "State",
        "StoppedEvent",
        "StreamClosedError",
        "StreamError",
        "StreamInfo",
        "StreamPart",
        "StreamRegistration",
        "StreamTimeoutError",
        "SubProtocol",
        "SyncClient",
        "SyncEventStream",
        "SyncGroupStream",
        "SyncGroupStreamWriter",
        "SyncGroupStreams",
        "SyncRegistration",
        "TransportOptions",
        "connect",
        "connect_sync",
        "set_log_level",
    },
    "hubbub.client.compat": {"WebPubSubClient", "WebPubSubClientCredential"},
    "hubbub.client.compat.aio": {"WebPubSubClient", "WebPubSubClientCredential"},
    "hubbub.service": {
        "EventHandlerSettings",
        "HubSettings",
        "Service",
        "ServiceStateError",
        "Settings",
        "freeze_garbage",
        "local_access_key",
    },
    "hubbub.appserver": {
        "ClientAccessToken",
        "ClientGrant",
        "ConnectRequest",
        "ConnectResponse",
        "ConnectedRequest",
        "DataType",
        "DisconnectedRequest",
        "EventContext",
        "EventHandler",
        "GroupMember",
        "HandlerAnswer",
        "InvalidConnectionString",
        "InvalidName",
        "NegotiateRequest",
        "Negotiator",
        "Permission",
        "Refused",
        "RequestError",
        "ServiceClient",
        "SyncServiceClient",
        "UserEventRequest",
        "UserEventResponse",
    },
    "hubbub.testing": {
        "ExpectedEvent",
        "FakePeer",
        "FakeService",
        "FaultProxy",
        "HandlerServer",
        "History",
        "Hub",
        "VirtualClock",
        "VirtualTimeLoop",
        "eventually",
        "expect_event",
        "run_virtual",
        "virtual_clock",
    },
    "hubbub.browser": {"client_source"},
}


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_are_these_and_each_exists(name: str) -> None:
    module = importlib.import_module(name)
    assert set(module.__all__) == PUBLIC[name]
    assert len(module.__all__) == len(PUBLIC[name])
    for public in module.__all__:
        assert getattr(module, public) is not None


@pytest.mark.parametrize("name", ["hubbub", "hubbub.service"])
def test_a_name_that_is_not_there_is_an_attribute_error(name: str) -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        _ = importlib.import_module(name).nonsense


def test_errors_that_callers_may_see_are_hubbub_errors() -> None:
    modules = [importlib.import_module(name) for name in PUBLIC]
    names = [getattr(module, name) for module in modules for name in module.__all__]
    errors = [name for name in names if isinstance(name, type) and issubclass(name, Exception)]
    assert len(errors) >= 5
    for error in errors:
        assert issubclass(error, hubbub.HubbubError)
        assert error.code
        assert isinstance(error.retryable, bool)


def test_version_is_the_installed_one() -> None:
    assert hubbub.__version__ == version("hubbub")

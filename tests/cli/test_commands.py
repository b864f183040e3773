"""Commands in this process: what they print, and with which status they end."""

import io
import json
import os
import stat
import sys
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from hubbub import __version__
from hubbub.appserver import ServiceClient
from hubbub.cli import send
from hubbub.cli.main import build_parser, main
from hubbub.protocol import connection_string, tokens
from hubbub.protocol.errors import RequestError

KEY = "k" * 40
OTHER = "o" * 40
TEXT = f"Endpoint=https://chat.example;AccessKey={KEY};Version=1.0;"


@pytest.fixture(autouse=True)
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without any setting, and a place for its key."""
    for name in list(os.environ):
        if name.startswith("HUBBUB_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


class Answer:
    """Status, standard output and standard error of one call."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err

    @property
    def json(self) -> Any:
        (line,) = self.out.splitlines()
        return json.loads(line)


class Hubbub:
    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *words: str) -> Answer:
        try:
            status = main(words)
        except SystemExit as end:
            status = int(end.code or 0)
        return Answer(status, *self._capsys.readouterr())


@pytest.fixture
def hubbub(capsys: pytest.CaptureFixture[str]) -> Hubbub:
    return Hubbub(capsys)


# --- all commands ----------------------------------------------------------------------------


def test_version_is_printed(hubbub: Hubbub) -> None:
    assert hubbub("--version").out == f"hubbub {__version__}\n"


@pytest.mark.parametrize("command", ["serve", "url", "send", "connection-string", "check-config"])
def test_every_command_explains_itself_and_has_json(hubbub: Hubbub, command: str) -> None:
    assert command in hubbub("--help").out
    answer = hubbub(command, "--help")
    assert answer.status == 0
    assert "--json" in answer.out
    assert max(len(line) for line in answer.out.splitlines()) <= 100


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["nothing"],
        ["url"],
        ["url", "--hub", "chat", "--minutes", "0"],
        ["url", "--hub", "chat", "--minutes", "x"],
        ["send", "--hub", "chat"],
        ["send", "--hub", "chat", "a", "--file", "b"],
        ["send", "--hub", "chat", "--group", "g", "--user", "u", "a"],
        ["send", "--hub", "chat", "--json-data", "{bad"],
        ["send", "--hub", "chat", "--json-data", "[" * 100_000],
        ["send", "--hub", "chat", "a", "--content-type", "text/plain"],
        ["send", "--hub", "chat", "--file", "/nowhere/x"],
        ["send", "--hub", "1bad", "a"],
        ["url", "--hub", "chat", "--group", " "],
        ["url", "--hub", "chat", "--connection-string", "x"],
        ["url", "--hub", "chat", "--connection-string", ""],
        ["serve", "--port", "70000"],
        ["serve", "--config", "/nowhere/x.toml"],
        ["connection-string", "--port", "0"],
        ["check-config"],
        ["check-config", "/nowhere/x.toml"],
    ],
)
def test_wrong_use_ends_with_2_and_a_sentence(hubbub: Hubbub, words: list[str]) -> None:
    answer = hubbub(*words)
    assert answer.status == 2
    assert answer.err or "cannot read" in answer.out
    assert "Traceback" not in answer.err


def test_error_with_json_is_an_object_on_standard_output(hubbub: Hubbub) -> None:
    answer = hubbub("url", "--json", "--hub", "1bad")
    assert answer.status == 2
    assert answer.json["error"]["code"] == "InvalidName"
    assert answer.json["error"]["retryable"] is False
    assert answer.err == ""


def test_command_when_its_packages_are_missing_says_what_to_install(
    hubbub: Hubbub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "hubbub.appserver")
    monkeypatch.delitem(sys.modules, "hubbub.appserver.service_client")
    monkeypatch.setitem(sys.modules, "httpx2", None)
    answer = hubbub("url", "--hub", "chat", "--connection-string", TEXT)
    assert answer.status == 1
    assert "pip install 'hubbub[appserver]'" in answer.err


# --- url -------------------------------------------------------------------------------------


def test_url_prints_one_address_that_lets_in(hubbub: Hubbub) -> None:
    answer = hubbub(
        "url", "--hub", "Chat", "--user", "u", "--role", "r1", "--role", "r2", "--group", "g",
        "--minutes", "5", "--connection-string", TEXT,
    )  # fmt: skip
    assert answer.status == 0
    address, _, token = answer.out.rstrip("\n").partition("?access_token=")
    assert address == "wss://chat.example/client/hubs/chat"
    assert answer.out.count("\n") == 1
    claims = tokens.check_client_token(
        token,
        [KEY],
        audiences=["https://chat.example/client/hubs/chat"],
        now=time.time() + 290,
        skew_s=0,
    )
    assert (claims.user_id, claims.roles, claims.groups) == ("u", ("r1", "r2"), ("g",))


def test_url_with_json_has_the_three_parts(hubbub: Hubbub) -> None:
    data = hubbub("url", "--json", "--hub", "chat", "--connection-string", TEXT).json
    assert set(data) == {"baseUrl", "token", "url"}
    assert data["url"] == f"{data['baseUrl']}?access_token={data['token']}"


def test_url_without_connection_string_uses_the_variable_then_the_local_key(
    hubbub: Hubbub, monkeypatch: pytest.MonkeyPatch, state_home: Path
) -> None:
    local = hubbub("url", "--json", "--hub", "chat").json
    assert local["baseUrl"] == "ws://127.0.0.1:8080/client/hubs/chat"
    key = (state_home / "hubbub" / "access-key").read_text().strip()
    audiences = ["http://127.0.0.1:8080/client/hubs/chat"]
    tokens.check_client_token(local["token"], [key], audiences=audiences, now=time.time(), skew_s=0)
    monkeypatch.setenv("HUBBUB_ACCESS_KEY", OTHER)
    data = hubbub("url", "--json", "--hub", "chat").json
    tokens.check_client_token(
        data["token"], [OTHER], audiences=audiences, now=time.time(), skew_s=0
    )
    monkeypatch.setenv("HUBBUB_CONNECTION_STRING", TEXT)
    data = hubbub("url", "--json", "--hub", "chat").json
    assert data["baseUrl"] == "wss://chat.example/client/hubs/chat"


def test_url_when_key_in_the_environment_is_wrong_ends_with_2(
    hubbub: Hubbub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUBBUB_ACCESS_KEY", "short-secret")
    answer = hubbub("url", "--hub", "chat")
    assert answer.status == 2
    assert "HUBBUB_ACCESS_KEY" in answer.err
    assert "short-secret" not in answer.err


# --- connection-string -----------------------------------------------------------------------


def test_connection_string_is_of_the_key_that_is_kept(hubbub: Hubbub, state_home: Path) -> None:
    answer = hubbub("connection-string")
    assert answer.status == 0
    file = state_home / "hubbub" / "access-key"
    parts = connection_string.parse(answer.out.strip())
    assert (parts.endpoint, parts.access_key) == ("http://127.0.0.1:8080", file.read_text().strip())
    assert answer.out.endswith(";Version=1.0;\n")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert hubbub("connection-string").out == answer.out
    assert hubbub("connection-string", "--json").json == {"connectionString": answer.out.strip()}


@pytest.mark.parametrize(
    ("words", "endpoint"),
    [
        (["--port", "9"], "http://127.0.0.1:9"),
        (["--host", "0.0.0.0"], "http://127.0.0.1:8080"),
        (["--host", "::"], "http://[::1]:8080"),
        (["--host", "::1"], "http://[::1]:8080"),
        (["--host", "chat.local"], "http://chat.local:8080"),
    ],
)
def test_connection_string_is_of_the_address_that_serve_would_take(
    hubbub: Hubbub, words: list[str], endpoint: str
) -> None:
    out = hubbub("connection-string", *words).out
    assert out.startswith(f"Endpoint={endpoint};")


def test_connection_string_with_public_endpoint_is_of_that(
    hubbub: Hubbub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUBBUB_SERVICE_PUBLIC_ENDPOINT", "https://chat.example/")
    monkeypatch.setenv("HUBBUB_ACCESS_KEY", KEY)
    assert hubbub("connection-string").out == TEXT + "\n"


# --- check-config ----------------------------------------------------------------------------


def test_check_config_tells_all_faults_with_line_and_key(hubbub: Hubbub, tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text("[service]\nport = -1\nhostt = 1\n")
    answer = hubbub("check-config", str(file))
    assert answer.status == 2
    assert [line.split(": ")[:3] for line in answer.out.splitlines()] == [
        [str(file), "line 2", "service.port"],
        [str(file), "line 3", "service.hostt"],
    ]
    data = hubbub("check-config", "--json", str(file)).json
    assert data["ok"] is False
    assert [(p["line"], p["key"]) for p in data["problems"]] == [
        (2, "service.port"),
        (3, "service.hostt"),
    ]


def test_check_config_when_all_is_well_says_so(hubbub: Hubbub, tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text("[hubs.chat]\nanonymous_connect_policy = 'allow'\n")
    answer = hubbub("check-config", str(file))
    assert (answer.status, answer.out) == (0, f"{file}: no faults found\n")
    assert hubbub("check-config", "--json", str(file)).json == {"ok": True, "problems": []}


# --- send ------------------------------------------------------------------------------------


class Wire:
    """Stands for the service of `send`: keeps requests, answers with a status."""

    def __init__(self) -> None:
        self.requests: list[httpx2.Request] = []
        self.status = 202

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        return httpx2.Response(self.status)


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    wire = Wire()
    original = ServiceClient.from_connection_string

    def from_connection_string(text: str, hub: str) -> ServiceClient:
        return original(text, hub, transport=httpx2.MockTransport(wire))

    monkeypatch.setattr(ServiceClient, "from_connection_string", from_connection_string)
    monkeypatch.setenv("HUBBUB_CONNECTION_STRING", TEXT)
    return wire


@pytest.mark.parametrize(
    ("words", "path", "content_type", "body"),
    [
        (["hello"], b":send", "text/plain", b"hello"),
        (["--group", "a/b", "é"], b"groups/a%2Fb/:send", "text/plain", "é".encode()),
        (
            ["--user", "u", "--json-data", '{"a": 1}'],
            b"users/u/:send",
            "application/json",
            b'{"a": 1}',
        ),
        (["--connection", "c", "x"], b"connections/c/:send", "text/plain", b"x"),
        (["--", "--json"], b":send", "text/plain", b"--json"),
    ],
)
def test_send_sends_what_and_where_it_is_told(
    hubbub: Hubbub, wire: Wire, words: list[str], path: bytes, content_type: str, body: bytes
) -> None:
    answer = hubbub("send", "--hub", "chat", *words)
    assert (answer.status, answer.out) == (0, "accepted\n")
    (request,) = wire.requests
    assert request.url.raw_path == b"/api/hubs/chat/" + path + b"?api-version=2024-12-01"
    assert (request.headers["content-type"], request.content) == (content_type, body)


@pytest.mark.parametrize(
    ("name", "more", "content_type"),
    [
        ("x.json", [], "application/json"),
        ("x.TXT", [], "text/plain"),
        ("x.png", [], "application/octet-stream"),
        ("x.png", ["--content-type", "text/plain"], "text/plain"),
    ],
)
def test_send_file_goes_as_its_name_or_the_option_says(
    hubbub: Hubbub, wire: Wire, tmp_path: Path, name: str, more: list[str], content_type: str
) -> None:
    file = tmp_path / name
    file.write_bytes(b'{"a": 1}')
    assert hubbub("send", "--hub", "chat", "--file", str(file), *more).status == 0
    (request,) = wire.requests
    assert (request.headers["content-type"], request.content) == (content_type, b'{"a": 1}')


def test_send_file_from_standard_input(
    hubbub: Hubbub, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\x00\xff")))
    answer = hubbub("send", "--json", "--hub", "chat", "--file", "-")
    assert answer.json == {"accepted": True}
    assert wire.requests[0].content == b"\x00\xff"


def test_send_file_that_no_service_would_take_is_not_read_whole(
    hubbub: Hubbub, wire: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(send, "_MAX_FILE_BYTES", 3)
    file = tmp_path / "x"
    file.write_bytes(b"1234")
    answer = hubbub("send", "--hub", "chat", "--file", str(file))
    assert answer.status == 1
    assert "larger" in answer.err
    file.write_bytes(b"123")
    assert hubbub("send", "--hub", "chat", "--file", str(file)).status == 0


def test_send_when_refused_ends_with_1_and_the_reason(hubbub: Hubbub, wire: Wire) -> None:
    wire.status = 401
    answer = hubbub("send", "--hub", "chat", "hello")
    assert answer.status == 1
    assert "401" in answer.err
    assert KEY not in answer.err
    data = hubbub("send", "--json", "--hub", "chat", "hello").json
    assert data["error"]["code"] == RequestError.code


def test_send_when_interrupted_ends_with_1(
    hubbub: Hubbub, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(send, "_message", interrupt)
    assert hubbub("send", "--hub", "chat", "x").status == 1


def test_parser_names_every_command_once() -> None:
    assert build_parser().prog == "hubbub"

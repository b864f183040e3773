"""Settings: four sources in their order, every fault at once with its place, docs that agree."""

import tomllib
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from hubbub.protocol.errors import SettingsError
from hubbub.service.settings import EventHandlerSettings, HubSettings, Settings
from hubbub.service.settings_loader import check, load
from hubbub.service.settings_page import settings_page
from hubbub.service.settings_table import HANDLER_SETTINGS, HUB_SETTINGS, SETTINGS, Setting
from hubbub.service.toml_lines import TomlLines

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"
KEY = "k" * 40

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        file = tmp_path / "hubbub.toml"
        file.write_text(text, encoding="utf-8")
        return file

    return write


def faults(file: Path | None = None, **environ: str) -> list[str]:
    _, problems = check(file, environ=environ)
    return [str(problem) for problem in problems]


# --- sources ---------------------------------------------------------------------------------


def test_settings_without_any_source_are_the_defaults() -> None:
    assert load(environ={}) == Settings()


def test_settings_sources_when_all_are_given_flag_beats_environment_beats_file(
    write: Write,
) -> None:
    file = write('[service]\nhost = "file"\nport = 1\nmax_connections = 1\n')
    environ = {"HUBBUB_SERVICE_PORT": "2", "HUBBUB_SERVICE_HOST": "environment"}
    settings = load(file, environ=environ, flags={"service.host": "flag", "service.port": None})
    assert (settings.host, settings.port, settings.max_connections) == ("flag", 2, 1)


def test_settings_file_with_every_table_is_read(write: Write) -> None:
    file = write(
        """
        [service]
        public_endpoint = "https://chat.example/"
        recovery_window_s = 45
        drain_timeout_s = 0.5
        [engine]
        url = "memory:"
        [compat]
        strict_json_frames = true
        [auth]
        oidc_audience = "https://webpubsub.azure.com"
        [observe]
        dashboard = false
        log_level = "debug"
        [hubs.Chat]
        anonymous_connect_policy = "allow"
        web_socket_keep_alive_interval_s = 5
        web_socket_keep_alive_timeout_s = 15
        [[hubs.Chat.event_handlers]]
        url_template = "https://h.example/{hub}/{event}?code=s"
        user_event_pattern = "a, b"
        system_events = ["connect", "disconnected"]
        auth = {type = "bearer", token_env = "HUBBUB_AUTH_OF_HANDLER"}
        timeout_s = 2.5
        retry_pauses_s = []
        validate = "off"
        [[hubs.Chat.event_handlers]]
        url_template = "http://127.0.0.1:3000/"
        auth = "none"
        [hubs.empty]
        """
    )
    environ = {"HUBBUB_AUTH_OF_HANDLER": "t0ken", "HUBBUB_ACCESS_KEY": KEY}
    settings = load(file, environ=environ)
    assert settings.public_endpoint == "https://chat.example"
    assert settings.recovery_window_s == 45
    assert settings.drain_timeout_s == 0.5
    assert settings.strict_json_frames
    assert settings.log_level == "debug"
    assert settings.access_key == KEY
    assert settings.access_key_secondary is None
    assert settings.hub("chat") == HubSettings(
        anonymous_connect_policy="allow",
        web_socket_keep_alive_interval_s=5,
        web_socket_keep_alive_timeout_s=15,
        event_handlers=(
            EventHandlerSettings(
                "https://h.example/{hub}/{event}?code=s",
                "a, b",
                ("connect", "disconnected"),
                "HUBBUB_AUTH_OF_HANDLER",
                2.5,
                (),
                "off",
            ),
            EventHandlerSettings("http://127.0.0.1:3000/"),
        ),
    )
    assert settings.hub("empty") == settings.hub("unknown") == HubSettings()


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("1", True), ("False", False), ("0", False)]
)
def test_bool_in_the_environment_has_four_spellings(text: str, value: bool) -> None:
    environ = {"HUBBUB_COMPAT_STRICT_PATH_DECODING": text}
    assert load(environ=environ).strict_path_decoding is value


WITH_A_DEFAULT = [row for row in SETTINGS if row.default is not None]
"""No text stands for nothing."""


@pytest.mark.parametrize("row", WITH_A_DEFAULT, ids=lambda row: row.path)
def test_every_setting_takes_its_default_from_file_and_environment(
    row: Setting, write: Write
) -> None:
    text = str(row.default).lower() if row.kind == "bool" else str(row.default)
    quoted = f'"{text}"' if row.kind == "text" else text
    file = write(f"[{row.table}]\n{row.key} = {quoted}\n")
    assert load(file, environ={}) == Settings()
    assert load(environ={row.variable: text}) == Settings()


# --- faults ----------------------------------------------------------------------------------


def test_settings_faults_are_told_all_at_once_with_line_and_key(write: Write) -> None:
    file = write(
        """\
[service]
port = "80"
prot = 80
[servise]
[engine]
url = "nats://127.0.0.1:4222"
[hubs.1bad]
[hubs.chat]
[[hubs.chat.event_handlers]]
url_template = "http://h/"
[[hubs.chat.event_handlers]]
system_events = ["connect"]
"""
    )
    assert faults(file, HUBBUB_SERVICE_MAX_CONNECTIONS="-1", HUBBUB_SERVICE_TYPO="1") == [
        'line 2: service.port: expected a whole number from 0 to 65,535, got "80"',
        "line 3: service.prot: there is no such setting; do you mean port?",
        "line 4: servise: there is no such setting; do you mean service?",
        'line 6: engine.url: comes with the NATS engine, not in this version; use "memory:"',
        "line 7: hubs.1bad: a hub name is a letter and up to 127 more of letters, digits and"
        " _ ` , . [ ]",
        "line 11: hubs.chat.event_handlers[1].url_template: is missing",
        "HUBBUB_SERVICE_MAX_CONNECTIONS: expected a whole number from 0 to 10,000,000, got -1",
        "HUBBUB_SERVICE_TYPO: there is no such setting; do you mean HUBBUB_SERVICE_PORT?",
    ]


def test_load_when_there_are_faults_raises_them_as_sentences() -> None:
    with pytest.raises(SettingsError) as caught:
        load(environ={}, flags={"service.port": "x", "service.host": " "})
    assert caught.value.problems == [
        '--port: expected a whole number from 0 to 65,535, got "x"',
        "--host: expected a host name or an address",
    ]


@pytest.mark.parametrize("row", [row for row in SETTINGS if row.high], ids=lambda row: row.path)
def test_number_at_its_bounds_is_taken_and_beyond_them_refused(row: Setting) -> None:
    assert row.read(type(row.default)(row.low)) == row.low
    assert row.read(type(row.default)(row.high)) == row.high
    for wrong in (row.low - 1, row.high + 1, float("nan"), float("inf"), True, "1", None, [1]):
        with pytest.raises(ValueError, match="expected"):
            row.read(wrong)


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("service.compression = true", "compression"),
        ('engine.url = "nats://a,b"', "NATS engine"),
    ],
)
def test_setting_of_a_later_version_is_refused_not_ignored(
    write: Write, line: str, word: str
) -> None:
    (fault,) = faults(write(line))
    assert "not in this version" in fault
    assert word in fault
    assert fault.startswith("line 1: ")


@pytest.mark.parametrize(
    "address",
    ["id.example", "http://id.example", "https://", "https://u@h", "https://h?q", "https://h:x/"],
)
def test_oidc_issuer_when_its_keys_could_be_forged_is_refused(write: Write, address: str) -> None:
    (fault,) = faults(write(f'auth.oidc_issuer = "{address}"'))
    assert "auth.oidc_issuer" in fault


@pytest.mark.parametrize("address", ["https://id.example/tenant/", "http://127.0.0.1:8000/x"])
def test_oidc_issuer_is_kept_as_it_is_written(write: Write, address: str) -> None:
    settings = load(write(f'auth.oidc_issuer = "{address}"'), environ={})
    assert settings.oidc_issuer == address


def test_oidc_audience_when_empty_is_refused(write: Write) -> None:
    (fault,) = faults(write('auth.oidc_audience = ""'))
    assert "auth.oidc_audience" in fault


@pytest.mark.parametrize(
    "address",
    [
        "chat.example",
        "ftp://x",
        "https://",
        "http://h/path",
        "http://h?q",
        "http://u@h",
        "http://h:x",
    ],
)
def test_public_endpoint_when_no_base_address_is_refused(write: Write, address: str) -> None:
    (fault,) = faults(write(f'service.public_endpoint = "{address}"'))
    assert "service.public_endpoint" in fault


@pytest.mark.parametrize(
    ("handler", "fault"),
    [
        ('url_template = "http://h/{name}"', "url_template: {name} is no parameter"),
        ('url_template = "http://{hub}.com/"', "url_template: a parameter must not stand"),
        ('url_template = "tunnel:///x"', "url_template: tunnels are not supported"),
        ("url_template = 3", "url_template: expected a text, got 3"),
        ('url_template = "http://h"\nuser_event_pattern = "a*"', "user_event_pattern: 'a*'"),
        ('url_template = "http://h"\nsystem_events = ["joined"]', "system_events: expected"),
        ('url_template = "http://h"\ntimeout_s = 0', "timeout_s: expected"),
        ('url_template = "http://h"\nretry_pauses_s = [1, true]', "retry_pauses_s: expected"),
        (f'url_template = "http://h"\nretry_pauses_s = {[1] * 11}', "retry_pauses_s: expected"),
        ('url_template = "http://h"\nvalidate = "no"', "validate: expected"),
        ('url_template = "http://h"\nauth = "basic"', 'auth: expected "none" or {type'),
        ('url_template = "http://h"\nauth = {type = "bearer"}', 'auth: expected "none" or {type'),
        (
            'url_template = "http://h"\nauth = {type = "bearer", token_env = "NOWHERE"}',
            "auth: the environment variable 'NOWHERE' is not set",
        ),
        ('url_template = "http://h"\nurl = 1', "url: there is no such setting"),
    ],
)
def test_ue_064_event_handler_when_wrong_is_one_named_fault(
    write: Write, handler: str, fault: str
) -> None:
    file = write(f"[[hubs.chat.event_handlers]]\n{handler}\n")
    (told,) = faults(file)
    assert f"hubs.chat.event_handlers[0].{fault}" in told


def test_bearer_token_when_it_cannot_be_a_header_is_refused_without_telling_it(
    write: Write,
) -> None:
    file = write(
        '[[hubs.chat.event_handlers]]\nurl_template = "http://h"\n'
        'auth = {type = "bearer", token_env = "T"}\n'
    )
    (fault,) = faults(file, T="secret\r\nx: y")
    assert "'T'" in fault
    assert "secret" not in fault


@pytest.mark.parametrize(
    "text",
    [
        "service.max_message_bytes = 2000\nservice.outbound_queue_bytes = 1999",
        "service.recovery_window_s = 60\nservice.reconnection_token_life_s = 59",
        "hubs.c.web_socket_keep_alive_interval_s = 20\nhubs.c.web_socket_keep_alive_timeout_s = 19",
    ],
)
def test_settings_that_contradict_each_other_are_refused(write: Write, text: str) -> None:
    (fault,) = faults(write(text))
    assert fault.startswith("line 2: ")
    assert "must not be" in fault


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[service]\nport = \n", "line 2: no valid TOML: Invalid value"),
        ("[service\n", "line 1: no valid TOML"),
        ("service = 1", "line 1: service: expected a table [service], got 1"),
        ("hubs = 1", "hubs: expected tables [hubs.NAME]"),
        ("hubs.chat = 1", "hubs.chat: expected a table [hubs.chat], got 1"),
        ("hubs.chat.event_handlers = 1", "expected tables [[hubs.chat.event_handlers]]"),
        ("hubs.chat.x = 1", "line 1: hubs.chat.x: there is no such setting"),
        ("[hubs.chat]\n[hubs.CHAT]", "line 2: hubs.CHAT: this hub has another table"),
        ("x = " + "[" * 5000, "no valid TOML"),
    ],
)
def test_settings_file_when_misshapen_says_where(write: Write, text: str, fault: str) -> None:
    (told,) = faults(write(text))
    assert fault in told


def test_settings_file_when_not_utf8_or_huge_or_missing_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_bytes(b"a = 1\nb = '\xff'\n")
    assert faults(file) == ["line 2: no valid UTF-8"]
    file.write_bytes(b"#" * (1_048_576 + 1))
    assert "larger than" in faults(file)[0]
    assert "No such file" in faults(tmp_path / "nothing.toml")[0]


def test_key_in_the_environment_when_wrong_is_a_fault_without_the_key() -> None:
    assert faults(HUBBUB_ACCESS_KEY="my-short-key") == [
        "HUBBUB_ACCESS_KEY: the key must have 32 to 4,096 bytes, has 12"
    ]


def test_keys_are_not_in_the_repr_of_settings() -> None:
    environ = {"HUBBUB_ACCESS_KEY": KEY, "HUBBUB_ACCESS_KEY_SECONDARY": KEY[::-1] + "2"}
    settings = load(environ=environ)
    assert settings.access_key == KEY
    assert KEY not in repr(settings)


# --- the table -------------------------------------------------------------------------------


def test_table_and_settings_classes_name_the_same_fields() -> None:
    named = {row.field for row in SETTINGS if row.field}
    assert named | {"hubs", "access_key", "access_key_secondary"} == {
        field.name for field in fields(Settings)
    }
    assert {row.field for row in HUB_SETTINGS} | {"event_handlers"} == {
        field.name for field in fields(HubSettings)
    }
    assert {row.field for row in HANDLER_SETTINGS} | {"bearer_token_env"} == {
        field.name for field in fields(EventHandlerSettings)
    }


def test_settings_page_in_docs_is_the_one_that_the_table_makes() -> None:
    assert PAGE.read_text(encoding="utf-8") == settings_page(), (
        "run: python -m hubbub.service.settings_page > docs/reference/settings.md"
    )


def test_settings_page_example_is_a_valid_file(write: Write) -> None:
    example = settings_page().split("```toml\n")[1].split("```")[0]
    settings = load(write(example), environ={"CHAT_HANDLER_TOKEN": "x"})
    assert settings.hub("chat").event_handlers[0].bearer_token_env == "CHAT_HANDLER_TOKEN"


# --- lines -----------------------------------------------------------------------------------


def test_toml_lines_find_keys_in_every_form() -> None:
    text = """\
top.dotted = 1
[a."b.c"] # comment
'quoted key' = 1
[[a.list]]
x = 1
[[a.list]]
x = 2
[a.list.sub]
y = 3
"""
    tomllib.loads(text)
    lines = TomlLines(text)
    found: dict[tuple[Any, ...], int] = {
        ("top", "dotted"): 1,
        ("a", "b.c"): 2,
        ("a", "b.c", "quoted key"): 3,
        ("a", "list", 0, "x"): 5,
        ("a", "list", 1, "x"): 7,
        ("a", "list", 1, "sub", "y"): 9,
        ("a", "list", 1, "inline", "z"): 6,
    }
    assert {path: lines.find(path) for path in found} == found
    assert lines.find(("nowhere",)) is None

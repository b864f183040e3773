"""The conformance runner: it passes our service, fails a broken one with a clear text, and never
claims a case that there is not."""

import asyncio
import contextlib
import ipaddress
import json
import os
import ssl
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.testing.yes_service import yes_service
from tools import conformance_page, generated

from hubbub.cli.main import main as hubbub_main
from hubbub.protocol import cloudevents, json_responses
from hubbub.protocol.errors import InvalidConnectionString
from hubbub.protocol.webpubsub_pb2 import DownstreamMessage
from hubbub.service import Service, Settings
from hubbub.testing import FaultProxy
from hubbub.testing.conformance import __main__ as program
from hubbub.testing.conformance import protobuf, registry, report, unseen, variants
from hubbub.testing.conformance.failures import CannotRun, CaseFailed, shown
from hubbub.testing.conformance.handler import Listener
from hubbub.testing.conformance.report import Report, Result
from hubbub.testing.conformance.runner import NO_HANDLER, Options, run, target_of
from hubbub.testing.conformance.trial import Trial

ROOT = Path(__file__).resolve().parents[2]


async def results_of(
    service: Service, *only: str, listener: Listener | None = None, **options: Any
) -> dict[str, Result]:
    """What the runner says about these cases of a service."""
    options = {"timeout_s": 2, **options}
    found = await run(
        Options(service.connection_string, only=only, **options), lambda *_: None, listener
    )
    return {result.id: result for result in found.results}


# --- the cases -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def own() -> Report:
    """All cases against our own service; one run for all tests."""
    return asyncio.run(conformance_page.check_own_service())


def test_our_own_service_passes_every_case_that_can_be_seen(own: Report) -> None:
    assert [(result.id, result.text, result.said) for result in own.of(report.FAILED)] == []
    assert len(own.of(report.PASSED)) > 300


def test_a_case_is_not_applicable_only_for_a_reason_that_was_known_before(own: Report) -> None:
    found = {result.id: result.text for result in own.of(report.NOT_APPLICABLE)}
    # The one about a service with one key; this one has two.
    assert found.pop("UE-015") == "the service has two keys"
    assert found == unseen.reasons()


def test_page_of_the_docs_is_this_result(own: Report) -> None:
    written = generated.read(conformance_page.PAGE, conformance_page.NAME)
    assert written == report.as_markdown(own), "run: python -m tools.conformance_page"


def test_every_case_is_either_run_once_or_has_a_reason() -> None:
    ids = [case_id for case in registry.all_cases() for case_id in case.ids]
    reasons = set(unseen.reasons())
    assert len(ids) == len(set(ids))
    assert set(ids) & reasons == set(), "run, so the reason not to goes"
    assert set(registry.known()) - set(ids) - reasons == set(), "add a function or a reason"
    assert (set(ids) | reasons) - set(registry.known()) == set(), "no such case"


def test_table_of_the_runner_is_that_of_the_docs() -> None:
    copy = conformance_page.COPY.read_text()
    assert copy == conformance_page.TABLE.read_text(), "run: python -m tools.conformance_page"


# --- a service that is not as it should be -------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "case_id", "expected", "came"),
    [
        ({"strict_json_frames": True}, "CP-073", "an ack with ackId 1", "1003"),
        ({"clock_skew_s": 3600}, "CP-005", "to be refused with 401", "101"),
        ({"clock_skew_s": 3600}, "RA-011", "401 for POST", "202"),
        ({"max_message_bytes": 500_000}, "CP-077", "an ack with ackId 1", "1009"),
        ({"outbound_queue_messages": 50}, "CP-095", "to get", "1008"),
    ],
)
async def test_service_that_is_set_otherwise_fails_the_case_with_what_was_expected_and_came(
    settings: dict[str, Any], case_id: str, expected: str, came: str
) -> None:
    async with Service(Settings(port=0, **settings)) as service:
        result = (await results_of(service, case_id))[case_id]
    assert result.status == report.FAILED
    wanted, _, got = result.text.partition("; came ")
    assert expected in wanted, result.text
    assert came in got, result.text
    assert result.said, "what was sent stands with it"


async def test_wrong_answer_fails_its_case_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    encode = json_responses.encode_response

    def wrong(response: Any) -> bytes:
        return encode(response).replace(b'"type":"pong"', b'"type":"peng"')

    for module in list(sys.modules.values()):
        if getattr(module, "encode_response", None) is encode:
            monkeypatch.setattr(module, "encode_response", wrong)
    async with Service(Settings(port=0)) as service:
        found = await results_of(service, "CP-034", "CP-075", timeout_s=0.5)
    assert found["CP-034"].status == report.PASSED
    assert found["CP-075"].status == report.FAILED
    assert found["CP-075"].text == (
        'expected the answer to a ping to be {"type": "pong"}; came {"type": "peng"}'
    )
    assert any(line.endswith('> {"type": "ping"}') for line in found["CP-075"].said)


ONLY_A_YES = {
    *("CP-001", "CP-002", "CP-003", "CP-009", "CP-013", "CP-036", "CP-057", "CP-060"),
    *("CP-075", "CP-076", "CP-084", "RA-001", "RA-002", "RA-005", "RA-053", "RA-061", "RA-064"),
    *("RA-078", "RA-085"),
}
"""Cases whose sentence asks for no more than that something is accepted."""


async def test_service_that_says_yes_to_everything_passes_nothing_that_asks_for_more() -> None:
    async with yes_service() as text:
        options = Options(text, timeout_s=2, recovery_window_s=0.5, concurrency=64)
        found = await run(options, lambda *_: None)
    assert {result.id for result in found.of(report.PASSED)} == ONLY_A_YES
    assert len(found.of(report.FAILED)) > 180
    assert [it for it in found.of(report.FAILED) if "can be judged" in it.text] == []


async def test_service_with_one_key_passes_the_case_about_it() -> None:
    async with upstream() as (service, listener):
        found = await results_of(service, "UE-015", listener=listener, hub="conformance")
    assert found["UE-015"].status == report.PASSED


async def test_wrong_signature_fails_its_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloudevents, "signature", lambda connection_id, keys: "sha256=00")
    async with upstream() as (service, listener):
        found = await results_of(service, "UE-015", "UE-018", listener=listener, hub="conformance")
    assert found["UE-018"].status == report.PASSED
    assert found["UE-015"].status == report.FAILED
    assert 'came ["sha256=00"]' in found["UE-015"].text


@contextlib.asynccontextmanager
async def upstream() -> AsyncIterator[tuple[Service, Listener]]:
    async with Listener("127.0.0.1", 0) as listener:
        settings = conformance_page.settings_of(variants.as_toml("conformance", listener.url))
        async with Service(replace(settings, access_key_secondary=None)) as service:
            yield service, listener


async def test_case_that_another_service_may_see_otherwise_says_so() -> None:
    async with Service(Settings(port=0, strict_path_decoding=True)) as service:
        result = (await results_of(service, "RA-095"))["RA-095"]
    assert result.status == report.FAILED
    assert any("may rightly do otherwise" in line for line in report.failure_lines(result))


async def test_without_a_handler_the_upstream_cases_do_not_apply() -> None:
    async with Service(Settings(port=0)) as service:
        found = await results_of(service, "UE-01*", "CP-008")
        async with Listener("127.0.0.1", 0) as listener:
            listening = await results_of(service, "UE-013", "UE-035", listener=listener)
    assert {found[case_id].text for case_id in ("UE-013", "UE-019")} == {NO_HANDLER}
    assert found["CP-008"].status == report.NOT_APPLICABLE
    assert "does not call the event handler" in listening["UE-013"].text
    assert "does not call the event handler" in listening["UE-035"].text


async def test_cases_leave_other_hubs_alone() -> None:
    """Closing all, sending to all: a client of another hub sees nothing of it."""
    async with Service(Settings(port=0)) as service, aiohttp.ClientSession() as http:
        options = Options(service.connection_string)
        bystander = Trial(target_of(options), "conformance", http, 2)
        async with bystander.running(None):
            client = await bystander.client(groups=["g", "g1"], user="u")
            found = await results_of(service, "RA-0[2-6]*", hub="conformance")
            assert {result.status for result in found.values()} == {report.PASSED}
            await client.quiet()


async def test_cases_pass_over_a_slow_link() -> None:
    """Nothing counts on an answer that is there at once."""
    async with Service(Settings(port=0)) as service, FaultProxy(service.url) as link:
        link.delay_s = 0.02
        text = service.connection_string.replace(service.url, link.url)
        only = ("CP-03*", "CP-04*", "CP-05[0-7]", "CP-08[4-9]", "CP-09[1-9]", "CP-11*", "RA-05*")
        found = await run(Options(text, only=only, concurrency=32), lambda *_: None)
    failed = [(it.id, it.text, it.said) for it in found.of(report.FAILED)]
    assert failed == []
    assert len(found.of(report.PASSED)) > 50


# --- no service to check -------------------------------------------------------------------------


async def test_nobody_at_the_address_is_told_once() -> None:
    async with Service(Settings(port=0)) as service:
        text = service.connection_string
    with pytest.raises(CannotRun, match="no Web PubSub service answers at http://127"):
        await run(Options(text), lambda *_: None)


async def test_key_of_another_service_is_told_once() -> None:
    async with Service(Settings(port=0)) as service:
        text = f"Endpoint={service.url};AccessKey={'x' * 40};"
        with pytest.raises(CannotRun, match=r"401.*is it the key"):
            await run(Options(text), lambda *_: None)


async def test_service_that_never_answers_is_given_up() -> None:
    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silence, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with server:
        with pytest.raises(CannotRun, match=r"nothing within 0\.1 s"):
            text = f"Endpoint=http://{host}:{port};AccessKey={'x' * 40};"
            await run(Options(text, timeout_s=0.1), lambda *_: None)


async def test_port_that_is_taken_is_told() -> None:
    async with Listener("127.0.0.1", 0) as listener:
        with pytest.raises(CannotRun, match=r"cannot listen on 127\.0\.0\.1"):
            await Listener("127.0.0.1", listener.port).__aenter__()


async def test_bad_connection_string_is_told() -> None:
    with pytest.raises(InvalidConnectionString):
        await run(Options("Endpoint=nonsense"), lambda *_: None)


# --- the command ---------------------------------------------------------------------------------


async def command(*words: str, **environ: str) -> tuple[int, str, str]:
    """Status, output and errors of `python -m hubbub.testing.conformance`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-m", "hubbub.testing.conformance", *words),
        env={**{k: v for k, v in os.environ.items() if not k.startswith("HUBBUB_")}, **environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_command_tells_what_passed_and_writes_files(tmp_path: Path) -> None:
    markdown, data = tmp_path / "r.md", tmp_path / "r.json"
    async with Service(Settings(port=0, strict_json_frames=True)) as service:
        status, out, err = await command(
            *("--only", "cp-07[2-3]", "--only", "UE-013", "--timeout", "2"),
            *("--markdown", str(markdown), "--json-file", str(data)),
            HUBBUB_CONNECTION_STRING=service.connection_string,
        )
        key = service.connection_string.partition("AccessKey=")[2].partition(";")[0]
    assert status == 1
    assert "FAILED CP-073: JSON client, binary frame" in out
    assert "what was said before:" in out
    assert out.rstrip().endswith(": 1 passed, 1 failed, 1 not applicable")
    assert err.startswith("CP-073 failed: expected")
    rows = {row["id"]: row["status"] for row in json.loads(data.read_text())["results"]}
    assert rows == {"CP-072": "passed", "CP-073": "failed", "UE-013": "not applicable"}
    assert "| CP-072 | passed |" in markdown.read_text()
    for text in (out, err, markdown.read_text(), data.read_text()):
        assert key not in text
        assert "eyJ" not in text, "a token"


async def test_command_when_nothing_fails_ends_with_0_and_prints_json() -> None:
    async with Service(Settings(port=0)) as service:
        status, out, err = await command(
            "--json",
            *("--only", "CP-001"),
            HUBBUB_CONNECTION_STRING=service.connection_string,
        )
    assert (status, err) == (0, "")
    assert json.loads(out)["counts"] == {"passed": 1, "failed": 0, "not applicable": 0}


async def test_command_over_tls(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    inner: list[Service] = []

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = inner[0].url.removeprefix("http://").split(":")
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        async with asyncio.TaskGroup() as ways:
            ways.create_task(pump(reader, far_writer))
            ways.create_task(pump(far_reader, writer))

    async with await asyncio.start_server(carry, "127.0.0.1", 0, ssl=context) as server:
        outer = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with Service(Settings(port=0, public_endpoint=outer)) as service:
            inner.append(service)
            text = service.connection_string.replace(service.url, outer)
            words = ("--only", "CP-001", "--only", "RA-024")
            status, out, err = await command(
                *words, HUBBUB_CONNECTION_STRING=text, SSL_CERT_FILE=str(certificate)
            )
            assert (status, err) == (0, ""), out
            status, _, err = await command(*words, HUBBUB_CONNECTION_STRING=text)
            assert status == 2
            assert "certificate" in err.lower()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


def make_certificate(folder: Path) -> Path:
    """Of 127.0.0.1, signed by itself, with its key in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    address = ipaddress.ip_address("127.0.0.1")
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(address)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    file = folder / "certificate.pem"
    file.write_bytes(pem)
    return file


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "give the service's connection string"),
        (["--connection-string", "x"], "no '='"),
        (["--print-config"], "wants --handler-listen or --handler-url"),
        (["--print-config", "--handler-listen", "127.0.0.1:0"], "names a port"),
        (
            ["--connection-string", "Endpoint=http://h;AccessKey=k", "--only", "CL-*"],
            "id like CL-*",
        ),
        (["--list", "--only", "XX-*"], "id like XX-*"),
        (["--connection-string", "Endpoint=http://h;AccessKey=k", "--hub", "1x"], "hub"),
        (["--connection-string", "Endpoint=http://h;AccessKey=k", "--hub", "h" * 120], "hub"),
        (["--connection-string", "x", "--markdown", "/nonexistent/r.md"], "cannot write"),
    ],
)
def test_command_when_used_wrongly_ends_with_2(
    words: list[str],
    text: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("HUBBUB_CONNECTION_STRING", raising=False)
    assert program.main(words) == 2
    assert text in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["--timeout", "0"], ["--concurrency", "0"], ["--handler-listen", "9000"]]
)
def test_option_out_of_range_ends_with_2(words: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        program.main(words)
    assert end.value.code == 2


def test_hubbub_has_the_same_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "HUBBUB_CONNECTION_STRING", f"Endpoint=http://127.0.0.1:9;AccessKey={'k' * 40};"
    )
    assert hubbub_main(["conformance", "--list", "--only", "CP-135"]) == 0
    assert "MQTT path" in capsys.readouterr().out
    assert hubbub_main(["conformance", "--only", "CP-135", "--timeout", "2"]) == 2
    assert "no Web PubSub service answers" in capsys.readouterr().err
    assert hubbub_main(["conformance", "--only", "XX-*"]) == 2
    assert "no case about a service" in capsys.readouterr().err
    assert hubbub_main(["conformance", "--json", "--print-config"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "CommandFailed"


def test_list_names_the_cases_and_the_reasons(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["--list", "--only", "CP-13*"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("CP-130  ")
    assert lines[1].strip() == "not run: is about a client, not about a service"
    assert any(line.startswith("CP-135  MQTT path") for line in lines)


def test_list_for_programs_has_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["--list", "--json", "--only", "CP-13[45]"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["id"], bool(row["notRun"])) for row in rows] == [
        ("CP-134", True),
        ("CP-135", False),
    ]


def test_printed_configuration_names_the_address_and_the_hub(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["--print-config", "--handler-url", "https://me.example/", "--hub", "mine"]
    assert program.main(words) == 0
    text = capsys.readouterr().out
    assert 'url_template = "https://me.example/main/{hub}/{event}' in text
    assert "[[hubs.mine_slow.event_handlers]]" in text


# --- its parts -----------------------------------------------------------------------------------


def test_tokens_are_never_shown() -> None:
    for text in (
        "/client/hubs/h?access_token=SECRET&x=1",
        "awps_reconnection_token=SECRET",
        '{"reconnectionToken":"SECRET"}',
        {"reconnectionToken": "SECRET", "a": 1},
        '{"token":"SECRET"}',
    ):
        assert "SECRET" not in shown(text)


def test_protobuf_reads_what_the_schema_writes_and_refuses_what_is_none() -> None:
    message = DownstreamMessage()
    message.data_message.group = "g"
    setattr(message.data_message, "from", "group")
    message.data_message.data.text_data = "é" * 100
    message.data_message.sequence_id = 2**40
    assert protobuf.read_answer(message.SerializeToString()) == {
        "type": "message",
        "from": "group",
        "group": "g",
        "dataType": "text",
        "data": "é" * 100,
        "sequenceId": 2**40,
    }
    for data in (b"\xff", b"\x0a\x05x", b"\x0b", b"\x08\x01", b"\x0a\x00\x0a\x00"):
        with contextlib.suppress(protobuf.Misshapen):
            protobuf.read_answer(data)


def test_failure_says_both_sides() -> None:
    assert str(CaseFailed("this", "that")) == "expected this; came that"

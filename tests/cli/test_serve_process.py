"""`hubbub serve` as a process of its own: ready line, signals, keys, and the other commands."""

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import termios
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

KEY = "k" * 40


class Program:
    """One `hubbub` process of a user with an empty state folder."""

    def __init__(self, state: Path, *words: str, **environ: str) -> None:
        clean = {name: text for name, text in os.environ.items() if not name.startswith("HUBBUB_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "hubbub.cli.main", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=clean | {"XDG_STATE_HOME": str(state)} | environ,
        )

    def line(self) -> str:
        """The next line of standard output."""
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def log_line(self, words: str) -> str:
        """The next line of standard error that holds these words."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if words in line:
                return line
        raise AssertionError(f"the program ended before it said: {words}")

    def end(self) -> tuple[int, str, str]:
        """Wait for its end: status, the rest of standard output, standard error."""
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err


@pytest.fixture
def programs(tmp_path: Path) -> Iterator["Programs"]:
    programs = Programs(tmp_path)
    yield programs
    for program in programs.started:
        if program.process.poll() is None:
            program.process.kill()
            program.process.communicate()


class Programs:
    def __init__(self, state: Path) -> None:
        self.state = state
        self.started: list[Program] = []

    def start(self, *words: str, **environ: str) -> Program:
        program = Program(self.state, *words, **environ)
        self.started.append(program)
        return program

    def serve(self, *words: str, **environ: str) -> tuple[Program, str]:
        """A service on a free port, and its address."""
        program = self.start("serve", "--port", "0", *words, **environ)
        line = program.line()
        assert line.startswith("hubbub is ready at http://127.0.0.1:"), line
        return program, line.split()[-1]

    def run(self, *words: str, **environ: str) -> tuple[int, str, str]:
        return self.start(*words, **environ).end()


def test_serve_is_ready_when_it_says_so_and_never_shows_the_key(programs: Programs) -> None:
    program, url = programs.serve()
    with urllib.request.urlopen(f"{url}/api/health") as answer:
        assert answer.status == 200
    program.process.send_signal(signal.SIGTERM)
    status, out, err = program.end()
    assert (status, out) == (0, "")
    key = (programs.state / "hubbub" / "access-key").read_text().strip()
    assert len(key) == 44
    assert key not in err


def test_commands_reach_the_service_with_the_key_of_this_user(programs: Programs) -> None:
    program, url = programs.serve()
    port = url.rpartition(":")[2]
    status, out, _ = programs.run("connection-string", "--port", port)
    assert status == 0
    text = {"HUBBUB_CONNECTION_STRING": out.strip()}
    status, address, _ = programs.run("url", "--hub", "chat", "--group", "g", **text)
    assert status == 0
    with connect(address.strip(), subprotocols=None) as client:
        assert programs.run("send", "--hub", "chat", "--group", "g", "hé", **text)[0] == 0
        assert client.recv() == "hé"
        assert programs.run("send", "--hub", "chat", "--json-data", '{"a": 1}', **text)[0] == 0
        assert client.recv() == '{"a": 1}'
        program.process.send_signal(signal.SIGTERM)
        with pytest.raises(ConnectionClosed) as caught:
            client.recv()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1001
    assert program.end()[0] == 0


def test_serve_takes_keys_of_the_environment_and_makes_none(programs: Programs) -> None:
    _, url = programs.serve(HUBBUB_ACCESS_KEY=KEY)
    wrong = f"Endpoint={url};AccessKey={'w' * 40};"
    right = f"Endpoint={url};AccessKey={KEY};"
    assert programs.run("send", "--hub", "c", "x", "--connection-string", right)[0] == 0
    status, _, err = programs.run("send", "--hub", "c", "x", "--connection-string", wrong)
    assert status == 1
    assert "401" in err
    assert not (programs.state / "hubbub").exists()


def test_serve_when_port_is_in_use_ends_with_1_and_a_sentence(programs: Programs) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, out, err = programs.run("serve", "--port", str(port))
    assert (status, out) == (1, "")
    assert f"127.0.0.1 port {port} is in use" in err
    assert "Traceback" not in err


def test_serve_with_json_says_its_address_as_json(programs: Programs) -> None:
    program = programs.start("serve", "--json", "--port", "0")
    data = json.loads(program.line())
    assert data["ready"] is True
    assert data["url"].startswith("http://127.0.0.1:")
    program.process.send_signal(signal.SIGINT)
    assert program.end()[0] == 0


def test_serve_flag_beats_environment_beats_file(programs: Programs, tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text("[service]\nport = 1\n[observe]\nlog_format = 'json'\n")
    program, _ = programs.serve("--config", str(file), HUBBUB_SERVICE_PORT="2")
    program.process.send_signal(signal.SIGTERM)
    status, _, err = program.end()
    assert status == 0
    assert all(json.loads(line)["level"] for line in err.splitlines())


def test_serve_when_settings_are_wrong_ends_with_2_and_all_faults(programs: Programs) -> None:
    status, _, err = programs.run(
        "serve", "--port", "x", HUBBUB_OBSERVE_LOG_LEVEL="loud", HUBBUB_ACCESS_KEY="short"
    )
    assert status == 2
    assert [line.split(": ")[1] for line in err.splitlines()] == [
        "HUBBUB_OBSERVE_LOG_LEVEL",
        "HUBBUB_ACCESS_KEY",
        "--port",
    ]


def test_second_signal_cuts_clients_that_do_not_go(programs: Programs) -> None:
    program, url = programs.serve(HUBBUB_ACCESS_KEY=KEY, HUBBUB_SERVICE_CLOSE_FLUSH_TIMEOUT_S="600")
    text = f"Endpoint={url};AccessKey={KEY};"
    _, address, _ = programs.run("url", "--hub", "chat", "--connection-string", text)
    port = int(url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        target = address.strip().partition(f":{port}")[2]
        client.sendall(
            f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\n"
            "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        assert client.recv(65_536).startswith(b"HTTP/1.1 101")
        program.process.send_signal(signal.SIGTERM)
        # The close frame: the service now waits for an answer that does not come.
        assert client.recv(65_536)[0] == 0x88
        program.process.send_signal(signal.SIGTERM)
        assert program.end()[0] == 1


def test_sighup_takes_the_new_file_and_the_client_stays(programs: Programs, tmp_path: Path) -> None:
    file = tmp_path / "hubbub.toml"
    file.write_text("[service]\n")
    program, url = programs.serve("--config", str(file))
    anonymous = url.replace("http", "ws") + "/client/hubs/chat"
    text = f"Endpoint={url};AccessKey={(programs.state / 'hubbub' / 'access-key').read_text()}"
    _, address, _ = programs.run("url", "--hub", "chat", "--connection-string", text.strip())
    with connect(address.strip()) as client:
        with pytest.raises(InvalidStatus):
            connect(anonymous)
        file.write_text("[hubs.chat]\nanonymous_connect_policy = 'nobody'\n")
        program.process.send_signal(signal.SIGHUP)
        assert "anonymous_connect_policy" in program.log_line("settings not reloaded")
        program.log_line("goes on")
        file.write_text(
            "[service]\nmax_connections = 9\n[hubs.chat]\nanonymous_connect_policy = 'allow'\n"
        )
        program.process.send_signal(signal.SIGHUP)
        assert "service.max_connections" in program.log_line("need a new start")
        with connect(anonymous):
            pass
        assert programs.run("send", "--hub", "chat", "hi", "--connection-string", text)[0] == 0
        assert client.recv() == "hi"
    program.process.send_signal(signal.SIGTERM)
    assert program.end()[0] == 0


@contextlib.contextmanager
def in_a_terminal(
    state: Path, before: Callable[[], object] = lambda: None
) -> Iterator[tuple[subprocess.Popen[str], Callable[[], None]]]:
    """A service that is ready, and how to close its terminal. `before`: done in its process."""
    ours, theirs = os.openpty()

    def prepare() -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        before()

    process = subprocess.Popen(
        [sys.executable, "-m", "hubbub.cli.main", "serve", "--port", "0"],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"XDG_STATE_HOME": str(state)},
        start_new_session=True,
        preexec_fn=prepare,
    )
    try:
        os.close(theirs)
        assert process.stdout is not None
        assert "is ready" in process.stdout.readline()
        yield process, lambda: os.close(ours)
    finally:
        process.kill()
        process.communicate()


def wait_for_reload(process: subprocess.Popen[str]) -> None:
    assert process.stderr is not None
    while "settings reloaded" not in process.stderr.readline():
        assert process.poll() is None


def test_closed_terminal_ends_the_service_kindly(tmp_path: Path) -> None:
    with in_a_terminal(tmp_path) as (process, close_terminal):
        process.send_signal(signal.SIGHUP)
        wait_for_reload(process)
        close_terminal()
        process.communicate(timeout=30)
        assert process.returncode == 0


def test_service_under_nohup_outlives_its_terminal(tmp_path: Path) -> None:
    def ignore() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    with in_a_terminal(tmp_path, ignore) as (process, close_terminal):
        close_terminal()
        wait_for_reload(process)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        assert process.returncode == 0

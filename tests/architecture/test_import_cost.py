"""What an import may load, each seen in a fresh interpreter."""

import json
import subprocess
import sys

import pytest

_PROGRAM = """
import json, sys
before = set(sys.modules)
{statement}
print(json.dumps(sorted(set(sys.modules) - before)))
"""
_SERVER_SIDE = {"aiohttp", "httptools", "picows", "starlette", "uvicorn", "uvloop", "yarl"}


def modules_loaded_by(statement: str) -> set[str]:
    program = _PROGRAM.format(statement=statement)
    run = subprocess.run(
        [sys.executable, "-I", "-c", program], check=True, capture_output=True, text=True
    )
    return set(json.loads(run.stdout))


def packages(modules: set[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules}


def test_cl_108_import_hubbub_loads_three_small_modules_and_nothing_installed() -> None:
    loaded = modules_loaded_by("import hubbub")
    ours = {module for module in loaded if module.partition(".")[0] == "hubbub"}
    assert ours == {"hubbub", "hubbub.protocol", "hubbub.protocol.errors"}
    assert packages(loaded) - {"hubbub"} <= sys.stdlib_module_names
    # `typing` and what it needs; an event loop, sockets or a parser would be new here.
    assert not loaded & {"asyncio", "concurrent", "email", "http", "json", "logging", "socket"}
    assert len(loaded) < 40


@pytest.mark.parametrize(
    "statement",
    [
        "from hubbub.service import HubSettings, Settings, local_access_key",
        "from hubbub.browser import client_source; client_source()",
    ],
)
def test_settings_keys_and_browser_client_load_only_the_standard_library(statement: str) -> None:
    loaded = packages(modules_loaded_by(statement))
    assert loaded - {"hubbub"} <= sys.stdlib_module_names
    assert "asyncio" not in loaded


def test_client_loads_its_transport_and_nothing_of_the_service() -> None:
    loaded = modules_loaded_by("from hubbub import Client, connect")
    assert "picows" in loaded  # so the base installation is enough for it
    assert packages(loaded) & (_SERVER_SIDE - {"picows"} | {"httpx2", "jwt", "websockets"}) == set()
    assert not any(m.startswith(("hubbub.service", "hubbub.appserver")) for m in loaded)


def test_scripted_service_and_virtual_time_need_no_extra() -> None:
    loaded = modules_loaded_by("from hubbub.testing import FakeService, run_virtual, expect_event")
    extras = _SERVER_SIDE - {"picows"} | {"httpx2", "jwt", "google", "pytest", "websockets"}
    assert packages(loaded) & extras == set()
    assert not any(m.startswith(("hubbub.service", "hubbub.appserver")) for m in loaded)


def test_appserver_does_not_load_the_service() -> None:
    loaded = modules_loaded_by("import hubbub.appserver")
    assert packages(loaded) & _SERVER_SIDE == set()
    assert not any(module.startswith("hubbub.service") for module in loaded)


def test_service_does_not_load_the_http_client_of_the_appserver() -> None:
    loaded = modules_loaded_by("from hubbub.service import Service")
    assert "picows" in loaded  # the name is loaded only when it is asked for
    assert "httpx2" not in loaded
    assert not any(module.startswith("hubbub.appserver") for module in loaded)


def test_service_does_not_load_protobuf_before_the_first_protobuf_client() -> None:
    loaded = modules_loaded_by("import hubbub.service.run, hubbub.service.handshake")
    assert "picows" in loaded
    assert "google" not in packages(loaded)


def test_command_line_starts_without_what_only_some_commands_need() -> None:
    loaded = packages(modules_loaded_by("import hubbub.cli.main"))
    assert loaded & (_SERVER_SIDE | {"httpx2", "jwt"}) == set()

"""The plugin in a project of somebody else: pytest in a process of its own, nothing of ours."""

import asyncio
import sys
from pathlib import Path

import pytest

CONFTEST = """\
import pytest

@pytest.fixture
def anyio_backend():
    return "asyncio"
"""

TESTS = """\
import asyncio
import pytest
{imports}
pytestmark = {mark}

@{fixture}
async def hub(hubbub):
    async with hubbub.hub() as hub:
        yield hub

async def test_reconnect(hub):
    async with hub.client(groups=["g"]) as client, client.messages() as messages:
        hub.cut()
        await hub.backend.send_to_group("g", "while it was away")
        assert (await anext(messages)).data == "while it was away"

@pytest.mark.virtual_time
@pytest.mark.parametrize("hours", [1, 2])
async def test_idle(hub, hubbub, hours):
    async with hub.client() as client:
        await asyncio.sleep(hours * 3600)
        assert client.is_connected
        assert hubbub.clock.time() == hours * 3600

async def test_real_time(hubbub):
    with pytest.raises(RuntimeError):
        hubbub.clock
"""

STRANGER = """\
import sys

def test_nothing_of_hubbub_is_loaded_but_its_plugin():
    ours = {m for m in sys.modules if m.partition(".")[0] == "hubbub"}
    # The package itself comes with its errors.
    assert ours == {"hubbub", "hubbub.protocol", "hubbub.protocol.errors", "hubbub.testing",
                    "hubbub.testing.plugin"}
    assert not {"picows", "uvicorn", "starlette", "aiohttp", "httpx2", "jwt"} & set(sys.modules)
"""


async def run(folder: Path, *options: str) -> str:
    """What it wrote. Raises: AssertionError with that unless all passed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pytest", "-v", "-W", "error", "-p", "no:cacheprovider"),
        *("-p", "no:schemathesis", *options),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    return out.decode()


@pytest.mark.parametrize(
    ("mark", "fixture", "options"),
    [
        (
            "pytest.mark.asyncio",
            "pytest_asyncio.fixture",
            ("-p", "no:anyio", "-o", "asyncio_default_fixture_loop_scope=function"),
        ),
        ("pytest.mark.anyio", "pytest.fixture", ("-p", "no:asyncio")),
    ],
    ids=["pytest-asyncio", "anyio"],
)
async def test_kit_works_with_the_users_async_plugin_and_in_parallel(
    tmp_path: Path, mark: str, fixture: str, options: tuple[str, ...]
) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    imports = "import pytest_asyncio" if "asyncio" in fixture else ""
    text = TESTS.format(imports=imports, mark=mark, fixture=fixture)
    (tmp_path / "test_user.py").write_text(text)
    out = await run(tmp_path, "-n", "2", *options)
    assert "4 passed" in out
    assert "[gw1]" in out
    assert "test_user.py::test_idle[2]" in out  # the mark leaves the names as they are


async def test_plugin_loads_nothing_in_a_run_that_does_not_use_it(tmp_path: Path) -> None:
    (tmp_path / "test_stranger.py").write_text(STRANGER)
    assert "1 passed" in await run(tmp_path, "-p", "no:asyncio", "-p", "no:anyio")

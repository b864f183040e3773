"""Which registry is asked, and who said so."""

from pathlib import Path

import pytest

from pkgstats.settings import InvalidSetting
from pkgstats.sources import npmrc
from pkgstats.sources.npmrc import NpmConfig, find_config


class Machine:
    """A home, a project and a global configuration in a folder of the test."""

    def __init__(self, folder: Path) -> None:
        self.project, self.home = folder / "project", folder / "home"
        self.glob = folder / "etc" / "npmrc"
        for path in (self.project, self.home, self.glob.parent):
            path.mkdir()
        self.environ = {"NPM_CONFIG_GLOBALCONFIG": str(self.glob)}
        self.told: str | None = None

    async def find(self, setting: str = "") -> NpmConfig:
        async def ask(key: str) -> str | None:
            return self.told

        return await find_config(
            setting, environ=self.environ, project=self.project, home=self.home, ask_npm=ask
        )

    async def registry(self, setting: str = "") -> tuple[str, str] | None:
        found = (await self.find(setting)).registry
        return None if found is None else (found.value, found.where)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


async def test_a02_the_first_place_that_is_set_wins_and_is_named(machine: Machine) -> None:
    assert await machine.registry() is None
    machine.told = "https://told.example/"
    assert await machine.registry() == ("https://told.example", "npm config get registry")
    machine.glob.write_text("registry=https://global.example/")
    assert await machine.registry() == ("https://global.example", "registry in the global npmrc")
    (machine.home / ".npmrc").write_text("registry = 'https://user.example/'\n")
    assert await machine.registry() == ("https://user.example", "registry in the user's .npmrc")
    (machine.project / ".npmrc").write_text("; comment\nregistry=https://project.example\n")
    found = await machine.registry()
    assert found == ("https://project.example", "registry in the project's .npmrc")
    machine.environ["nPm_CoNfIg_ReGiStRy"] = "https://environ.example"
    found = await machine.registry()
    assert found == ("https://environ.example", "registry in the environment (npm_config_*)")
    found = await machine.registry("https://ours.example")
    assert found == ("https://ours.example", "PKGSTATS_REGISTRY")


async def test_a02_a_scope_has_its_own_registry_and_is_private(machine: Machine) -> None:
    (machine.home / ".npmrc").write_text(
        "registry=https://usual.example\n@own:registry=https://own.example/npm/\n"
    )
    config = await machine.find()
    own, usual = config.registry_of("@own/x"), config.registry_of("@other/x")
    assert own is not None
    assert usual is not None
    assert (own.value, usual.value) == ("https://own.example/npm", "https://usual.example")
    assert not config.is_public("@own/x")
    assert config.is_public("@other/x")
    assert config.is_public("own")


async def test_find_config_reads_the_user_file_that_the_environment_names(machine: Machine) -> None:
    elsewhere = machine.home / "elsewhere"
    elsewhere.write_text("registry=https://elsewhere.example")
    machine.environ["NPM_CONFIG_USERCONFIG"] = str(elsewhere)
    assert await machine.registry() == (
        "https://elsewhere.example",
        "registry in the user's .npmrc",
    )


async def test_find_config_fills_in_variables(machine: Machine) -> None:
    (machine.home / ".npmrc").write_text("registry=https://${WHERE}.example/${MISSING}")
    (machine.project / ".npmrc").write_text("registry=https://${WHERE}.example\ncafile=${CA}/x.pem")
    machine.environ |= {"WHERE": "there", "CA": "/certs"}
    config = await machine.find()
    assert config.registry is not None
    assert config.registry.value == "https://there.example"
    assert config.cafile == "/certs/x.pem"
    (machine.project / ".npmrc").unlink()
    assert await machine.registry() is None  # half an address is none


@pytest.mark.parametrize("line", ["registry=https://me:hush{at}r.example", "@s:registry=ftp://r"])
async def test_find_config_refuses_an_address_without_repeating_it(
    machine: Machine, line: str
) -> None:
    (machine.home / ".npmrc").write_text(line.replace("{at}", "@"))
    with pytest.raises(InvalidSetting, match="in the user's") as caught:
        await machine.find()
    assert "hush" not in str(caught.value)


def test_read_npmrc_keeps_no_token_and_no_password() -> None:
    text = (
        "//r.example/:_authToken=secret\n_auth=secret\nemail=x\n//r.example/:_password=secret\n"
        "registry=https://r.example\nstrict-ssl=false\n"
    )
    assert npmrc.read_npmrc(text, {}) == {"registry": "https://r.example"}

"""Settings from the environment; addresses that nobody should use are refused."""

from pathlib import Path

import pytest

from pkgstats.settings import STARTER, InvalidSetting, Settings


def test_from_environ_when_nothing_is_set_has_the_defaults() -> None:
    settings = Settings.from_environ({})
    assert settings == Settings()
    assert settings.starter == STARTER
    assert (settings.via, settings.images) == ("http", "click")


def test_from_environ_reads_every_setting() -> None:
    settings = Settings.from_environ(
        {
            "PKGSTATS_REGISTRY": "https://r.example/npm/",
            "PKGSTATS_DOWNLOADS": "http://127.0.0.1:8081",
            "PKGSTATS_VIA": "npm",
            "PKGSTATS_IMAGES": "off",
            "PKGSTATS_STARTER": "ws, react",
            "PKGSTATS_DB": "/x/y.db",
            "PKGSTATS_WORLD_DAY_S": "0",
        }
    )
    assert settings.registry == "https://r.example/npm"
    assert settings.downloads == "http://127.0.0.1:8081"
    assert settings.starter == ("ws", "react")
    assert settings.database() == Path("/x/y.db")
    assert settings.world_day_s == 0


def test_from_environ_when_the_starter_list_is_long_keeps_twenty() -> None:
    names = " ".join(f"p{i}" for i in range(30))
    assert len(Settings.from_environ({"PKGSTATS_STARTER": names}).starter) == 20


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REGISTRY", "https://user:secret@r.example"),
        ("REGISTRY", "https://user@r.example"),
        ("REGISTRY", "ftp://r.example"),
        ("REGISTRY", "r.example"),
        ("REGISTRY", "https://r.example/?a=b"),
        ("DOWNLOADS", "https://r.example:port"),
        ("VIA", "carrier-pigeon"),
        ("IMAGES", "yes"),
        ("WORLD_DAY_S", "soon"),
        ("WORLD_DAY_S", "-1"),
    ],
)
def test_from_environ_when_a_value_is_unusable_names_the_setting(name: str, value: str) -> None:
    with pytest.raises(InvalidSetting, match=f"PKGSTATS_{name}") as caught:
        Settings.from_environ({f"PKGSTATS_{name}": value})
    assert "secret" not in str(caught.value)

"""Connection strings: every form that is read, every fault with its remedy, and the key kept out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.protocol.connection_string import ConnectionString, build, parse
from hubbub.protocol.errors import InvalidConnectionString

KEY = "abcdefghijklmnopqrstuvwxyz0123456789+/ABCDE="


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            f"Endpoint=https://name.webpubsub.azure.com;AccessKey={KEY};Version=1.0;",
            ConnectionString("https://name.webpubsub.azure.com", KEY),
        ),
        (
            f"Endpoint=http://localhost;AccessKey={KEY};Port=8080;Version=1.0;",
            ConnectionString("http://localhost:8080", KEY),
        ),
        (
            f"Endpoint=http://localhost:1/;AccessKey={KEY};Port=8080",
            ConnectionString("http://localhost:8080", KEY),
        ),
        (
            f"Endpoint=http://[::1];AccessKey={KEY};Port=8080",
            ConnectionString("http://[::1]:8080", KEY),
        ),
        (
            f"Endpoint=http://[::1]:1;AccessKey={KEY};Port=8080",
            ConnectionString("http://[::1]:8080", KEY),
        ),
        (
            f" accesskey = {KEY} ;;ENDPOINT=http://127.0.0.1:40123/;\n",
            ConnectionString("http://127.0.0.1:40123", KEY),
        ),
        ("Endpoint=https://h;AccessKey=a=b==;Later=x", ConnectionString("https://h", "a=b==")),
        (
            "Endpoint=https://h;AccessKey=k;ClientEndpoint=https://clients.example.com/",
            ConnectionString("https://h", "k", "https://clients.example.com"),
        ),
        ("Endpoint=https://h;AccessKey=k;ClientEndpoint=", ConnectionString("https://h", "k")),
    ],
)
def test_connection_string_is_read(text: str, expected: ConnectionString) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("", "has no Endpoint; it looks like Endpoint=https://"),
        (f"AccessKey={KEY}", "has no Endpoint"),
        ("Endpoint=https://h", "has no AccessKey; it looks like"),
        ("Endpoint=https://h;AccessKey=", "has no AccessKey"),
        (f"Endpoint=example.com;AccessKey={KEY}", "such as https://example.com"),
        (f"Endpoint=localhost:8080;AccessKey={KEY}", "such as https://example.com"),
        (f"Endpoint=wss://h;AccessKey={KEY}", "http or https"),
        (f"Endpoint=AccessKey={KEY}", "http or https"),
        (f"Endpoint=https://;AccessKey={KEY}", "http or https"),
        (f"Endpoint=https://h:x;AccessKey={KEY}", "no address"),
        (f"Endpoint=https://h:99999;AccessKey={KEY}", "no address"),
        (f"Endpoint=https://[h;AccessKey={KEY}", "no address"),
        (f"Endpoint=https://u:p@h;AccessKey={KEY}", "no user, query or fragment"),
        (f"Endpoint=https://h?a=b;AccessKey={KEY}", "no user, query or fragment"),
        (f"Endpoint=https://h;AccessKey={KEY};ClientEndpoint=h", "ClientEndpoint must be"),
        (f"Endpoint=https://h;AccessKey={KEY};Port=0", "Port must be a number from 1 to 65535"),
        (f"Endpoint=https://h;AccessKey={KEY};Port=65536", "Port must be"),
        (f"Endpoint=https://h;AccessKey={KEY};Port=x", "Port must be"),
        (f"Endpoint=https://h;AccessKey={KEY};Port={'1' * 5000}", "Port must be"),
        (f"Endpoint=https://h;AccessKey={KEY};Port=\u0661", "Port must be"),
        (f"Endpoint=https://h;AccessKey={KEY};{KEY.rstrip('=')}", "has no '='"),
        (f"Endpoint=https://h;AccessKey=x;AccessKey={KEY}", "same name twice"),
    ],
)
def test_faulty_connection_string_is_refused_with_its_remedy(text: str, remedy: str) -> None:
    with pytest.raises(InvalidConnectionString) as caught:
        parse(text)
    assert remedy in str(caught.value)
    assert KEY.rstrip("=") not in str(caught.value)


def test_repr_does_not_show_the_key() -> None:
    assert KEY not in repr(parse(build("https://h", KEY)))
    assert KEY not in f"{ConnectionString('https://h', KEY)}"


def test_build_gives_the_documented_form() -> None:
    assert build("https://h:1", KEY) == f"Endpoint=https://h:1;AccessKey={KEY};Version=1.0;"


keys = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=";"), min_size=1
)


@given(st.sampled_from(["http", "https"]), st.integers(1, 65535), keys)
def test_connection_string_there_and_back_is_the_same(scheme: str, port: int, key: str) -> None:
    endpoint = f"{scheme}://example.com:{port}"
    assert parse(build(endpoint, key)) == ConnectionString(endpoint, key)


@given(st.text() | st.text(alphabet="EndpoitAccesKyPr=;:/[]@?#h1.").map("Endpoint=http://".__add__))
def test_hostile_connection_string_raises_nothing_but_its_own_error(text: str) -> None:
    try:
        found = parse(text)
    except InvalidConnectionString:
        return
    assert parse(build(found.endpoint, found.access_key)).endpoint == found.endpoint

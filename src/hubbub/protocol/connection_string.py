"""The one text that tells a program where the service is and with which key to sign."""

from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from hubbub.protocol.errors import InvalidConnectionString

_EXAMPLE = "Endpoint=https://example.com;AccessKey=<key>;Version=1.0;"


@dataclass(frozen=True, slots=True)
class ConnectionString:
    """`endpoint` and `client_endpoint`: http(s) addresses without a trailing slash.

    `client_endpoint`: where clients connect when that is another address, else None.
    """

    endpoint: str
    access_key: str = field(repr=False)
    client_endpoint: str | None = None


def parse(text: str) -> ConnectionString:
    """The parts of a connection string, or InvalidConnectionString, whose text never has the key.

    Names are compared without case; unknown names and `Version` are ignored.
    """
    values = _values(text)
    endpoint = _address("Endpoint", _required(values, "Endpoint"))
    if port := values.get("port"):
        endpoint = _with_port(endpoint, port)
    client_endpoint = values.get("clientendpoint")
    return ConnectionString(
        endpoint=_text(endpoint),
        access_key=_required(values, "AccessKey"),
        client_endpoint=_text(_address("ClientEndpoint", client_endpoint))
        if client_endpoint
        else None,
    )


def build(endpoint: str, key: str) -> str:
    """The connection string of a service at `endpoint`."""
    return f"Endpoint={endpoint};AccessKey={key};Version=1.0;"


def _values(text: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for part in text.split(";"):
        if not part.strip():
            continue
        name, equals, value = part.partition("=")
        if not equals:
            raise InvalidConnectionString(
                f"a part of the connection string has no '='; it looks like {_EXAMPLE}"
            )
        name = name.strip().lower()
        if name in values:
            raise InvalidConnectionString("the connection string gives the same name twice")
        values[name] = value.strip()
    return values


def _required(values: dict[str, str], name: str) -> str:
    value = values.get(name.lower())
    if not value:
        raise InvalidConnectionString(
            f"the connection string has no {name}; it looks like {_EXAMPLE}"
        )
    return value


def _address(name: str, text: str) -> SplitResult:
    try:
        address = urlsplit(text)
        has_host, _ = bool(address.hostname), address.port
    except ValueError as error:
        raise InvalidConnectionString(f"{name} is no address with a host and a port") from error
    if address.scheme not in ("http", "https") or not has_host:
        raise InvalidConnectionString(
            f"{name} must be an http or https address such as https://example.com"
        )
    if "@" in address.netloc or address.query or address.fragment:
        raise InvalidConnectionString(
            f"{name} is scheme, host and port only: no user, query or fragment"
        )
    return address


def _with_port(address: SplitResult, text: str) -> SplitResult:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) < 65536):
        raise InvalidConnectionString("Port must be a number from 1 to 65535")
    host = address.netloc
    if address.port is not None:
        host = host.rpartition(":")[0]
    return address._replace(netloc=f"{host.rstrip(':')}:{text}")


def _text(address: SplitResult) -> str:
    return address.geturl().removesuffix("/")

"""An identity provider on loopback: its documents, its keys, and tokens signed with them."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import cache
from types import TracebackType
from typing import Any, Self

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

AUDIENCE = "https://webpubsub.azure.com"
NOW = 1_800_000_000

Entry = dict[str, Any]
Override = Callable[[web.Request], Awaitable[web.StreamResponse]]


@cache
def rsa_key(name: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    """Making one is slow, so the same name gives the same key."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


@cache
def ec_key(name: str) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def entry(key: Any, key_id: str, **members: Any) -> Entry:
    """The public half as an entry of a key set."""
    algorithm = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
    return {**algorithm.to_jwk(key.public_key(), as_dict=True), "kid": key_id, **members}


@dataclass
class Issuer:
    """`async with` it: serves until the end. `asked` counts by path."""

    keys: list[Entry] = field(default_factory=list)
    configuration: dict[str, Any] = field(default_factory=dict)
    """Members that differ from what a provider says."""
    overrides: dict[str, Override] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    url: str = ""
    hold: asyncio.Event = field(default_factory=asyncio.Event)
    """Answers wait for it; set from the start."""

    CONFIGURATION = "/.well-known/openid-configuration"

    def __post_init__(self) -> None:
        self.keys = self.keys or [entry(rsa_key("r1"), "r1"), entry(ec_key("e1"), "e1")]
        self.hold.set()

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.hold.set()
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        await self.hold.wait()
        if request.path in self.overrides:
            return await self.overrides[request.path](request)
        if request.path == self.CONFIGURATION:
            document = {"issuer": self.url, "jwks_uri": f"{self.url}/keys"} | self.configuration
            return web.json_response(document)
        if request.path == "/keys":
            return web.json_response({"keys": self.keys})
        return web.Response(status=404)

    def sign(
        self,
        key: Any = None,
        key_id: str | None = "r1",
        algorithm: str = "RS256",
        **claims: Any,
    ) -> str:
        """A good token, but for what is given; a claim that is None is left out."""
        content = {"iss": self.url, "aud": AUDIENCE, "exp": NOW + 60, "sub": "app"} | claims
        content = {name: value for name, value in content.items() if value is not None}
        headers = {} if key_id is None else {"kid": key_id}
        key = rsa_key("r1") if key is None else key
        return jwt.encode(content, key, algorithm=algorithm, headers=headers)

    def say(self, path: str, body: bytes, status: int = 200, **headers: str) -> None:
        """Answer a path with these bytes from now on."""

        async def answer(request: web.Request) -> web.Response:
            return web.Response(body=body, status=status, headers=headers)

        self.overrides[path] = answer


def dumps(document: object) -> bytes:
    return json.dumps(document).encode()

"""The page's side of a test: a client of the module whose events are written down."""

import json
from typing import Any

from playwright.async_api import Page
from tests.browser.fake_service import FakeService, Peer

_SETUP = """async ([url, source]) => {
  const module = await import(source);
  window.module = module;
  window.events = [];
  window.urls = 0;
  window.sockets = [];
  const { WebSocket } = window;
  window.WebSocket = function (...args) {
    const socket = new WebSocket(...args);
    window.sockets.push(socket);
    return socket;
  };
  const now = performance.now.bind(performance);
  window.skew = 0;
  performance.now = () => now() + window.skew;
  window.attach = (client) => {
    window.client = client;
    const names = ["connected", "disconnected", "stopped", "group-message", "server-message",
      "rejoin-group-failed", "recovering", "recovered"];
    for (const name of names) client.on(name, (e) => window.events.push([name, e]));
  };
  window.make = (options) => window.attach(new module.WebPubSubClient(
    { getClientAccessUrl: async () => `${url}&n=${++window.urls}` }, options));
  window.outcome = (promise) => promise.then(
    (value) => ({ value }),
    (error) => ({ name: error.name, message: error.message, ...error }));
}"""


async def start(driver: "Driver", service: FakeService, **options: Any) -> Peer:
    """A started client with these options, and the service's end of its link.

    The link passes for 2 s old: the recovery of a younger one starts with a pause.
    """
    await driver.make(**options)
    await driver.call("start", "client.start()")
    peer = await service.accept_connected()
    await driver.wait_for("connected")
    await driver.run("skew += 2000")
    return peer


class Driver:
    def __init__(self, page: Page) -> None:
        self.page = page

    async def open(self, page_url: str, client_url: str, module: str = "/hubbub.js") -> None:
        await self.page.goto(page_url)
        await self.page.evaluate(_SETUP, [client_url, module])

    async def make(self, **options: Any) -> None:
        """`window.client`, with an access URL that says how often it was asked for."""
        await self.page.evaluate("(options) => make(options)", options)

    async def run(self, script: str) -> Any:
        return await self.page.evaluate(f"async () => {{ {script} }}")

    async def call(self, name: str, call: str) -> None:
        """Starts an operation; its outcome is asked for by `outcome(name)`."""
        await self.page.evaluate(
            f"() => {{ (window.calls ??= {{}})[{json.dumps(name)}] = outcome({call}); }}"
        )

    async def outcome(self, name: str) -> dict[str, Any]:
        result: dict[str, Any] = await self.page.evaluate(f"() => calls[{json.dumps(name)}]")
        return result

    async def events(self) -> list[tuple[str, Any]]:
        return [(name, event) for name, event in await self.page.evaluate("() => events")]

    async def names(self) -> list[str]:
        return [name for name, _ in await self.events()]

    async def wait_for(self, name: str, count: int = 1) -> None:
        await self.page.wait_for_function(
            "([name, count]) => events.filter(([n]) => n === name).length >= count",
            arg=[name, count],
        )

    async def freeze(self) -> None:
        """From here on no timer fires by itself."""
        now_s = await self.page.evaluate("() => Date.now()") / 1000
        await self.page.clock.pause_at(now_s + 0.5)

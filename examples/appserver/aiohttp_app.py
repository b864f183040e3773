"""aiohttp: both are request handlers of the application."""

from aiohttp import web
from backend import handler, negotiator


def make_app() -> web.Application:
    app = web.Application()
    app.router.add_route("*", "/negotiate", negotiator.aiohttp())
    app.router.add_route("*", "/eventhandler", handler.aiohttp())
    return app


if __name__ == "__main__":
    web.run_app(make_app(), host="127.0.0.1", port=8000)

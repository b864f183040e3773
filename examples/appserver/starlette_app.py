"""Starlette: both are ASGI apps, each at exactly one path."""

from backend import handler, negotiator
from starlette.applications import Starlette
from starlette.routing import Route

# Not Mount: it answers a path without a closing slash by a redirect, which the service refuses.
app = Starlette(
    routes=[
        Route("/negotiate", negotiator.asgi()),
        Route("/eventhandler", handler.asgi()),
    ]
)

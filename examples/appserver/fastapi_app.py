"""FastAPI: both are ASGI apps, each at exactly one path."""

from backend import handler, negotiator
from fastapi import FastAPI
from starlette.routing import Route

app = FastAPI()
# Not `mount`: it answers a path without a closing slash by a redirect, which the service refuses.
app.router.routes += [
    Route("/negotiate", negotiator.asgi()),
    Route("/eventhandler", handler.asgi()),
]

"""What a REST send, or a page, costs without us: a bare Starlette route on the same uvicorn set-up.

A send: it reads the body and answers 202; no token, no rules, nobody to send to. A page: the same
bytes each time.
"""

import json
import os
import socket

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from uvicorn import Config, Server


async def send(request: Request) -> Response:
    await request.body()
    return Response(status_code=202)


async def fixed(request: Request) -> Response:
    return Response(b"x" * request.path_params["size"], media_type="text/html")


async def main() -> None:
    routes = [
        Route(f"/api/hubs/{{hub}}{target}/:send", send, methods=["POST"])
        for target in ("/groups/{name}", "/users/{name}", "")
    ]
    routes.append(Route("/bytes/{size:int}", fixed))
    config = Config(
        Starlette(routes=routes),
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
    )
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    print(json.dumps({"port": listener.getsockname()[1], "pid": os.getpid()}), flush=True)
    await Server(config).serve(sockets=[listener])


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())

"""What a REST send costs without hubbub: a bare Starlette route on the same uvicorn set-up.

It reads the body and answers 202; no token, no rules, nobody to send to.
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


async def main() -> None:
    routes = [
        Route(f"/api/hubs/{{hub}}{target}/:send", send, methods=["POST"])
        for target in ("/groups/{name}", "/users/{name}", "")
    ]
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

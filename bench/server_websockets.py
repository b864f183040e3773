"""The peer: the `websockets` library doing the same for the clients, and nothing else.

No token is checked, no name, no right; one process, one group. What a service adds to this is
what the comparison shows.
"""

import json
import os

from websockets.asyncio.server import ServerConnection, broadcast, serve

SUBPROTOCOL = "json.webpubsub.azure.v1"


async def main() -> None:
    groups: dict[str, set[ServerConnection]] = {}

    async def talk(connection: ServerConnection) -> None:
        connected = {"type": "system", "event": "connected", "connectionId": "c", "userId": "u"}
        await connection.send(json.dumps(connected))
        try:
            async for text in connection:
                await take(connection, json.loads(text))
        finally:
            for members in groups.values():
                members.discard(connection)

    async def take(connection: ServerConnection, request: dict[str, object]) -> None:
        group = str(request["group"])
        if request["type"] == "joinGroup":
            groups.setdefault(group, set()).add(connection)
            await connection.send(
                json.dumps({"type": "ack", "ackId": request["ackId"], "success": True})
            )
        else:
            message = {
                "type": "message",
                "from": "group",
                "group": group,
                "dataType": request["dataType"],
                "data": request["data"],
                "fromUserId": "u",
            }
            broadcast(groups.get(group, ()), json.dumps(message, separators=(",", ":")))

    async with serve(
        talk, "127.0.0.1", 0, subprotocols=[SUBPROTOCOL], compression=None, backlog=1024
    ) as server:
        port = server.sockets[0].getsockname()[1]
        print(json.dumps({"port": port, "pid": os.getpid()}), flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())

"""What a backend asks of the service over REST, and tokens for its clients."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Self

import httpx2

from hubbub.appserver import calls
from hubbub.appserver.calls import Call, ClientAccessToken, GroupMember, Permission, Target
from hubbub.protocol import connection_string


class ServiceClient:
    """Every operation on one hub, and access tokens for its clients.

    Every call raises `RequestError` where the service refuses it or does not answer. Safe repeats
    only, at most three: where the connection could not be opened, where the service says that it
    has done nothing (503 with `Retry-After`), and for calls that do no harm when made twice.
    """

    def __init__(
        self,
        endpoint: str,
        hub: str,
        access_key: str,
        *,
        client_endpoint: str | None = None,
        timeout: float = 30.0,
        transport: httpx2.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`timeout`: seconds for each step of a call. `transport`, `sleep`: for tests."""
        self._target = Target(endpoint, hub, access_key, client_endpoint)
        self._sleep = sleep
        self._http = httpx2.AsyncClient(
            transport=transport,
            timeout=timeout,
            limits=httpx2.Limits(max_connections=100, keepalive_expiry=calls.KEEP_ALIVE_S),
            trust_env=not self._target.is_near,
            verify=self._target.tls,
        )

    @classmethod
    def from_connection_string(
        cls,
        text: str,
        hub: str,
        *,
        timeout: float = 30.0,
        transport: httpx2.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> Self:
        """Take address and key from `Endpoint=…;AccessKey=…;Version=1.0;`."""
        parts = connection_string.parse(text)
        return cls(
            parts.endpoint,
            hub,
            parts.access_key,
            client_endpoint=parts.client_endpoint,
            timeout=timeout,
            transport=transport,
            sleep=sleep,
        )

    @property
    def hub(self) -> str:
        return self._target.hub

    @property
    def endpoint(self) -> str:
        return self._target.endpoint

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections to the service. May be called twice."""
        await self._http.aclose()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.endpoint!r}, {self.hub!r})"

    # --- messages ----------------------------------------------------------------------------

    async def send_to_all(
        self,
        message: object,
        *,
        content_type: str | None = None,
        excluded: Iterable[str] = (),
        filter: str | None = None,
        ttl_seconds: int | None = None,
    ) -> None:
        """Hand a message to the service for every connection of the hub.

        Returns when the service has accepted it; raises `RequestError` when it has not.
        `message`, without a content type: str is sent as text, bytes as binary, everything else
        as JSON. `content_type`: "application/json" (a str becomes a JSON string, bytes are JSON
        already), "text/plain" or "application/octet-stream". `excluded`: ids of connections that
        do not get it. `filter`: an OData expression; only connections that match get it.
        `ttl_seconds`: 0 to 300; a message that a connection has not taken by then is dropped for
        it; 0 = never.
        """
        await self._do(calls.send("", message, content_type, excluded, filter, ttl_seconds))

    async def send_to_group(
        self,
        group: str,
        message: object,
        *,
        content_type: str | None = None,
        excluded: Iterable[str] = (),
        filter: str | None = None,
        ttl_seconds: int | None = None,
    ) -> None:
        """As `send_to_all`, for the connections of a group."""
        target = calls.group(group)
        await self._do(calls.send(target, message, content_type, excluded, filter, ttl_seconds))

    async def send_to_user(
        self,
        user_id: str,
        message: object,
        *,
        content_type: str | None = None,
        filter: str | None = None,
        ttl_seconds: int | None = None,
    ) -> None:
        """As `send_to_all`, for the connections of a user."""
        target = calls.user(user_id)
        await self._do(calls.send(target, message, content_type, (), filter, ttl_seconds))

    async def send_to_connection(
        self,
        connection_id: str,
        message: object,
        *,
        content_type: str | None = None,
        ttl_seconds: int | None = None,
    ) -> None:
        """As `send_to_all`, for one connection; no error when there is no such connection."""
        target = calls.connection(connection_id)
        await self._do(calls.send(target, message, content_type, ttl_seconds=ttl_seconds))

    # --- connections -------------------------------------------------------------------------

    async def connection_exists(self, connection_id: str) -> bool:
        """Is the connection there? A reliable one that is away for a moment still is."""
        return await self._do(calls.exists(calls.connection(connection_id)))

    async def user_exists(self, user_id: str) -> bool:
        """Has the user a connection?"""
        return await self._do(calls.exists(calls.user(user_id)))

    async def group_exists(self, group: str) -> bool:
        """Has the group a member?"""
        return await self._do(calls.exists(calls.group(group)))

    async def close_connection(self, connection_id: str, *, reason: str | None = None) -> None:
        """End a connection for good; no error when there is none. The client sees `reason`."""
        await self._do(calls.close_connection(connection_id, reason))

    async def close_all_connections(
        self, *, excluded: Iterable[str] = (), reason: str | None = None
    ) -> None:
        """End every connection of the hub but the excluded ones."""
        await self._do(calls.close_connections("", excluded, reason))

    async def close_group_connections(
        self, group: str, *, excluded: Iterable[str] = (), reason: str | None = None
    ) -> None:
        """End every connection of a group but the excluded ones."""
        await self._do(calls.close_connections(calls.group(group), excluded, reason))

    async def close_user_connections(
        self, user_id: str, *, excluded: Iterable[str] = (), reason: str | None = None
    ) -> None:
        """End every connection of a user but the excluded ones."""
        await self._do(calls.close_connections(calls.user(user_id), excluded, reason))

    # --- groups ------------------------------------------------------------------------------

    async def add_connection_to_group(self, group: str, connection_id: str) -> None:
        """Raises `RequestError` with status 404 when there is no such connection."""
        await self._do(calls.add(calls.group(group) + calls.connection(connection_id)))

    async def remove_connection_from_group(self, group: str, connection_id: str) -> None:
        """No error when it is not a member."""
        await self._do(calls.remove(calls.group(group) + calls.connection(connection_id)))

    async def remove_connection_from_all_groups(self, connection_id: str) -> None:
        await self._do(calls.remove(f"{calls.connection(connection_id)}/groups"))

    async def add_user_to_group(self, group: str, user_id: str) -> None:
        """Adds the user's present connections; later ones are not in the group."""
        await self._do(calls.add(calls.user(user_id) + calls.group(group)))

    async def remove_user_from_group(self, group: str, user_id: str) -> None:
        await self._do(calls.remove(calls.user(user_id) + calls.group(group)))

    async def remove_user_from_all_groups(self, user_id: str) -> None:
        await self._do(calls.remove(f"{calls.user(user_id)}/groups"))

    async def add_connections_to_groups(
        self, groups: Iterable[str], *, filter: str | None = None
    ) -> None:
        """Adds the connections that match the filter, without one every connection of the hub."""
        await self._do(calls.change_groups("addToGroups", groups, filter))

    async def remove_connections_from_groups(
        self, groups: Iterable[str], *, filter: str | None = None
    ) -> None:
        """The reverse of `add_connections_to_groups`."""
        await self._do(calls.change_groups("removeFromGroups", groups, filter))

    async def list_connections(
        self, group: str, *, page_size: int | None = None, top: int | None = None
    ) -> AsyncIterator[GroupMember]:
        """The members of a group, in the order of their ids, asked for page by page.

        `page_size`: 1 to 200. `top`: at most so many in all, at least 1.
        """
        call: Call | None = calls.list_connections(calls.group(group), page_size, top)
        while call is not None:
            body = await self._ask(call)
            members, call = calls.read_page(call, body)
            for member in members:
                yield member

    # --- permissions -------------------------------------------------------------------------

    async def grant_permission(
        self, permission: Permission | str, connection_id: str, *, group: str
    ) -> None:
        """Let a connection do something with one group, whatever its roles say."""
        await self._do(calls.permission("PUT", permission, connection_id, group))

    async def revoke_permission(
        self, permission: Permission | str, connection_id: str, *, group: str
    ) -> None:
        """Forbid it for this group, whatever its roles say. It stays a member."""
        await self._do(calls.permission("DELETE", permission, connection_id, group))

    async def has_permission(
        self, permission: Permission | str, connection_id: str, *, group: str
    ) -> bool:
        """May the connection do it now?"""
        return await self._do(calls.permission("HEAD", permission, connection_id, group))

    # --- tokens ------------------------------------------------------------------------------

    def get_client_access_token(
        self,
        *,
        user_id: str | None = None,
        roles: Iterable[str] = (),
        groups: Iterable[str] = (),
        minutes_to_expire: int = 60,
    ) -> ClientAccessToken:
        """Make a token that lets one client into the hub; no request is sent.

        `roles`: what it may do, for example "webpubsub.joinLeaveGroup.NAME"; without any it can
        only send events. `groups`: joined from the start. Without a user id it is anonymous.
        """
        return self._target.client_access_token(user_id, roles, groups, minutes_to_expire)

    # --- calls -------------------------------------------------------------------------------

    async def _do(self, call: Call) -> bool:
        """One call with its safe repeats; False where the answer is "no"."""
        return (await self._repeat(call))[0]

    async def _ask(self, call: Call) -> bytes:
        return (await self._repeat(call))[1]

    async def _repeat(self, call: Call) -> tuple[bool, bytes]:
        for repeat in range(calls.MAX_REPEATS + 1):
            try:
                return await self._call_once(call)
            except calls.Repeat as outcome:
                pause_s = outcome.pause_before(repeat)
            await self._sleep(pause_s)
        raise AssertionError("the last repeat returns or raises")

    async def _call_once(self, call: Call) -> tuple[bool, bytes]:
        target = self._target
        try:
            async with self._http.stream(
                call.method, target.address(call), headers=target.headers(call), content=call.body
            ) as response:
                # Read also where nothing is expected: a connection is used again only then.
                body = bytearray()
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > calls.MAX_ANSWER_BYTES:
                        break
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as cause:
            raise calls.not_reached(target, cause) from cause
        except httpx2.HTTPError as cause:
            raise calls.unanswered(target, call, cause) from cause
        answer = bytes(body) if len(body) <= calls.MAX_ANSWER_BYTES else b""
        return calls.judge(target, call, response.status_code, response.headers, answer), answer

"""A script of tests/official_sdks/js that stays and answers, a line of JSON for a line of JSON."""

import asyncio
import json
import os
from types import TracebackType
from typing import Any, Self

from tests.official_sdks.conftest import HERE, NODE

WAIT_S = 30
_MAX_LINE_BYTES = 4 * 1_048_576


class NodeProcess:
    """Runs from `async with` on; `hello` is its first line. It ends when its input does."""

    def __init__(self, script: str) -> None:
        self._script = script
        self._turn = asyncio.Lock()
        self.hello: Any = None

    async def __aenter__(self) -> Self:
        assert NODE is not None
        self._process = await asyncio.create_subprocess_exec(
            NODE,
            str(HERE / "js" / self._script),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={"PATH": os.environ.get("PATH", ""), "NODE_NO_WARNINGS": "1", "NODE_ENV": "test"},
            limit=_MAX_LINE_BYTES,
        )
        try:
            self.hello = await self._read()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stop()

    async def ask(self, question: Any) -> Any:
        async with self._turn:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(question).encode() + b"\n")
            await self._process.stdin.drain()
            return await self._read()

    async def _read(self) -> Any:
        assert self._process.stdout is not None
        async with asyncio.timeout(WAIT_S):
            line = await self._process.stdout.readline()
        assert line, f"{self._script} ended early: its complaint is among the captured output"
        return json.loads(line)

    async def _stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(WAIT_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
            raise

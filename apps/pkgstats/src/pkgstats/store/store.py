"""The database: one writer thread, two readers, transactions as functions.

    await store.write(lambda db: packages.save_packument(db, packument, now))
    row = await store.read(lambda db: packages.page_rows(db, name, version))

A write is one transaction: what the function does is there wholly or not at all, its live
messages (outbox) included.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

SCHEMA_VERSION = 2
MIGRATIONS = {1: "to_2.sql"}
"""The script that makes the next version out of a version."""
READERS = 2
BUSY_TIMEOUT_S = 10.0
NAMES_COUNTED = 10_000


class IncompatibleDatabase(Exception):
    """The file holds a database of another version of pkgstats, or none of pkgstats at all."""


class Store:
    """An open database file. Opened and closed by its owner; methods are for one event loop.

    `durable=False` is for a file that is thrown away anyway: commits do not wait for the disk.
    """

    def __init__(self, path: Path, *, durable: bool = True) -> None:
        self._path = path
        self._synchronous = "NORMAL" if durable else "OFF"
        self._writer = ThreadPoolExecutor(1, "pkgstats-writer")
        self._readers = ThreadPoolExecutor(READERS, "pkgstats-reader")
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._written: Counter[str] = Counter()
        self._written_to_all = 0
        self.committed = asyncio.Event()
        """Set after every write; whoever waits for changes clears it."""

    async def open(self) -> None:
        """Open the file, make it where it is new; raises IncompatibleDatabase."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            await self._run(self._writer, self._prepare)
        except sqlite3.DatabaseError as error:
            raise IncompatibleDatabase(f"{self._path.name}: {error}") from error

    async def close(self) -> None:
        """Wait for running work, then close every connection."""
        await asyncio.to_thread(self._shut_down)

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run a function that only reads; it sees one state of the database."""

        def run() -> T:
            db = self._connection()
            db.execute("BEGIN")
            try:
                return work(db)
            finally:
                db.execute("ROLLBACK")

        return await self._run(self._readers, run)

    def generation(self, name: str) -> tuple[int, int]:
        """Changes with every write about a package: what was read at the same one is still right."""
        return self._written_to_all, self._written[name]

    async def write(
        self, work: Callable[[sqlite3.Connection], T], *, about: Iterable[str] | None = None
    ) -> T:
        """Run a function as one transaction.

        `about`: the packages whose pages may look different afterwards; None: any of them.
        """

        def run() -> T:
            db = self._connection()
            db.execute("BEGIN IMMEDIATE")
            try:
                result = work(db)
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")
            return result

        result = await self._run(self._writer, run)
        self._note_written(about)
        self.committed.set()
        return result

    def _note_written(self, about: Iterable[str] | None) -> None:
        if about is not None:
            self._written.update(set(about))
        if about is None or len(self._written) > NAMES_COUNTED:
            self._written_to_all += 1
            self._written.clear()

    async def _run(self, executor: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(executor, work)

    def _connection(self) -> sqlite3.Connection:
        db: sqlite3.Connection | None = getattr(self._local, "db", None)
        if db is None:
            # Each connection stays in its thread; only the closing happens elsewhere.
            db = sqlite3.connect(
                self._path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            db.row_factory = sqlite3.Row
            db.execute(f"PRAGMA synchronous = {self._synchronous}")
            self._local.db = db
            self._connections.append(db)
        return db

    def _prepare(self) -> None:
        db = self._connection()
        db.execute("PRAGMA journal_mode = WAL")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if version == 0 and tables == 0:
            self._run_script(db, "schema.sql", SCHEMA_VERSION)
            return
        while version in MIGRATIONS:
            self._run_script(db, MIGRATIONS[version], version + 1)
            version += 1
        if version != SCHEMA_VERSION:
            raise IncompatibleDatabase(
                f"{self._path.name} has schema {version}, this pkgstats needs {SCHEMA_VERSION}"
            )

    def _run_script(self, db: sqlite3.Connection, name: str, version: int) -> None:
        """One transaction: a crash in the middle leaves the database as it was."""
        script = (resources.files("pkgstats.store") / name).read_text("utf-8")
        try:
            db.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {version}; COMMIT;")
        except sqlite3.Error:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    def _shut_down(self) -> None:
        self._readers.shutdown(wait=True)
        self._writer.shutdown(wait=True)
        for db in self._connections:
            db.close()
        self._connections.clear()

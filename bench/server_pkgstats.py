"""pkgstats as its users start it, with the simulated world and NAMES more packages in its index.

The first line says where the pages are. Nothing moves: days of the world pass only while somebody
watches, and nobody does.
"""

import asyncio
import json
import os
import random
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from pkgstats.models import PublishedSource
from pkgstats.settings import Settings
from pkgstats.site import running_site
from pkgstats.sources.base import Packument, Release
from pkgstats.store import saving
from pkgstats.store.store import Store

NAMES = 20_000
WORDS = (
    "web socket client server stream buffer parse format color path file queue cache route table"
    " chart graph date time number text token event state store query index batch async promise"
    " react vue node babel plugin loader config util core test mock lint types schema form input"
).split()


async def fill(path: Path) -> None:
    """Made-up packages of three words each, as many as a busy site knows after months."""
    choice = random.Random(1)
    now = datetime.now(UTC)
    made = {}
    while len(made) < NAMES:
        words = choice.sample(WORDS, 3)
        name = "-".join(words) + str(choice.randint(1, 99))
        description = f"{words[0]} {words[1]} for {' '.join(choice.sample(WORDS, 6))}"
        made[f"@{words[2]}/{name}" if choice.random() < 0.2 else name] = description

    def save(db: saving.sqlite3.Connection) -> None:
        for name, description in made.items():
            release = Release("1.0.0", description=description, keywords=("made", "up"))
            found = Packument(
                name, "1.0.0", (("latest", "1.0.0"),), (release,), PublishedSource.UNKNOWN
            )
            saving.save_packument(db, found, now=now, simulated=True)
        db.execute("DELETE FROM outbox")

    store = Store(path, durable=False)
    await store.open()
    await store.write(save)
    await store.close()


async def main() -> None:
    with tempfile.TemporaryDirectory(prefix="pkgstats-bench-") as folder:
        path = Path(folder) / "bench.sqlite3"
        await fill(path)
        settings = Settings(db=str(path), world_day_s=3600)
        async with running_site(settings, demo=True, port=0, hubbub_port=0) as site:
            port = int(site.url.rpartition(":")[2])
            print(json.dumps({"port": port, "pid": os.getpid()}), flush=True)
            await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())

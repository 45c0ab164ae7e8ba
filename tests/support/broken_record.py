"""Records as tests break them."""

from __future__ import annotations

import random
from pathlib import Path

import apsw

from inspector.recipes import RecipeContent
from tests.support.store import part, store


async def write(path: Path, count: int) -> list[int]:
    async with store(path) as results:
        results.recipes.take(1, RecipeContent("disc"), actor="anna", reason="first", utc_ms=1)
        return [(await part(results, seq)).no for seq in range(1, count + 1)]


def as_killed(path: Path) -> None:
    db = apsw.Connection(str(path))
    db.execute("UPDATE boots SET ended_utc_ms = NULL")
    db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    db.close()


def scribble(path: Path, first: int, blocks: int = 500) -> bytes:
    """dd if=/dev/urandom over the pages from `first` on."""
    luck = random.Random(1)
    data = bytearray(path.read_bytes())
    for page in range(first, min(len(data) // 4096, first + blocks)):
        data[4096 * page : 4096 * (page + 1)] = luck.randbytes(4096)
    path.write_bytes(data)
    return bytes(data)


def aside(path: Path) -> list[Path]:
    return sorted(path.parent.glob("results.broken-*.db"))

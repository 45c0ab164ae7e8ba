"""Labels in an office.db of their own, without the rest of the page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inspector.office.labels import Labels
from inspector.office.schema import STEPS
from inspector.office.settling import Label
from inspector.store.database import Database
from inspector.threads import DeviceThread


async def undo_last(labels: Labels, person: str) -> Label:
    """As who asked to take back what they said last."""
    return await labels.undo(person, await labels.last(person) or 0)


@contextmanager
def open_labels(path: Path) -> Iterator[Labels]:
    """Open office.db, or make it. Raises StoreError."""
    database, thread = Database(path, steps=STEPS), DeviceThread("office")
    try:
        thread.submit(database.open).result()
        yield Labels(database, thread)
    finally:
        thread.submit(database.close).result()
        thread.close()

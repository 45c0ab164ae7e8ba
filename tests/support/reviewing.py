"""A record whose pictures are kept for review, and the page that reviews them as a process."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from inspector.core.clock import SystemClock
from inspector.core.types import Delivery, DeliveryState, JudgedBy, Outcome, Prediction, Trigger
from inspector.demo.parts import Kind, render
from inspector.office.desk import Desk
from inspector.office.settling import NewLabel, Queue
from inspector.store import shelf
from inspector.store.history import SqliteHistory
from inspector.store.images import png_of
from inspector.store.results import SqliteResults
from inspector.threads import DeviceThread
from inspector.web.app import listen, serve, site_of
from tests.support.fake_daemon import KINDS
from tests.support.labels import open_labels
from tests.support.page import settings_in
from tests.support.patience import LONG_S, patient

REJECT, NEAR, SAMPLE, TEST = shelf.Kind.REJECT, shelf.Kind.NEAR, shelf.Kind.PASS, shelf.Kind.TEST
COLLECT = shelf.Kind.COLLECT


@dataclass(frozen=True)
class Part:
    """One part of the record. keep: what its picture is kept for; None: not at all."""

    kind: Kind = Kind.GOOD  # what the model took it for, and what is drawn unless `drawn` says otherwise
    keep: shelf.Kind | None = None
    drawn: Kind | None = None
    seed: int | None = None  # None: of its own
    lot: str = ""
    serial: str = ""
    confidence: float = 0.97
    test_part: bool = False


async def write_parts(run: Path, parts: Sequence[Part], station: str = "st1") -> None:
    """Numbers count from 1, or go on where there are parts already."""
    with patient("inspector.store."):
        await _write(run, parts, station)


async def _write(run: Path, parts: Sequence[Part], station: str) -> None:
    clock, thread = SystemClock(), DeviceThread("store")
    results = SqliteResults.of_file(run / "results.db", station, clock, thread, min_free_bytes=0)
    await results.start()
    for seq, part in enumerate(parts, 1):
        verdict, reason, label = KINDS[part.kind]
        now = clock.monotonic_s()
        trigger = Trigger(
            seq, 100 + seq, now + LONG_S, now, lot=part.lot, serial=part.serial, test_part=part.test_part
        )  # fmt: skip
        seen = Prediction(label or "good", 0, part.confidence, (part.confidence,), 1.2)
        by = JudgedBy("disc-1-abc", 1, 1, 1)
        done = await results.decide(results.open(trigger), Outcome(verdict, reason), seen, by, {"accepted": now})
        if part.keep is not None:
            name = f"{part.keep}/{done.no // 1000:07d}/{done.no:010d}.png"
            file = run / "pictures" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(png_of(render(part.seed or seq, part.drawn or part.kind).image))
            results.note_image(done.no, name)
        code = 5 if part.test_part else verdict
        await results.stamp(done, Delivery(code, reason, DeliveryState.CONFIRMED, clock.monotonic_s()))
    await results.close()
    thread.close()


def said(no: int, label: str = "good", person: str = "anna", **changes: object) -> NewLabel:
    """A label as a person gives it."""
    acceptable = None if label == "unsure" else label == "good"
    values = {"station": "st1", "queue": Queue.REJECT, "ticket": f"{no} {label} {person}", **changes}
    return NewLabel(no=no, label=label, acceptable=acceptable, person=person, **values)  # type: ignore[arg-type]


@contextmanager
def desk_in(run: Path, *, two_people: bool = False) -> Iterator[Desk]:
    """A review desk on the files of `run`."""
    history = SqliteHistory(run / "results.db", DeviceThread("records"))
    try:
        with open_labels(run / "office.db") as labels:
            yield Desk(labels, history.ask_all, two_people)
    finally:
        history.close()


def main(run: Path, port: int) -> None:
    """The page, until it is ended."""
    settings = settings_in(run, port=port)
    with listen(settings) as sock:
        asyncio.run(serve(site_of(settings), sock))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))

"""A record with parts in it, written by the real store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from inspector.core.clock import SystemClock
from inspector.core.heat import HeatScale
from inspector.core.manifest import ZoneLimits
from inspector.core.types import Delivery, DeliveryState, JudgedBy, Limits, Outcome, Prediction, Refusal, Trigger
from inspector.demo.parts import Kind, kind_of, render
from inspector.recipes import Recipe, RecipeContent, settings_of
from inspector.store.database import Database
from inspector.store.names import heat_beside
from inspector.store.previews import kept_heat
from inspector.store.recipe_book import RecipeBook
from inspector.store.results import SqliteResults
from inspector.threads import DeviceThread
from plc.reactions import Acknowledged, Reported
from plc.registers import Reason, Verdict
from tests.support.fake_daemon import KINDS
from tests.support.patience import LONG_S, patient

JUDGED_BY = JudgedBy("turned_disc-3-9f2c41aa", 1, 2, 4)


@dataclass(frozen=True)
class Entry:
    """One part of the record; without a kind it is a refused trigger."""

    part_id: int
    kind: Kind | None = Kind.GOOD
    told: tuple[Verdict, Reason] | None = None  # where the PLC was told less than what was decided
    state: DeliveryState = DeliveryState.CONFIRMED
    lot: str = ""
    serial: str = ""
    heat: bool = False  # a heat map is kept beside the picture
    ack_ms: float | None = None  # the PLC acknowledged it so long after it was told
    plc_verdict: int | None = None  # what the PLC reported 840 ms after that


def line_of(count: int) -> list[Entry]:
    """A stretch of the demo's line, with a refused trigger now and then."""
    known = {n: kind_of(n) if kind_of(n) in KINDS else Kind.EMPTY for n in range(1, count + 1)}
    return [
        Entry(n, None if n % 37 == 0 else kind, lot="L-2026-47", ack_ms=12.5, plc_verdict=1 if kind is Kind.GOOD else 2)
        for n, kind in known.items()
    ]


def heat_map() -> bytes:
    """As the archive keeps one: the lower right corner is strange."""
    heat = np.zeros((7, 7), np.float32)
    heat[4:6, 4:6] = 3.0
    return kept_heat(heat, HeatScale.of(1.0, None), (480, 640, 3), None) or b""


def write_settings(run: Path) -> str:
    """Recipe revision and MODEL_REV of JUDGED_BY, as the daemon keeps them; returns the settings."""
    database = Database(run / "results.db")
    database.open()
    book = RecipeBook(database)
    for exposure_us in (400, 500):
        content = RecipeContent("disc", "turned_disc", camera={"exposure_us": exposure_us})
        book.take(1, content, actor="anna", reason="longer exposure", utc_ms=1_790_000_000_000)
    limits = Limits(0.9, 2.0, (0.5, 1.55), frozenset({"good"}))
    zone = ZoneLimits("lamp", (0, 0, 20, 20), (10.0, 200.0), (1.0, 120.0), (1.0, 1000.0))
    recipe = Recipe(1, "disc", "turned_disc", 2, (8, 8, 64, 64), limits, (zone,), {"exposure_us": 500})
    for n in range(1, JUDGED_BY.model_rev + 1):
        settings = settings_of(recipe, f"{n:064x}")
        assert book.model_rev(JUDGED_BY.bundle_id, recipe, settings, 1_790_000_000_000) == n
    database.close()
    return settings


async def write_record(run: Path, entries: Sequence[Entry], pictures: bool = True, station: str = "st1") -> None:
    """Write `results.db` and the pictures of rejects as the daemon does."""
    with patient("inspector.store."):
        await _write(run, entries, pictures, station)


async def _write(run: Path, entries: Sequence[Entry], pictures: bool, station: str) -> None:
    clock, thread = SystemClock(), DeviceThread("store")
    results = SqliteResults.of_file(run / "results.db", station, clock, thread)
    await results.start()
    for seq, entry in enumerate(entries, 1):
        if entry.kind is None:
            refusal = Refusal(seq, entry.part_id, Reason.OVERRUN, clock.monotonic_s())
            decided = await results.refuse(refusal)
        else:
            accepted = clock.monotonic_s() - 0.0264
            trigger = Trigger(
                seq,
                entry.part_id,
                accepted + LONG_S,
                accepted,
                encoder=1000 * seq,
                lot=entry.lot,
                serial=entry.serial,
            )
            verdict, reason, label = KINDS[entry.kind]
            seen = Prediction(label or "good", 0, 0.9731, (0.9731, 0.0269), 1.62 if reason is Reason.NO_PART else 1.2)
            ends = {
                "accepted": 0.2, "opening": 0.3, "exposing": 0.9, "exposed": 1.4, "grabbed": 9.1, "checked": 10,
                "cropped": 10.1, "predicted": 26.2, "judged": 26.4,
            }  # fmt: skip
            stamps = {"trigger": accepted, **{stage: accepted + ms / 1000 for stage, ms in ends.items()}}
            decided = await results.decide(results.open(trigger), Outcome(verdict, reason), seen, JUDGED_BY, stamps)
            if pictures and verdict is not Verdict.PASS:
                name = f"reject/{decided.no // 1000:07d}/{decided.no:010d}.png"
                path = run / "pictures" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), render(entry.part_id, entry.kind).image[..., ::-1])
                if entry.heat:
                    (run / "pictures" / heat_beside(name)).write_bytes(heat_map())
                results.note_image(decided.no, name)
        code, why = entry.told or (decided.outcome.verdict, decided.outcome.reason)
        told_s = clock.monotonic_s()
        await results.stamp(decided, Delivery(code, why, entry.state, told_s))
        if entry.ack_ms is not None:
            results.react([Acknowledged(decided.no, True, entry.ack_ms / 1000)])
        if entry.plc_verdict is not None:
            results.react([Reported(decided.no, entry.plc_verdict, told_s + 0.84, 0.84)])
    await results.close()
    thread.close()

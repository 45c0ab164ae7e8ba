"""What the station says of itself to other processes: its status, the last parts, and each new part as it comes."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from inspector.control_wire import ControlError
from inspector.core.details import AND, Detail
from inspector.core.errors import FrameError
from inspector.core.ports import Clock
from inspector.core.types import Inspection, Limits
from inspector.health import Health
from inspector.link import LinkState
from inspector.store.counts import Counts, Scope, Tallies
from inspector.store.images import ArchiveState
from inspector.store.names import heat_name, picture_name
from plc.registers import OfflineReason, Reason

RECENT = 100  # parts that a new screen is told of
CYCLES = 1000  # newest parts that the percentiles are of
Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class About:
    """What changes only at a change-over."""

    station: str
    number: int
    mode: str
    product: str
    bundle_id: str
    recipe: str
    recipe_revision: int
    simulated: bool  # the camera's pictures are not of this moment
    camera: str  # for people: "rendered"
    limits: Limits | None = None
    recipe_number: int = 0


@dataclass(slots=True)
class Board:
    """On the event loop only; every method is quick. The sources are asked anew for each status."""

    about: About
    clock: Clock
    health: Health
    tallies: Callable[[], Tallies]
    link: Callable[[], LinkState]
    archive: Callable[[], ArchiveState]
    disk: Path  # a folder on the disk that fills
    push: Callable[[str, Message], None] = lambda event, data: None
    part_difference: Callable[[], int] = lambda: 0  # parts that the PLC has counted beyond our rows
    _parts: deque[Message] = field(default_factory=lambda: deque(maxlen=RECENT))  # newest first
    _cycles_ms: deque[float] = field(default_factory=lambda: deque(maxlen=CYCLES))
    _started_s: float = 0.0

    def __post_init__(self) -> None:
        self._started_s = self.clock.monotonic_s()

    def saw(self, done: Inspection, error: BaseException | None = None) -> None:
        """One more part, or one more refused trigger. error: why it was not inspected."""
        message = part_message(done, self.about.station, int(self.clock.utc_s() * 1000), error)
        self._parts.appendleft(message)
        if not message["refused"]:
            self._cycles_ms.append(done.elapsed_ms)
        self.push("part", message)

    def recent(self) -> list[Message]:
        """The last parts, newest first."""
        return list(self._parts)

    def status(self) -> Message:
        """Ready or why not, what works, counts and what is wrong; as the page reads it."""
        about, link, state = self.about, self.link(), self.health.state()
        offline = link.offline_reason if state.ready else state.offline_reason
        if offline is OfflineReason.NONE and link.protocol_error:
            offline = OfflineReason.LATCHED_ERROR
        tallies = self.tallies()
        reset = tallies.get(Scope.RESET, Counts())
        ready = state.ready and offline is OfflineReason.NONE
        parts = {name: {"ok": p.ok, "text": p.text, "age_s": p.age_s} for name, p in state.parts.items()}
        if parts.get("camera", {}).get("ok"):
            parts["camera"]["text"] = about.camera
        return {
            "station": about.station, "number": about.number, "product": about.product, "mode": about.mode,
            "bundle_id": about.bundle_id, "recipe": about.recipe, "recipe_revision": about.recipe_revision,
            "limits": limits_message(about), "simulated": about.simulated, "ready": ready,
            "offline_reason": int(offline), "error_code": int(state.error_code or link.error_code),
            "parts": {**parts, "plc": {"ok": link.ok, "text": link.text, "age_s": None}, "disk": self._disk()},
            "counts": reset.as_status(), "since_utc_ms": reset.since_utc_ms,
            "tallies": tallies_message(tallies), "part_difference": self.part_difference(),
            "cycle_ms": self._percentiles(),
            "uptime_s": round(self.clock.monotonic_s() - self._started_s, 1),
            "alarms": [
                {
                    "id": a.id, "key": a.problem.kind.key, "params": a.problem.params, "cause": a.cause,
                    "priority": a.priority, "since_utc_ms": a.since_utc_ms,
                }
                for a in state.alarms
            ],
            "utc_ms": int(self.clock.utc_s() * 1000),
        }  # fmt: skip

    def _disk(self) -> Message:
        archive = self.archive()
        free = Detail.FREE.of(gb=f"{shutil.disk_usage(self.disk).free / 1e9:.0f}")
        told = [free if archive.ok else archive.text]
        if archive.dropped:
            told.append(Detail.DROPPED.of(count=archive.dropped))
        return {"ok": archive.ok, "text": AND.join(told), "age_s": None}

    def _percentiles(self) -> Mapping[str, float]:
        if not self._cycles_ms:
            return {}
        p50, p99 = np.percentile(list(self._cycles_ms), (50, 99))
        return {"p50": round(float(p50), 2), "p99": round(float(p99), 2)}


def status_of_box(boards: Sequence[Board]) -> Message:
    """The first station's status; where there are others, that of each as well, and all alarms with their names."""
    first, *others = (board.status() for board in boards)
    if not others:
        return first
    alarms = [
        {**alarm, "id": f"{other['station']}.{alarm['id']}", "cause": f"{other['station']}: {alarm['cause']}"}
        for other in others for alarm in other["alarms"]
    ]  # fmt: skip
    lines = [{key: value for key, value in status.items() if key != "alarms"} for status in (first, *others)]
    return {**first, "alarms": [*first["alarms"], *alarms], "stations": lines}


def recent_of(boards: Sequence[Board], station: str = "") -> list[Message]:
    """The last parts of one station, newest first; without a name those of each, in the order of the configuration.

    Raises ControlError: there is no such station.
    """
    asked = [board for board in boards if station in ("", board.about.station)]
    if not asked:
        raise ControlError(f"this box has no station {station[:32]!r}")
    return [part for board in asked for part in board.recent()]


def tallies_message(tallies: Tallies) -> list[Message]:
    """Each counting period that runs: since a reset, the shift, the lot (`key`: its name)."""
    return [
        {
            "scope": str(scope), "key": c.key, "since_utc_ms": c.since_utc_ms, "counts": c.as_status(),
            "plc_parts": c.plc_parts, "reasons": [{"reason": reason, "count": n} for reason, n in c.reasons],
        }
        for scope, c in tallies.items()
    ]  # fmt: skip


def part_message(done: Inspection, station: str, utc_ms: int, error: BaseException | None = None) -> Message:
    """One part as other processes are told of it. A part counts as what the PLC was told."""
    p, told = done.prediction, done.delivery
    pictured = "grabbed" in done.stamps
    unfit = done.outcome.reason is Reason.IMAGE_QUALITY and isinstance(error, FrameError)
    return {
        "station": station, "no": done.no, "trigger_id": done.trigger.seq, "part_id": done.trigger.part_id,
        "utc_ms": utc_ms,
        "code": int(told.code if told else done.outcome.verdict),
        "reason": int(told.reason if told else done.outcome.reason),
        "label": p.label if p else None, "confidence": p.confidence if p else None,
        "novelty_score": p.novelty_score if p else None, "anomaly_score": p.anomaly_score if p else None,
        "elapsed_ms": round(done.elapsed_ms, 2), "preview": picture_name(done.no) if pictured else None,
        "heat": heat_name(done.no) if p is not None and p.anomaly_map is not None else None,
        "test_part": done.trigger.test_part, "refused": not pictured and "accepted" not in done.stamps,
        "measured": str(error) if unfit else "",  # the light check comes first, whatever is wrong in the picture
    }  # fmt: skip


def limits_message(about: About) -> Message | None:
    """The limits, and which bundle and recipe revision they belong to, in the words of a row."""
    limits = about.limits
    if limits is None:
        return None
    low, high = limits.novelty_range
    return {
        "min_confidence": limits.min_confidence, "novelty_low": low, "novelty_high": high,
        "max_anomaly_score": limits.max_anomaly_score, "bundle_id": about.bundle_id, "recipe": about.recipe_number,
        "recipe_revision": about.recipe_revision, "good_labels": sorted(limits.good_labels),
    }  # fmt: skip

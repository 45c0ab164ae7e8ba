"""A daemon for the page's tests: speaks on a real control socket, writes real previews, judges nothing."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2

from inspector.control import ControlError, ControlServer, Handler
from inspector.demo.parts import Kind, render
from plc.registers import OfflineReason, Reason, Verdict

KINDS = {  # what the fake says about a rendered kind
    Kind.GOOD: (Verdict.PASS, Reason.NONE, "good"),
    Kind.SCRATCH: (Verdict.FAIL, Reason.CLASS, "scratch"),
    Kind.DENT: (Verdict.FAIL, Reason.CLASS, "dent"),
    Kind.MISSING_HOLE: (Verdict.FAIL, Reason.CLASS, "missing_hole"),
    Kind.STAIN: (Verdict.UNCERTAIN, Reason.LOW_CONFIDENCE, "stain"),
    Kind.EMPTY: (Verdict.NOT_INSPECTED, Reason.NO_PART, None),
}
NAMES = {1: "pass", 2: "fail", 3: "uncertain", 4: "not_inspected", 5: "test", 6: "test"}


async def unrecorded(*_: object) -> None:
    """For a control server whose commands are on no record."""


class FakeDaemon:
    """Start it, call `part`, change `status_changes`; `stop` leaves as a killed process does."""

    def __init__(self, run: Path, more: Mapping[str, Handler] | None = None) -> None:
        self.run = run
        self.parts: list[dict[str, Any]] = []  # newest first
        self.changes: dict[str, Any] = {}
        self.others: dict[str, dict[str, Any]] = {}  # further stations: name -> what differs from the first's status
        self.counts = dict.fromkeys(("triggers", "pass", "fail", "uncertain", "not_inspected", "test"), 0)
        self.started_utc_ms = int(time.time() * 1000)
        self._server = ControlServer(
            run / "control.sock",
            {
                "status": lambda *_: self.status(),
                "recent": lambda params, _: [p for p in self.parts if p["station"] == params["station"]][:100],
                "reset_counts": self._reset_counts,
                **(more or {}),
            },
            self._record,
        )
        self.resets: list[tuple[str, dict[str, Any]]] = []  # (actor, parameters)
        self.on_record: list[tuple[str, str]] = []  # (actor, action) of all that was asked of us
        self._ticker: asyncio.Task[None] | None = None
        (run / "previews").mkdir(parents=True, exist_ok=True)

    async def start(self) -> None:
        await self._server.start()
        self._ticker = asyncio.create_task(self._tick(), name="fake daemon")

    async def stop(self) -> None:
        """Gone at once; what it was saying ends in the middle."""
        self.hang()
        await self._server.close()
        await asyncio.sleep(0.02)  # a peer that has just left closes its end a turn later

    def hang(self) -> None:
        """Keep the socket, say nothing more: as a stopped process does."""
        if self._ticker:
            self._ticker.cancel()

    def part(self, kind: Kind = Kind.GOOD, *, seed: int | None = None, **changes: Any) -> dict[str, Any]:
        """One more part; its picture is written as the archive does, after the message."""
        no = self.counts["triggers"] + 1
        seed = no if seed is None else seed
        verdict, reason, label = KINDS[kind]
        part = {
            "station": self.status()["station"], "no": no, "trigger_id": no, "part_id": seed,
            "utc_ms": int(time.time() * 1000), "code": int(verdict), "reason": int(reason), "label": label,
            "confidence": 0.973 if label else None, "novelty_score": 1.2, "anomaly_score": None,
            "elapsed_ms": 31.4, "preview": f"{no:08d}.jpg", "test_part": False, "refused": False,
            **changes,
        }  # fmt: skip
        self.counts["triggers"] += 1
        self.counts[NAMES[part["code"]]] += 1
        self.parts.insert(0, part)
        if part["preview"]:
            picture = render(seed, kind).image
            cv2.imwrite(
                str(self.run / "previews" / part["preview"]), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85]
            )
        self.push("part", part)
        return part

    def status(self) -> dict[str, Any]:
        ok = {"ok": True, "text": "working", "age_s": 0.2}
        first = {
            "station": "Line 1", "number": 1, "product": "turned_disc", "mode": "inspect",
            "bundle_id": "turned_disc-3-9f2c41aa", "recipe": "turned-disc", "ready": True,
            "offline_reason": int(OfflineReason.NONE), "error_code": 0, "simulated": True, "parts": {
                "camera": {**ok, "text": "rendered, 320 x 256"}, "plc": {**ok, "text": "127.0.0.1:5020"}, "model": ok,
                "store": ok, "disk": {**ok, "text": "41 GB free"},
            }, "counts": dict(self.counts), "since_utc_ms": self.started_utc_ms,
            "tallies": [self.tally("reset", "1"), self.tally("shift", "0"), self.tally("lot", "L-2026-47")],
            "part_difference": 0, "cycle_ms": {"p50": 31.4, "p99": 44.0},
            "uptime_s": 4210, "alarms": [], "alarm_list": [], "utc_ms": int(time.time() * 1000), **self.changes,
        }  # fmt: skip
        if not self.others:
            return first
        lines = [first, *({**first, "station": name, **changes} for name, changes in self.others.items())]
        return {**first, "stations": lines}

    def tally(self, scope: str, key: str) -> dict[str, Any]:
        """The same numbers for each, as of a daemon that has just begun."""
        rejects = Counter(p["reason"] for p in self.parts if 1 < p["code"] < 5)
        return {
            "scope": scope, "key": key, "since_utc_ms": self.started_utc_ms, "counts": dict(self.counts),
            "plc_parts": self.counts["triggers"],
            "reasons": [{"reason": reason, "count": n} for reason, n in rejects.most_common(3)],
        }  # fmt: skip

    def _reset_counts(self, params: Mapping[str, Any], actor: str) -> dict[str, Any]:
        if self.changes.get("refuses"):
            raise ControlError("the disk is full")
        self.resets.append((actor, dict(params)))
        return {}

    async def _record(self, actor: str, action: str, params: Mapping[str, Any], failed: str) -> None:
        self.on_record.append((actor, action))

    def push(self, event: str, data: dict[str, Any]) -> None:
        self._server.push(event, data)

    async def _tick(self) -> None:
        while True:
            self.push("status", self.status())
            await asyncio.sleep(1.0)

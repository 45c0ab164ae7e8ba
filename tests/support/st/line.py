"""A line on a clock that only the test moves: belt, parts, the shipped ST as the PLC's program, and our handshake.

One tick is 1 ms, and the belt runs one count a millisecond. The program scans every `scan_ms`, the appliance polls
every `poll_ms` over a link that the test can cut, and pictures show whatever part really is before the camera. The
checker looks at parts, not at registers.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from plc.handshake import Handshake, HandshakeConfig, HealthInput
from plc.images import Image
from plc.parts import Part, Record
from plc.registers import CTRL, IDENT, STAT, CommandResult, OfflineReason, Reason, Verdict
from plc.st.generate import texts
from tests.support.st.compile import load, run
from tests.support.st.types import Instance, fresh

HEALTHY = HealthInput(True, OfflineReason.NONE)
_LOADED: dict[str, Any] = {}


def program(patched: Mapping[str, str] | None = None) -> Instance:
    """A cleared FB_Station of the shipped texts; `patched`: block name -> another text, for tests of the tests."""
    if patched:
        return Instance(load(texts() | dict(patched))["FB_Station"])
    if not _LOADED:
        _LOADED.update(load(texts()))
    station = fresh(_LOADED["FB_Station"])
    assert isinstance(station, Instance)
    return station


@dataclass
class Piece:
    """One part on the belt. came_ms: when it reached the camera; None: not yet."""

    number: int
    good: bool
    came_ms: int
    dwell_ms: int
    id: int = 0
    went_on: bool | None = None  # what the gate did with it

    def at_camera(self, now_ms: int) -> bool:
        return self.came_ms <= now_ms < self.came_ms + self.dwell_ms


@dataclass
class Line:
    """`steps`: functions that the test adds, called every tick before anything else: they play the faults."""

    scan_ms: int = 5
    poll_ms: int = 5
    judge_ms: int = 25
    pitch_ms: int = 110
    dwell_ms: int = 15
    good_share: float = 0.7
    seed: int = 1
    patched: Mapping[str, str] | None = None
    inputs: dict[str, Any] = field(default_factory=dict)  # of FB_Station, beyond what the line itself drives
    view: Callable[[list[int], list[int]], list[int]] | None = None  # (STAT before, STAT now) -> what the program reads
    ctrl_view: Callable[[list[int], list[int]], list[int]] | None = None  # the same for CTRL and the appliance

    def __post_init__(self) -> None:
        self.rng, self.now_ms = random.Random(self.seed), 0
        self.regs, self.pieces = [0] * 170, list[Piece]()
        self.plc, self.first_scan = program(self.patched), True
        self.steps: list[Callable[[Line], None]] = []
        self.cut = False  # nothing passes in either direction
        self.dead = self.paused = False  # the appliance
        self.plc_stopped = False
        self.rows: dict[int, int] = {}  # trigger id -> code decided; what the store knows outlives the process
        self.pictures: list[tuple[int, int]] = []  # (trigger id, number of the piece in the picture; 0: none)
        self.told: list[tuple[int, int]] = []  # (trigger id, code), each time that the flags went up
        self.verdicts: list[tuple[int, int]] = []  # (PLC_VERDICT_ID, PLC_VERDICT), each change
        self.max_trigger_age_s = max(0.05, 2.5 * self.poll_ms / 1000)
        self.window = max(12, 2 * self.scan_ms + 2)  # counts; a slow scan needs a long gate
        self.gate = 250 + 8 * self.scan_ms
        self.pitch_ms = max(self.pitch_ms, 6 * self.scan_ms)
        self.dwell_ms = max(self.dwell_ms, 2 * self.scan_ms)
        self._before, self._ctrl_before = [0] * STAT.size, [0] * CTRL.size
        self._down_since = -1
        self._jobs: list[tuple[int, Part, Record, bool]] = []
        self.start_appliance()

    # -- the appliance ---------------------------------------------------------------------------------------------

    def start_appliance(self) -> None:
        """Also after it was killed: rows stay, everything else is gone."""
        cfg = HandshakeConfig(active_recipe=1, max_trigger_age_s=self.max_trigger_age_s)
        self.hs = Handshake(cfg, self.rows.__contains__)
        self.hs.recall_told((id_, 0, code, 0) for id_, code in self.rows.items())
        self.hs.health(HEALTHY, self.now_s)
        self._jobs, self._linked, self.dead = [], False, False

    @property
    def now_s(self) -> float:
        return 100.0 + self.now_ms / 1000

    def _appliance(self) -> None:
        if self.dead or self.paused:
            return
        if self.cut:
            self._down_since = self.now_ms if self._down_since < 0 else self._down_since
            if self._linked and self.now_ms - self._down_since >= 250:  # request timeout
                self._linked = False
                self.hs.link_down(self.now_s)
        else:
            self._down_since = -1
        if self.now_ms % 100 == 0:
            self.hs.beat(self.now_s)
            self._write()
        if self.now_ms % self.poll_ms == 0:
            self._poll()
        self._judge()
        self._command()

    def _poll(self) -> None:
        self.hs.tick(self.now_s)
        if self.cut:
            return
        if not self._linked:
            self._linked = True
            self.hs.link_up(self.now_s, self.regs[STAT.base + STAT["TRIGGER_ID_ACK"].offset])
        now = self.regs[: CTRL.size]
        seen = now if self.ctrl_view is None else self.ctrl_view(self._ctrl_before, now)
        self._ctrl_before = now
        self.hs.sample(Image(CTRL, seen), self.now_s, self.now_s)
        while self.hs.events:
            self._take(self.hs.events.popleft())
        self._write()

    def _take(self, part: Part) -> None:
        if part.refused is not None:
            self.rows.setdefault(part.trigger_id, int(Verdict.NOT_INSPECTED))
            self._jobs.append((self.now_ms + 1, part, Record(int(Verdict.NOT_INSPECTED), part.refused), False))
            return
        piece = next((p for p in self.pieces[-4:] if p.at_camera(self.now_ms)), None)
        passed = piece is not None and piece.good
        record = Record(int(Verdict.PASS), Reason.NONE, recipe_used=self.hs.active_recipe)
        if part.test_part:
            record = Record(int(Verdict.FAIL), Reason.CLASS, recipe_used=self.hs.active_recipe, would_pass=passed)
        elif not passed:
            reason = Reason.CLASS if piece is not None else Reason.NO_PART
            record = Record(
                int(Verdict.FAIL if piece is not None else Verdict.NOT_INSPECTED),
                reason,
                recipe_used=self.hs.active_recipe,
            )
        self.rows[part.trigger_id] = record.code
        self.pictures.append((part.trigger_id, piece.number if piece is not None else 0))
        self.hs.exposed(part, self.now_s, self.now_s)
        self._jobs.append((self.now_ms + self.judge_ms, part, record, False))

    def _judge(self) -> None:
        for job in list(self._jobs):
            due, part, record, loaded = job
            if due > self.now_ms:
                continue
            self._jobs.remove(job)
            if not loaded:
                new = self.hs.load(part, record, self.now_s) if self._linked else None
                if new is None:
                    self.hs.give_up(part, record, self.now_s)
                else:
                    self._write()
                    self._jobs.append((self.now_ms + 2, part, new, True))
            elif not self._linked or not self.hs.raise_flags(part, record, self.now_s):
                self._jobs.append((self.now_ms + 1, part, record, False))
            else:
                self.told.append((part.trigger_id, record.code))
                self._write()

    def _command(self) -> None:
        """A change-over takes 300 ms; recipes 1 and 2 are there."""
        for request in [r for r in self.hs.requests if self.now_s - r.accepted_s >= 0.3]:
            self.hs.requests.remove(request)
            known = request.arg in (1, 2)
            result = CommandResult.OK if known else CommandResult.UNKNOWN_RECIPE
            self.hs.answer(request, result, self.now_s, active_recipe=request.arg if known else None)
            self._write()

    def _write(self) -> None:
        """The newest full image of STAT into the PLC's memory."""
        if self._linked and not self.cut and self.hs.simulator is not None:
            self.regs[STAT.base : STAT.base + STAT.size] = self.hs.stat.words

    # -- the PLC and the belt --------------------------------------------------------------------------------------

    def restart_plc(self, *, retained: bool, told_so: bool = True) -> None:
        """retained: the program's memory survives; otherwise it and CTRL are cleared. told_so: firstScan is wired."""
        if not retained:
            self.plc = program(self.patched)
            self.regs[: CTRL.size] = [0] * CTRL.size
        self.first_scan = told_so

    def _scan(self) -> None:
        now = self.regs[STAT.base : STAT.base + STAT.size]
        seen = list(now) if self.view is None else self.view(self._before, now)
        self._before = now
        area = self.regs[: STAT.base] + seen + self.regs[STAT.base + STAT.size :]
        sensor = any(p.at_camera(self.now_ms) for p in self.pieces[-4:])
        defaults = {
            "simulator": True, "confirmCounts": 0, "maxRejects": 0, "testAfterStart": False, "gateCounts": self.gate,
            "windowCounts": self.window, "recipe": 0, "ackMs": 3 * (self.poll_ms + 2 * self.scan_ms) + 50,
            "resultMs": 150 + 4 * self.scan_ms + self.poll_ms + 100,
        }  # fmt: skip
        run(
            self.plc, firstScan=self.first_scan, nowMs=self.now_ms, partSensor=sensor, partNo=len(self.pieces),
            encoder=self.now_ms, regs=area, **(defaults | self.inputs),
        )  # fmt: skip
        self.first_scan = False
        self.regs[: CTRL.size], self.regs[IDENT.base :] = area[: CTRL.size], area[IDENT.base :]
        for piece in self.pieces[-4:]:
            if not piece.id and piece.at_camera(self.now_ms):
                piece.id = self.plc.id
        verdict = (self.regs[CTRL["PLC_VERDICT_ID"].offset], self.regs[CTRL["PLC_VERDICT"].offset])
        if verdict != (0, 0) and (not self.verdicts or self.verdicts[-1] != verdict):
            self.verdicts.append(verdict)

    def _belt(self) -> None:
        """The gate acts on what is before it, over the whole length of its window."""
        for piece in self.pieces[-40:]:
            if self.now_ms == piece.came_ms + self.gate:
                piece.went_on = bool(self.plc.passgate) and not self.plc_stopped

    def tick(self) -> None:
        for step in self.steps:
            step(self)
        self._appliance()
        if self.now_ms % self.scan_ms == 0 and not self.plc_stopped:
            self._scan()
        self._belt()
        self.now_ms += 1

    def settle(self, ms: int = 600) -> None:
        for _ in range(ms):
            self.tick()

    def bring(self, parts: int, *, dwell_ms: int | None = None) -> list[Piece]:
        """Parts one behind the other; returns them when the last one has left the gate."""
        first = len(self.pieces)
        for _ in range(parts):
            good = self.rng.random() < self.good_share
            jitter = self.rng.randrange(self.scan_ms + 7)
            dwell = dwell_ms or self.dwell_ms
            self.pieces.append(Piece(len(self.pieces) + 1, good, self.now_ms + jitter, dwell))
            self.settle(max(self.pitch_ms, dwell + 2 * self.scan_ms + jitter))
        self.settle(self.gate + self.pitch_ms)
        return self.pieces[first:]

    def check(self) -> int:
        """No part went on that was bad, or without a PASS of its own id on its own picture. Returns how many did."""
        for piece in self.pieces:
            if piece.went_on:
                assert piece.good, f"a bad part went on: {piece}"
                assert (piece.id, piece.number) in self.pictures, f"went on with a picture of another: {piece}"
                assert (piece.id, int(Verdict.PASS)) in self.told, f"went on without a PASS: {piece}"
        return sum(bool(piece.went_on) for piece in self.pieces)

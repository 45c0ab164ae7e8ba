"""Pictures, after the verdict is out: lossless, bounded, on a thread of their own; the first thing to give way."""

from __future__ import annotations

import queue
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path

import cv2

from inspector.core.types import Frame, Inspection
from plc.registers import Verdict


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    queue: int = 32  # pictures that wait; more are dropped
    free_floor_bytes: int = 1 << 30  # nothing is written below this much free space
    keep_every_pass: int = 50  # one pass in so many is kept, as an honest sample


class ImageArchive:
    """Implements ports.Archive: rejects and a sample of passes as PNG under `root`/<thousands>/<no>.png."""

    def __init__(self, root: Path, limits: ArchiveLimits | None = None) -> None:
        self._root, self._limits = root, limits or ArchiveLimits()
        self._queue: queue.Queue[tuple[int, Frame] | None] = queue.Queue(self._limits.queue)
        self.dropped = 0
        self.failed = ""  # the last error, for the page; a picture never stops the line
        self._thread = threading.Thread(target=self._work, name="archive", daemon=True)
        self._thread.start()

    def offer(self, decided: Inspection, frame: Frame | None) -> None:
        passed = decided.outcome.verdict is Verdict.PASS
        if frame is None or (passed and decided.no % self._limits.keep_every_pass):
            return
        try:
            self._queue.put_nowait((decided.no, frame))
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        """Write what waits, then end."""
        self._queue.put(None)
        self._thread.join(timeout=2)

    def path_of(self, no: int) -> Path:
        return self._root / f"{no // 1000:06d}" / f"{no}.png"

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            no, frame = item
            try:
                self._write(self.path_of(no), frame)
            except (OSError, cv2.error) as exc:
                self.dropped += 1
                self.failed = str(exc)

    def _write(self, path: Path, frame: Frame) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(path.parent).free < self._limits.free_floor_bytes:
            raise OSError("too little free space for pictures")
        ok, png = cv2.imencode(".png", cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR))
        if not ok:
            raise OSError(f"picture {path.name} cannot be encoded")
        path.write_bytes(png.tobytes())

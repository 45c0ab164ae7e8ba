"""Pictures, after the verdict is out: lossless, bounded, on a thread of their own; the first thing to give way."""

from __future__ import annotations

import errno
import math
import random
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ParamSpec, TypeVar

import cv2
import structlog

from inspector.core.heat import HeatScale
from inspector.core.types import Frame, Image, Inspection, Limits
from inspector.store.previews import Heat, Preview, PreviewRing, kept_heat
from inspector.store.shelf import Bounds, Claims, Kind, NoRoom, Pile, Shelf
from inspector.threads import DeviceThread
from plc.registers import Verdict

log = structlog.get_logger(__name__)

P = ParamSpec("P")
R = TypeVar("R")
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
NEAR = 0.05  # of a limit's own range: nearer is a near-miss
FASTEST_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1]  # lossless at any level; the line's cores are wanted elsewhere
CLOSE_S = 2.0


@dataclass(frozen=True, slots=True)
class ArchiveSettings:
    """What is kept, and what may wait."""

    pictures: Path
    previews: Path
    bounds: Bounds = field(default_factory=Bounds)
    pass_share: float = 0.02  # of the passes, chosen at random
    keep_all: bool = False  # mode collect
    roi: tuple[int, int, int, int] | None = None  # of the view in the camera picture, for the heat map
    max_waiting: int = 32  # pictures
    max_waiting_bytes: int = 256 << 20  # and their memory


@dataclass(frozen=True, slots=True)
class View:
    """What a station's pictures are kept and drawn by; replaced at a change-over."""

    limits: Limits | None = None
    roi: tuple[int, int, int, int] | None = None  # of the view in the camera picture, for the heat map
    keep_all: bool = False  # mode collect
    anomaly_median: float | None = None  # of the bundle, for the heat map
    station: str = ""  # whose ring the small pictures are in

    @property
    def heat_scale(self) -> HeatScale | None:
        """None: nothing limits the anomaly score."""
        limit = self.limits.max_anomaly_score if self.limits is not None else None
        return None if limit is None else HeatScale.of(limit, self.anomaly_median)


@dataclass(slots=True)
class StationArchive:
    """Implements ports.Archive for one station of a box, whose pictures share one archive."""

    archive: ImageArchive
    view: View
    last: tuple[int, Frame] | None = None  # number and frame of the last part that had one; the gate holds it too

    def offer(self, decided: Inspection, frame: Frame | None) -> None:
        if frame is not None:
            self.last = decided.no, frame
        self.archive.offer(decided, frame, self.view)


@dataclass(frozen=True, slots=True)
class ArchiveState:
    """For the page."""

    ok: bool
    text: str
    dropped: int  # pictures since the start
    full: bool  # the last picture found no room


@dataclass(frozen=True, slots=True)
class Stock:
    """What is kept, as of the last turn of the archive's thread; replaced whole, so that any thread may read it."""

    piles: Mapping[Kind, Pile] = field(default_factory=lambda: dict.fromkeys(Kind, Pile()))
    giving_way: bool = False  # room is short, and pictures go
    stuck: bool = False  # it is short, and all that is left stays
    removed: int = 0  # since the start
    loaded: bool = False  # all that lay there was counted


def _nobody(*_: object) -> None:
    """Nobody listens."""


class ImageArchive:
    """Implements ports.Archive. Whatever fails here costs pictures and is said in `state`; the line never waits for it.

    noted: (no, path below the folder of pictures, or None: it gave way); previewed: the files for the screen are there.
    Both are called on the archive's thread.
    """

    def __init__(
        self, settings: ArchiveSettings, limits: Limits | None = None, *,
        noted: Callable[[int, str | None], None] = _nobody, previewed: Callable[[Preview], None] = _nobody,
        chance: Callable[[], float] = random.random, claims: Claims | None = None,
    ) -> None:  # fmt: skip
        self._settings = settings
        self._view = View(limits, settings.roi, settings.keep_all)
        self._noted, self._previewed, self._chance = noted, previewed, chance
        self._shelf = Shelf(settings.pictures, settings.bounds, self._gave_way, claims)
        self.stock = Stock()
        self._ring = PreviewRing(settings.previews)
        self._lock = threading.Lock()  # for what follows
        self._waiting = self._waiting_bytes = self._dropped = 0
        self._trouble: dict[str, str] = {}  # what -> why it does not work
        self._full = self._closing = False
        self._thread = DeviceThread("archive")
        self._begin(self._load)

    @property
    def state(self) -> ArchiveState:
        with self._lock:
            text = "; ".join(self._trouble.values()) or "working"
            return ArchiveState(not self._trouble, text, self._dropped, self._full)

    def offer(self, decided: Inspection, frame: Frame | None, view: View | None = None) -> None:
        """Queue the part's picture; dropped where too many wait. view: of another station than the only one."""
        if frame is None:
            return
        size = frame.image.nbytes
        with self._lock:
            room = self._waiting_bytes + size <= self._settings.max_waiting_bytes
            if self._closing or self._waiting >= self._settings.max_waiting or not room:
                self._dropped += 1
                return
            self._waiting += 1
            self._waiting_bytes += size
        seen = view or self._view
        kind = kind_of(decided, seen, self._settings.pass_share, self._chance)
        self._begin(self._keep, decided, frame, kind, seen)

    def tend(self) -> Future[None]:
        """Let a few pictures give way where room is short; ends when it is done, behind what waits to be written."""
        return self._begin(self._tend)

    def begin(self, fn: Callable[[Shelf], R]) -> Future[R]:
        """Do something else with the shelf, on the archive's thread. Raises RuntimeError: it was closed."""
        return self._thread.submit(fn, self._shelf)

    def close(self) -> None:
        """Write what waits, but not for long; then end."""
        with self._lock:
            self._closing = True
        last = self._thread.submit(lambda: None)
        try:
            last.result(timeout=CLOSE_S)
        except TimeoutError:
            log.warning("pictures dropped at the end", waiting=self._waiting)
        self._thread.close()

    def _begin(self, fn: Callable[..., None], *args: object) -> Future[None]:
        job = self._thread.submit(fn, *args)
        job.add_done_callback(self._isolate)
        return job

    def _isolate(self, job: Future[None]) -> None:
        """A bug in here is an alarm, and no reason to stop the line."""
        if not job.cancelled() and (bug := job.exception()):
            log.error("archive failed", exc_info=bug)
            self._failed("archive", bug)

    # -- on the archive's thread ---------------------------------------------------------------------------------------

    def _load(self) -> None:
        self._try("previews", self._ring.load)
        self._try("pictures", self._shelf.load)
        self._count(loaded=True)

    def _tend(self) -> None:
        self._try("room", self._give_way)
        self._count()

    def _give_way(self) -> None:
        self._shelf.tend()

    def _gave_way(self, no: int) -> None:
        self.stock = replace(self.stock, removed=self.stock.removed + 1)
        self._noted(no, None)

    def _count(self, **changes: bool) -> None:
        shelf = self._shelf
        self.stock = replace(
            self.stock, piles=dict(shelf.piles), giving_way=shelf.giving_way, stuck=shelf.stuck, **changes
        )

    def _keep(self, decided: Inspection, frame: Frame, kind: Kind | None, view: View) -> None:
        try:
            self._try("previews", self._show, decided, frame, view)
            if kind is not None:
                self._try("pictures", self._store, decided, frame, kind, view)
        finally:
            with self._lock:
                self._waiting -= 1
                self._waiting_bytes -= frame.image.nbytes

    def _show(self, decided: Inspection, frame: Frame, view: View) -> None:
        heat = _heat_of(decided)
        self._previewed(self._ring.write(decided.no, frame.image, heat, view.heat_scale, view.roi, view.station))

    def _store(self, decided: Inspection, frame: Frame, kind: Kind, view: View) -> None:
        heat = kept_heat(_heat_of(decided), view.heat_scale, frame.image.shape, view.roi)
        self._noted(decided.no, self._shelf.put(kind, decided.no, png_of(frame.image), heat))
        self._count()
        with self._lock:
            self._full = False

    def _try(self, what: str, fn: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        """What fails is dropped and told; what works again is told too."""
        try:
            fn(*args, **kwargs)
        except (NoRoom, OSError, cv2.error) as exc:
            self._failed(what, exc)
            return
        with self._lock:
            was = self._trouble.pop(what, None)
        if was is not None:
            log.info("archive works again", what=what)

    def _failed(self, what: str, exc: BaseException) -> None:
        with self._lock:
            first = what not in self._trouble
            self._trouble[what] = f"{what}: {str(exc) or repr(exc)}"
            self._full |= isinstance(exc, NoRoom) or (isinstance(exc, OSError) and exc.errno in _NO_ROOM)
            self._dropped += 1
        if first:
            log.error("pictures are dropped", what=what, error=str(exc))


def _heat_of(decided: Inspection) -> Heat | None:
    return decided.prediction.anomaly_map if decided.prediction else None


def kind_of(decided: Inspection, view: View, pass_share: float, chance: Callable[[], float]) -> Kind | None:
    """Why this picture is kept; None: it is not. A part counts as what the PLC was told."""
    delivery = decided.delivery
    passed = decided.outcome.verdict is Verdict.PASS and (delivery is None or delivery.code == Verdict.PASS)
    if view.keep_all:
        return Kind.COLLECT
    if decided.trigger.test_part:
        return Kind.TEST
    if not passed:
        return Kind.REJECT
    if chance() < pass_share:  # before near-misses, or the sample would hold none of them
        return Kind.PASS
    return Kind.NEAR if is_near_miss(decided, view.limits) else None


def is_near_miss(decided: Inspection, limits: Limits | None) -> bool:
    """True for a pass that is close to a limit."""
    p = decided.prediction
    if p is None or limits is None:
        return False
    low, high = limits.novelty_range
    margin = NEAR * (high - low) if math.isfinite(high - low) else 0.0
    novelty = p.novelty_score >= high - margin or p.novelty_score <= low + margin
    confidence = p.confidence <= limits.min_confidence + NEAR * (1 - limits.min_confidence)
    limit, score = limits.max_anomaly_score, p.anomaly_score
    anomaly = limit is not None and score is not None and score >= limit - NEAR * abs(limit)
    return novelty or confidence or anomaly


def png_of(image: Image) -> bytes:
    """Lossless. image: (H, W, 3) uint8 RGB. Raises OSError, cv2.error."""
    ok, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), FASTEST_PNG)
    if not ok:
        raise OSError("a picture cannot be encoded")
    return data.tobytes()

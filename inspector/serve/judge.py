"""The service's one bundle: verified, loaded once, its golden pictures replayed; and whether it may be asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from inspector.bundle.golden import limits_of, replay
from inspector.bundle.keys import TrustedKey
from inspector.bundle.verify import VerifiedBundle, verify
from inspector.core.decide import decide
from inspector.core.errors import BundleError, FrameError, ModelError
from inspector.core.manifest import Manifest
from inspector.core.types import Image, JudgedBy, Outcome, Prediction
from inspector.frames import check_light
from inspector.model import OpenVinoModel, load_model
from inspector.serve.declined import Declined
from inspector.threads import DeviceThread
from inspector.web.said import Said
from inspector.web.words import Text
from plc.registers import Verdict

log = structlog.get_logger(__name__)

PROVE_AGAIN_S = 1.0  # after a failed inference the golden pictures are judged again, so often until they are right
HANG_AFTER_S = 10.0  # an inference takes tens of milliseconds; a thread cannot be ended, so the process must be


@dataclass(frozen=True, slots=True)
class Judged:
    prediction: Prediction
    outcome: Outcome
    infer_ms: float


@dataclass(frozen=True, slots=True)
class Opened:
    bundle: VerifiedBundle
    model: OpenVinoModel


class Judge:
    """One model on its thread. Not ready until it is open, and after a failed inference until it has proved itself."""

    def __init__(self) -> None:
        self._thread = DeviceThread("model")
        self._opened: Opened | None = None
        self._trouble: Text | None = None
        self._busy_since_s: float | None = None

    @property
    def not_ready(self) -> Text | None:
        """Why it may not be asked; None where it may."""
        return self._trouble if self._opened else Text("unready.starting")

    @property
    def hangs(self) -> bool:
        since_s = self._busy_since_s
        return since_s is not None and time.monotonic() - since_s > HANG_AFTER_S

    @property
    def manifest(self) -> Manifest | None:
        return self._opened.bundle.manifest if self._opened else None

    async def open(self, file: Path, keys: Sequence[TrustedKey], folder: Path, threads: int) -> Manifest:
        """Verify, load, replay the golden pictures. Raises BundleError, ModelError."""
        self._opened = await self._thread.call(self._open, file, keys, folder, threads)
        return self._opened.bundle.manifest

    def _open(self, file: Path, keys: Sequence[TrustedKey], folder: Path, threads: int) -> Opened:
        bundle = verify(file, keys, folder / "bundle")
        _, _, width, height = bundle.manifest.view.roi
        by = JudgedBy(bundle_id=bundle.manifest.bundle_id)
        model = load_model(bundle, (height, width), threads=threads, judged_by=by, thread=self._thread)
        replay(bundle, model.predict_blocking)
        return Opened(bundle, model)

    async def judge(self, picture: Image) -> Judged:
        """picture: (H, W, 3) uint8 RGB, a whole camera picture or just the view. Raises Declined: 503, 500."""
        if self.not_ready or self._opened is None:
            raise unready(self.not_ready)
        try:
            return await self._thread.call(self._judge, self._opened, picture)
        except ModelError as exc:
            self._trouble = Text("unready.failed", detail=Said(exc))
            log.error("inference failed", error=str(exc))
            raise Declined(500, "judging", detail=Said(exc)) from exc

    def _judge(self, opened: Opened, picture: Image) -> Judged:
        manifest = opened.bundle.manifest
        view = _view(picture, manifest)
        began_s = self._busy_since_s = time.monotonic()
        try:
            prediction = opened.model.predict_blocking(view)
        finally:
            self._busy_since_s = None
        infer_ms = (time.monotonic() - began_s) * 1000
        return Judged(prediction, _outcome(prediction, view, manifest), infer_ms)

    async def prove_forever(self) -> None:
        """After a failed inference: not ready until every golden picture is judged as signed."""
        while True:
            await asyncio.sleep(PROVE_AGAIN_S)
            if self._trouble and self._opened:
                try:
                    await self._thread.call(replay, self._opened.bundle, self._opened.model.predict_blocking)
                    self._trouble = None
                except (BundleError, ModelError) as exc:
                    self._trouble = Text("unready.golden", detail=Said(exc))

    def close(self) -> None:
        self._thread.close()


def _view(picture: Image, manifest: Manifest) -> Image:
    """What is judged: cut from a camera picture as on the line; a picture of the view's own size is the view."""
    x, y, width, height = manifest.view.roi
    return picture if picture.shape[:2] == (height, width) else picture[y : y + height, x : x + width]


def _outcome(prediction: Prediction, view: Image, manifest: Manifest) -> Outcome:
    """As the line decides, its frame checks of light and focus first."""
    try:
        check_light(view, manifest.zones)
    except FrameError as exc:
        return Outcome(Verdict.NOT_INSPECTED, exc.reason)
    return decide(prediction, limits_of(manifest))


def unready(why: object) -> Declined:
    return Declined(503, "unready", retry_after_s=2, why=why)

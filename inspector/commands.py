"""Commands that look at a camera or at pictures, and change nothing: `camera list`, `camera grab`, `predict`."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from inspector.bundle.keys import TrustedKey
from inspector.cameras.open import open_camera
from inspector.cameras.opencv import devices
from inspector.config import AppConfig
from inspector.config_rules import camera_settings
from inspector.core.clock import SystemClock
from inspector.core.errors import InspectorError
from inspector.core.manifest import Manifest
from inspector.core.types import Frame, Image, Trigger
from inspector.frames import Box, zone_figures
from inspector.pictures import FORMATS, PictureError, read_picture
from inspector.sections import RecipeConfig
from inspector.serve.declined import Declined
from inspector.serve.judge import Judge
from inspector.store.images import png_of
from inspector.threads import DeviceThread

PATIENCE_S = 10.0  # a camera that has just been plugged in
KINDS = (
    ("rendered", "draws the demo's parts; no hardware"),
    ("folder", "replays the pictures of a folder"),
    ("opencv", "a device, a video file, an RTSP or HTTP stream"),
)


def list_cameras(console: Console) -> None:
    """The devices of this machine, and the kinds that a configuration may name."""
    found = devices()
    table = Table("device", "name", title="Devices of this machine")
    for number, name in found:
        table.add_row(f"/dev/video{number}", name)
    console.print(table if found else "No video device on this machine (/dev/video*).")
    kinds = Table("kind", "what it is", title=escape("[camera] kind"))
    for kind, text in KINDS:
        kinds.add_row(kind, text)
    console.print(kinds)


def grab_to(cfg: AppConfig, out: Path, part_id: int, console: Console) -> None:
    """One picture of the configured camera, as it came, and what its light and focus are. Raises CameraError."""
    with console.status("waiting for the camera"):
        frame = asyncio.run(_grab(cfg, part_id))
    try:
        out.write_bytes(png_of(frame.image))
    except OSError as exc:
        raise PictureError(f"{out} cannot be written: {exc.strerror}") from exc
    height, width = frame.image.shape[:2]
    console.print(f"{out}: {width} x {height} pixels; proof of freshness: {frame.proof.value}")
    table = Table(
        "zone", "brightness", "contrast", "sharpness", title=escape("Light and focus, as [[recipes.zones]] limits them")
    )
    for name, figures in zones_of(frame.image, cfg):
        table.add_row(name, *(f"{figure:.1f}" for figure in figures))
    console.print(table)


def zones_of(image: Image, cfg: AppConfig) -> list[tuple[str, tuple[float, float, float]]]:
    """Figures of the whole picture, and of each zone that the configuration names (boxes are of the ROI's view)."""
    height, width = image.shape[:2]
    recipe = first_recipe(cfg)
    x, y, w, h = recipe.roi or (0, 0, width, height)
    view = image[y : y + h, x : x + w]
    boxes: list[tuple[str, Image, Box]] = [("whole picture", image, (0, 0, width, height))]
    boxes += [(zone.name, view, zone.box) for zone in recipe.zones or ()]
    return [(name, zone_figures(of, box)) for name, of, box in boxes]


def first_recipe(cfg: AppConfig) -> RecipeConfig:
    """Of the first station."""
    return next(iter(cfg.recipes_of(cfg.station).values()))


async def _grab(cfg: AppConfig, part_id: int) -> Frame:
    """The station's deadline is not kept here: a person waits, not a part."""
    clock, thread = SystemClock(), DeviceThread("camera")
    own = cfg.camera_of(cfg.station)
    section = own.model_copy(update={"grab_timeout_ms": PATIENCE_S * 1000})
    settings = {**camera_settings(own), **first_recipe(cfg).camera}
    try:
        async with open_camera(section, settings, clock, thread, cfg.test.camera_faults) as camera:
            await camera.alive()
            now = clock.monotonic_s()
            return await camera.grab(Trigger(1, part_id, now + PATIENCE_S, now, simulator=True))
    finally:
        thread.close()


def predict(
    files: Sequence[Path], bundle: Path, keys: Sequence[TrustedKey], threads: int, as_json: bool, console: Console
) -> bool:
    """What the bundle says of each picture. False: one of them could not be judged.

    Raises PictureError, before any work: not one of them is there; BundleError, ModelError.
    """
    if not any(file.is_file() for file in files):
        raise PictureError(f"there is no picture {files[0]}: name files ({FORMATS}), or a pattern that finds some")
    with console.status("verifying and loading the bundle"):
        rows, manifest = asyncio.run(_predict(files, bundle, keys, threads))
    if as_json:
        console.print_json(json.dumps(rows))
    else:
        if judged := [row for row in rows if "error" not in row]:
            console.print(_table(judged, manifest))
        for row in rows:
            if "error" in row:
                console.print(escape(f"not judged: {row['error']}"), style="bold red", soft_wrap=True)
    return all("error" not in row for row in rows)


async def _predict(
    files: Sequence[Path], bundle: Path, keys: Sequence[TrustedKey], threads: int
) -> tuple[list[dict[str, Any]], Manifest]:
    judge = Judge()
    try:
        with tempfile.TemporaryDirectory(prefix="inspector-predict-") as folder:
            manifest = await judge.open(bundle, keys, Path(folder), threads)
            return [await _row(judge, file, manifest) for file in files], manifest
    finally:
        judge.close()


async def _row(judge: Judge, file: Path, manifest: Manifest) -> dict[str, Any]:
    try:
        picture = read_picture(file)
        _require_size(picture, file, manifest)
        judged = await judge.judge(picture)
    except (InspectorError, Declined) as exc:
        return {"file": str(file), "error": str(exc)}
    p, outcome = judged.prediction, judged.outcome
    names = [entry.name for entry in sorted(manifest.classes, key=lambda c: c.id)]
    return {
        "file": str(file), "verdict": outcome.verdict.name, "reason": outcome.reason.name, "class": p.label,
        "confidence": p.confidence, "probabilities": dict(zip(names, p.probabilities, strict=True)),
        "novelty_score": p.novelty_score, "anomaly_score": p.anomaly_score, "infer_ms": round(judged.infer_ms, 2),
    }  # fmt: skip


def _require_size(picture: Image, file: Path, manifest: Manifest) -> None:
    view = manifest.view
    wanted = {(view.camera_height, view.camera_width), (view.roi[3], view.roi[2])}
    if picture.shape[:2] not in wanted:
        sizes = " or ".join(f"{w} x {h}" for h, w in sorted(wanted, reverse=True))
        raise PictureError(f"{file} is {picture.shape[1]} x {picture.shape[0]} pixels, this bundle takes {sizes}")


def _table(rows: Sequence[dict[str, Any]], manifest: Manifest) -> Table:
    table = Table("picture", "verdict", "reason", "class", "confidence", "novelty", "ms", title=manifest.bundle_id)
    table.columns[0].overflow = "fold"  # names of one folder differ at their end
    for row in rows:
        figures = (f"{row['confidence']:.3f}", f"{row['novelty_score']:.3f}", f"{row['infer_ms']:.1f}")
        table.add_row(row["file"], row["verdict"], row["reason"], row["class"], *figures)
    return table

"""A bundle that is whole but small: a real IR of a few operations that tells rendered parts apart, signed by any key.

Its classes are `good` and `stain`. Novelty is how far the share of bright pixels lies from that of a whole disc: an
empty belt, half a part and a wrong part are outside its limits. Scratches, dents and missing holes it cannot see.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import NDArray

from edge_deploy.pack import canonical, key_id, write_tar
from inspector.bundle.checks import MANIFEST, SIGNATURE
from inspector.bundle.golden import limits_of
from inspector.bundle.keys import TrustedKey
from inspector.core.decide import decide
from inspector.core.manifest import (
    BundleFile,
    CalibrationSpec,
    ClassEntry,
    Expected,
    Golden,
    GoldenTolerance,
    InputSpec,
    Licence,
    LimitSpec,
    LimitsSpec,
    Manifest,
    OutputSpec,
    TrainingSpec,
    ViewSpec,
    ZoneLimits,
)
from inspector.core.types import Prediction
from inspector.demo.parts import ROI, Kind, Stream, render
from inspector.demo.scene import HEIGHT, WIDTH
from inspector.model import load_ir, to_prediction
from inspector.runtime import openvino

LABELS = ("good", "stain")
WHOLE_DISC = 0.465  # share of bright pixels in the view of a whole disc
GOLDEN: tuple[tuple[str, Kind, int], ...] = (
    ("good", Kind.GOOD, 0), ("good", Kind.GOOD, 1), ("defect", Kind.STAIN, 0),
    ("negative", Kind.EMPTY, 0), ("negative", Kind.HALF_PART, 0), ("negative", Kind.WRONG_PART, 0),
)  # fmt: skip


def make_key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


def trusted_key(key: Ed25519PrivateKey) -> TrustedKey:
    """What the box holds of `key`; for a config: `trusted_key(key).raw.hex()`."""
    return TrustedKey(key.public_key().public_bytes_raw())


def make_bundle(path: Path, key: Ed25519PrivateKey, **overrides: Any) -> Path:
    """Write a signed bundle; overrides are fields of its Manifest. Whatever they say is signed, unchecked.

    Example: make_bundle(tmp_path / "a.bundle", key, product="disc", version=2)
    """
    return sign_files(path, key, tiny_manifest(**overrides), tiny_files())


def sign_files(path: Path, key: Ed25519PrivateKey, manifest: Manifest, files: Mapping[str, bytes]) -> Path:
    """Write `files`, with the manifest signed by `key`; the manifest need not tell the truth about them."""
    raw = canonical(replace(manifest, key_id=key_id(key)))
    write_tar(path, {MANIFEST: raw, SIGNATURE: key.sign(raw), **dict(sorted(files.items()))})
    return path


def tiny_manifest(**overrides: Any) -> Manifest:
    return replace(_tiny()[0], **overrides)


def tiny_files() -> dict[str, bytes]:
    """model.xml, model.bin and the golden pictures."""
    return dict(_tiny()[1])


def entries_of(files: Mapping[str, bytes]) -> tuple[BundleFile, ...]:
    return tuple(BundleFile(n, len(b), hashlib.sha256(b).hexdigest()) for n, b in sorted(files.items()))


def write_ir(directory: Path, classes: int = 2, nan_above: float | None = None) -> None:
    """model.xml and model.bin: u8 NHWC view of any size to probabilities, embedding, novelty_score.

    classes: 2, or 1 (good parts only: nothing but novelty tells). nan_above: a picture that is brighter on average has
    novelty NaN.
    """
    ov = openvino()
    from openvino import opset13 as op

    view = op.parameter([1, -1, -1, 3], np.uint8, name="view")
    planes = op.transpose(op.convert(view, np.float32), _ints(0, 3, 1, 2))
    grey = op.reduce_mean(planes, _ints(1), keep_dims=True)
    bright = op.convert(op.greater(grey, np.float32(60)), np.float32)
    share = op.reshape(op.reduce_mean(bright, _ints(1, 2, 3), keep_dims=False), _ints(1), False)
    novelty = op.multiply(op.abs(op.subtract(share, np.float32(WHOLE_DISC))), np.float32(100))
    if nan_above is not None:  # the root of what is below zero; else zero
        mean = op.reshape(op.reduce_mean(grey, _ints(1, 2, 3), keep_dims=False), _ints(1), False)
        rest = op.sqrt(op.subtract(np.float32(nan_above), mean))
        novelty = op.add(novelty, op.subtract(rest, rest))

    blurred = op.avg_pool(planes, [4, 4], [0, 0], [0, 0], [9, 9], exclude_pad=True)
    red, green, blue = op.split(blurred, np.int64(1), 3).outputs()
    tint = op.divide(op.subtract(red, blue), op.add(green, np.float32(10)))
    brownest = op.reshape(op.reduce_max(tint, _ints(1, 2, 3), keep_dims=False), _ints(1, 1), False)
    stained = op.multiply(op.subtract(brownest, np.float32(0.11)), np.float32(50))
    probabilities = op.softmax(op.concat([op.negative(stained), stained], 1) if classes == 2 else stained, 1)

    cells = op.reshape(op.adaptive_avg_pool(grey, _ints(32, 64)), _ints(1, 2048), False)
    weights = np.linspace(0.5, 1.5, 2048, dtype=np.float32).reshape(1, 2048)
    embedding = op.multiply(cells, op.constant(weights))
    outputs = {"probabilities": probabilities, "embedding": embedding, "novelty_score": novelty}
    for name, node in outputs.items():
        node.output(0).get_tensor().set_names({name})
    ov.save_model(ov.Model(list(outputs.values()), [view], "tiny"), directory / "model.xml", compress_to_fp16=False)


def _ints(*values: int) -> NDArray[np.int64]:
    return np.array(values, np.int64)


@lru_cache(maxsize=1)
def _tiny() -> tuple[Manifest, Mapping[str, bytes]]:
    """Made once for all tests of a process: the manifest, not approved, and its files."""
    x, y, w, h = ROI
    with tempfile.TemporaryDirectory() as name:
        write_ir(Path(name))
        files = {file.name: file.read_bytes() for file in Path(name).iterdir()}
        ir = load_ir(Path(name), (h, w), threads=1)
        pictures = [render(seed, kind, Stream.GOLDEN).image for _, kind, seed in GOLDEN]
        predictions = [to_prediction(ir.infer(p[y : y + h, x : x + w]), LABELS) for p in pictures]
    for number, picture in enumerate(pictures):
        encoded = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1]
        files[f"golden_{number:02d}.png"] = encoded.tobytes()
    manifest = _manifest()
    return replace(manifest, files=entries_of(files), golden=_golden(manifest, predictions)), files


def _golden(manifest: Manifest, predictions: Sequence[Prediction]) -> tuple[Golden, ...]:
    rows = []
    for number, ((role, kind, _), p) in enumerate(zip(GOLDEN, predictions, strict=True)):
        o = decide(p, limits_of(manifest))
        expected = Expected(int(o.verdict), int(o.reason), p.label, p.confidence, p.novelty_score, None)
        rows.append(Golden(f"golden_{number:02d}.png", role, str(kind), expected))  # type: ignore[arg-type]
    return tuple(rows)


def _manifest() -> Manifest:
    return Manifest(
        schema_version=1, product="tiny", version=1, created_utc="2026-01-01T00:00:00Z", parents=(), files=(),
        classes=(ClassEntry(0, "good", True), ClassEntry(1, "stain", False)),
        input=InputSpec(ROI[3], ROI[2], "NHWC", "u8", "RGB"), view=ViewSpec(WIDTH, HEIGHT, ROI),
        outputs=(OutputSpec("probabilities", (2,)), OutputSpec("embedding", (2048,)), OutputSpec("novelty_score", ())),
        limits=LimitsSpec(
            LimitSpec(0.8, (0.6, 0.99)), LimitSpec(-1.0, (-1.0, 0.0)), LimitSpec(5.0, (3.0, 7.0)), None,
            novelty_median=1.0, anomaly_median=None, chosen_by="hand", bounds=(),
        ),
        zones=(ZoneLimits("view", (0, 0, ROI[2], ROI[3]), (10.0, 200.0), (1.0, 120.0), (1.0, 100_000.0)),),
        golden=(), golden_tolerance=GoldenTolerance(0.02, 0.1, None),
        calibration=CalibrationSpec("any", ("avx2", "avx_vnni", "avx512_vnni"), "any", "none", 2, 1, 3, None),
        training=TrainingSpec("0" * 64, 0, {}, "", "none", no_negatives=False), metrics={},
        licences=(Licence("rendered parts", "Apache-2.0", "inspector/demo/parts.py"),), key_id="",
    )  # fmt: skip

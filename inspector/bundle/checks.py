"""What a manifest's types cannot say: that it does not contradict itself, and that it is for this station."""

from __future__ import annotations

import re
from collections.abc import Iterator

from inspector.bundle.tar import FLAT_NAME
from inspector.core.errors import BundleError
from inspector.core.manifest import Golden, LimitSpec, Manifest
from plc.registers import Reason, Verdict

MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
MAX_TOTAL = 256 << 20  # bytes of all files together
MAX_VERSION = (1 << 31) - 1
NETWORK_PX = range(16, 2049)
CAMERA_PX = range(16, 16385)
REQUIRED_OUTPUTS = {"probabilities", "embedding", "novelty_score"}
_PRODUCT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")  # names a folder on the box


def check_manifest(m: Manifest) -> None:
    """Raises BundleError, naming everything that contradicts itself."""
    checks = (_identity, _files, _classes, _shapes, _limits, _golden)
    if wrong := [text for check in checks for text in check(m)]:
        raise BundleError("the manifest contradicts itself: " + "; ".join(wrong))


def require_fit(m: Manifest, *, product: str | None = None, camera_size: tuple[int, int] | None = None) -> None:
    """Refuse a bundle for another job. camera_size: (height, width) of this station's pictures. Raises BundleError."""
    if product is not None and m.product != product:
        raise BundleError(f"{m.bundle_id} is for product {m.product!r}, this recipe inspects {product!r}")
    if camera_size is not None and camera_size != (m.view.camera_height, m.view.camera_width):
        raise BundleError(
            f"{m.bundle_id} is for pictures of {m.view.camera_width} x {m.view.camera_height}, "
            f"this camera gives {camera_size[1]} x {camera_size[0]}"
        )


def _identity(m: Manifest) -> Iterator[str]:
    if not _PRODUCT.fullmatch(m.product):
        yield f"product {m.product!r} must be letters, digits, '_', '.' or '-'"
    if not 1 <= m.version <= MAX_VERSION:
        yield f"version {m.version} is not within 1 and {MAX_VERSION}"
    if not m.calibration.instruction_sets:
        yield "it names no instruction set that it was qualified for"


def _files(m: Manifest) -> Iterator[str]:
    names = [f.name for f in m.files]
    if len(set(names)) != len(names):
        yield "file names repeat"
    if not {"model.xml", "model.bin"} <= set(names):
        yield "model.xml or model.bin is missing"
    for f in m.files:
        if not FLAT_NAME.fullmatch(f.name) or f.name in (MANIFEST, SIGNATURE):
            yield f"{f.name!r} is no name for a file"
        if f.size < 0 or not re.fullmatch("[0-9a-f]{64}", f.sha256):
            yield f"size or hash of {f.name!r} is none"
    if sum(f.size for f in m.files) > MAX_TOTAL:
        yield f"its files are larger than {MAX_TOTAL >> 20} MiB together"


def _classes(m: Manifest) -> Iterator[str]:
    names = [c.name for c in m.classes]
    if [c.id for c in m.classes] != list(range(len(m.classes))):
        yield "class ids are not 0, 1, 2 ..."
    if len(set(names)) != len(names) or not all(names):
        yield "class names repeat or are empty"
    if not any(c.acceptable for c in m.classes):
        yield "no class is acceptable"


def _shapes(m: Manifest) -> Iterator[str]:
    if m.input.network_height not in NETWORK_PX or m.input.network_width not in NETWORK_PX:
        yield f"the network's input is not within {NETWORK_PX.start} and {NETWORK_PX.stop - 1} px"
    x, y, w, h = m.view.roi
    width, height = m.view.camera_width, m.view.camera_height
    if width not in CAMERA_PX or height not in CAMERA_PX:
        yield f"the camera's picture is not within {CAMERA_PX.start} and {CAMERA_PX.stop - 1} px"
    if not (0 <= x < x + w <= width and 0 <= y < y + h <= height):
        yield "the judged region is not within the camera's picture"
    outputs = {o.name: o.shape for o in m.outputs}
    if not set(outputs) >= REQUIRED_OUTPUTS or len(outputs) != len(m.outputs):
        yield "an output is missing, or named twice"
    if outputs.get("probabilities") != (len(m.classes),):
        yield "there is not one probability for each class"
    for zone in m.zones:
        zx, zy, zw, zh = zone.box
        if not (0 <= zx < zx + zw <= w and 0 <= zy < zy + zh <= h):
            yield f"zone {zone.name} is not within the view"
        if not all(low <= high for low, high in (zone.brightness, zone.contrast, zone.sharpness)):
            yield f"the limits of zone {zone.name} cross"


def _limits(m: Manifest) -> Iterator[str]:
    spec = m.limits
    specs = [spec.min_confidence, spec.novelty_low, spec.novelty_high]
    specs += [spec.max_anomaly_score] if spec.max_anomaly_score else []
    if not all(map(_sound, specs)):
        yield "a limit is outside its allowed range"
    if not spec.novelty_low.default < spec.novelty_high.default:
        yield "novelty's limits cross"
    if not 0 <= spec.min_confidence.allowed[0] <= spec.min_confidence.allowed[1] <= 1:
        yield "the confidence's allowed range is not within 0 and 1"
    gives = {o.name for o in m.outputs}
    if spec.max_anomaly_score and "anomaly_score" not in gives:
        yield "there is a limit for an anomaly score that the model does not give"
    if m.detector is not None and (m.detector.detector == "patch") is not ({"anomaly_score", "anomaly_map"} <= gives):
        yield f"its detector is {m.detector.detector!r} and its outputs are those of another"
    if m.detector is not None and m.detector.detector == "patch" and not spec.max_anomaly_score:
        yield "it finds strange spots and has no limit for them"


def _sound(spec: LimitSpec) -> bool:
    low, high = spec.allowed
    return low <= spec.default <= high


def _golden(m: Manifest) -> Iterator[str]:
    names = [g.file for g in m.golden]
    roles = {g.role for g in m.golden}
    if not set(names) <= {f.name for f in m.files} or len(set(names)) != len(names):
        yield "a golden picture is not among the files, or listed twice"
    if "good" not in roles:
        yield "no golden good part"
    if "defect" not in roles and not all(c.acceptable for c in m.classes):
        yield "no golden defect"
    if "negative" not in roles and not m.training.no_negatives:
        yield "no golden negative"
    for golden in m.golden:
        if not _expects_sense(golden):
            yield f"{golden.file} ({golden.role}) expects {golden.expected.verdict}/{golden.expected.reason}"
    t = m.golden_tolerance
    known = {score is not None for score in (t.anomaly_score, *(g.expected.anomaly_score for g in m.golden))}
    if len(known) > 1 or (m.limits.max_anomaly_score and known != {True}):
        yield "an anomaly score is not expected, with a tolerance, of each golden picture"
    if not (0 < t.confidence <= 1 and t.novelty_score > 0 and (t.anomaly_score is None or t.anomaly_score > 0)):
        yield "a tolerance of the golden pictures is not positive"


def _expects_sense(golden: Golden) -> bool:
    """A good part passes, and only a good part does."""
    known = golden.expected.verdict in list(Verdict) and golden.expected.reason in list(Reason)
    return known and (golden.expected.verdict == Verdict.PASS) == (golden.role == "good")

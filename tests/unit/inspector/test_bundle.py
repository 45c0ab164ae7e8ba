"""The packaged demo bundle: verified before anything in it is parsed, and refused when a single bit differs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import inspector.demo
from inspector.bundle import verify as verify_module
from inspector.bundle.keys import load_key
from inspector.bundle.verify import VerifiedBundle, reopen, verify
from inspector.core.errors import BundleError
from inspector.core.types import JudgedBy
from inspector.demo.parts import ROI, Kind, Stream, render
from inspector.demo.scene import Label
from inspector.model import load_model
from inspector.threads import DeviceThread

DEMO = Path(inspector.demo.__file__).parent
BUNDLE = DEMO / "demo.bundle"
KEY = re.findall(r"[0-9a-f]{64}", (DEMO / "demo.toml").read_text())[0]
TRUSTED = [load_key(KEY)]


@pytest.fixture(scope="module")
def whole() -> bytes:
    return BUNDLE.read_bytes()


def test_the_packaged_bundle_is_signed_by_the_key_that_the_demo_trusts(tmp_path):
    bundle = verify(BUNDLE, TRUSTED, tmp_path / "b")
    assert bundle.manifest.product == "demo-disc"
    assert reopen(tmp_path / "b", TRUSTED).manifest == bundle.manifest


def test_a_key_that_is_not_trusted_is_refused_before_anything_is_parsed(tmp_path, monkeypatch):
    monkeypatch.setattr(verify_module, "parse_manifest", lambda *_: pytest.fail("parsed before the signature held"))
    with pytest.raises(BundleError, match="no key"):
        verify(BUNDLE, [load_key("5a" * 32)], tmp_path / "b")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("percent", [0, 1, 5, 30, 60, 90, 99])
def test_a_truncated_bundle_is_refused_and_leaves_nothing(tmp_path, whole, percent):
    cut = tmp_path / "cut.bundle"
    cut.write_bytes(whole[: len(whole) * percent // 100])
    with pytest.raises(BundleError):
        verify(cut, TRUSTED, tmp_path / "b")
    assert list(tmp_path.iterdir()) == [cut]


@pytest.mark.parametrize("place", [600, 20_000, 1_000_000, 14_000_000, 27_000_000])
def test_one_flipped_bit_anywhere_is_refused(tmp_path, whole, place):
    damaged = bytearray(whole)
    damaged[place] ^= 1
    file = tmp_path / "bit.bundle"
    file.write_bytes(damaged)
    with pytest.raises(BundleError):
        verify(file, TRUSTED, tmp_path / "b")


def test_a_bit_that_flips_on_the_boxs_disk_is_found_at_the_next_start(tmp_path):
    bundle = verify(BUNDLE, TRUSTED, tmp_path / "b")
    weights = bundle.directory / "model.bin"
    content = bytearray(weights.read_bytes())
    content[1000] ^= 4
    weights.write_bytes(content)
    with pytest.raises(BundleError, match=r"model\.bin"):
        reopen(bundle.directory, TRUSTED)


def test_nobody_else_can_make_a_verified_bundle(tmp_path):
    manifest = verify(BUNDLE, TRUSTED, tmp_path / "b").manifest
    with pytest.raises(TypeError):
        VerifiedBundle(tmp_path / "b", manifest)


_REPLAY = """
import sys
from pathlib import Path
from inspector.bundle.golden import replay
from inspector.bundle.keys import load_key
from inspector.bundle.verify import verify
from inspector.core.types import JudgedBy
from inspector.model import load_model
from inspector.threads import DeviceThread
bundle = verify(Path(sys.argv[1]), [load_key(sys.argv[2])], Path(sys.argv[3]))
thread = DeviceThread("model")
_, _, w, h = bundle.manifest.view.roi
model = load_model(bundle, (h, w), threads=2, judged_by=JudgedBy(), thread=thread)
print(len(replay(bundle, model.predict_blocking).rows))
thread.close()
"""


@pytest.mark.slow
@pytest.mark.parametrize("isa", ["", "AVX2", "AVX2_VNNI", "AVX512_CORE_VNNI"])  # those that this CPU has
def test_golden_pictures_give_their_expected_answers_on_this_cpu_and_on_lesser_ones(tmp_path, isa):
    env = {**os.environ, "ONEDNN_MAX_CPU_ISA": isa} if isa else dict(os.environ)
    command = [sys.executable, "-c", _REPLAY, str(BUNDLE), KEY, str(tmp_path / "b")]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 8


def test_every_configuration_of_the_demo_trusts_the_key_of_its_bundle():
    assert KEY in Path("configs/demo.toml").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Kind.SCRATCH, Kind.DENT, Kind.MISSING_HOLE, Kind.STAIN])
def test_the_demos_heat_map_is_hottest_at_the_defect(demo_model, kind):
    """Within one cell of it; on parts of the validation stream, that set no limit and measure nothing."""
    x, y, w, h = ROI
    for seed in range(7000, 7010):
        part = render(seed, kind, Stream.VALIDATION)
        heat = demo_model.predict_blocking(np.ascontiguousarray(part.image[y : y + h, x : x + w])).anomaly_map
        row, column = np.unravel_index(heat.argmax(), heat.shape)
        cell = h / heat.shape[0]
        rows, columns = np.nonzero(part.labels[y : y + h, x : x + w] >= Label.SCRATCH)
        away = np.hypot(rows - (row + 0.5) * cell, columns - (column + 0.5) * cell).min() / cell
        assert away <= 1, f"{kind} {seed}: {away:.1f} cells"


@pytest.fixture(scope="module")
def demo_model(tmp_path_factory):
    bundle, thread = verify(BUNDLE, TRUSTED, tmp_path_factory.mktemp("demo") / "b"), DeviceThread("model")
    yield load_model(bundle, (ROI[3], ROI[2]), threads=1, judged_by=JudgedBy(), thread=thread)
    thread.close()

"""The whole daemon on a model whose scores are no numbers (docs/faults.md row 45)."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest

from inspector.core.manifest import ZoneLimits
from inspector.demo.parts import ROI, Kind
from plc.registers import Control, OfflineReason, Reason, Verdict
from tests.support.faulty_line import faulty_line, parts_of
from tests.support.tiny_bundle import entries_of, make_key, sign_files, tiny_files, tiny_manifest, trusted_key, write_ir

pytestmark = pytest.mark.slow

GOOD = parts_of(Kind.GOOD)
BRIGHT = 150.0  # mean grey: parts have about 90, overexposed ones over 180, and the trial's grey picture 128


def bundle_that_fails_on_bright_pictures(path: Path) -> str:
    """A real IR, signed, golden pictures fine: novelty is NaN for what is very bright. Returns the key, in hex."""
    key, files = make_key(), tiny_files()
    with tempfile.TemporaryDirectory() as folder:
        write_ir(Path(folder), nan_above=BRIGHT)
        files |= {file.name: file.read_bytes() for file in Path(folder).iterdir()}
    wide = (ZoneLimits("view", (0, 0, ROI[2], ROI[3]), (0.0, 255.0), (0.0, 255.0), (0.0, 1e6)),)
    sign_files(path, key, tiny_manifest(files=entries_of(files), zones=wide), files)
    return trusted_key(key).raw.hex()


async def test_scores_that_are_no_numbers_reject_their_parts_and_latch_after_three(tmp_path):
    """Fault row 45: 4/109; the third in a row stops the station until the PLC's CLEAR_ERROR."""
    key = await asyncio.to_thread(bundle_that_fails_on_bright_pictures, tmp_path / "nan.bundle")

    def change(text: str) -> str:
        head, _, rest = text.partition("[bundle]")
        bundle = f'[bundle]\nfile = "{tmp_path}/nan.bundle"\ntrusted_keys = ["{key}"]\n'
        return f"{head}{bundle}[web]{rest.partition('[web]')[2]}"

    script = ["none", "overexposed", "overexposed", "none", "overexposed", "overexposed", "overexposed"]
    async with faulty_line(tmp_path) as line, line.start(script, change=change):
        results = await line.sim.play(GOOD[: len(script)])
        status = await line.told(OfflineReason.LATCHED_ERROR, "latched")
        assert "inference" in status["alarms"][0]["cause"]
        line.sim.ctrl["CONTROL"] |= Control.CLEAR_ERROR
        await line.sim.idle_for(0.3)
        line.sim.ctrl["CONTROL"] &= ~Control.CLEAR_ERROR
        (after,) = await line.sim.play(GOOD[10:11])
    bad = [(Verdict.NOT_INSPECTED, Reason.INFERENCE)]
    good = [(Verdict.PASS, Reason.NONE)]
    assert [(r.code, r.reason) for r in results] == good + 2 * bad + good + 3 * bad
    assert after.verdict == "good"
    line.checked()

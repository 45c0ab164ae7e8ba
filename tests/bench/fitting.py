"""How long a build fits both One-Class SVMs: the part of it that grows with the good pictures."""

from __future__ import annotations

import time
from pathlib import Path

from edge_deploy.fit import Detector, fit_heads
from edge_deploy.fuse import SvmConfig
from edge_deploy.patches import PatchConfig
from edge_deploy.pictures import Picture, Pictures
from edge_deploy.steps import SilentSteps
from inspector.model import load_ir
from tests.bench import rows
from tests.bench.models import SIDE, Graphs, write_pictures
from tests.bench.rows import Row

GOOD = 500


def fitting_rows(graphs: Graphs, folder: Path, threads: int) -> list[Row]:
    """From pictures on the disk to the fitted heads, with the product's own settings; a build quantises before."""
    good = tuple(Picture(file, "good") for file in write_pictures(folder / "good", GOOD))
    pictures = Pictures(good, (), (), (), (SIDE, SIDE), (0, 0, SIDE, SIDE), None)
    ir = load_ir(graphs.tapped, (SIDE, SIDE), threads=threads)
    begun_s = time.monotonic()
    fit_heads(ir, pictures, {"good"}, Detector.PATCH, SvmConfig(), PatchConfig(), SilentSteps())
    return [rows.at_most(f"fitting both heads on {GOOD} good pictures", time.monotonic() - begun_s, "s", 180)]

"""Maker's tool: render the pictures that the demo's bundle is fitted, calibrated and checked on, and describe its run.

The network itself was taught on fresh renders (training/dense.py); no picture here was among them. Streams: TRAIN from
seed 10,000,000 fits, CALIBRATION sets limits and shows the negatives, VALIDATION gives the build's own figures. The
TEST stream stays untouched for docs/results.md.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
from tqdm import tqdm

from inspector.core.manifest import ClassEntry, Licence
from inspector.demo.parts import KNOWN, NEGATIVES, ROI, Kind, Stream, render
from training.dense import MEAN, STD
from training.runs import DatasetInfo, Run, Split, SplitRow, write_run, write_splits

PLAN: tuple[tuple[Split, Stream, int, int, int], ...] = (  # split, stream, first seed, good parts, parts of each defect
    ("train", Stream.TRAIN, 10_000_000, 600, 40),
    ("val", Stream.CALIBRATION, 0, 800, 60),
    ("test", Stream.VALIDATION, 1000, 300, 60),
)
NEGATIVES_EACH = 40


def render_data(data: Path) -> list[SplitRow]:
    """Write full camera pictures as PNG below `data`; existing files are kept (rendering is deterministic)."""
    rows: list[SplitRow] = []
    for split, stream, first, good, each in PLAN:
        for kind in KNOWN:
            count = good if kind is Kind.GOOD else each
            for seed in tqdm(range(first, first + count), desc=f"{split}/{kind}", leave=False):
                path = Path(split) / kind / f"{seed}.png"
                digest = _write(data / path, seed, kind, stream)
                rows.append(SplitRow(path.as_posix(), str(kind), split, str(seed), digest))
    for kind in NEGATIVES:
        for seed in range(NEGATIVES_EACH):
            _write(data / "negatives" / kind / f"{seed}.png", seed, kind, Stream.CALIBRATION)
    return rows


def _write(path: Path, seed: int, kind: Kind, stream: Stream) -> str:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        image = cv2.cvtColor(render(seed, kind, stream).image, cv2.COLOR_RGB2BGR)
        if not cv2.imwrite(str(path), image):
            raise OSError(f"cannot write {path}")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def describe_run(run: Path, rows: list[SplitRow], *, size: int, minutes: str, git_commit: str) -> None:
    """Make the folder that training/dense.py filled a run that `inspector-deploy build` takes."""
    write_splits(run, rows)
    digest = hashlib.sha256()
    for row in sorted((r.sha256, r.label, r.split) for r in rows):
        digest.update("\t".join(row).encode() + b"\n")
    classes = tuple(ClassEntry(i, str(kind), kind is Kind.GOOD) for i, kind in enumerate(KNOWN))
    write_run(run, Run(
        schema=1, product="demo-disc", classes=classes, network_size=(size, size), mean=MEAN, std=STD, roi=ROI,
        head="linear", initial_weights="none (random), taught densely on renders", git_commit=git_commit, seed=0,
        config={"tool": "training.dense", "minutes": minutes},
        dataset=DatasetInfo(digest.hexdigest(), len(rows), "splits.csv"), metrics={},
        licences=(Licence("rendered parts and network weights", "Apache-2.0", "inspector/demo/parts.py"),),
    ))  # fmt: skip

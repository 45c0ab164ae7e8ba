"""Maker's tool: render the pictures that the demo's bundle is fitted, calibrated and checked on, and describe its run.

The network itself was taught on fresh renders (training/dense.py); no picture here was among them. Streams: TRAIN from
seed 10,000,000 fits, CALIBRATION sets limits and shows the negatives, VALIDATION gives the build's own figures. The
TEST stream stays untouched for docs/results.md.

`python -m training.demo_data FOLDER` writes the same pictures for a training of your own, as many as you ask for.
"""

from __future__ import annotations

import argparse
import hashlib
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import cv2
from tqdm import tqdm

from inspector.core.manifest import ClassEntry, Licence
from inspector.demo.parts import KNOWN, NEGATIVES, ROI, Kind, Stream, render
from training.dense import MEAN, STD
from training.runs import DatasetInfo, Run, Split, SplitRow, write_run, write_splits

Part = tuple[Split, Stream, int, int, int]  # split, stream, first seed, good parts, parts of each defect
PLAN: tuple[Part, ...] = (
    ("train", Stream.TRAIN, 10_000_000, 600, 40),
    ("val", Stream.CALIBRATION, 0, 800, 60),
    ("test", Stream.VALIDATION, 1000, 300, 60),
)
NEGATIVES_EACH = 40


@dataclass(frozen=True, slots=True)
class _Job:
    path: Path  # below the data folder
    seed: int
    kind: Kind
    stream: Stream


def render_data(data: Path, plan: tuple[Part, ...] = PLAN, processes: int = 1) -> list[SplitRow]:
    """Write full camera pictures as PNG below `data`; existing files are kept (rendering is deterministic)."""
    jobs: list[_Job] = []
    rows: list[SplitRow] = []
    for split, stream, first, good, each in plan:
        for kind in KNOWN:
            count = good if kind is Kind.GOOD else each
            jobs += [
                _Job(Path(split) / kind / f"{seed}.png", seed, kind, stream) for seed in range(first, first + count)
            ]
    taught = len(jobs)
    for kind in NEGATIVES:
        jobs += [
            _Job(Path("negatives") / kind / f"{seed}.png", seed, kind, Stream.CALIBRATION)
            for seed in range(NEGATIVES_EACH)
        ]
    with ProcessPoolExecutor(processes) as pool:
        digests = list(tqdm(pool.map(partial(_write, data), jobs, chunksize=20), total=len(jobs), leave=False))
    for job, digest in zip(jobs[:taught], digests[:taught], strict=True):
        split = cast(Split, job.path.parts[0])
        rows.append(SplitRow(job.path.as_posix(), str(job.kind), split, str(job.seed), digest))
    return rows


def _write(data: Path, job: _Job) -> str:
    """SHA-256 of the file that holds the part."""
    path = data / job.path
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        image = cv2.cvtColor(render(job.seed, job.kind, job.stream).image, cv2.COLOR_RGB2BGR)
        if not cv2.imwrite(str(path), image):
            raise OSError(f"cannot write {path}")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def describe_run(run: Path, rows: list[SplitRow], *, size: int, steps: int, git_commit: str) -> None:
    """Make the folder that training/dense.py filled a run that `inspector-deploy build` takes."""
    write_splits(run, rows)
    digest = hashlib.sha256()
    for row in sorted((r.sha256, r.label, r.split) for r in rows):
        digest.update("\t".join(row).encode() + b"\n")
    classes = tuple(ClassEntry(i, str(kind), kind is Kind.GOOD) for i, kind in enumerate(KNOWN))
    write_run(run, Run(
        schema=1, product="demo-disc", classes=classes, network_size=(size, size), mean=MEAN, std=STD, roi=ROI,
        head="linear", initial_weights="none (random), taught densely on renders", git_commit=git_commit, seed=0,
        config={"tool": "training.dense", "steps": str(steps)},
        dataset=DatasetInfo(digest.hexdigest(), len(rows), "splits.csv"), metrics={},
        licences=(Licence("rendered parts and network weights", "Apache-2.0", "inspector/demo/parts.py"),),
    ))  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="Render class folders that `inspector-train fit` learns from.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--good", type=int, default=PLAN[0][3], help="good parts to learn from")
    parser.add_argument("--each", type=int, default=PLAN[0][4], help="parts of each defect class to learn from")
    parser.add_argument("--processes", type=int, default=1, help="that render")
    args = parser.parse_args()
    train, *others = PLAN
    rows = render_data(args.folder, ((*train[:3], args.good, args.each), *others), args.processes)
    counts = {split: sum(row.split == split for row in rows) for split, *_ in PLAN}
    x, y, width, height = ROI
    print(f"{args.folder}: {counts}; region to judge: --roi {x},{y},{width},{height}")


if __name__ == "__main__":
    main()

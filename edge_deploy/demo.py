"""Maker's tool: build the demo's bundle, judge it on parts that nothing was fitted or chosen on, write it down.

Without a run it measures the packaged bundle only. Writes a section of docs/results.md and its figure.
`--spots BUNDLE` adds a detector of strange spots to a former bundle of the demo, and makes that the packaged one.

Counts are those that docs/decisions/0003-demo-parts.md fixed before the first training.
"""

from __future__ import annotations

import argparse
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from tqdm import tqdm

from edge_deploy.build import build
from edge_deploy.options import BuildOptions
from edge_deploy.pack import approve, keygen
from edge_deploy.patches import PatchConfig
from edge_deploy.plots import detection_by_kind
from edge_deploy.spots import SpotOptions, add_spots
from edge_deploy.steps import TerminalSteps
from inspector.bundle.golden import limits_of
from inspector.bundle.keys import load_key
from inspector.bundle.verify import VerifiedBundle, verify
from inspector.core.decide import decide
from inspector.core.stats import clopper_pearson
from inspector.core.types import JudgedBy
from inspector.demo.parts import KNOWN, NEGATIVES, NEVER_SHOWN, ROI, Kind, Stream, render
from inspector.model import OpenVinoModel, load_model
from inspector.runtime import cpu_model, instruction_sets
from inspector.threads import DeviceThread
from plc.registers import Verdict
from training.demo_data import describe_run, render_data
from training.dense import DenseConfig
from training.train import source_commit

COUNTS = {
    Kind.GOOD: 1000,
    **dict.fromkeys(KNOWN[1:], 150),
    **dict.fromkeys(NEVER_SHOWN, 200),
    **dict(zip(NEGATIVES, (67, 67, 66), strict=True)),
}
SIDES_PX = (0.0, 5.0, 6.5, 8.0, 10.0, 12.5, 99.0)  # of a defect at the network's input
FIGURE = "demo-detection.svg"  # beside the results
DEMO = Path("inspector/demo")
STATIONS = (DEMO / "demo.toml", Path("configs/demo.toml"))
SPOT_TAPS = ("layer2",)  # at 96 px a cell of layer3 sees the whole part: its spots are as large (decision 0004)
SCALE = 0.4  # camera pixels to network pixels
BEGIN, END = "<!-- demo bundle -->", "<!-- /demo bundle -->"


@dataclass(frozen=True, slots=True)
class Judged:
    kind: Kind
    side_px: float  # at the network's input
    verdict: Verdict


def judge_test_parts(bundle: VerifiedBundle, model: OpenVinoModel) -> Iterator[Judged]:
    """Every part of the TEST stream, judged with the signed limits."""
    limits = limits_of(bundle.manifest)
    x, y, w, h = ROI
    for kind, count in COUNTS.items():
        for seed in tqdm(range(count), desc=kind, leave=False):
            part = render(seed, kind, Stream.TEST)
            view = np.ascontiguousarray(part.image[y : y + h, x : x + w])
            yield Judged(kind, part.side_px * SCALE, decide(model.predict_blocking(view), limits).verdict)


def table(judged: list[Judged], bundle_id: str) -> str:
    """The section of docs/results.md, in Markdown."""
    lines = [
        BEGIN, "## Demo bundle on fresh parts", "",
        f"`{bundle_id}`, 2,200 rendered parts of the TEST stream, signed limits; {cpu_model()} "
        f"({', '.join(sorted(instruction_sets()))}). Command: `python -m edge_deploy.demo`.", "",
        "| kind | parts | PASS | FAIL | UNCERTAIN | NOT_INSPECTED | wrong | 95 % interval | bar |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- | --- |",
    ]  # fmt: skip
    for kind in COUNTS:
        of_kind = [j for j in judged if j.kind is kind]
        passed = sum(j.verdict is Verdict.PASS for j in of_kind)
        wrong = len(of_kind) - passed if kind is Kind.GOOD else passed
        by_verdict = " | ".join(str(sum(j.verdict is v for j in of_kind)) for v in Verdict)
        lines.append(
            f"| {kind} | {len(of_kind)} | {by_verdict} | {_share(wrong, len(of_kind))} | "
            f"{_interval(wrong, len(of_kind))} | {_bar(kind)} |"
        )
    known = [j for j in judged if j.kind in KNOWN[1:]]
    escaped = sum(j.verdict is Verdict.PASS for j in known)
    share, interval = _share(escaped, len(known)), _interval(escaped, len(known))
    lines += ["", f"Escape of all taught kinds: {share}, 95 % interval {interval}; bar: at most 2 %.", ""]
    return "\n".join([*lines, *_by_size(judged), END, ""])


def by_size(judged: list[Judged]) -> dict[str, list[tuple[str, int, int]]]:
    """For each defect kind: (size range, rejected, of) in every range of SIDES_PX."""
    bins = list(pairwise(SIDES_PX))
    names = [
        f"under {bins[0][1]:g}",
        *(f"{low:g} to {high:g}" for low, high in bins[1:-1]),
        f"{bins[-1][0]:g} and more",
    ]
    found = {}
    for kind in (*KNOWN[1:], *NEVER_SHOWN):
        inside = [[j for j in judged if j.kind is kind and low <= j.side_px < high] for low, high in bins]
        rejected = [sum(j.verdict is not Verdict.PASS for j in of_bin) for of_bin in inside]
        found[str(kind)] = list(zip(names, rejected, map(len, inside), strict=True))
    return found


def _by_size(judged: list[Judged]) -> list[str]:
    found = by_size(judged)
    names = [name for name, _, _ in next(iter(found.values()))]
    lines = ["Rejected, by defect size (square root of the area, px at the network's input):", "",
             f"| kind | {' | '.join(names)} |", "| --- |" + " ---: |" * len(names)]  # fmt: skip
    for kind, ranges in found.items():
        lines.append(f"| {kind} | {' | '.join(_share(hit, of) if of else '' for _, hit, of in ranges)} |")
    return [*lines, "", f"![Share rejected by defect size, with 95 % Clopper-Pearson intervals]({FIGURE})", "",
            "Points are the shares of the table, bars their 95 % Clopper-Pearson intervals.", ""]  # fmt: skip


def _share(k: int, n: int) -> str:
    return f"{k} of {n} ({100 * k / n:.1f} %)"


def _interval(k: int, n: int) -> str:
    bounds = clopper_pearson(k, n)
    return f"{100 * bounds.low:.1f} to {100 * bounds.high:.1f} %"


def _bar(kind: Kind) -> str:
    if kind is Kind.GOOD:
        return "overkill at most 2 %"
    if kind in NEVER_SHOWN:
        return "passes at most 10 %"
    return "all rejected" if kind in NEGATIVES else "together at most 2 %"


def make_bundle(run: Path, bundle: Path, stations: Sequence[Path]) -> None:
    """From the taught network to the packaged bundle."""
    data = run / "pictures"
    rows = render_data(data)
    describe_run(run, rows, size=DenseConfig(run).size, steps=DenseConfig(run).steps, git_commit=source_commit())
    built = build(run, data, run / "demo.bundle", BuildOptions(), TerminalSteps())
    _package(built.bundle, bundle, stations)


def make_spots(former: Path, run: Path, bundle: Path, stations: Sequence[Path]) -> None:
    """From a former bundle without a heat map to the packaged one with it; nothing else of it changes.

    run: folder for the pictures of a build, rendered again: the detector learns from those of its training, and those
    of its calibration set the limit.
    """
    render_data(run / "pictures")
    made = run / "spots.bundle"
    made.unlink(missing_ok=True)
    options = SpotOptions(PatchConfig(taps=SPOT_TAPS))
    add_spots(former, run / "pictures" / "train", run / "pictures" / "val", made, options, TerminalSteps())
    _package(made, bundle, stations)


def _package(made: Path, bundle: Path, stations: Sequence[Path]) -> None:
    """With a key that signs this once and is thrown away; its public half goes into the stations' trusted_keys."""
    with tempfile.TemporaryDirectory() as name:
        private, public = keygen(Path(name))
        approve(made, private)
        key = load_key(str(public)).raw.hex()
    shutil.copyfile(made, bundle)
    for station in stations:
        station.write_text(re.sub(r"\b[0-9a-f]{64}\b", key, station.read_text()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?", help="build the bundle first, from this run of training.dense")
    parser.add_argument("--bundle", type=Path, default=DEMO / "demo.bundle")
    parser.add_argument("--station", type=Path, action="append", help="whose trusted key approved it; may be repeated")
    parser.add_argument("--spots", type=Path, metavar="BUNDLE", help="no new build: add the detector to this one")
    parser.add_argument("--out", type=Path, default=Path("docs/results.md"))
    args = parser.parse_args()
    stations = args.station or STATIONS
    if args.run is not None and args.spots is not None:
        make_spots(args.spots, args.run, args.bundle, stations)
    elif args.run is not None:
        make_bundle(args.run, args.bundle, stations)
    elif args.spots is not None:
        parser.error("--spots needs a folder for the pictures too")
    key = load_key(re.findall(r"\b[0-9a-f]{64}\b", stations[0].read_text())[0])
    thread = DeviceThread("model")
    with tempfile.TemporaryDirectory() as name:
        bundle = verify(args.bundle, [key], Path(name) / "bundle")
        model = load_model(bundle, (ROI[3], ROI[2]), threads=2, judged_by=JudgedBy(), thread=thread)
        judged = list(judge_test_parts(bundle, model))
        section = table(judged, bundle.manifest.bundle_id)
    thread.close()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.with_name(FIGURE).write_text(detection_by_kind(by_size(judged), "defect size, px at the network's input"))
    text = args.out.read_text() if args.out.exists() else "# Results\n\n"
    head, found, rest = text.partition(BEGIN)
    args.out.write_text(head + section + (rest.partition(END)[2].lstrip("\n") if found else ""))
    print(section)


if __name__ == "__main__":
    main()

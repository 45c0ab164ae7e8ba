"""`make bench-peers`: our fused graph beside anomalib's PatchCore; same pictures, weights and number of landmarks.

Ours is built by the product's own commands' code and called as the line calls it; PatchCore is fitted by its engine,
exported to OpenVINO and run by its own inferencer, in an environment of its own. Both have two threads and take turns.

    python -m tests.bench.peers --data ../shared/data --weights ../shared/weights/resnet50_standin.safetensors
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from edge_deploy.build import build
from edge_deploy.calibrate import CalibrationConfig
from edge_deploy.fit import Detector
from edge_deploy.options import BuildOptions
from edge_deploy.pictures import Pictures, load_pictures
from edge_deploy.predict import Predict, load_for, of_ir
from edge_deploy.steps import Steps, TerminalSteps
from inspector.core.manifest import Manifest
from inspector.core.stats import auroc
from inspector.core.types import Prediction
from tests.bench import rows
from tests.bench.bench import EACH, THREADS, WARM_UP, machine
from tests.bench.detectors import training_folder
from tests.bench.models import Timed
from tests.bench.peers.child import PYTHON, Peer, patchcore, running
from tests.bench.real import weights_beside
from tests.bench.real_deploy import unpacked
from tests.bench.real_pictures import TABLE, TILE, prepare
from tests.bench.rows import Row
from training.config import FitConfig
from training.oneclass import good_only
from training.runs import WEIGHTS, Run, read_splits

FASTER, AUROC_POINTS = 3.0, 0.5  # the bars
OVERKILL = 0.05  # what some hundred good pictures can aim at; moves limits, no figure here
GOOD = "good"


@dataclass(frozen=True, slots=True, eq=False)
class Ours:
    """The bundle, its pictures, and the call that the line makes."""

    run: Run
    weights: Path
    manifest: Manifest
    pictures: Pictures
    predict: Predict

    @property
    def landmarks(self) -> int:
        """Of the bundle; the peer gets as many. Raises ValueError: a bundle without a detector of its own."""
        if self.manifest.detector is None:
            raise ValueError("the bundle names no detector")
        return self.manifest.detector.landmarks


@dataclass(slots=True)
class Turns:
    """Seconds a picture, of rounds in which ours and theirs take turns, so that what slows the machine meets both."""

    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)

    def play(self, rounds: int, ours: Callable[[], list[float]], theirs: Callable[[], list[float]]) -> None:
        for _ in range(rounds):
            self.ours += ours()
            self.theirs += theirs()

    def rows(self) -> list[Row]:
        ratio = rows.p50(self.theirs) / rows.p50(self.ours)
        return [
            *rows.milliseconds("ours, a picture", self.ours),
            *rows.milliseconds("anomalib PatchCore, a picture", self.theirs),
            rows.at_least("PatchCore / ours, p50", ratio, "x", FASTER),
        ]


def build_ours(data: Path, weights: str, work: Path, steps: Steps) -> Ours:
    """A one-class run from the weights, and a bundle with the patch detector, as a user would make them."""
    directory = work / "run"
    run = good_only(
        FitConfig(
            data=data,
            out=directory,
            product="tile",
            weights=weights,
            network_size=(TILE.network, TILE.network),
            group_by=str(data / TABLE),
            data_licence=TILE.licence,
        )
    )
    options = BuildOptions(
        detector=Detector.PATCH,
        no_negatives=True,  # this set has none
        threads=THREADS,
        calibration=CalibrationConfig(overkill=OVERKILL),
    )
    built = build(directory, data, work / "tile.bundle", options, steps)
    pictures = load_pictures(data, read_splits(directory), None)
    ir = load_for(unpacked(built.bundle), pictures, THREADS)
    return Ours(run, directory / WEIGHTS, built.manifest, pictures, of_ir(ir, run.labels))


def in_turns(ours: Ours, peer: Peer, rounds: int, steps: Steps) -> Turns:
    """EACH pictures of ours, EACH of theirs, and again; the first WARM_UP of a turn find cold caches, uncounted."""
    files = [picture.file for picture in ours.pictures.test]
    views = [ours.pictures.view(picture) for picture in ours.pictures.test[: EACH + WARM_UP]]
    turn = iter(range(1 << 30))
    turns = Turns()
    with steps.bar("ours and theirs in turns", rounds) as tick:

        def of_ours() -> list[float]:
            timed = Timed(lambda: ours.predict(views[next(turn) % len(views)]))
            timed.block(EACH, WARM_UP)
            return timed.seconds

        def of_theirs() -> list[float]:
            tick()
            return peer.seconds(files[: EACH + WARM_UP])[WARM_UP:]

        turns.play(rounds, of_ours, of_theirs)
    return turns


def quality(truths: Sequence[str], ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> list[Row]:
    """Image AUROC of both on the same test pictures. A better one of ours is no miss."""
    strange = np.array([truth != GOOD for truth in truths])
    of_ours, of_theirs = (100 * auroc(scores[~strange], scores[strange]) for scores in (ours, theirs))
    return [
        Row("ours, image AUROC", of_ours, "%"),
        Row("anomalib PatchCore, image AUROC", of_theirs, "%"),
        rows.at_least("image AUROC, ours - PatchCore", of_ours - of_theirs, "points", -AUROC_POINTS),
    ]


def measure(data: Path, weights: str, python: Path, work: Path, rounds: int, steps: Steps) -> list[Row]:
    """Build, fit, take turns, judge all test pictures."""
    ours = build_ours(data, weights, work, steps)
    train = training_folder(ours.pictures.train, work / "peer" / "good")
    command = patchcore(
        python,
        train,
        ours.weights,
        work / "peer",
        size=TILE.network,
        landmarks=ours.landmarks,
        threads=THREADS,
    )
    steps.say("fitting PatchCore in its own environment; this takes minutes")
    with running(command) as peer:
        turns = in_turns(ours, peer, rounds, steps)
        steps.say(f"{len(ours.pictures.test)} test pictures by PatchCore")
        theirs, _ = peer.scores([picture.file for picture in ours.pictures.test], work / "peer" / "maps.npy")
        facts = peer.facts
    with steps.bar("test pictures by ours", len(ours.pictures.test)) as tick:
        scores = []
        for picture in ours.pictures.test:
            scores.append(_anomaly(ours.predict(ours.pictures.view(picture))))
            tick()
    return [
        *turns.rows(),
        *quality([picture.truth for picture in ours.pictures.test], np.array(scores), theirs),
        Row("good training pictures of both", len(ours.pictures.train)),
        Row("test pictures", len(ours.pictures.test)),
        Row("landmarks of ours", ours.landmarks),
        Row("memory bank of PatchCore", facts["bank"][0]),
        Row("anomalib", facts["anomalib"]),
        Row("weights", ours.run.initial_weights),
        *machine(),
    ]


def _anomaly(prediction: Prediction) -> float:
    if prediction.anomaly_score is None:
        raise ValueError("the bundle gives no anomaly score")
    return prediction.anomaly_score


def reason_to_skip(data: Path, weights: str, python: Path) -> str | None:
    """None: everything that it needs is there."""
    if not (data / TILE.name / "train").is_dir():
        return f"{data} holds no {TILE.name}. Real pictures are optional; --data FOLDER"
    if weights not in {"imagenet", "none"} and not Path(weights).is_file():
        return f"{weights} is missing: give a ResNet50 by --weights FILE"
    if not python.exists():
        return f"{python} is missing: make bench-peers makes the environment; --peers-python names another"
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with magnetic_tile")
    parser.add_argument(
        "--weights", help="imagenet, none, or a file. Default: the file in DATA/../weights, else imagenet"
    )
    parser.add_argument("--peers-python", type=Path, default=PYTHON, help="of the environment that holds anomalib")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--out", type=Path, default=Path("docs/bench/peers.json"))
    args = parser.parse_args()
    weights = args.weights or weights_beside(args.data)
    if (reason := reason_to_skip(args.data, weights, args.peers_python)) is not None:
        print(f"skipped: {reason}")
        return 0
    console = Console()
    with tempfile.TemporaryDirectory(prefix=".bench-peers-", dir=".") as name:
        work = Path(name).resolve()
        data = work / "data"
        prepare(args.data / TILE.name, data, TILE)
        found = measure(data, weights, args.peers_python, work, args.rounds, TerminalSteps())
    rows.show(found, console, "make bench-peers")
    rows.write_json(found, args.out)
    console.print(f"written: {args.out}")
    for row in rows.missed(found):
        console.print(f"missed: {row.name} is {row.value:.4g} {row.unit}, {row.bar}", markup=False)
    return 1 if rows.missed(found) else 0


if __name__ == "__main__":
    sys.exit(main())

"""From a run to an approved bundle by the commands that a person types, and what its scores are worth."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from edge_deploy.pictures import Pictures, load_pictures
from edge_deploy.predict import Predict, load_for, of_ir, predict_all
from edge_deploy.steps import Steps
from inspector.core.manifest import Manifest
from inspector.core.stats import auroc
from inspector.core.types import Prediction
from training.runs import read_run, read_splits

KEYS = "keys"
GOOD = "good"


def build_and_approve(run: Path, data: Path, bundle: Path, root: Path, overkill: str) -> Path:
    """`inspector-deploy build`, `keygen` (once) and `approve`; these sets have no negatives. Returns the bundle."""
    bundle.unlink(missing_ok=True)
    deploy("build", str(run), "--data", str(data), "--out", str(bundle), "--aim", overkill, "--no-negatives")
    key = root / KEYS / "approve.key"
    if not key.exists():
        deploy("keygen", str(root / KEYS))
    deploy("approve", str(bundle), "--key", str(key))
    return bundle


def deploy(*arguments: str) -> None:
    """Run inspector-deploy. Raises CalledProcessError; what it says goes to the terminal."""
    subprocess.run([sys.executable, "-m", "edge_deploy.cli", *arguments], check=True, stdin=subprocess.DEVNULL)


def read_manifest(bundle: Path) -> Manifest:
    """What the bundle says of itself; made by us a moment ago, so unverified."""
    with tarfile.open(bundle) as tar:
        member = tar.extractfile("manifest.json")
        if member is None:
            raise OSError(f"{bundle} holds no manifest.json")
        return TypeAdapter(Manifest).validate_json(member.read())


def unpacked(bundle: Path) -> Path:
    """The folder beside the bundle that now holds its IR."""
    directory = bundle.with_suffix(".ir")
    directory.mkdir(exist_ok=True)
    with tarfile.open(bundle) as tar:
        for name in ("model.xml", "model.bin"):
            tar.extract(name, directory, filter="data")
    return directory


@dataclass(frozen=True, slots=True, eq=False)
class Judge:
    """A bundle's INT8 graph, and the pictures of the run that it was built from."""

    pictures: Pictures
    predict: Predict
    good: frozenset[str]

    @classmethod
    def of(cls, bundle: Path, data: Path, run: Path, threads: int) -> Judge:
        pictures, of_run = load_pictures(data, read_splits(run), None), read_run(run)
        predict = of_ir(load_for(unpacked(bundle), pictures, threads), of_run.labels)
        return cls(pictures, predict, of_run.acceptable)


def tile_aurocs(judge: Judge, steps: Steps) -> dict[str, Any]:
    """Both scores of each test picture: AUROC of all kinds against good, and of each kind."""
    test = judge.pictures.test
    with steps.bar("test tiles", len(test)) as tick:
        found = predict_all(judge.predict, judge.pictures, test, tick)
    return aurocs([picture.truth for picture in test], found)


def aurocs(truths: Sequence[str], found: Sequence[Prediction]) -> dict[str, Any]:
    """By score: `all`, and every kind but good. Raises ValueError: the bundle has no anomaly score."""
    scores: dict[str, list[float]] = {"novelty": [p.novelty_score for p in found]}
    scores["anomaly"] = [p.anomaly_score for p in found if p.anomaly_score is not None]
    if len(scores["anomaly"]) < len(found):
        raise ValueError("the bundle has no anomaly score: it was built with the pooled detector")
    counts = Counter(truths)
    kinds = sorted(set(counts) - {GOOD})
    values: dict[str, dict[str, float]] = {}
    for name, of_all in scores.items():
        by_kind = {kind: [s for s, truth in zip(of_all, truths, strict=True) if truth == kind] for kind in counts}
        strange = [score for kind in kinds for score in by_kind[kind]]
        values[name] = {"all": auroc(by_kind[GOOD], strange)}
        values[name] |= {kind: auroc(by_kind[GOOD], by_kind[kind]) for kind in kinds}
    pictures = {"all": len(found) - counts[GOOD], **{kind: counts[kind] for kind in kinds}}
    return {"good": counts[GOOD], "pictures": pictures, "auroc": values}


def public_key(root: Path) -> Path:
    """The key that the box trusts."""
    return root / KEYS / "approve.pub"

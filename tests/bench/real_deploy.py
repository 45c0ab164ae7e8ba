"""From a run to an approved bundle by the commands that a person types, and what its scores are worth."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from edge_deploy.pictures import load_pictures
from edge_deploy.predict import load_for, of_ir, predict_all
from inspector.core.manifest import Manifest
from inspector.core.stats import auroc
from training.runs import read_run, read_splits

KEYS = "keys"


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


def tile_scores(bundle: Path, data: Path, run: Path, threads: int) -> dict[str, Any]:
    """Novelty of each test picture by the bundle's INT8 graph: AUROC of all kinds against good, and of each kind."""
    directory = unpacked(bundle)
    pictures = load_pictures(data, read_splits(run), None)
    predict = of_ir(load_for(directory, pictures, threads), read_run(run).labels)
    scores: dict[str, list[float]] = defaultdict(list)
    for picture, prediction in zip(
        pictures.test, predict_all(predict, pictures, pictures.test, lambda: None), strict=True
    ):
        scores[picture.truth].append(prediction.novelty_score)
    good = scores.pop("good")
    return {
        "good": len(good),
        "strange": sum(len(of_kind) for of_kind in scores.values()),
        "auroc": auroc(good, [score for of_kind in scores.values() for score in of_kind]),
        "auroc_of": {kind: auroc(good, of_kind) for kind, of_kind in sorted(scores.items())},
    }


def public_key(root: Path) -> Path:
    """The key that the box trusts."""
    return root / KEYS / "approve.pub"

"""How far scores of an IR move on other instruction sets and with other rounding. Imports no torch (a child runs it).

python -m edge_deploy.drift FOLDER VIEWS.npy LABEL...      scores as JSON; used with ONEDNN_MAX_CPU_ISA set
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_deploy.errors import DeployError
from inspector.core.types import Image
from inspector.model import load_ir, to_prediction
from inspector.runtime import ISA_LIMIT

Scores = NDArray[np.float64]  # (N, 3): confidence, novelty score, anomaly score (0 where the bundle has none)


def drift_on(directory: Path, views: Sequence[Image], labels: Sequence[str]) -> Scores:
    """(N, 3) drift of the IR in `directory` on these views. Raises DeployError: the narrowed child failed."""
    here = scores(directory, views, labels)
    others = [scores(directory, views, labels, {"LP_TRANSFORMS_MODE": "NO"}), narrowed_scores(directory, views, labels)]
    return np.asarray(np.max([np.abs(other - here) for other in others], axis=0), np.float64)


def scores(
    directory: Path, views: Sequence[Image], labels: Sequence[str], properties: Mapping[str, str] | None = None
) -> Scores:
    """Confidence, novelty and anomaly score of each view."""
    ir = load_ir(directory, (views[0].shape[0], views[0].shape[1]), threads=1, properties=properties)
    found = [to_prediction(ir.infer(view), labels) for view in views]
    return np.array([[p.confidence, p.novelty_score, p.anomaly_score or 0.0] for p in found])


def narrowed_scores(directory: Path, views: Sequence[Image], labels: Sequence[str], isa: str = "AVX2") -> Scores:
    """The same on this CPU narrowed to `isa`, in a child process: the plugin reads the variable once."""
    stacked = directory / "drift_views.npy"
    np.save(stacked, np.stack(views), allow_pickle=False)
    command = [sys.executable, "-m", "edge_deploy.drift", str(directory), str(stacked), *labels]
    try:
        done = subprocess.run(
            command, env=os.environ | {ISA_LIMIT: isa}, capture_output=True, text=True, timeout=600, check=False
        )
    finally:
        stacked.unlink()
    if done.returncode != 0:
        raise DeployError(f"the model does not run on a CPU with {isa} alone:\n{done.stderr.strip()[-800:]}")
    return np.array(json.loads(done.stdout.splitlines()[-1]))


def main(arguments: Sequence[str]) -> None:
    """The narrowed child."""
    directory, views, *labels = arguments
    print(json.dumps(scores(Path(directory), list(np.load(views, allow_pickle=False)), labels).tolist()))


if __name__ == "__main__":
    main(sys.argv[1:])

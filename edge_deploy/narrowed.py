"""What an IR computes on this CPU narrowed to fewer instructions. Imports no torch (a child runs it).

python -m edge_deploy.narrowed FOLDER VIEWS.npy OUTPUTS.npz      run with ONEDNN_MAX_CPU_ISA set
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_deploy.errors import DeployError
from inspector.core.types import Image
from inspector.model import Outputs, load_ir
from inspector.runtime import ISA_LIMIT

TIMEOUT_S = 600.0


def narrowed_outputs(directory: Path, views: Sequence[Image], isa: str = "AVX2") -> list[Outputs]:
    """All outputs for each view, by name, in a child process: OpenVINO's plugin reads the variable once.

    Raises DeployError: the model does not run with `isa` alone.
    """
    with tempfile.TemporaryDirectory(prefix=".narrowed-", dir=directory.parent) as name:
        stacked, found = Path(name) / "views.npy", Path(name) / "outputs.npz"
        np.save(stacked, np.stack(views), allow_pickle=False)
        command = [sys.executable, "-m", "edge_deploy.narrowed", str(directory), str(stacked), str(found)]
        environment = os.environ | {ISA_LIMIT: isa}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        if done.returncode != 0:
            raise DeployError(f"the model does not run on a CPU with {isa} alone:\n{done.stderr.strip()[-800:]}")
        with np.load(found, allow_pickle=False) as arrays:
            by_name = {output: arrays[output] for output in arrays.files}
    return [{output: values[i] for output, values in by_name.items()} for i in range(len(views))]


def main(arguments: Sequence[str]) -> None:
    """The narrowed child."""
    directory, stacked, found = map(Path, arguments)
    views = np.load(stacked, allow_pickle=False)
    ir = load_ir(directory, (views.shape[1], views.shape[2]), threads=1)
    rows = [ir.infer(view) for view in views]
    by_name: dict[str, Any] = {name: np.stack([row[name] for row in rows]) for name in ir.names}
    np.savez(found, **by_name)


if __name__ == "__main__":
    main(sys.argv[1:])

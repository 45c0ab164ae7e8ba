"""The first opening of a newly received IR: in a child process, with bounds, before anything else may open it.

The signature says who approved the model, not that the parser survives it. What crashes, hangs or eats memory in the
child is refused; the daemon never sees it. Done once, when a bundle is installed, not at each start.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from inspector.bundle.verify import VerifiedBundle
from inspector.core.errors import BundleError
from inspector.sandbox import without_network


@dataclass(frozen=True, slots=True)
class TrialBounds:
    """A ResNet50 takes 2 s of CPU and less than 1 GiB of addresses on two cores; more cores reserve more."""

    timeout_s: float = 120.0
    cpu_s: int = 120
    address_bytes: int = 4 << 30


def first_opening(bundle: VerifiedBundle, bounds: TrialBounds = TrialBounds()) -> None:
    """Compile the model and infer once, in a child. Raises BundleError: it failed, or its outputs are not as signed."""
    _, _, width, height = bundle.manifest.view.roi
    command = [
        sys.executable, "-m", "inspector.bundle.trial", str(bundle.directory), str(height), str(width),
        str(bounds.cpu_s), str(bounds.address_bytes),
    ]  # fmt: skip
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=bounds.timeout_s, stdin=subprocess.DEVNULL, check=False
        )
    except subprocess.TimeoutExpired as exc:
        raise BundleError(f"the model did not open within {bounds.timeout_s:g} s") from exc
    if done.returncode < 0:
        raise BundleError(f"the model ended the process that opened it ({signal.Signals(-done.returncode).name})")
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["no word"]
        raise BundleError(f"the model cannot be opened: {lines[-1][:500]}")
    _require_outputs(bundle, json.loads(done.stdout))


def _require_outputs(bundle: VerifiedBundle, got: dict[str, list[int]]) -> None:
    signed = {o.name: [1, *o.shape] for o in bundle.manifest.outputs}
    if got != signed:
        raise BundleError(f"the model's outputs are {got}, its manifest says {signed}")


def _child(directory: Path, height: int, width: int, cpu_s: int, address_bytes: int) -> None:
    """Prints {output: shape} as JSON; whatever goes wrong ends the process with another status than 0."""
    without_network()
    for what, limit in {
        resource.RLIMIT_CPU: cpu_s,
        resource.RLIMIT_AS: address_bytes,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,  # it has nothing to write
    }.items():
        resource.setrlimit(what, (limit, limit))
    import numpy as np

    from inspector.model import load_ir

    outputs = load_ir(directory, (height, width), threads=1).infer(np.full((height, width, 3), 128, np.uint8))
    if strange := [name for name, value in outputs.items() if not np.isfinite(value).all()]:
        raise BundleError(f"output {strange[0]} is not finite")
    print(json.dumps({name: list(value.shape) for name, value in outputs.items()}))


if __name__ == "__main__":
    with contextlib.suppress(PermissionError):  # the unit's system call filter forbids it
        os.nice(5)  # the line, if one runs here, goes first
    _child(Path(sys.argv[1]), *map(int, sys.argv[2:6]))

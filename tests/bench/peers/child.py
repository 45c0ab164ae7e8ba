"""A peer as a process in its own environment, asked and answering in lines of JSON."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PATCHCORE = Path(__file__).with_name("patchcore.py")
PYTHON = Path(".venv-peers/bin/python")
GRACE_S = 30.0  # for a peer that was told to end


class PeerError(Exception):
    """The peer's process said nothing more, or nothing that can be read."""


@dataclass(frozen=True, slots=True)
class Peer:
    """facts: what it said when its model was there: version, size of the memory bank, seconds of the fit."""

    process: subprocess.Popen[str]
    facts: Mapping[str, Any]

    def seconds(self, files: Sequence[Path]) -> list[float]:
        """How long each picture took, one after another; reading and resizing are not counted."""
        return [float(value) for value in _ask(self.process, {"time": _paths(files)})["seconds"]]

    def scores(self, files: Sequence[Path], maps: Path) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Scores (N,) and heat maps (N, h, w); higher is stranger. maps: an .npy file, which passes them on."""
        found = _ask(self.process, {"score": _paths(files), "maps": str(maps.resolve())})["scores"]
        return np.asarray(found, np.float64), np.asarray(np.load(maps, allow_pickle=False), np.float32)


@contextmanager
def running(command: Sequence[str]) -> Iterator[Peer]:
    """Start it, wait until its model is there (a fit takes minutes), and end it. Raises PeerError."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Peer(process, _answer(process))
            if process.stdin is not None:
                process.stdin.close()
            process.wait(GRACE_S)
        finally:
            process.kill()


def patchcore(
    python: Path, train: Path, weights: Path, work: Path, *, size: int, landmarks: int, threads: int
) -> list[str]:
    """The command that fits anomalib's PatchCore on the pictures in the folder `train`."""
    settings = {
        "train": train.resolve(), "weights": weights.resolve(), "work": work.resolve(),
        "size": size, "landmarks": landmarks, "threads": threads,
    }  # fmt: skip
    return [
        str(python),
        str(PATCHCORE),
        *(text for key, value in settings.items() for text in (f"--{key}", str(value))),
    ]


def _paths(files: Sequence[Path]) -> list[str]:
    return [str(file.resolve()) for file in files]


def _ask(process: subprocess.Popen[str], question: Mapping[str, Any]) -> dict[str, Any]:
    if process.stdin is None:
        raise PeerError("the peer was started without a way to ask it")
    try:
        process.stdin.write(json.dumps(question) + "\n")
        process.stdin.flush()
    except OSError as exc:
        raise PeerError(f"the peer ended: {exc}. What it said stands above") from exc
    return _answer(process)


def _answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    line = process.stdout.readline() if process.stdout is not None else ""
    if not line:
        raise PeerError(f"the peer ended with status {process.wait()} and gave no answer. What it said stands above")
    try:
        found: dict[str, Any] = json.loads(line)
    except ValueError as exc:
        raise PeerError(f"the peer answered {line[:200]!r}, which is no JSON") from exc
    return found

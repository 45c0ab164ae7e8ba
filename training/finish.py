"""`--on-finish`: a command of the user's, run once when a training has ended, such as one that gives a machine back."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

STATUS, RUN_FOLDER = "INSPECTOR_STATUS", "INSPECTOR_RUN"  # what the command finds in its environment


def command_of(text: str) -> tuple[str, ...]:
    """The words of a command line, by the quoting rules of a shell; no shell runs it, so *, | and $ mean nothing.

    Raises ValueError, before hours of training rather than after: empty, an open quote, or no such program.
    """
    try:
        words = tuple(shlex.split(text))
    except ValueError as exc:
        raise ValueError(f"--on-finish {text!r}: {exc}") from exc
    if not words:
        raise ValueError("--on-finish is empty: give a command, or leave it out")
    if shutil.which(words[0]) is None:
        raise ValueError(
            f"--on-finish: there is no program {words[0]!r}. It is run without a shell; for pipes or several commands"
            " write a script, or: --on-finish \"sh -c '...'\""
        )
    return words


def run_on_finish(command: Sequence[str], status: str, run: Path) -> str | None:
    """Run it and wait for it. status: finished, paused or failed. Returns what went wrong, None where nothing did."""
    try:
        done = subprocess.run(command, env=os.environ | {STATUS: status, RUN_FOLDER: str(run.resolve())}, check=False)
    except OSError as exc:
        return f"--on-finish {command[0]} could not be run: {exc}"
    return f"--on-finish {command[0]} ended with status {done.returncode}" if done.returncode else None

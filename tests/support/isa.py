"""Tests of what only some CPUs do: in a process of their own that is narrowed to such a CPU's instructions."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inspector.runtime import ISA_LIMIT, instruction_sets

ROOT = Path(__file__).resolve().parents[2]


def narrowed_to(isa: str, needs: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run the test with ONEDNN_MAX_CPU_ISA = isa, which OpenVINO reads once a process; without `needs`, skip it."""

    def narrowed(test: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(test)
        def run(*args: Any, **kwargs: Any) -> None:
            if os.environ.get(ISA_LIMIT) == isa:
                test(*args, **kwargs)
                return
            if needs not in instruction_sets():
                pytest.skip(f"this CPU has no {needs}")
            node = os.environ["PYTEST_CURRENT_TEST"].rpartition(" ")[0]
            command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", node]
            done = subprocess.run(command, cwd=ROOT, env=os.environ | {ISA_LIMIT: isa}, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout

        return run

    return narrowed

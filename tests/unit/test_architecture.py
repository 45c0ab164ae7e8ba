"""The shape of the code is checked, not remembered: who may import whom, and what never enters the appliance."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
APPLIANCE, WORKSTATION = ("inspector", "plc"), ("training", "edge_deploy")
TRAINING_CODE = {"torch", "torchvision", "nncf", "sklearn", "safetensors"}
RUNS_CODE_ON_LOADING = {"pickle", "cPickle", "_pickle", "joblib", "dill", "cloudpickle", "shelve", "marshal"}
# Folders and files that make up the project, without what git ignores.
TEXTS = (
    "*.py",
    "*.md",
    "*.toml",
    "*.txt",
    "*.html",
    "*.js",
    "*.css",
    "*.svg",
    "*.sh",
    "*.json",
    "*.service",
    "Makefile",
)
PLACES = (*APPLIANCE, *WORKSTATION, "tests", "docs", "configs", "systemd", ".ci")
PRIVATE = re.compile(r"(?<![\w.-])/(?:root|work|home/\w+|Users/\w+|tmp)/")

IMPORT_ALL = """
import importlib, json, pkgutil, sys
for name in sys.argv[1:]:
    package = importlib.import_module(name)
    for found in pkgutil.walk_packages(package.__path__, name + "."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
print(json.dumps(sorted(sys.modules)))
"""


def sources(*packages: str) -> Iterator[Path]:
    for package in packages:
        yield from sorted((ROOT / package).rglob("*.py"))


def imported(file: Path) -> set[str]:
    """Top-level names that a file imports anywhere, in functions and type checks too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"), str(file))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            called = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            first = node.args[0] if node.args else None
            if called in ("__import__", "import_module") and isinstance(first, ast.Constant):
                names.add(str(first.value).partition(".")[0])
    return names


def offenders(files: Iterator[Path], forbidden: set[str]) -> dict[str, set[str]]:
    return {str(f.relative_to(ROOT)): bad for f in files if (bad := imported(f) & forbidden)}


def texts() -> Iterator[Path]:
    for place in PLACES:
        for pattern in TEXTS:
            yield from (ROOT / place).rglob(pattern)
    for pattern in TEXTS:
        yield from ROOT.glob(pattern)
    yield ROOT / ".ci" / "run"


def test_the_appliance_imports_no_training_code() -> None:
    assert offenders(sources(*APPLIANCE), TRAINING_CODE | set(WORKSTATION)) == {}


def test_our_sources_load_nothing_that_runs_code_on_loading() -> None:
    assert offenders(sources(*APPLIANCE, *WORKSTATION, "tests"), RUNS_CODE_ON_LOADING) == {}


def test_the_check_of_imports_sees_every_way_to_import(tmp_path: Path) -> None:
    file = tmp_path / "sly.py"
    file.write_text(
        "import importlib\nfrom joblib.numpy_pickle import load\n"
        "def late():\n    import torch.nn as nn\n    importlib.import_module('pickle')\n    __import__('nncf.torch')\n"
    )
    assert imported(file) >= {"torch", "joblib", "pickle", "nncf"}


@pytest.mark.parametrize("package", APPLIANCE)
def test_a_process_with_every_module_of_the_appliance_holds_no_training_code(package: str) -> None:
    command = [sys.executable, "-W", "error", "-c", IMPORT_ALL, package]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert package in loaded
    assert loaded & (TRAINING_CODE | set(WORKSTATION) | {"joblib"}) == set()


def test_importing_the_appliance_changes_no_logging_environment_or_threads() -> None:
    probe = """
import os
before = dict(os.environ)
import logging, threading
import inspector.compose, inspector.web.app, plc.client
changed = {name for name, value in os.environ.items() if before.get(name) != value} - {"LD_LIBRARY_PATH"}  # by cv2
print(logging.getLogger().handlers, threading.active_count(), sorted(changed))
"""
    command = [sys.executable, "-c", probe]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] 1 []"


def test_who_may_import_whom_is_kept() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    if not lint.exists():
        pytest.skip("import-linter is not installed (extra `dev`)")
    done = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]


def test_no_file_names_a_private_path() -> None:
    found = {
        f"{file.relative_to(ROOT)}:{number}": line.strip()
        for file in texts()
        if file != Path(__file__)
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1)
        if PRIVATE.search(line)
    }
    assert found == {}

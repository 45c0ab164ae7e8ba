"""Node-RED for tests: installed once by npm into a cache folder of the user's, and started headless on our flow."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.counterparts.line import FIRST_ID, FIRST_PART, PARTS, ForeignPlc, foreign_plc

HERE = Path(__file__).parent
INSTALL_S = 240  # 15 s on two cores with a near registry
MIN_NODE = 18
QUIET = (
    "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock", "--no-update-notifier", "--omit=dev",
    "--fetch-retries=1", "--fetch-timeout=30000",
)  # fmt: skip


def installed() -> Path:
    """The folder with node_modules, made by the first test that asks. Skips where node, npm or the registry lack."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node or npm is not installed")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=240).stdout.strip()
    if int(version.lstrip("v").split(".")[0]) < MIN_NODE:
        pytest.skip(f"Node-RED needs Node {MIN_NODE}, this is {version}")
    package = (HERE / "package.json").read_bytes()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "part-inspector"
    folder = cache / f"node-red-{hashlib.sha256(package).hexdigest()[:12]}"
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        _install(npm, package, folder)
    return folder


def _install(npm: str, package: bytes, folder: Path) -> None:
    """All or nothing: a folder beside, renamed when it is whole. No package's own script runs."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="installing-") as name:
        fresh = Path(name) / "node-red"
        fresh.mkdir()
        (fresh / "package.json").write_bytes(package)
        try:
            done = subprocess.run(
                [npm, "install", *QUIET], cwd=fresh, capture_output=True, text=True, timeout=INSTALL_S
            )
        except subprocess.TimeoutExpired:
            pytest.skip(f"npm did not install Node-RED within {INSTALL_S} s")
        if done.returncode:
            pytest.skip(f"npm cannot install Node-RED: {' '.join(done.stderr.split()[:40])}")
        try:
            fresh.rename(folder)
        except OSError:
            if not folder.is_dir():  # another run was quicker
                raise
    print(f"installed Node-RED in {time.monotonic() - begun:.0f} s")


def flow(role: Literal["server", "client"]) -> list[dict[str, Any]]:
    """Our flow with the function block in its nodes, and the tab of the other direction left out."""
    nodes: list[dict[str, Any]] = json.loads((HERE / "flow.json").read_text())
    program = (HERE / "fb_inspect.js").read_text()
    for node in nodes:
        if node.get("name") == "FB_Inspect":
            node["func"] = program
    other = "tab-client" if role == "server" else "tab-server"
    return [node for node in nodes if other not in (node["id"], node.get("z"))]


@asynccontextmanager
async def node_red(folder: Path, role: Literal["server", "client"], port: int) -> AsyncIterator[ForeignPlc]:
    """Node-RED as the PLC: a server that listens on `port`, or a client of what listens there."""
    user = folder / "node-red"
    user.mkdir()
    (user / "flow.json").write_text(json.dumps(flow(role)))
    modules = installed() / "node_modules"  # Node-RED finds the nodes that are installed beside it
    command = (
        "node",
        modules / "node-red" / "red.js",
        "--userDir",
        user,
        "--settings",
        HERE / "settings.js",
        "flow.json",
    )
    numbers = {"PORT": port, "PARTS": PARTS, "FIRST_PART": FIRST_PART, "FIRST_ID": FIRST_ID}
    environment = {**os.environ, **{f"PLC_{name}": str(value) for name, value in numbers.items()}}
    async with foreign_plc(*command, log=folder / "plc.log", environment=environment) as plc:
        yield plc

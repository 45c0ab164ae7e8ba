"""The fixture that every test runs under: it must see what it is there for, and leave clean tests alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONFTEST = """
import tests.conftest
from tests.conftest import _no_task_left_behind, free_port, nothing_left_behind
tests.conftest.GRACE_S = 0.1
"""
LITTER = """
import asyncio, socket, subprocess, threading, time

KEPT = []

async def test_task():
    KEPT.append(asyncio.create_task(asyncio.sleep(30), name="forgotten"))

def test_child():
    KEPT.append(subprocess.Popen(["sleep", "2"]))

def test_socket():
    KEPT.append(socket.create_server(("127.0.0.1", 0)))

def test_thread():
    threading.Thread(target=time.sleep, args=(1,), name="forgotten").start()
"""
CLEAN = """
import asyncio

async def test_clean(free_port):
    await asyncio.to_thread(int)
    server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", free_port)
    process = await asyncio.create_subprocess_exec("true")
    await process.wait()
    server.close()
    await server.wait_closed()

def test_clean_too():
    pass
"""


def run_pytest(folder: Path, tests: str) -> str:
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_them.py").write_text(tests)
    options = ["-q", "-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(folder)]
    command = [sys.executable, "-m", "pytest", *options, str(folder)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout


def test_a_test_that_leaves_a_task_a_child_a_socket_or_a_thread_fails(tmp_path: Path) -> None:
    told = run_pytest(tmp_path, LITTER)
    assert "4 passed, 4 errors" in told, told
    for what in ("asyncio task forgotten", "child process pid", "open socket", "thread forgotten"):
        assert f"left something behind: {what}" in told, told


def test_a_test_that_cleans_up_passes(tmp_path: Path) -> None:
    told = run_pytest(tmp_path, CLEAN)
    assert "2 passed" in told, told

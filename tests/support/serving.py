"""`inspector serve` as a process on the demo's bundle."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from plc.free_port import free_port as a_free_port

Service = tuple[subprocess.Popen[bytes], httpx.Client]


@contextmanager
def serving(folder: Path) -> Iterator[Service]:
    """The service, ready, and a client of it that keeps no connection open."""
    port = a_free_port()
    command = [sys.executable, "-m", "inspector", "serve", "--bundle", "demo", "--port", str(port), "--max-mb", "1"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stderr=log)
    limits = httpx.Limits(max_keepalive_connections=0)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120, limits=limits) as client:
            end = time.monotonic() + 180
            while not is_ready(client):
                assert time.monotonic() < end and process.poll() is None, (folder / "log").read_text()
                time.sleep(0.1)
            yield process, client
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False

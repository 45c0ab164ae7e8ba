"""The prediction service in this process, where a test can reach into it: the real server on a free port."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from inspector.serve.app import serve
from inspector.serve.service import ServeSettings, Service
from inspector.web.server import bind
from tests.support.page import until
from tests.support.patience import LONG_S
from tests.support.tiny_bundle import make_bundle, make_key, trusted_key

START_S = 120.0


@dataclass
class Here:
    service: Service
    client: httpx.AsyncClient
    port: int
    ended: asyncio.Task[None]


def settings_in(folder: Path, **changes: Any) -> ServeSettings:
    """For a tiny bundle of our own; changes are fields of ServeSettings."""
    key = make_key()
    bundle = make_bundle(folder / "tiny.bundle", key)
    return ServeSettings(
        **{"bundle": bundle, "keys": (trusted_key(key),), "port": 0, "decode_timeout_s": LONG_S, **changes}
    )


@asynccontextmanager
async def serving_here(settings: ServeSettings, *, ready: bool = True) -> AsyncIterator[Here]:
    """Serve; ended by SIGTERM, as systemd does."""
    service, sock = Service(settings), bind("127.0.0.1", 0, "test")
    port = sock.getsockname()[1]
    task = asyncio.create_task(serve(service, sock), name="serve")
    try:
        limits = httpx.Limits(max_keepalive_connections=0)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=LONG_S, limits=limits) as client:
            if ready:
                await until(lambda: not service.not_ready or task.done(), START_S)
            yield Here(service, client, port, task)
    finally:
        # The server handles the signal only while it serves: before and after, we would be ended.
        await until(lambda: task.done() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL)
        if not task.done():
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
        async with asyncio.timeout(60):
            await asyncio.wait([task])
        sock.close()
    await task

"""The page as a test starts it: the real application on a free port, in this process."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from inspector.web.app import create_app, listen, serve, site_of
from inspector.web.settings import WebSettings
from inspector.web.site import Site
from tests.support.patience import LONG_S


def settings_in(run: Path, **changes: Any) -> WebSettings:
    places = {"socket": run / "control.sock", "previews": run / "previews", "archive": run / "pictures", "office": run}
    return WebSettings(**{**places, "results_db": run / "results.db", "port": 0, **changes})


def site_in(run: Path, **changes: Any) -> Site:
    """The page's collaborators, all real, on the files in `run`."""
    return site_of(settings_in(run, **changes))


@asynccontextmanager
async def client_of(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    """Ask the application without a server; nothing feeds it."""
    transport = httpx.ASGITransport(app=create_app(site), raise_app_exceptions=False)
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
            yield client
    finally:
        site.close()


def browser_at(origin: str, **how: Any) -> httpx.AsyncClient:
    """A browser that waits for its answers for as long as a test may take: httpx's own 5 s are for idle cores."""
    return httpx.AsyncClient(base_url=origin, timeout=LONG_S, **how)


@asynccontextmanager
async def page_process(site: Site) -> AsyncIterator[str]:
    """Serve `site`; yields its origin, e.g. http://127.0.0.1:41234."""
    sock = listen(site.settings)
    port = sock.getsockname()[1]
    task = asyncio.create_task(serve(site, sock), name="page")
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        # As systemd ends it. The page handles the signal only while it serves: before and after, we would be ended.
        await until(lambda: task.done() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL)
        if not task.done():
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
        async with asyncio.timeout(60.0):
            await task
        sock.close()


async def until(condition: Any, within_s: float = 60.0) -> None:
    """Wait until `condition()` holds. Raises TimeoutError."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - any condition, and only in tests
            await asyncio.sleep(0.01)


@asynccontextmanager
async def reached(run: Path) -> AsyncIterator[tuple[Site, httpx.AsyncClient]]:
    """The page on the files of `run`, once it hears the daemon there, and a browser at it."""
    site = site_in(run)
    async with page_process(site) as origin, browser_at(origin) as client:
        await until(lambda: site.feed.up)
        yield site, client

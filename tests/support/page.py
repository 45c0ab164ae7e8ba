"""The page as a test starts it: the real application on a free port, in this process."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from inspector.web.app import listen, serve
from inspector.web.daemon import connect
from inspector.web.feed import Feed
from inspector.web.records import Filters, Records
from inspector.web.settings import WebSettings
from inspector.web.site import Site, assets_hash


class NoRecords:
    """A record without rows."""

    async def page(self, filters: Filters, before_no: int | None, limit: int) -> Sequence[Mapping[str, Any]]:
        return []

    async def row(self, no: int) -> Mapping[str, Any] | None:
        return None

    async def neighbours(self, no: int) -> tuple[int | None, int | None]:
        return None, None

    async def top_reasons(self, since_utc_ms: int, limit: int) -> Sequence[tuple[int, int]]:
        return []

    def close(self) -> None:
        return None


def settings_in(run: Path, **changes: Any) -> WebSettings:
    return WebSettings(
        run / "control.sock", run / "previews", run / "results.db", run / "archive", **{"port": 0, **changes}
    )


def site_in(run: Path, records: Records | None = None, **changes: Any) -> Site:
    settings = settings_in(run, **changes)
    feed = Feed(partial(connect, settings.socket), assets=assets_hash())
    return Site(settings, feed, records or NoRecords())


@asynccontextmanager
async def page_process(site: Site) -> AsyncIterator[str]:
    """Serve `site`; yields its origin, e.g. http://127.0.0.1:41234."""
    sock = listen(site.settings)
    port = sock.getsockname()[1]
    task = asyncio.create_task(serve(site, sock), name="page")
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        os.kill(os.getpid(), signal.SIGTERM)  # as systemd ends it; the page handles the signal while it serves
        async with asyncio.timeout(3.0):
            await task
        sock.close()


async def until(condition: Any, within_s: float = 5.0) -> None:
    """Wait until `condition()` holds. Raises TimeoutError."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - any condition, and only in tests
            await asyncio.sleep(0.01)

"""`inspector web`: the page's own process, so that no browser can touch the cycle time. It only reads."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING

import structlog
import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from inspector.config import AppConfig
from inspector.control import connect_control
from inspector.core.errors import ConfigError
from inspector.sdnotify import notify
from inspector.store.history import SqliteHistory
from inspector.threads import DeviceThread
from inspector.web import pages, rows
from inspector.web.feed import Feed
from inspector.web.guard import Guard
from inspector.web.records import Filters, Unreadable
from inspector.web.settings import WebSettings, settings_of
from inspector.web.site import STATIC, Site, assets_hash
from inspector.web.words import has_word, reason_words, word
from plc.registers import Verdict

if TYPE_CHECKING:
    from fastapi.telemetry import TelemetryConfig

log = structlog.get_logger(__name__)

NO_TELEMETRY: TelemetryConfig = {
    "auto_configure": False,
    "tracing": False,
    "metrics": False,
    "logs": False,
}  # nothing phones home
REASONS_EVERY_S = 1.0
TOP_REASONS = 3
DROP_PEER_MS = 10_000  # a peer that acknowledges nothing for so long is gone
SEND_BUFFER = 256 * 1024  # bounds what the kernel holds for a browser that does not read


def create_app(site: Site) -> ASGIApp:
    """The whole page as one ASGI application; the tasks that feed it are the runner's."""
    app = FastAPI(title="Inspector", docs_url=None, redoc_url=None, openapi_url=None, telemetry=NO_TELEMETRY)
    app.state.site = site
    app.include_router(pages.router)
    app.mount("/static", StaticFiles(directory=STATIC))

    @app.exception_handler(HTTPException)
    async def http_error(_: Request, exc: HTTPException) -> Response:
        return _error(site, exc.status_code)

    @app.exception_handler(RequestValidationError)
    async def unreadable(_: Request, __: RequestValidationError) -> Response:
        return _error(site, 404)  # only path parameters are parsed: there is no such part

    @app.exception_handler(Exception)
    async def bug(_: Request, __: Exception) -> Response:
        return _error(site, 500)  # the server logs it with its traceback

    return Guard(app, site.settings.names)


def _error(site: Site, status: int) -> Response:
    text = word(f"error.{status}") if has_word(f"error.{status}") else HTTPStatus(status).phrase
    return site.page("error.html", status, text=text, hint=f"{status} {HTTPStatus(status).phrase}")


async def watch_records(site: Site) -> None:
    """Keep the most frequent reasons, and the last FAIL where the daemon's memory holds none. Runs for ever."""
    readable = True
    while True:
        try:
            await _read_records(site)
            readable = True
        except Unreadable as exc:  # the history page says so too; try again
            if readable:
                log.warning("records unreadable", error=str(exc))
            readable = False
        await asyncio.sleep(REASONS_EVERY_S)


async def _read_records(site: Site) -> None:
    since = site.feed.status.get("since_utc_ms")
    if isinstance(since, int):
        found = await site.records.top_reasons(since, TOP_REASONS)
        site.feed.set_reasons([{"text": reason_words(r, "").text, "count": n} for r, n in found])
    if site.feed.last_fail is None:
        failed = await site.records.page(Filters(verdict=int(Verdict.FAIL)), None, 1)
        if failed and (part := rows.screen_part(failed[0])):
            site.feed.set_last_fail(part)


def run(cfg: AppConfig) -> None:
    """Serve the page until SIGTERM or SIGINT. Raises ConfigError: the address cannot be had, or must not be."""
    settings = settings_of(cfg)
    with listen(settings) as sock:
        log.info("page opens", url=f"http://{settings.host}:{settings.port}/")
        asyncio.run(serve(site_of(settings), sock))


def site_of(settings: WebSettings) -> Site:
    """The page's collaborators: the daemon's socket, its record, its pictures."""
    feed = Feed(lambda: connect_control(settings.socket, "web"), assets=assets_hash())
    return Site(settings, feed, SqliteHistory(settings.results_db, DeviceThread("records")))


async def serve(site: Site, sock: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT. Raises what a task of ours raises: systemd then starts us again."""
    config = uvicorn.Config(
        create_app(site), log_config=None, access_log=False, server_header=False, lifespan="off", ws="none",
        timeout_keep_alive=10, timeout_graceful_shutdown=2, limit_concurrency=512,
    )  # fmt: skip
    try:
        async with asyncio.TaskGroup() as tasks:
            others = [
                tasks.create_task(site.feed.run(), name="feed"),
                tasks.create_task(watch_records(site), name="records"),
                tasks.create_task(_feed_watchdog(), name="watchdog"),
            ]
            await _Server(config, site.feed).serve(sockets=[sock])
            for task in others:
                task.cancel()
    finally:
        site.close()


def listen(settings: WebSettings) -> socket.socket:
    """Bind. Raises ConfigError: not loopback without permission, or the address cannot be had."""
    settings.checked()
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)  # accepted sockets inherit all of these
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DROP_PEER_MS)
    try:
        sock.bind((settings.host.strip("[]"), settings.port))
    except OSError as exc:
        sock.close()
        raise ConfigError(f"[web] cannot listen on {settings.host}:{settings.port}: {exc.strerror}") from exc
    return sock


class _Server(uvicorn.Server):
    """uvicorn, which tells systemd how it is and ends the streams that would otherwise never end."""

    def __init__(self, config: uvicorn.Config, feed: Feed) -> None:
        super().__init__(config)
        self._feed = feed

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        notify("READY=1")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        notify("STOPPING=1")
        self._feed.close()
        await super().shutdown(sockets=sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    def _stop(self) -> None:
        self.should_exit = True


async def _feed_watchdog() -> None:
    while True:
        notify("WATCHDOG=1")
        await asyncio.sleep(1.0)

"""`inspector web`: the page's own process, so that no browser can touch the cycle time. It only reads."""

from __future__ import annotations

import asyncio
import socket
from functools import partial

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
from inspector.office.desk import Desk
from inspector.office.labels import Labels, open_labels
from inspector.store.history import SqliteHistory
from inspector.threads import DeviceThread
from inspector.web import pages, review, rows, speech
from inspector.web.feed import Feed
from inspector.web.guard import Guard
from inspector.web.records import Filters, Unreadable
from inspector.web.server import NO_TELEMETRY, Server, bind, feed_watchdog
from inspector.web.settings import WebSettings, settings_of
from inspector.web.site import STATIC, Site, assets_hash
from inspector.web.speech import Speech
from inspector.web.words import has_word, word
from plc.registers import Verdict

log = structlog.get_logger(__name__)

REASONS_EVERY_S = 1.0
TOP_REASONS = 3


def create_app(site: Site) -> ASGIApp:
    """The whole page as one ASGI application; the tasks that feed it are the runner's."""
    app = FastAPI(title="Inspector", docs_url=None, redoc_url=None, openapi_url=None, telemetry=NO_TELEMETRY)
    app.state.site = site
    app.include_router(pages.router)
    app.include_router(review.router)
    app.include_router(speech.router)
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

    return Speech(Guard(app, site.settings.names, review.POSTS))


def _error(site: Site, status: int) -> Response:
    text = word(f"error.{status}" if has_word(f"error.{status}") else "error.other")
    return site.page("error.html", status, text=text, hint=word("error.code", status=status))


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
        site.feed.set_reasons(await site.records.top_reasons(since, TOP_REASONS))
    if site.feed.last_fail is None:
        failed = await site.records.page(Filters(verdict=int(Verdict.FAIL)), None, 1)
        if failed and failed[0]["published_code"] is not None:
            site.feed.set_last_fail(partial(rows.screen_part, failed[0]))


def run(cfg: AppConfig) -> None:
    """Serve the page until SIGTERM or SIGINT. Raises ConfigError: the address cannot be had, or must not be."""
    settings = settings_of(cfg)
    with listen(settings) as sock:
        log.info("page opens", url=f"http://{settings.host}:{settings.port}/")
        with open_labels(settings.results_db.with_name("office.db")) as labels:
            asyncio.run(serve(site_of(settings, labels, two_people=cfg.review.two_people), sock))


def site_of(settings: WebSettings, labels: Labels | None = None, *, two_people: bool = False) -> Site:
    """The page's collaborators: the daemon's socket, its record, its pictures; and labels, where they are kept."""
    feed = Feed(lambda: connect_control(settings.socket, "web"), assets=assets_hash())
    records = SqliteHistory(settings.results_db, DeviceThread("records"))
    desk = None if labels is None else Desk(labels, records.ask, two_people)
    return Site(settings, feed, records, desk)


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
                tasks.create_task(feed_watchdog(), name="watchdog"),
            ]
            await Server(config, site.feed.close).serve(sockets=[sock])
            for task in others:
                task.cancel()
    finally:
        site.close()


def listen(settings: WebSettings) -> socket.socket:
    """Bind. Raises ConfigError: not loopback without permission, or the address cannot be had."""
    settings.checked()
    return bind(settings.host, settings.port, "[web]")

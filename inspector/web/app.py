"""`inspector web`: the page's own process, so that no browser can touch the cycle time.

It reads the daemon's record, and writes nothing but its own office.db.
"""

from __future__ import annotations

import asyncio
import socket
from datetime import UTC, datetime
from functools import partial

import structlog
import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from inspector.backup.places import require_whole
from inspector.config import AppConfig
from inspector.control import connect_control
from inspector.core.errors import StoreError
from inspector.office import collecting
from inspector.office.certificate import context_of, ensure_own, own_pair
from inspector.office.desk import Desk
from inspector.office.labels import Labels
from inspector.office.mending import spare_of
from inspector.office.office import Office
from inspector.store.traces import TracedHistory
from inspector.threads import DeviceThread
from inspector.web import (
    accounts,
    admin,
    alarms,
    audits,
    collect,
    collect_export,
    controls,
    cycles,
    export_pages,
    help,
    history,
    line_actions,
    maintenance,
    pages,
    review,
    rows,
    speech,
    storage,
)
from inspector.web.access import Access
from inspector.web.assets import Assets
from inspector.web.feed import Feed
from inspector.web.guard import Guard
from inspector.web.look import Looks
from inspector.web.records import Filters, Unreadable
from inspector.web.reviewed import ReviewTeller
from inspector.web.roles import methods_of
from inspector.web.server import NO_TELEMETRY, Impatient, Server, bind, feed_watchdog, give_way
from inspector.web.settings import WebSettings, settings_of
from inspector.web.site import STATIC, Site, assets_hash
from inspector.web.speech import Speech
from inspector.web.words import naming
from plc.registers import Verdict

log = structlog.get_logger(__name__)

SUBJECTS = (
    pages,
    line_actions,
    alarms,
    audits,
    history,
    export_pages,
    help,
    cycles,
    review,
    collect,
    collect_export,
    controls,
    maintenance,
    accounts,
    admin,
    speech,
    storage,
)
LOOK_EVERY_S = 1.0


def create_app(site: Site) -> ASGIApp:
    """The whole page as one ASGI application; the tasks that feed it are the runner's."""
    app = FastAPI(title="Inspector", docs_url=None, redoc_url=None, openapi_url=None, telemetry=NO_TELEMETRY)
    app.state.site = site
    app.mount("/static", Assets(STATIC, assets_hash()))  # first: a screen that opens asks for these most
    for subject in SUBJECTS:
        app.include_router(subject.router)

    @app.exception_handler(HTTPException)
    async def http_error(_: Request, exc: HTTPException) -> Response:
        return site.error_page(exc.status_code)

    @app.exception_handler(RequestValidationError)
    async def unreadable(_: Request, __: RequestValidationError) -> Response:
        return site.error_page(404)  # only path parameters are parsed: there is no such part

    @app.exception_handler(StoreError)
    async def no_office(_: Request, exc: StoreError) -> Response:
        log.error("accounts cannot be read or written", error=str(exc))
        return site.error_page(503, "error.office")

    @app.exception_handler(Exception)
    async def bug(_: Request, __: Exception) -> Response:
        return site.error_page(500)  # the server logs it with its traceback

    access = Access(app, site.office, anyone_looks=site.settings.anyone_looks,
                    anyone_sees=site.settings.anyone_sees, refuse=site.error_page)  # fmt: skip
    return Speech(Guard(access, site.settings.names, methods_of))


async def watch_records(site: Site) -> None:
    """The last parts and the last FAIL from the record where the daemon's memory is too short. Runs for ever."""
    readable = True
    while True:
        try:
            await _read_records(site)
            readable = True
        except Unreadable as exc:  # the history page says so too; try again
            if readable:
                log.warning("records unreadable", error=str(exc))
            readable = False
        await asyncio.sleep(LOOK_EVERY_S)


async def _read_records(site: Site) -> None:
    for station in site.feed.stations if site.feed.up else ():
        await _read_earlier(site, station)
        await _read_fail(site, station)


async def _read_earlier(site: Site, station: str) -> None:
    strip = site.feed.strip(station)
    if not (wanted := strip.earlier).count:
        return
    found = await site.records.page(Filters(station=station), wanted.before_no, wanted.count)
    settled = [partial(rows.screen_part, row) for row in found if row["delivery"] is not None]
    if strip.earlier is wanted and strip.set_earlier(settled, found.searched_to_no):  # the daemon may have begun anew
        site.feed.refresh(station)


async def _read_fail(site: Site, station: str) -> None:
    strip = site.feed.strip(station)
    if not (wanted := strip.fail).count:
        return
    found = await site.records.page(Filters(verdict=int(Verdict.FAIL), station=station), wanted.before_no, 1)
    if strip.fail is not wanted:
        return
    if not found:
        strip.has_no_fail(found.searched_to_no)
    elif found[0]["published_code"] is not None and strip.set_last_fail(partial(rows.screen_part, found[0])):
        site.feed.refresh(station)


def run(cfg: AppConfig) -> None:
    """Serve the page until SIGTERM or SIGINT. Raises ConfigError: the address cannot be had, or must not be."""
    give_way()
    settings = settings_of(cfg)
    require_whole(cfg.paths.state)
    if settings.tls == own_pair(settings.office):
        ensure_own(settings.office, settings.more_names, datetime.now(UTC))
    with listen(settings) as sock:
        log.info("page opens", url=settings.url)
        asyncio.run(serve(site_of(settings), sock))


def site_of(settings: WebSettings) -> Site:
    """The page's collaborators: the daemon's socket, its record, its pictures; people, and what they said."""
    connect = partial(connect_control, settings.socket, "web")
    feed = Feed(connect, assets=assets_hash())
    records = TracedHistory(settings.results_db, DeviceThread("records"))
    office = Office(settings.office / "office.db", settings.life, spare=spare_of(settings.results_db))
    named = partial(office.read, collecting.named)
    desk = Desk(Labels(office, office.thread), records.ask_all, settings.two_people, named=named)
    return Site(settings, feed, records, office, desk, looks=Looks(connect))


async def serve(site: Site, sock: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT. Raises what a task of ours raises: systemd then starts us again."""
    with naming(site.settings.class_names):  # the screens' tasks and every request are begun within
        await _serve(site, sock)


async def _serve(site: Site, sock: socket.socket) -> None:
    tls = site.settings.tls
    config = uvicorn.Config(
        create_app(site), log_config=None, access_log=False, server_header=False, lifespan="off", ws="none",
        timeout_keep_alive=10, timeout_graceful_shutdown=2, limit_concurrency=800, http=Impatient,
        ssl_context_factory=None if tls is None else lambda *_: context_of(tls),
    )  # fmt: skip
    try:
        async with asyncio.TaskGroup() as tasks:
            others = [
                tasks.create_task(site.feed.run(), name="feed"),
                tasks.create_task(watch_records(site), name="records"),
                tasks.create_task(feed_watchdog(), name="watchdog"),
                tasks.create_task(tell_first_code(site), name="first code"),
                tasks.create_task(tell_reviewed(site), name="reviewed"),
                tasks.create_task(audits.note_line_head_forever(site), name="audit"),
            ]
            await Server(config, site.feed.close).serve(sockets=[sock])
            for task in others:
                task.cancel()
    finally:
        site.close()


async def tell_reviewed(site: Site) -> None:
    """Keep the daemon informed of what was reviewed; it keeps those pictures less long."""
    if site.desk is not None:
        await ReviewTeller(site.desk.labels, site.settings.socket, site.desk.two_people).run_forever()


async def tell_first_code(site: Site) -> None:
    """A box without people says in its log how to become the first; no password is there before."""
    try:
        code = await site.office.first_code()
    except StoreError as exc:  # the line screen needs no accounts
        log.error("accounts cannot be read", error=str(exc))
        return
    if code is not None:
        log.warning("nobody can log in yet: make the first admin", page=f"{site.settings.url}first-start", code=code)


def listen(settings: WebSettings) -> socket.socket:
    """Bind. Raises ConfigError: not loopback without permission, or the address cannot be had."""
    settings.checked()
    if settings.tls is not None:
        context_of(settings.tls)  # says what is wrong with it before the start
    return bind(settings.host, settings.port, "[web]")

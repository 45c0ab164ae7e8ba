"""`inspector serve`: a picture in, a prediction out. Stateless, and never in the path of a verdict."""

from __future__ import annotations

import asyncio
import socket
import tempfile
import time
from collections.abc import Collection, Mapping
from pathlib import Path

import structlog
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from inspector.core.errors import InspectorError
from inspector.serve.declined import Declined, error_answer
from inspector.serve.judge import unready
from inspector.serve.present import prediction_view
from inspector.serve.service import ServeSettings, Service
from inspector.serve.upload import Lingering, read_upload
from inspector.web import site
from inspector.web.assets import Assets
from inspector.web.guard import READ, Guard, is_loopback
from inspector.web.server import NO_TELEMETRY, Impatient, Server, bind, feed_watchdog
from inspector.web.speech import Speech
from inspector.web.words import has_word, word

log = structlog.get_logger(__name__)

PREDICT = "/predict"
END_S = 1  # so long may what is being answered still take at the end
STATIC = Path(__file__).parent / "static"


def create_app(service: Service) -> ASGIApp:
    """The service as one ASGI application; opening it is the runner's."""
    app = FastAPI(title="Inspector", docs_url=None, redoc_url=None, openapi_url=None, telemetry=NO_TELEMETRY)
    _add_routes(app, service)
    app.mount("/static/serve", StaticFiles(directory=STATIC))
    app.mount("/static", Assets(site.STATIC, site.assets_hash()))

    @app.exception_handler(Declined)
    async def declined(_: Request, exc: Declined) -> Response:
        return exc.answer()

    @app.exception_handler(HTTPException)
    async def http_error(_: Request, exc: HTTPException) -> Response:
        return _refuse(exc.status_code, exc.headers)

    @app.exception_handler(Exception)
    async def bug(_: Request, __: Exception) -> Response:
        return _refuse(500)  # the server logs it with its traceback

    return Lingering(Speech(Guard(app, service.settings.names, methods=_methods, refuse=_refuse)))


def _methods(path: str) -> Collection[str]:
    return {"POST"} if path == PREDICT else READ


def _add_routes(app: FastAPI, service: Service) -> None:
    @app.post(PREDICT)
    async def predict(request: Request) -> Response:
        began_s = time.monotonic()
        with service.place():
            data = await read_upload(request.headers, request.stream(), service.settings.max_bytes)
            picture, decode_ms = await service.decode(data)
            judged = await service.judge.judge(picture)
            manifest = service.judge.manifest
            if manifest is None:
                raise unready(service.not_ready)
            total_ms = (time.monotonic() - began_s) * 1000
            return JSONResponse(prediction_view(judged, manifest, decode_ms, total_ms))

    @app.api_route("/healthz", methods=["GET", "HEAD"])
    async def healthz() -> Response:
        if service.judge.hangs:
            raise Declined(503, "hangs")
        return JSONResponse({"status": "ok"})

    @app.api_route("/readyz", methods=["GET", "HEAD"])
    async def readyz() -> Response:
        if why := service.not_ready:
            raise unready(why)
        manifest = service.judge.manifest
        return JSONResponse({"ready": True, "bundle_id": manifest.bundle_id if manifest else ""})

    @app.api_route("/", methods=["GET", "HEAD"])
    async def page() -> Response:
        return service.page()


def _refuse(status: int, headers: Mapping[str, str] | None = None) -> JSONResponse:
    key = f"declined.{status}" if has_word(f"declined.{status}") else "declined.other"
    return error_answer(status, word(key, status=status), word(f"{key}.todo"), headers)


def run(settings: ServeSettings) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises ConfigError, BundleError, ModelError, DecoderLost: what stands in the way, before it was ever ready.
    """
    if not is_loopback(settings.host):
        log.warning("anyone who reaches this address may ask; there is no log-in", host=settings.host)
    with bind(settings.host, settings.port, "inspector serve") as sock:
        asyncio.run(serve(Service(settings), sock))


async def serve(service: Service, sock: socket.socket) -> None:
    """Answer at once, with 503 until the bundle is open. Raises what keeps it from opening."""
    config = uvicorn.Config(
        create_app(service), log_config=None, access_log=False, server_header=False, lifespan="off", ws="none",
        timeout_keep_alive=10, timeout_graceful_shutdown=END_S, limit_concurrency=256, http=Impatient,
    )  # fmt: skip
    server = Server(config)
    with tempfile.TemporaryDirectory(prefix="inspector-serve-", ignore_cleanup_errors=True) as folder:
        try:
            async with asyncio.TaskGroup() as tasks:
                opening = tasks.create_task(_open(service, Path(folder), server), name="open")
                others = [
                    tasks.create_task(service.judge.prove_forever(), name="prove"),
                    tasks.create_task(feed_watchdog(), name="watchdog"),
                ]
                await server.serve(sockets=[sock])
                for task in (opening, *others):
                    task.cancel()
        finally:
            service.close()
    if not opening.cancelled() and (error := opening.result()) is not None:
        raise error


async def _open(service: Service, folder: Path, server: Server) -> InspectorError | None:
    """Open the service; what keeps it from opening stops the server in order, and is returned."""
    try:
        await service.open(folder)
    except InspectorError as exc:
        server.stop()
        return exc
    return None

"""A dry run's own process: a simulated PLC, and as its child a daemon that is a station's twin. See dry_run.py.

    python -m inspector.demo.twin FOLDER            reads order.json and station.json there, and plays
    python -m inspector.demo.twin --daemon FOLDER   the twin itself, from twin.json

Prints one JSON object a line: {"ready_s"}, {"part"} for each, then {"summary"}; or {"failed"}, in words.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from inspector.bundle.checks import MANIFEST
from inspector.camera_sections import CameraConfig, FolderConfig, RenderedConfig
from inspector.config import AppConfig
from inspector.core.errors import InspectorError
from inspector.demo.count import count, percentiles
from inspector.demo.processes import child, last_words
from inspector.dry_run import TWIN
from inspector.link_sections import LinkConfig, PlcConfig
from inspector.sections import ArchiveConfig, PathsConfig, StationConfig, TestConfig
from plc.free_port import free_port
from plc.registers import Verdict
from plc.sim import SimConfig, SimPlc, SimResult
from plc.sim_client import SimClientPlc

READY_S = 100.0  # a busy box, a large bundle
SHARES = (50, 95, 99, 100)
LINK = "twin"
_BASES = ("ctrl_base", "stat_base", "diag_base", "ident_base")  # where the simulated PLC has the blocks: the defaults


def twin_of(cfg: AppConfig, station: str, port: int, folder: Path, bundle: Path | None) -> AppConfig:
    """`cfg` with one station only, whose PLC is at 127.0.0.1:`port` (server direction: which listens there), and
    everything that it writes in `folder`. bundle: where the station's is unpacked."""
    section = next(found for found in cfg.stations if found.id == station)
    kept = ("mode", "word_order", "poll_ms", "armed_poll_ms", "heartbeat_ms", "heartbeat_timeout_ms", "publish")
    line = cfg.link_of(section)
    link = LinkConfig(name=LINK, host="127.0.0.1", port=port, **{key: getattr(line, key) for key in kept})
    own = section.model_dump(exclude_unset=True, exclude=set(_BASES))
    camera = camera_for(cfg.camera_of(section), bundle)
    return cfg.model_copy(
        update={
            "paths": PathsConfig(state=folder / "state", run=folder / "run", office=folder / "office"),
            "plc": PlcConfig(links=(link,)),
            "stations": (StationConfig(**{**own, "link": LINK, "cameras": (camera.id,)}),),
            "camera": camera, "cameras": (), "test": TestConfig(),
            "recipes": tuple(recipe.model_copy(update={"camera": {}}) for recipe in cfg.recipes),
            "archive": ArchiveConfig(max_gb=0.1, min_free_gb=0.1, sample_gb=0, pass_share=0),
        }
    )  # fmt: skip


def camera_for(real: CameraConfig, bundle: Path | None) -> CameraConfig:
    """Pictures without a camera: those that it draws or replays anyway, else the bundle's golden ones, else drawn."""
    if isinstance(real, RenderedConfig | FolderConfig):
        return real
    if bundle is not None and (bundle / MANIFEST).exists():
        return FolderConfig(kind="folder", id=real.id, folder=bundle, grab_timeout_ms=real.grab_timeout_ms)
    return RenderedConfig(kind="rendered", id=real.id, grab_timeout_ms=real.grab_timeout_ms)


def plc_for(twin: AppConfig) -> SimPlc:
    """A PLC as patient as the station's own times ask for; in the server direction it is the client."""
    station, (link,) = twin.station, twin.plc.links
    sim = SimConfig(
        number=station.number, word_order=link.word_order, ready_timeout_s=READY_S,
        ack_timeout_s=max(0.1, station.max_trigger_age_ms / 1000),
        result_timeout_s=max(0.5, 1.5 * station.deadline_ms / 1000 + 0.2),
        heartbeat_timeout_s=max(0.5, link.heartbeat_timeout_ms / 1000),
    )  # fmt: skip
    return SimClientPlc(sim) if link.mode == "server" else SimPlc(sim)


async def play(folder: Path) -> None:
    """The order in `folder`, to its end or SIGTERM."""
    order = json.loads((folder / "order.json").read_text(encoding="utf-8"))
    cfg = AppConfig.model_validate_json((folder / "station.json").read_text(encoding="utf-8"))
    bundle = None if order["bundle"] is None else Path(order["bundle"])
    twin = twin_of(cfg, order["station"], free_port(), folder, bundle)
    (folder / "twin.json").write_text(twin.model_dump_json(exclude_unset=True), encoding="utf-8")
    plc, began_s = plc_for(twin), time.monotonic()
    plc.on_result = lambda result: _say({"part": {"code": result.code, "reason": result.reason}})

    def stop() -> None:
        plc.stopping = True

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
    async with _running(plc, twin, folder):
        if not await plc.wait_ready(READY_S):
            _say({"failed": f"not READY within {READY_S:g} s: {last_words(folder / 'daemon.log')}"})
            return
        _say({"ready_s": round(time.monotonic() - began_s, 1)})
        begun_s = time.monotonic()
        results = await plc.play(range(1, order["parts"] + 1))
        took_s = time.monotonic() - begun_s
    _say({"summary": summary(results, folder / "state" / "results.db", took_s)})


@contextlib.asynccontextmanager
async def _running(plc: SimPlc, twin: AppConfig, folder: Path) -> AsyncIterator[None]:
    """The PLC and the twin's daemon; both have ended afterwards."""
    (link,) = twin.plc.links
    await plc.start("127.0.0.1", link.port)
    try:
        async with child(TWIN, "--daemon", str(folder), log=folder / "daemon.log"):
            yield
    finally:
        await plc.close()


def summary(results: Sequence[SimResult], database: Path, took_s: float) -> dict[str, Any]:
    """What the PLC read against what the twin recorded, and how long from trigger to result, in ms."""
    counts = count(results, database, lambda _: True)
    shown = ("triggers", "rows", "plc_results", "mismatches", *(verdict.name.lower() for verdict in Verdict))
    return {
        **{key: counts[key] for key in shown}, "parts": len(results), "took_s": round(took_s, 2),
        "cycle_ms": percentiles(results, SHARES),
        "slowest": [asdict(r) | {"ms": _ms(r)} for r in sorted(results, key=_ms, reverse=True)[:5] if r.valid_s],
    }  # fmt: skip


def _ms(result: SimResult) -> float:
    return round(1000 * (result.valid_s - result.edge_s), 2) if result.valid_s is not None else 0.0


def _say(told: dict[str, Any]) -> None:
    print(json.dumps(told), flush=True)


def main(arguments: Sequence[str]) -> None:
    os.environ.pop("NOTIFY_SOCKET", None)  # systemd hears of the line's own daemon alone
    if arguments[0] == "--daemon":
        from inspector.compose import run
        from inspector.logs import log_json

        log_json()
        text = (Path(arguments[1]) / "twin.json").read_text(encoding="utf-8")
        asyncio.run(run(AppConfig.model_validate_json(text)))
        return
    try:
        asyncio.run(play(Path(arguments[0])))
    except (InspectorError, OSError) as exc:
        _say({"failed": str(exc)})


if __name__ == "__main__":
    main(sys.argv[1:])

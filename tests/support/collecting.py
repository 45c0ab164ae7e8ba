"""A box without a bundle: the real daemon in mode collect, a simulated PLC, and the page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from inspector.config import load_config
from inspector.demo.processes import daemon
from inspector.office.office import Office
from inspector.web.app import site_of
from inspector.web.settings import settings_of
from inspector.web.site import Site
from plc.sim import SimConfig, SimPlc
from tests.support.office import PASSWORD
from tests.support.page import page_process, until

STATION = """
[paths]
state = "{folder}/state"
run = "{folder}/run"
[[plc.links]]
host = "127.0.0.1"
port = {port}
request_timeout_ms = 4000
heartbeat_timeout_ms = 4000
[[stations]]
id = "st1"
mode = "collect"
deadline_ms = 4000
max_trigger_age_ms = 1500
[camera]
grab_timeout_ms = 2000
{camera}
"""
PATIENT = SimConfig(ack_timeout_s=2, result_timeout_s=5, heartbeat_timeout_s=2, ready_timeout_s=25)


@dataclass
class EmptyBox:
    """Its PLC, its page, and where that is served. Anna is its admin."""

    sim: SimPlc
    site: Site
    origin: str


@asynccontextmanager
async def empty_box(folder: Path, camera: str = 'kind = "rendered"') -> AsyncIterator[EmptyBox]:
    """From first start on; its PLC's program stands still until it is scanned."""
    sim = SimPlc(PATIENT)
    await sim.start()
    config = folder / "station.toml"
    config.write_text(STATION.format(folder=folder, port=sim.port, camera=camera))
    cfg = load_config(config)
    office = Office(cfg.paths.office_folder / "office.db")
    await office.begin_first(await office.first_code() or "", "anna", PASSWORD, "setup")
    office.close()
    try:
        async with daemon(config):
            site = site_of(replace(settings_of(cfg), port=0))
            async with page_process(site) as origin:
                await until(lambda: site.feed.up, 25)
                yield EmptyBox(sim, site, origin)
    finally:
        await sim.close()

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
from plc.sim import SimPlc
from tests.support.office import PASSWORD
from tests.support.page import page_process, until
from tests.support.station import PATIENT, RENDERED, station_text


@dataclass
class EmptyBox:
    """Its PLC, its page, and where that is served. Anna is its admin."""

    sim: SimPlc
    site: Site
    origin: str


@asynccontextmanager
async def empty_box(folder: Path, camera: str = RENDERED) -> AsyncIterator[EmptyBox]:
    """From first start on; its PLC's program stands still until it is scanned."""
    sim = SimPlc(PATIENT)
    await sim.start()
    config = folder / "station.toml"
    collects = station_text(folder / "state", folder / "run", sim.port, station='mode = "collect"', camera=camera)
    config.write_text(collects)
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

"""Every screen of the page: found by asking, so that a new one is looked at without being named anywhere."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inspector import looking
from inspector.backup.places import RESULTS
from inspector.demo.parts import Kind, render
from inspector.office.person import Role
from inspector.store import shelf
from inspector.store.database import Database
from inspector.store.holds import Holds
from inspector.web.roles import ROUTES, Open
from inspector.web.site import Site
from plc.registers import CTRL, STAT
from tests.support.fake_daemon import FakeDaemon
from tests.support.figures import write_figures
from tests.support.office import PASSWORD
from tests.support.reviewing import NEAR, REJECT, SAMPLE, TEST, Part, write_parts
from tests.support.visitors import HTML, browser_of

# What stands for a part of a path: row 3 is a reject.
EXAMPLES = {"no": "3", "name": "en", "path": "base.css", "kind": "alarm", "code": "camera"}
WITHOUT_END = frozenset({"/events"})
MORE = {  # other states of a screen
    "/admin/audit": ("?of=line&check=1",), "/history": ("?label=dent",),
    "/maintenance": ("?trend=camera_temp.st1&span=day", "?trend=clock_offset"),
}  # fmt: skip
NAME = "annegret.müller-lüdenscheidt"  # long, as names are


@dataclass(frozen=True)
class Screen:
    """An address that answers with a page, to the person of `who_sees` or, else, to nobody in particular."""

    template: str
    address: str
    known: bool


def address_of(template: str) -> str:
    """A path with an example for each of its parts. KeyError: a part that has none yet."""
    return re.sub(r"\{(\w+)(?::\w+)?\}", lambda m: EXAMPLES[m[1]], template)


async def who_sees_all(site: Site) -> str:
    """The token of somebody with every role; the first person of the box is there before."""
    office = site.office
    await office.begin_first(await office.first_code() or "", "Anna", PASSWORD, "setup")
    _, code = await office.add("Anna", NAME, list(Role))
    return await office.choose_password(NAME, code, PASSWORD, "setup")


async def screens_of(site: Site, token: str) -> list[Screen]:
    """All that answer with HTML now. A route that is asked here changes nothing: it is a GET."""
    found = []
    async with browser_of(site) as stranger, browser_of(site) as known:
        known.cookies.set("inspector-local", token)
        for (method, template), rule in ROUTES.items():
            if method != "GET" or template in WITHOUT_END:
                continue
            browser = stranger if rule is Open.DOOR else known
            answer = await browser.get(address_of(template), headers=HTML)
            if answer.status_code == 200 and answer.text.startswith("<!doctype html>"):  # no part of a page
                for query in ("", *MORE.get(template, ())):
                    found.append(Screen(template, address_of(template) + query, browser is known))
    return found


async def furnish(run: Path) -> FakeDaemon:
    """A line that has run: parts with pictures of every kind, alarms, and a daemon that is `start`ed by the caller."""
    drawn = (Kind.SCRATCH, Kind.DENT, Kind.STAIN, Kind.GOOD, Kind.MISSING_HOLE, Kind.EMPTY)
    kept = (REJECT, REJECT, REJECT, SAMPLE, NEAR, TEST)
    parts = [
        Part(kind, keep, lot="L-2026-47", serial=f"SN-{n:06d}", test_part=keep is TEST)
        for n, (kind, keep) in enumerate(zip(drawn * 6, kept * 6, strict=True), 1)
    ]
    await write_parts(run, parts)
    write_figures(run)
    _hold(run, "L-2026-47")
    more = {
        "registers": _registers, "changes": _changes, "look": _look, "dry_run": lambda *_: {"state": "none"},
        "storage": _storage,
    }  # fmt: skip
    daemon = FakeDaemon(run, more)
    for n in range(14):
        daemon.part({4: Kind.STAIN, 7: Kind.DENT, 13: Kind.SCRATCH}.get(n, Kind.GOOD))
    return daemon


def _registers(*_: object) -> dict[str, Any]:
    """Of a station that is connected and idle, as inspector/controls.py tells them."""
    return {
        "station": "Line 1", "stations": ["Line 1"], "word_order": "big", "ctrl": [0] * CTRL.size,
        "stat": [0] * STAT.size, "ctrl_age_ms": 40, "no": 0, "plc_beat_ms": 60, "connected": True,
        "text": "127.0.0.1:5020", "offline_reason": 0, "offline": False, "held_by": "", "may_force": False,
        "forced": {}, "forced_by": "", "forced_left_s": 0, "utc_ms": int(time.time() * 1000), "counts": {},
    }  # fmt: skip


def _hold(run: Path, lot: str) -> None:
    """As quality does it."""
    database = Database(run / RESULTS)
    database.open()
    Holds(database).enter(lot, True, "anna", "a customer complained", int(time.time() * 1000))
    database.close()


def _storage(*_: object) -> dict[str, Any]:
    """Of a disk on which pictures give way, as inspector/retention.py tells it."""
    kinds = {str(kind): [100 * n, 40_000_000 * n] for n, kind in enumerate(shelf.Kind, 1)}
    return {
        "disk_bytes": 64_000_000_000, "free_bytes": 9_000_000_000, "floor_bytes": 1_000_000_000,
        "begin_bytes": 10_000_000_000, "stop_bytes": 12_000_000_000, "max_bytes": 50_000_000_000,
        "sample_bytes": 2_000_000_000, "free_inodes": 3_000_000, "kinds": kinds, "giving_way": True, "stuck": False,
        "removed": 1234, "counted": True, "record_bytes": 800_000_000, "per_day_bytes": 12_000_000, "days_left": 640.0,
        "damaged": (), "aside": 3, "look": None, "fault": "",
    }  # fmt: skip


def _changes(*_: object) -> dict[str, Any]:
    return {"changes": [], "word_order": "big"}


def _look(*_: object) -> dict[str, Any]:
    """A live picture, as inspector/looking.py tells of one."""
    about = {"station": "Line 1", "mode": "collect", "live": True, "no": None, "recipe": "disc", "roi": None}
    measured = looking._measured(render(1, Kind.GOOD).image, None, live=True)
    return {**about, "bundle_id": "", "preview": None, **measured}

"""A box on the disk as a station leaves it: configuration, record, months, accounts, bundles, certificates."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw

from inspector.bundle.slots import Slots
from inspector.config import AppConfig, load_config
from inspector.demo.parts import Kind
from inspector.office.office import Office
from inspector.office.person import Role
from inspector.store.months import MonthFile, Schema, month_path
from tests.support.certificates import make_test_ca
from tests.support.live_line import KEY, signed_bundle
from tests.support.office import PASSWORD
from tests.support.record import Entry, line_of, write_record
from tests.support.station import station_text
from tests.support.tiny_bundle import trusted_key

MONTH = "2025-03"


@dataclass(frozen=True)
class BoxOnDisk:
    """folder: all of the box. sticks: where its backups go, another disk."""

    folder: Path
    sticks: Path

    @property
    def config(self) -> Path:
        return self.folder / "station.toml"

    @property
    def cfg(self) -> AppConfig:
        return load_config(self.config)

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def office(self) -> Path:
        return self.folder / "state-web"

    @property
    def results(self) -> Path:
        return self.state / "results.db"


def configure(folder: Path, sticks: Path, *, link: str = "", backup: str = "", more: str = "") -> BoxOnDisk:
    folder.mkdir(parents=True, exist_ok=True)
    sticks.mkdir(exist_ok=True)
    bundle = signed_bundle(folder / "tiny.bundle")
    text = station_text(folder / "state", folder / "run", 5020, deadline_ms=300, link=link, more=bundle)
    (folder / "station.toml").write_text(f'{text}\n[backup]\nfolder = "{sticks}"\nmb_per_s = 10000\n{backup}\n{more}')
    return BoxOnDisk(folder, sticks)


async def lived_in(folder: Path, sticks: Path, *, parts: int = 12, tls: bool = False, backup: str = "") -> BoxOnDisk:
    """A box that ran for a while. tls: its link to the PLC has certificates."""
    link = ""
    if tls:
        files = make_test_ca(folder / "tls").issue("box7")
        named = f'ca = "{files.ca}", certificate = "{files.certificate}", key = "{files.key}"'
        link = f'transport = "tls"\ntls = {{ {named} }}'
    box = configure(folder, sticks, link=link, backup=backup)
    await write_record(box.state, [*line_of(parts), Entry(500, Kind.DENT, lot="L-2026-47", serial="SN-000500")], False)
    file_a_month(box.results)
    await write_people(box.office)
    activate(box.cfg)
    return box


def file_a_month(results: Path) -> None:
    """The oldest row lies in a past month's file, as the filing leaves it."""
    db = apsw.Connection(str(results))
    cursor = db.execute("SELECT * FROM inspections ORDER BY no LIMIT 1")
    row: dict[str, Any] = dict(zip((name for name, *_ in cursor.get_description()), next(cursor), strict=True))
    month = MonthFile(month_path(results, MONTH))
    month.open(Schema.of(db))
    month.put([row], [])
    month.close()
    db.execute("DELETE FROM inspections WHERE no = ?", (row["no"],))
    db.close()


async def write_people(folder: Path) -> None:
    office = Office(folder / "office.db")
    try:
        await office.begin_first(await office.first_code() or "", "Anna", PASSWORD, "10.0.0.9")
        await office.add("Anna", "Boris", [Role.MAINTENANCE])
    finally:
        office.close()


def activate(cfg: AppConfig) -> None:
    assert cfg.bundle is not None
    slots = Slots(cfg.paths.state / "bundles", lambda _: None)  # its model was not opened in a child before
    slots.activate(slots.install(cfg.bundle.path, [trusted_key(KEY)]))


def rows_of_all(results: Path) -> list[tuple[Any, ...]]:
    """Every row of the record and its months, by number."""
    found: list[tuple[Any, ...]] = []
    for path in (results, *results.parent.glob("results-*.db")):
        db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
        found += list(db.execute("SELECT * FROM inspections"))
        db.close()
    return sorted(found)

"""A month's file that is damaged somewhere inside: seen, told, and what can be read of it comes back."""

from __future__ import annotations

import asyncio
import io
import os
import random
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import apsw
import pytest
from rich.console import Console

from inspector.backup.make import backup_found, last_run, make
from inspector.config import load_config
from inspector.core.errors import StoreError
from inspector.core.types import Refusal
from inspector.export_rows import ExportError, export_rows
from inspector.retention_commands import MonthError, export_month
from inspector.store import salvage
from inspector.store.farewell import FarewellError
from inspector.store.months import Schema, damaged_months, is_settled, month_path
from inspector.store.salvage import NotDamaged, aside_of, fault_of
from plc.registers import Reason
from tests.support.box import MONTH, lived_in
from tests.support.disks import quick_folder
from tests.support.keeping import Keeping, keeping
from tests.support.months import HELD, Calendar, file_all, keep_few, numbers, reading
from tests.support.store import BY, told

PARTS = 200
DEMO = Path(__file__).parents[4] / "configs" / "demo.toml"


@pytest.fixture
def state() -> Iterator[Path]:
    with quick_folder() as folder:
        yield folder


async def january(box: Keeping, clock: Calendar, count: int = PARTS) -> Path:
    for seq in range(1, count + 1):
        await box.part(seq)
    await box.written()
    clock.date = "2026-02-10"
    await file_all(box.filing)
    return box.state / "results-2026-01.db"


def pages_of_rows(path: Path) -> list[int]:
    """That hold rows of inspections, and none of an index."""
    data, leaf = path.read_bytes(), 0x0D
    pages = range(len(data) // 4096)
    return [n for n in pages if data[4096 * n] == leaf and BY.bundle_id.encode() in data[4096 * n : 4096 * (n + 1)]]


def scribble(path: Path, pages: Iterable[int]) -> bytes:
    """Noise over some pages, as a disk that forgets them; returns what it is now."""
    luck, mode = random.Random(1), path.stat().st_mode
    path.chmod(0o640)
    with path.open("r+b") as file:
        for page in pages:
            file.seek(4096 * page)
            file.write(luck.randbytes(4096))
    path.chmod(mode)
    return path.read_bytes()


async def seen_by_the_page(box: Keeping) -> list[int]:
    async with reading(box.state / "results.db") as history:
        return sorted(await numbers(history))


async def test_a_page_damaged_deep_in_a_month_is_told_and_the_rows_around_it_come_back(state, monkeypatch):
    keep_few(monkeypatch)
    clock = Calendar("2026-01-10")
    async with keeping(state, clock=clock) as box:
        month = await january(box, clock)
        all_of_it = await seen_by_the_page(box)
        leaves = pages_of_rows(month)
        damaged = scribble(month, leaves[len(leaves) // 2 :][:2])
        assert damaged_months(state / "results.db") == [], "its head and schema are whole"
        with pytest.raises(StoreError, match="not looked for"):
            await box.ask("reconcile")
        assert box.retention.damaged == (month.name,), "which file it is"
        done = await box.ask("salvage_month", month="2026-01")
        assert done["rows"] >= PARTS - 40 and box.retention.damaged == ()
        assert (state / done["aside"]).read_bytes() == damaged and aside_of(state / "results.db") == [done["aside"]]
        back = await seen_by_the_page(box)
        assert len(back) == done["rows"] + 2 and set(back) <= set(all_of_it)
        assert len(all_of_it) - len(back) <= done["lost"]
        with box.results._journal._database.reading() as db:
            assert fault_of(month) is None and is_settled(month, Schema.of(db))
        await box.ask("reconcile", accept=True)
        with pytest.raises(NotDamaged):
            await box.ask("salvage_month", month="2026-01")
        with pytest.raises(FarewellError):
            await box.ask("salvage_month", month="2026-07")


async def test_a_month_of_which_nothing_can_be_read_is_set_aside_and_the_rest_goes_on(state, monkeypatch):
    keep_few(monkeypatch)
    clock = Calendar("2026-01-10")
    async with keeping(state, clock=clock) as box:
        month = await january(box, clock, 20)
        scribble(month, range(month.stat().st_size // 4096))
        done = await box.ask("salvage_month", month="2026-01")
        assert done["rows"] == 0 and await seen_by_the_page(box) == [19, 20] and fault_of(month) is None


async def test_who_takes_the_record_away_learns_that_a_month_in_it_is_damaged(state, monkeypatch, tmp_path):
    keep_few(monkeypatch)
    clock = Calendar("2026-01-10")
    cfg = load_config(DEMO)
    cfg = cfg.model_copy(update={"paths": cfg.paths.model_copy(update={"state": state})})
    async with keeping(state, clock=clock) as box:
        month = await january(box, clock)
        leaves = pages_of_rows(month)
        scribble(month, leaves[len(leaves) // 2 :][:2])
        out, console = tmp_path / "all.csv", Console(file=io.StringIO())
        with pytest.raises(ExportError, match=f"{month.name} is damaged, and rows of it are missing"):
            await asyncio.to_thread(export_rows, cfg, out, {}, console)
        assert 2 <= len(out.read_text().splitlines()) - 1 < PARTS, "what can be read is written"
        with pytest.raises(MonthError, match="is damaged, and was not exported"):
            export_month(cfg, "2026-01", tmp_path / "usb")
        assert not (tmp_path / "usb").exists(), "a copy with a checksum is what lets a month go"
        await box.ask("salvage_month", month="2026-01")
        back = await asyncio.to_thread(export_rows, cfg, out, {}, console)
        assert back == len(await seen_by_the_page(box))
        export_month(cfg, "2026-01", tmp_path / "usb")


@pytest.mark.parametrize("at", ["link", "replace"])
async def test_who_is_ended_in_it_loses_nothing_and_begins_anew(state, monkeypatch, at):
    keep_few(monkeypatch)
    clock = Calendar("2026-01-10")
    async with keeping(state, clock=clock) as box:
        month = await january(box, clock, 20)
        damaged = scribble(month, range(month.stat().st_size // 4096 - 1, month.stat().st_size // 4096))
        fakes: Any = SimpleNamespace(link=os.link, replace=os.replace)

        def ended(*_: object) -> None:
            raise OSError(5, "ended here")

        setattr(fakes, at, ended)
        monkeypatch.setattr(salvage, "os", fakes)
        with pytest.raises(StoreError):
            await box.ask("salvage_month", month="2026-01")
        assert month.read_bytes() == damaged
        monkeypatch.setattr(salvage, "os", os)
        clock.date = "2026-02-11"
        await box.ask("salvage_month", month="2026-01")
        assert fault_of(month) is None and all(
            (state / name).read_bytes() == damaged for name in aside_of(state / "results.db")
        )


async def test_a_backup_finds_the_damage_leaves_that_month_out_and_removes_no_older_backup(tmp_path):
    box = await lived_in(tmp_path / "box", tmp_path / "stick", backup="keep = 1")
    month = month_path(box.results, MONTH)
    make(box.cfg, box.config)
    for old in box.sticks.iterdir():
        old.rename(old.with_name(old.name.replace("-2026", "-2025").replace("-2027", "-2025")))
    (whole,) = box.sticks.iterdir()
    content = month.read_bytes()
    scribble(month, range(len(content) // 4096 - 3, len(content) // 4096))
    made = make(box.cfg, box.config)
    assert any(line.startswith(f"{month.name}: is damaged") for line in made.left_out)
    assert whole.exists() and backup_found(box.state) == [month.name]
    month.chmod(0o640)
    month.write_bytes(content)
    assert backup_found(box.state) == [], "another file lies there"
    assert make(box.cfg, box.config).left_out == () and not whole.exists()
    assert (last_run(box.state) or {})["damaged"] == {}


@pytest.mark.parametrize("noise", [False, True])
@pytest.mark.parametrize("sector", range(1, 8))
async def test_a_lost_sector_costs_the_rows_in_it_and_how_many_is_told(state, monkeypatch, sector, noise):
    keep_few(monkeypatch)
    clock = Calendar("2026-01-10")
    async with keeping(state, clock=clock) as box:
        month = await january(box, clock)
        leaves, mode, data = pages_of_rows(month), month.stat().st_mode, bytearray(month.read_bytes())
        at = 4096 * leaves[len(leaves) // 2] + 512 * sector
        data[at : at + 512] = random.Random(sector).randbytes(512) if noise else bytes(512)
        month.chmod(0o640)
        month.write_bytes(data)
        month.chmod(mode)
        done = await box.ask("salvage_month", month="2026-01")
        filed = PARTS - HELD
        assert done["rows"] >= filed - 10 and done["rows"] + done["lost"] == filed
        assert set(await seen_by_the_page(box)) <= set(range(1, PARTS + 1))


async def test_what_a_start_that_was_ended_left_half_written_is_no_hindrance_and_in_nothing(state, monkeypatch):
    keep_few(monkeypatch)
    clock = Calendar("2026-01-10")
    async with keeping(state, clock=clock) as box:
        month = await january(box, clock, 20)
        scribble(month, pages_of_rows(month)[:1])
        for end in ("", "-journal"):
            (state / f".{month.name}.new{end}").write_bytes(random.Random(7).randbytes(5000))
        done = await box.ask("salvage_month", month="2026-01")
        assert fault_of(month) is None and len(await seen_by_the_page(box)) == done["rows"] + HELD
        assert not list(state.glob(".*.new*"))


@pytest.mark.parametrize("lost", [False, True])
async def test_what_the_plc_was_told_before_comes_back_with_its_row_and_where_it_is_lost_the_row_alone(
    state, monkeypatch, lost
):
    keep_few(monkeypatch)
    clock = Calendar("2026-01-10")
    async with keeping(state, clock=clock) as box:
        await box.part(1)
        again = await box.results.refuse(Refusal(1, 1001, Reason.LINK_LOST, time.monotonic(), has_row=True))
        await box.results.stamp(again, told(again))
        for seq in range(2, PARTS):
            await box.part(seq)
        await box.written()
        clock.date = "2026-02-10"
        await file_all(box.filing)
        month = state / "results-2026-01.db"
        async with reading(state / "results.db") as history:
            before = await history.earlier_deliveries(1)
        leaves, table = pages_of_rows(month), root_of(month, "earlier_deliveries")
        scribble(month, [leaves[len(leaves) // 2], *([table - 1] if lost else [])])
        done = await box.ask("salvage_month", month="2026-01")
        async with reading(state / "results.db") as history:
            assert await history.earlier_deliveries(1) == ([] if lost else before) and len(before) == 1
            assert 1 in await numbers(history) and done["rows"] >= PARTS - 40


def root_of(path: Path, table: str) -> int:
    """The number of a table's first page, from 1."""
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    found = int(db.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).get)
    db.close()
    return found

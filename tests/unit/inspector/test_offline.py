"""Offline by a person: who asked last has the say, on the disk as in the registers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from inspector.control import ControlError
from inspector.controls import Controls
from inspector.core.clock import SystemClock
from inspector.core.errors import StoreError
from inspector.stations import _taken_offline
from inspector.store.results import SqliteResults
from tests.support.store import store


def controls_of(results: SqliteResults) -> tuple[Any, Controls, Any]:
    """A station as Controls sees it; what its handshake was told is in `held`."""
    held: list[bool] = []
    station = SimpleNamespace(
        section=SimpleNamespace(id="st1"), shared=SimpleNamespace(journal=results._journal, clock=SystemClock()),
        port=SimpleNamespace(handshake=SimpleNamespace(hold_offline=lambda offline, now_s: held.append(offline))),
        warn=lambda: None, offline_by="", held=held,
    )  # fmt: skip
    dry_run: Any = SimpleNamespace(abort=lambda why: asyncio.sleep(0))
    return station, Controls([station], dry_run), dry_run


def kept(results: SqliteResults) -> Any:
    return results._journal.offline.recall("st1", "daemon", 1)


async def test_who_takes_a_station_offline_while_another_brings_it_back_has_the_say(tmp_path: Path) -> None:
    async with store(tmp_path / "results.db") as results:
        station, controls, dry_run = controls_of(results)
        do = controls.handlers()
        await do["offline"]({}, "Ida")

        async def meanwhile(_: str) -> None:
            await do["offline"]({}, "Max")

        dry_run.abort = meanwhile
        with pytest.raises(ControlError, match="stays Offline: Max"):
            await do["online"]({}, "Ida")
        assert station.held == [True, True] and station.offline_by == "Max" and kept(results).actor == "Max"

        dry_run.abort = lambda why: asyncio.sleep(0)
        online = asyncio.create_task(do["online"]({}, "Max"))
        while not controls._writing.locked():  # noqa: ASYNC110 - the other task gets there
            await asyncio.sleep(0)
        await do["offline"]({}, "Ida")
        with pytest.raises(ControlError, match="stays Offline: Ida"):
            await online
        assert False not in station.held and kept(results).actor == "Ida"
        await do["online"]({}, "Ida")
        assert station.held[-1] is False and station.offline_by == "" and kept(results) is None


async def test_a_record_that_cannot_be_written_keeps_nobody_from_offline_and_lets_nobody_online(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with store(tmp_path / "results.db") as results:
        station, controls, _ = controls_of(results)
        do, book = controls.handlers(), results._journal.offline

        def full(*_: object) -> None:
            raise StoreError("the disk is full")

        monkeypatch.setattr(book, "take", full)
        with pytest.raises(ControlError, match="is Offline now, but will not be so after a restart: the disk is full"):
            await do["offline"]({}, "Ida")
        assert station.held == [True] and station.offline_by == "Ida"
        monkeypatch.setattr(book, "give_back", full)
        with pytest.raises(ControlError, match="stays Offline: the disk is full"):
            await do["online"]({}, "Ida")
        assert station.held == [True] and station.offline_by == "Ida"


async def test_a_start_on_a_full_disk_asks_for_nobodys_hand_unless_somebody_had_taken_the_station(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held for a person, it would not come back by itself when there is room again."""
    async with store(tmp_path / "results.db") as results:
        journal, book = results._journal, results._journal.offline
        await journal.call(book.take, "st2", "Ida", 1)

        def full() -> None:
            raise StoreError("the disk is full")

        monkeypatch.setattr(journal._database, "transaction", full)
        assert await journal.call(book.recall, "st1", "inspector", 2) is None
        with pytest.raises(StoreError, match="the disk is full"):
            await journal.call(book.recall, "st2", "inspector", 2)


async def test_a_start_that_cannot_read_who_took_a_station_offline_keeps_it_offline(tmp_path: Path) -> None:
    async with store(tmp_path / "results.db") as results:
        journal: Any = results._journal
        shared: Any = SimpleNamespace(journal=journal, store=SimpleNamespace(call=journal.call))
        section: Any = SimpleNamespace(id="st1")
        assert await _taken_offline(section, shared, 1) is None
        journal._database.close()
        assert await _taken_offline(section, shared, 1) is not None

"""What the configuration says is what the daemon does: the real process, asked by PLC, page and disk."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw
import pytest

from inspector.compose import open_box
from inspector.config import load_config
from inspector.control import connect_control
from inspector.core.checksum import checksum_of
from inspector.demo.parts import Kind, kind_of
from inspector.health import EXIT_HUNG
from inspector.web.alarm_views import alarm_view
from plc.registers import OfflineReason, Status2
from plc.sim import SimPlc
from tests.support.alarms import action_of
from tests.support.disks import quick_folder
from tests.support.station import PATIENT, PATIENT_LINK, START_S, station_text
from tests.support.tiny_bundle import make_bundle, make_key, tiny_manifest, trusted_key

pytestmark = [pytest.mark.system, pytest.mark.slow]

KEY = make_key()
GOOD = [p for p in range(1, 60) if kind_of(p) is Kind.GOOD]
BUNDLE = """
[bundle]
file = "{folder}/tiny.bundle"
trusted_keys = ["{key}"]

[[recipes]]
name = "disc"
"""


def configured(folder: Path, port: int | None, link: str = PATIENT_LINK) -> str:
    return station_text(
        folder / "state", folder / "run", port, link=link, station='recipes = { 5 = "disc" }',
        more=BUNDLE.format(folder=folder, key=trusted_key(KEY).raw.hex()),
    )  # fmt: skip


def station(folder: Path, port: int, more: str, *, bundle: bool = True) -> Path:
    """The configuration of a station in `folder`. bundle: write its file where there is none."""
    if bundle and not (folder / "tiny.bundle").exists():
        make_bundle(folder / "tiny.bundle", KEY)
    config = folder / "station.toml"
    config.write_text(configured(folder, port) + more)
    return config


class Running:
    def __init__(self, folder: Path, sim: SimPlc, process: asyncio.subprocess.Process) -> None:
        self.folder, self.sim, self.process = folder, sim, process

    async def status(self) -> Mapping[str, Any]:
        async with connect_control(self.folder / "run" / "control.sock", "test") as control:
            return await control.status()

    async def not_ready(self, reason: OfflineReason, text: str) -> Mapping[str, Any]:
        """Wait until PLC and page both say so; returns the alarm that says why."""
        async with asyncio.timeout(START_S):
            while self.sim.stat()["OFFLINE_REASON"] != reason:
                await self.sim.idle_for(0.05)
        status = await self.status()
        assert not status["ready"] and status["offline_reason"] == reason
        assert not await self.sim.wait_ready(0.3) and self.process.returncode is None
        found = [a for a in status["alarms"] if text in a["cause"]]
        assert found, status["alarms"]
        return found[0]


@asynccontextmanager
async def daemon(folder: Path, more: str = "", *, bundle: bool = True) -> AsyncIterator[Running]:
    """The daemon on the folder's station, with a simulated PLC."""
    sim = SimPlc(PATIENT)
    await sim.start()
    config = station(folder, sim.port, more, bundle=bundle)
    try:
        with (folder / "daemon.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "inspector", "run", str(config), stdout=log, stderr=log
            )
        try:
            yield Running(folder, sim, process)
        finally:
            if process.returncode is None:
                process.terminate()
            async with asyncio.timeout(START_S):
                await process.wait()
    finally:
        await sim.close()


def kept(folder: Path) -> list[Path]:
    return sorted((folder / "state" / "pictures").rglob("*.png"))


async def until_kept(folder: Path, count: int) -> None:
    async with asyncio.timeout(START_S):
        while len(kept(folder)) < count:  # noqa: ASYNC110 - another process writes them
            await asyncio.sleep(0.05)


async def test_the_plc_is_told_recipe_model_rev_and_the_checksum_of_what_judges(tmp_path):
    stricter = "limits = { min_confidence = 0.9 }\n"
    for limits, expected in (("", 1), (stricter, 2), (stricter, 2)):
        async with daemon(tmp_path, limits) as running:
            (result,) = await running.sim.play(GOOD[:1])
            stat = running.sim.stat()
            limits_told = (await running.status())["limits"]
        assert result.verdict == "good"
        db = apsw.Connection(str(tmp_path / "state" / "results.db"))
        (row,) = db.execute("SELECT recipe, recipe_revision, model_rev FROM inspections ORDER BY no DESC LIMIT 1")
        settings = db.execute("SELECT settings FROM model_revs WHERE model_rev = ?", (row[2],)).get
        db.close()
        assert row == (5, expected, expected)
        assert (stat["ACTIVE_RECIPE"], stat["RECIPE_USED"], stat["MODEL_REV"]) == (5, 5, expected)
        assert stat["SETTINGS_CHECKSUM"] == checksum_of(settings)
        assert (limits_told["recipe"], limits_told["recipe_revision"]) == (5, expected)


async def test_a_limit_outside_the_signed_range_is_not_ready_and_the_daemon_keeps_running(tmp_path):
    async with daemon(tmp_path, "limits = { min_confidence = 0.2 }\n") as running:
        alarm = await running.not_ready(OfflineReason.CONFIGURATION, "limits.min_confidence = 0.2")
        assert "0.6 to 0.99" in alarm["cause"] and "[[recipes]]" in action_of(alarm)
        assert running.sim.stat()["ACTIVE_RECIPE"] == 0
        before = running.sim.stat()["HEARTBEAT"]
        await running.sim.idle_for(0.5)
        assert running.sim.stat()["HEARTBEAT"] != before


async def test_a_bundle_file_that_is_gone_is_not_ready_and_ready_again_when_it_is_back(tmp_path):
    async with daemon(tmp_path) as running:
        assert await running.sim.wait_ready(START_S)
    (tmp_path / "tiny.bundle").rename(tmp_path / "away")
    async with daemon(tmp_path, bundle=False) as running:
        alarm = await running.not_ready(OfflineReason.MODEL, "No such file")
        assert "tiny-1-" in alarm["cause"] and "put its file back" in action_of(alarm)
    (tmp_path / "away").rename(tmp_path / "tiny.bundle")
    async with daemon(tmp_path) as running:
        assert await running.sim.wait_ready(START_S)


async def test_less_room_than_the_store_asks_for_is_not_ready_and_says_how_much_is_there():
    with quick_folder() as folder:
        need = shutil.disk_usage(folder).free // 2**20 + 500
        if need > 100_000:
            pytest.skip("this disk is larger than min_free_mb may ask for")
        async with daemon(folder, f"\n[store]\nmin_free_mb = {need}\n") as running:
            alarm = await running.not_ready(OfflineReason.STORAGE, f"{need} MB are needed")
            assert "MB free" in alarm["cause"] and "by itself" in action_of(alarm)
            assert running.sim.stat()["ERROR_CODE"] == 112


@pytest.mark.parametrize(("share", "pictures"), [(0.0, 0), (1.0, 3)])
async def test_the_share_of_passes_that_is_kept_is_the_configured_one(tmp_path, share, pictures):
    async with daemon(tmp_path, f"\n[archive]\npass_share = {share}\n") as running:
        results = await running.sim.play(GOOD[:3])
        await until_kept(tmp_path, pictures)
    assert [r.verdict for r in results] == ["good"] * 3
    assert len([p for p in kept(tmp_path) if p.parts[-3] == "pass"]) == pictures


async def test_the_archive_stays_within_its_configured_size_and_the_newest_stay(tmp_path):
    async with daemon(tmp_path, "\n[archive]\npass_share = 1\nmax_gb = 0.0003\n") as running:
        await running.sim.play(GOOD[:6])
    found = kept(tmp_path)
    assert 0 < sum(p.stat().st_size for p in found) <= 300_000
    assert found[-1].stem == "0000000006" and len(found) < 6


async def test_pictures_stop_where_less_is_free_than_the_archive_leaves_and_the_line_goes_on(tmp_path):
    free_gb = shutil.disk_usage(tmp_path).free // 10**9 + 5
    async with daemon(tmp_path, f"\n[archive]\npass_share = 1\nmin_free_gb = {free_gb}\n") as running:
        assert [r.verdict for r in await running.sim.play(GOOD[:2])] == ["good"] * 2
        async with asyncio.timeout(START_S):
            while "archive" not in [a["id"] for a in (await running.status())["alarms"]]:
                await running.sim.idle_for(0.1)
        assert (await running.status())["ready"]
    assert kept(tmp_path) == []


@pytest.mark.parametrize(("max_age_s", "ready"), [(3, False), (10, True)])
async def test_a_part_may_be_out_of_sight_for_as_long_as_configured(tmp_path, max_age_s, ready):
    config = station(tmp_path, 9, f"\n[health]\nmax_age_s = {max_age_s}\n")
    async with open_box(load_config(config)) as box:
        running = box.stations[0]
        for part in ("camera", "model", "store"):
            running.health.ok(part)
        assert running.health.state().ready
        await asyncio.sleep(3.2)
        assert running.health.state().ready is ready


async def test_the_plc_is_told_whether_the_clock_is_kept_and_ready_does_not_depend_on_it(tmp_path):
    async with open_box(load_config(station(tmp_path, 9, ""))) as box:
        (running,) = box.stations
        for part in ("camera", "model", "store"):
            running.health.ok(part)
        for unsynced in (True, False, True):
            box.shared.clock_unsynced = lambda unsynced=unsynced: unsynced
            running.tell_health()
            assert bool(running.port.handshake.stat["STATUS2"] & Status2.CLOCK_UNSYNCED) is unsynced
            assert running.health.state().ready


_HANGING = """
import asyncio, sys, time
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from inspector import compose
from inspector.config import load_config
from inspector.logs import log_json
log_json()
real = compose.open_box
@asynccontextmanager
async def hanging(cfg):
    async with real(cfg) as box:
        box.stations[0].station.judge.model._thread.submit(time.sleep, 60)  # a call that does not come back
        print("open", flush=True)
        yield box
compose.open_box = hanging
asyncio.run(compose.run(load_config(Path(sys.argv[1]))))
"""


@pytest.mark.parametrize(("hang_after_s", "ends"), [(2, True), (10, False)])
async def test_a_thread_that_hangs_ends_the_process_after_the_configured_time(tmp_path, hang_after_s, ends):
    config = station(tmp_path, 9, f"\n[health]\nhang_after_s = {hang_after_s}\n")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _HANGING, str(config), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    assert process.stdout is not None
    try:
        assert await process.stdout.readline() == b"open\n"
        async with asyncio.timeout(START_S if ends else 6):
            await process.wait()
    except TimeoutError:
        pass
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
    assert process.returncode == (EXIT_HUNG if ends else -9)


async def test_a_bundle_built_without_negatives_stands_on_the_page_as_an_alarm_with_what_to_do(tmp_path: Path) -> None:
    training = replace(tiny_manifest().training, no_negatives=True)
    make_bundle(tmp_path / "tiny.bundle", KEY, training=training)
    async with daemon(tmp_path) as running:
        assert await running.sim.wait_ready(START_S)
        alarm = next(a for a in (await running.status())["alarms"] if a["id"] == "negatives")
        assert alarm["cause"] == "the bundle was built without golden negatives"
        shown = alarm_view(alarm)
        assert "empty belt" in shown["consequence"] and "golden negatives" in shown["action"]

"""Each figure of the box has a limit, a trend and an alarm; and nothing that blocks is ever waited for by the line."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from inspector.backup import shelf
from inspector.config import AppConfig
from inspector.core.alarm_kinds import Kind
from inspector.core.errors import CameraTimeout, FrameError
from inspector.health import Health
from inspector.office.certificate import ensure_own
from inspector.threads import DeviceThread
from inspector.upkeep import gauges, trends, watch
from inspector.upkeep.measures import ALARMS, FAULTS, Measure, problem_of
from inspector.upkeep.section import UpkeepConfig
from inspector.upkeep.trends import TrendBook, Trends
from inspector.upkeep.watch import LostFrames, Upkeep
from plc.registers import Reason
from tests.support.box import configure
from tests.support.clock import SimClock
from tests.support.patience import LONG_S

HOUR = 3600.0


@dataclass
class Tended:
    health: Health
    name: str = "st1"
    lost: int = 0
    camera_c: float | None = 41.0
    light: dict[str, float] | None = field(default_factory=lambda: {"zone view: brightness": 0.5})

    def figures(self) -> tuple[int, float | None, dict[str, float] | None]:
        return self.lost, self.camera_c, self.light


class Going(SimClock):
    """Both of its times go on together."""

    def utc_s(self) -> float:
        return 1_700_000_000.0 + self.now_s


@pytest.fixture
def clock() -> SimClock:
    return Going()


@pytest.fixture
def cfg(tmp_path: Path) -> AppConfig:
    (tmp_path / "box" / "state").mkdir(parents=True)
    return configure(tmp_path / "box", tmp_path / "stick").cfg


@pytest.fixture
def tended(clock: SimClock) -> Tended:
    return Tended(Health(clock))


@pytest.fixture
def upkeep(cfg: AppConfig, clock: SimClock, tended: Tended) -> Iterator[Upkeep]:
    book = TrendBook(cfg.paths.state / trends.FILE)
    made = Upkeep(cfg, clock, [tended], book, DeviceThread("upkeep"), DeviceThread("backups"))
    yield made
    made.close()


OF_FILES = {Kind.BROKEN_ACCOUNTS.key, Kind.BROKEN_MONTH.key}


def alarms(tended: Tended) -> dict[str, str]:
    return {a.id: a.cause for a in tended.health.state().alarms if a.id in {*ALARMS, *OF_FILES}}


@pytest.mark.parametrize("kind", list(ALARMS))
def test_every_alarm_says_the_figure_and_its_limit(kind: str) -> None:
    low_side = kind in ("disk_free", "inodes_free", "certificate_page")
    bad = Measure(kind, 3.0 if low_side else 70.0, "x", low=5.0 if low_side else None, high=None if low_side else 50.0)
    text = str(problem_of(bad))
    assert ("3" if low_side else "70") in text and ("5" if low_side else "50") in text
    assert problem_of(replace(bad, value=6.0 if low_side else 49.0)) is None
    assert problem_of(replace(bad, value=None)) is None and replace(bad, value=None).state == "unknown"
    assert replace(bad, value=float("nan")).state == "unknown"


def test_what_cannot_be_had_stands_in_the_place_of_what_is_too_much() -> None:
    for key, kind in FAULTS.items():
        assert kind.place == ALARMS[key].place
        assert "gone" in str(problem_of(Measure(key, None, "x", fault="gone")))


async def test_a_box_that_is_well_has_no_alarm_and_a_value_for_each_figure(
    upkeep: Upkeep, tended: Tended, clock: SimClock, cfg: AppConfig
) -> None:
    (cfg.backup.folder or Path()).joinpath(shelf.name_of(int(clock.utc_s() * 1000), encrypted=False)).write_bytes(b"x")
    await upkeep.look()
    assert alarms(tended) == {}
    kinds = {m.kind: m.state for m in upkeep.measures}
    assert kinds["disk_free"] == kinds["frames_lost"] == kinds["camera_temp"] == kinds["backup_age"] == "ok"


async def test_lost_pictures_and_a_hot_camera_are_alarms_while_they_last(upkeep: Upkeep, tended: Tended) -> None:
    tended.lost, tended.camera_c = 11, 71.0
    await upkeep.look()
    assert {"frames_lost", "camera_temp"} <= set(alarms(tended)) and "71 °C" in alarms(tended)["camera_temp"]
    tended.lost, tended.camera_c = 10, None
    await upkeep.look()
    assert not {"frames_lost", "camera_temp"} & set(alarms(tended))


async def test_accounts_that_were_set_aside_are_an_alarm_until_somebody_takes_them_away(
    cfg: AppConfig, upkeep: Upkeep, tended: Tended
) -> None:
    broken = cfg.paths.office_folder / "office.broken-20261126T080000Z.db"
    broken.parent.mkdir(parents=True, exist_ok=True)
    broken.touch()
    await upkeep.look()
    assert broken.name in alarms(tended)["broken_accounts"]
    broken.unlink()
    await upkeep.look()
    assert "broken_accounts" not in alarms(tended)


async def test_a_damaged_month_is_an_alarm(cfg: AppConfig, upkeep: Upkeep, tended: Tended) -> None:
    month = cfg.paths.state / "results-2026-05.db"
    month.parent.mkdir(parents=True, exist_ok=True)
    month.write_bytes(b"noise" * 1000)
    await upkeep.look()
    assert month.name in alarms(tended)["broken_month"]


async def test_a_month_that_others_found_damaged_or_that_was_set_aside_is_an_alarm_too(
    cfg: AppConfig, upkeep: Upkeep, tended: Tended
) -> None:
    aside = cfg.paths.state / "results-2026-04.broken-20260501T000000Z.db"
    aside.touch()
    upkeep._damaged = lambda: ["results-2026-05.db"]
    await upkeep.look()
    assert alarms(tended)["broken_month"].endswith(f": results-2026-05.db, {aside.name}")
    aside.unlink()
    upkeep._damaged = tuple
    await upkeep.look()
    assert "broken_month" not in alarms(tended)


def test_only_what_the_camera_did_not_give_counts_as_lost_and_only_for_an_hour() -> None:
    lost = LostFrames()
    for error in (CameraTimeout("late"), None, FrameError(Reason.IMAGE_QUALITY, "dark"), CameraTimeout("late")):
        lost.saw(error, 100.0)
    assert lost.within_an_hour(100.0 + HOUR - 1) == 2 and lost.within_an_hour(100.0 + HOUR) == 0


async def test_a_stick_that_was_pulled_is_an_alarm(
    upkeep: Upkeep, tended: Tended, cfg: AppConfig, clock: SimClock
) -> None:
    os.rmdir(cfg.backup.folder or "")
    await upkeep.look()
    assert "cannot be read: No such file" in alarms(tended)["backup_age"]


async def test_an_old_backup_none_at_all_and_one_of_the_future_are_alarms(
    upkeep: Upkeep, tended: Tended, cfg: AppConfig, clock: SimClock
) -> None:
    folder, now = cfg.backup.folder or Path(), int(clock.utc_s() * 1000)
    await upkeep.look()
    assert "there is no backup" in alarms(tended)["backup_age"]
    (folder / shelf.name_of(now - 49 * 3_600_000, encrypted=False)).write_bytes(b"x")
    (folder / shelf.name_of(now + 9 * 86_400_000, encrypted=False)).write_bytes(b"x")
    await upkeep.look()
    assert "49 hours old, 48" in alarms(tended)["backup_age"]


async def test_a_network_folder_that_hangs_holds_up_nobody_and_is_an_alarm(
    upkeep: Upkeep, tended: Tended, clock: SimClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()

    def hangs(*_: Any) -> Any:
        gate.wait(LONG_S)
        raise OSError(116, "Stale file handle")

    monkeypatch.setattr("inspector.upkeep.gauges.shelf.kept_in", hangs)
    monkeypatch.setattr(watch, "MOMENT_S", 0.01)
    for _ in range(8):  # while the folder hangs
        await upkeep.look()
        clock.now_s += watch.EVERY_S
    assert not gate.is_set() and "gives no answer" in alarms(tended)["backup_age"]
    gate.set()
    while not (upkeep._asked and upkeep._asked[0].done()):  # noqa: ASYNC110 - a state
        await asyncio.sleep(0.005)
    await upkeep.look()
    assert "Stale file handle" in alarms(tended)["backup_age"]


async def test_a_bug_in_here_is_an_alarm_and_the_line_goes_on(
    upkeep: Upkeep, tended: Tended, clock: SimClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inspector.upkeep.gauges.disk", lambda _: [1 / 0])
    watching = asyncio.create_task(upkeep.run_forever())
    while not any(a.id == "upkeep" for a in tended.health.state().alarms):  # noqa: ASYNC110 - a state
        await asyncio.sleep(0.005)
    monkeypatch.undo()
    while any(a.id == "upkeep" for a in tended.health.state().alarms):  # noqa: ASYNC110 - a state
        await asyncio.sleep(0.005)
    watching.cancel()
    await asyncio.wait([watching])


def test_a_page_without_tls_has_no_certificate_and_says_so(cfg: AppConfig) -> None:
    (none,) = gauges.certificates(cfg)
    assert (none.kind, none.state, none.text) == ("certificate_page", "off", "no_tls") and problem_of(none) is None


@pytest.mark.parametrize(("light", "state", "text"), [(None, "off", "no_zones"), ({}, "unknown", "few_pictures")])
async def test_light_and_focus_have_a_line_though_no_zone_is_configured_or_none_was_seen_yet(
    upkeep: Upkeep, tended: Tended, light: dict[str, float] | None, state: str, text: str
) -> None:
    tended.light = light
    await upkeep.look()
    (found,) = [m for m in upkeep.measures if m.kind == "light"]
    assert (found.key, found.state, found.text) == ("light.st1", state, text)


def test_a_certificate_is_watched_before_and_after_its_end(cfg: AppConfig) -> None:
    secure = cfg.model_copy(update={"web": cfg.web.model_copy(update={"tls": True})})
    (missing,) = gauges.certificates(secure)
    assert missing.state == "unknown" and "cannot be read" in missing.text
    now = datetime.now(UTC)
    old = os.umask(0o077)
    try:
        pair = ensure_own(cfg.paths.office_folder, [], now)
    finally:
        os.umask(old)
    assert pair.certificate.stat().st_mode & 0o044 == 0o044, "the daemon is another user"
    assert pair.key.stat().st_mode & 0o077 == 0
    for days, state in ((0, "ok"), (794, "ok"), (796, "alarm"), (900, "alarm")):
        (found,) = gauges.certificates(secure, now + timedelta(days=days))
        assert found.state == state
    assert (found.value or 0) < -70 and "ends in -7" in str(problem_of(found))
    pair.certificate.write_text("scribbled over")
    (broken,) = gauges.certificates(secure, now)
    assert "not a certificate" in str(problem_of(broken))


def test_a_full_disk_is_told_below_what_pictures_give_way_for(cfg: AppConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(_: Path) -> Any:
        return os.statvfs_result((4096, 4096, 10_000_000, 0, 100_000, 1000, 0, 30, 0, 255))

    monkeypatch.setattr("inspector.upkeep.gauges.os.statvfs", asked)
    room, inodes = gauges.disk(cfg)
    assert (room.value, room.state) == (0.41, "alarm") and (inodes.value, inodes.state) == (3.0, "alarm")


def test_a_processor_without_a_sensor_is_unknown_and_no_alarm(tmp_path: Path) -> None:
    assert gauges.cpu(UpkeepConfig(), tmp_path).state == "unknown"


# -- trends ------------------------------------------------------------------------------------------------------------


def book_of(path: Path, values: list[float], key: str = "cpu_temp", begin_ms: int = 0) -> TrendBook:
    book = TrendBook(path)
    for n, value in enumerate(values):
        book.put([Measure(key, value, "celsius", high=90)], begin_ms + n * 60_000)
    return book


def test_a_week_of_minutes_and_a_quarter_of_hours_are_kept_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trends, "MINUTES", 90)
    monkeypatch.setattr(trends, "HOURS", 3)
    book_of(tmp_path / "h.db", [float(n) for n in range(1, 301)]).close()
    kept = Trends(tmp_path / "h.db")
    assert [v for _, v in kept.series("cpu_temp", "week")] == [float(n) for n in range(211, 301)]
    assert [v for _, v in kept.series("cpu_temp", "quarter")] == [150.5, 210.5, 270.5]
    (now,) = kept.newest()
    assert now.measure == Measure("cpu_temp", 300.0, "celsius", high=90.0) and now.utc_ms == 299 * 60_000


def test_a_trend_goes_on_after_a_restart_and_a_clock_that_jumps_makes_it_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trends, "MINUTES", 10)
    book_of(tmp_path / "h.db", [1.0] * 8).close()
    book_of(tmp_path / "h.db", [2.0] * 8, begin_ms=10 * 365 * 86_400_000).close()
    book_of(tmp_path / "h.db", [3.0] * 4).close()
    assert sorted(v for _, v in Trends(tmp_path / "h.db").series("cpu_temp", "week")) == [2.0] * 6 + [3.0] * 4


def test_figures_that_nobody_gives_any_more_go_once_there_are_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trends, "MOST_KEYS", 3)
    book = TrendBook(tmp_path / "h.db")
    for n in range(1, 61 * 5):
        book.put([Measure(f"light.st1.zone{n // 61}", 50.0, "percent")], n * 60_000)
    book.close()
    kept = Trends(tmp_path / "h.db")
    assert [bool(kept.series(f"light.st1.zone{n}", "week")) for n in range(5)] == [False, False, True, True, True]


def test_a_damaged_file_of_trends_is_begun_anew(tmp_path: Path) -> None:
    file = tmp_path / "h.db"
    file.write_bytes(b"scribbled over" * 1000)
    book = book_of(file, [1.0, 2.0])
    book.close()
    assert [v for _, v in Trends(file).series("cpu_temp", "day")] == [2.0]


def test_a_disk_that_takes_no_trend_stops_nothing(tmp_path: Path) -> None:
    book = TrendBook(tmp_path / "gone" / "h.db")
    for n in range(3):
        book.put([Measure("cpu_temp", 1.0, "celsius")], n)
    book.close()
    assert Trends(tmp_path / "gone" / "h.db").newest() == []

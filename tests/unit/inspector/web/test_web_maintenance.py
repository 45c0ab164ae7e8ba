"""/maintenance: each figure with limit, course and state in word and shape; backups; the support bundle."""

from __future__ import annotations

import io
import json
import os
import re
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from inspector.backup import shelf
from inspector.backup.places import wanted_file
from inspector.office.person import Role
from inspector.store import audit
from inspector.store.regain import own_folder
from inspector.support.bundle import support_file
from inspector.upkeep import gauges
from inspector.upkeep.measures import ALARMS, Measure
from inspector.upkeep.trends import FILE, TrendBook
from inspector.web import maintenance
from inspector.web.maintenance import limit_of, name_of, scale_of, spark_of, trend_view
from inspector.web.site import Site
from inspector.web.words import LANGUAGES, has_word, speaking
from tests.support.office import make_hashes_cheap
from tests.support.page import site_in
from tests.support.patience import LONG_S
from tests.support.visitors import HTML, people_of

UPKEEP = Path(gauges.__file__).parent
GAUGES = "".join((UPKEEP / name).read_text() for name in ("gauges.py", "watch.py"))
DISK = Measure("disk_free", 41.2, "gb", low=0.5)
HOT = Measure("cpu_temp", 97.0, "celsius", high=90)
GONE = Measure("backup_age", None, "hours", high=48, fault="the folder of backups /mnt/stick cannot be read")
LIGHT = Measure("light.st1.zone lamp: sharpness", 48.0, "percent", low=25, high=75)
NEVER = Measure("clock_free", None, "hours", high=24, off=True, text="no_service")


def write(folder: Path, *measures: Measure, minutes: int = 30, age_s: float = 0) -> None:
    book, now = TrendBook(folder / FILE), int((time.time() - age_s) * 1000)
    for n in range(minutes):
        book.put(measures, now - (minutes - 1 - n) * 60_000)
    book.close()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    make_hashes_cheap(monkeypatch)
    (tmp_path / "run").mkdir()
    (tmp_path / "stick").mkdir()
    made = site_in(tmp_path / "run", backups=tmp_path / "stick", config={"stations": [{"id": "st1"}]})
    yield made
    made.close()


async def test_each_figure_has_its_value_limit_course_and_state(site: Site) -> None:
    write(site.settings.results_db.parent, DISK, HOT, GONE, LIGHT, NEVER)
    async with people_of(site, [[Role.OPERATOR]]) as (operator,):
        text = (await operator.get("/maintenance", headers=HTML)).text
        for shown in (
            "41.2\N{NO-BREAK SPACE}GB",
            "at least 0.50",
            "97\N{NO-BREAK SPACE}°C",
            "at most 90",
            "Focus between its limits, zone",
        ):
            assert shown in text
        assert text.count('data-state="alarm"') == 2 and "cannot be read" in text
        assert (
            'href="#mark-alarm"' in text
            and "Not in use" in text
            and "No time service ever kept" in text
            and text.count("<polyline") == 3
        )
        shown = await operator.get("/maintenance?trend=disk_free&span=week", headers=HTML)
        assert 'id="plot"' in shown.text and "Back up now" not in shown.text and "support.zip" not in shown.text
        early = (await operator.get("/maintenance?trend=disk_free&span=quarter", headers=HTML)).text
        assert "No values yet" in early and 'id="plot"' not in early, "no empty card"
        no_sensor = (await operator.get("/maintenance?trend=clock_free", headers=HTML)).text
        assert no_sensor.count("No time service ever kept") == 2 and 'id="plot"' not in no_sensor
        odd = await operator.get("/maintenance?trend=%3Cscript%3E&span=x", headers=HTML)
        assert odd.status_code == 200 and 'id="plot"' not in odd.text


async def test_figures_that_nobody_renews_are_old_and_no_state_is_claimed(site: Site) -> None:
    write(site.settings.results_db.parent, DISK, HOT, age_s=600)
    async with people_of(site, [[Role.OPERATOR]]) as (operator,):
        text = (await operator.get("/maintenance", headers=HTML)).text
        assert "these figures are old" in text and text.count('data-state="unknown"') == 2
        assert 'data-state="ok"' not in text and 'data-state="alarm"' not in text


async def test_a_box_that_has_written_nothing_and_one_whose_file_is_damaged_say_so(site: Site) -> None:
    async with people_of(site, [[Role.OPERATOR]]) as (operator,):
        assert "not written any figures yet" in (await operator.get("/maintenance", headers=HTML)).text
        (site.settings.results_db.parent / FILE).write_bytes(b"scribbled over" * 1000)
        assert "cannot be read now" in (await operator.get("/maintenance", headers=HTML)).text


async def test_maintenance_asks_for_a_backup_and_sees_what_came_of_it(site: Site, tmp_path: Path) -> None:
    async with people_of(site, [[Role.MAINTENANCE], [Role.QUALITY]]) as (fitter, quality):
        assert (await quality.submit("/maintenance/backup")).status_code == 403
        assert not wanted_file(site.settings.office).exists()
        assert (await fitter.submit("/maintenance/backup")).status_code == 303
        assert wanted_file(site.settings.office).read_text() == "p0\n"
        newest = (await site.office.read(audit.newest, None, 1))[0]
        assert (newest.actor, newest.action) == ("p0", "backup.asked")
        assert "was asked for" in (await fitter.get("/maintenance", headers=HTML)).text
        os.utime(wanted_file(site.settings.office), (1, 1))
        assert "nobody takes it" in (await fitter.get("/maintenance", headers=HTML)).text
        await fitter.submit("/maintenance/backup")
        assert "nobody takes it" in (await fitter.get("/maintenance/backups")).text, "whoever presses again"
        wanted_file(site.settings.office).unlink()
        name = shelf.name_of(int(time.time() * 1000), encrypted=True)
        (tmp_path / "stick" / name).write_bytes(b"x" * 3_100_000)
        own = own_folder(site.settings.results_db.parent)
        own.mkdir()
        (own / "last.json").write_text('{"ok": false, "utc_ms": 1790000000000, "text": "the disk is full"}')
        text = (await fitter.get("/maintenance", headers=HTML)).text
        assert name in text and "3.1 MB" in text and "failed: the disk is full" in text
        (tmp_path / "stick" / name).unlink()
        (tmp_path / "stick").rmdir()
        assert "cannot be read: No such file" in (await fitter.get("/maintenance", headers=HTML)).text


async def test_the_support_bundle_is_for_maintenance_and_leaves_no_file_behind(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "support_file", lambda sources: support_file(sources, tmp_path))
    async with people_of(site, [[Role.MAINTENANCE], [Role.QUALITY]]) as (fitter, quality):
        assert (await quality.get("/maintenance/support.zip")).status_code == 403
        answer = await fitter.get("/maintenance/support.zip")
        assert answer.headers["content-type"] == "application/zip"
        with zipfile.ZipFile(io.BytesIO(answer.content)) as bundle:
            assert {"config.json", "rows.csv", "daemon.log"} <= set(bundle.namelist())
            assert '"st1"' in bundle.read("config.json").decode()
        newest = (await site.office.read(audit.newest, None, 1))[0]
        assert (newest.actor, newest.action) == ("p0", "support.asked"), "it takes lots and serials off the box"
    assert [name for name in os.listdir(tmp_path) if "support" in name] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_figure_has_a_name_and_every_unit_a_word(language: str) -> None:
    with speaking(language):
        kinds = [*ALARMS, "certificate_link", "certificate_ca"]
        names = [name_of(Measure(f"{kind}.x", 1.0, "gb")) for kind in kinds]
        assert len(set(names)) == len(kinds) and not any("_" in name for name in names)
        assert name_of(LIGHT) != LIGHT.key and "lamp" in name_of(LIGHT)
        assert {"en": "between its limits", "zh": "在上下限之间"}[language] in name_of(LIGHT), "of what it is a share"
        of_bundle = name_of(Measure("light.st1.zone top_left: sharpness", 50.0, "percent"))
        assert "top_left" not in of_bundle, "as the alarm calls it"
        assert all(has_word(f"measure.note.{key}") for key in re.findall(r'"((?:no|few)_\w+)"', GAUGES))
        assert "st1" in name_of(Measure("light.st1", None, "percent")), "of a station without a zone"
        assert limit_of(LIGHT) and limit_of(DISK) and limit_of(HOT)
    assert all(has_word(f"measure.unit.{u}") for u in ("gb", "percent", "celsius", "ms", "hours", "days", "per_hour"))


def test_the_limits_of_a_zone_are_rounded_as_its_values() -> None:
    zone = Measure("light.st1.zone ring: contrast", 50.0, "percent", low=12.345678, high=119.876543)
    assert limit_of(zone).replace("\N{NO-BREAK SPACE}", " ") == "12.3 to 120 %"


def test_a_course_without_a_change_is_a_line_in_the_middle_and_one_value_is_none() -> None:
    assert spark_of([(1, 5.0)], DISK) is None
    flat = spark_of([(n, 5.0) for n in range(3)], DISK)
    assert flat is not None and set(p.split(",")[1] for p in flat["points"].split()) == {"12.0"}
    near = spark_of([(n, 85.0 + n) for n in range(10)], HOT)
    assert near is not None and len(near["limits"]) == 1


async def test_a_folder_of_backups_that_never_answers_costs_one_thread_however_many_look(site, monkeypatch) -> None:
    answer, before = threading.Event(), set(threading.enumerate())
    monkeypatch.setattr(maintenance, "FOLDER_S", 0.02)
    monkeypatch.setattr(shelf, "kept_in", lambda _: answer.wait(LONG_S) and [])
    try:
        with speaking(LANGUAGES[0]):
            told = [await maintenance._kept_backups(site) for _ in range(5)]
        assert all(isinstance(each, str) and each for each in told)
        assert sum(thread.name == "backups" for thread in set(threading.enumerate()) - before) == 1
    finally:
        answer.set()
    monkeypatch.setattr(maintenance, "FOLDER_S", LONG_S)
    assert site.listing is not None and site.listing.result(LONG_S) == []
    assert await maintenance._kept_backups(site) == []


@pytest.mark.parametrize(
    ("values", "limits", "scale"),
    [
        ([41.0, 44.0], [70], (0, 77)), ([12.0, 6.0], [0.5], (0, 13.2)), ([0.0, 0.0], [10], (0, 11)),
        ([1.0, 0.0], [10], (0, 1.1)), ([50.0], [25, 75], (0, 82.5)), ([-300.0, 200.0], [1000], (-430, 1130)),
        ([], [], (0, 1)), ([95.0], [90], (0, 104.5)),
    ],
)  # fmt: skip
def test_the_scale_of_a_trend_has_its_limits_in_it_but_for_those_that_would_flatten_the_curve(
    values: list[float], limits: list[float], scale: tuple[float, float]
) -> None:
    assert scale_of(values, limits) == pytest.approx(scale)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_trend_tells_its_limits_to_the_chart_and_in_words_and_one_beyond_it_in_words(language: str) -> None:
    with speaking(language):
        series = [(1_790_000_000_000, 48.0), (1_790_000_060_000, 50.0)]
        light, hot = trend_view(LIGHT, series), trend_view(HOT, [(1_790_000_000_000, 3.0)])
        drawn = json.loads(light["limits"])
        assert [at for at, _ in drawn] == [25, 75] and all(str(int(at)) in text for at, text in drawn)
        assert limit_of(LIGHT) in light["drawn"] and light["beyond"] == []
        assert hot["drawn"] == "" and json.loads(hot["limits"]) == []
        assert len(hot["beyond"]) == 1 and "90" in hot["beyond"][0]

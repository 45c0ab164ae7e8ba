"""A box of several stations: each screen follows one, is told of no other's parts, and sees what the others show."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from inspector.control import connect_control
from inspector.core.alarm_kinds import KINDS
from inspector.demo.parts import Kind
from inspector.office.person import Role
from inspector.web import app, strips, thumbs
from inspector.web import feed as feed_module
from inspector.web.alarm_views import alarms_view
from inspector.web.feed import MAX_CLIENTS, Feed, FeedFull, Screen, UnknownStation
from inspector.web.present import tab_view
from inspector.web.records import Found
from inspector.web.site import Site
from inspector.web.strips import KEEP, Strip
from inspector.web.words import LANGUAGES, speaking
from tests.support.fake_daemon import FakeDaemon
from tests.support.page import browser_at, page_process, reached, site_in, until
from tests.support.record import Entry, write_record
from tests.support.visitors import people_of

OFFLINE = {"ready": False, "offline_reason": 4}


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[FakeDaemon]:
    """Of two stations, `left` and `right`."""
    fake = FakeDaemon(tmp_path)
    fake.changes, fake.others = {"station": "left"}, {"right": {"number": 2, "mode": "monitor", "product": "ring"}}
    await fake.start()
    yield fake
    await fake.stop()


def told(screen: Screen, event: str) -> Iterator[Any]:
    """What waits for a screen, of one kind, oldest first; nothing waits afterwards."""
    while screen.waiting:
        kind, data = screen.waiting.popleft().decode().split("\n")[:2]
        if kind == f"event: {event}":
            yield json.loads(data.removeprefix("data: "))


async def test_a_fail_at_one_station_reaches_the_screens_of_that_station_alone(daemon: FakeDaemon) -> None:
    for station in ("left", "right", "left"):
        daemon.part(station=station)
    async with reached(daemon.run) as (site, _):
        screens = {name: site.feed.open_screen(name) for name in ("left", "right", "")}
        seen = {name: [p["no"] for p in next(told(s, "hello"))["parts"]] for name, s in screens.items()}
        assert seen == {"left": [3, 1], "right": [2], "": [3, 1]}
        fail = daemon.part(Kind.SCRATCH, station="right")
        await until(lambda: (site.feed.strip("right").newest or {}).get("no") == fail["no"])
        assert [p["sign"] for p in told(screens["right"], "part")] == ["fail"]
        assert not list(told(screens["left"], "part")) and not list(told(screens[""], "part"))
        assert site.feed.strip("left").last_fail is None
        assert [p["no"] for p in site.feed.strip("right").parts] == [4, 2]


async def test_each_screen_shows_its_own_station_and_the_present_word_of_every_other(daemon: FakeDaemon) -> None:
    daemon.part(station="left")
    daemon.part(Kind.SCRATCH, station="right")
    async with reached(daemon.run) as (site, _):
        of = {name: list(told(site.feed.open_screen(name), "status"))[-1] for name in ("left", "right", "")}
        shown = {name: (s["station"], s["product"], s["mode"]) for name, s in of.items()}
        first = ("left", "turned disc", "inspect")
        assert shown == {"left": first, "right": ("right", "ring", "monitor"), "": first}
        recorded = {**daemon.part(), "no": 9, "code": 4, "reason": 114}
        signs = {name: site.feed._views({**recorded, "station": name})["en"]["sign"] for name in ("left", "right")}
        assert signs == {"left": "collect", "right": "monitor"}, "what 4/114 means is the station's own mode"
        tabs = [("left", "pass", "PASS"), ("right", "fail", "FAIL")]
        assert all([(t["station"], t["sign"], t["word"]) for t in s["tabs"]] == tabs for s in of.values())
        daemon.others["right"] = OFFLINE
        daemon.push("status", daemon.status())
        await until(lambda: not site.feed.ready)
        with speaking("zh"):
            tab = site.feed.tabs()[1]
        assert (tab["sign"], tab["word"], tab["text"]) == ("notready", "未就绪", "相机没有响应")


def test_a_tab_says_what_the_big_word_of_that_station_says() -> None:
    part = {"sign": "test", "word": "TEST", "text": "Test part was NOT found", "urgent": True}
    ready = {"station": "a", "ready": True, "offline_reason": 0}
    assert tab_view(ready, part) == {"station": "a", **part}
    assert tab_view(ready, None)["sign"] == "waiting"
    assert tab_view({**ready, **OFFLINE}, part)["sign"] == "notready", "a part of before is no word for now"
    assert tab_view({"station": "a"}, part)["sign"] == "notready", "not heard of is not ready"


async def test_one_station_has_no_tabs_and_needs_no_name(tmp_path: Path) -> None:
    daemon = FakeDaemon(tmp_path)
    await daemon.start()
    async with reached(daemon.run) as (site, client):
        page = await client.get("/")
        assert page.status_code == 200 and "set-cookie" not in page.headers and "/?station=" not in page.text
        assert list(told(site.feed.open_screen(), "status"))[-1]["tabs"] == []
        assert (await client.get("/", params={"station": "Line 1"})).status_code == 200
        assert (await client.get("/", params={"station": "other"})).status_code == 404
    await daemon.stop()


async def test_a_station_that_the_box_has_not_is_said_and_never_the_first_one_in_its_place(daemon: FakeDaemon) -> None:
    async with reached(daemon.run) as (site, client):
        page = await client.get("/", params={"station": "<b>rihgt</b>"})
        stream = await client.get("/events", params={"station": "rihgt"})
        with pytest.raises(UnknownStation):
            site.feed.open_screen("rihgt")
    assert page.status_code == 404 and "verdict-word" not in page.text
    assert "no station “&lt;b&gt;rihgt&lt;/b&gt;”" in page.text and 'href="/?station=right"' in page.text
    assert stream.status_code == 404


async def test_the_address_says_the_station_and_this_browser_comes_back_to_it(daemon: FakeDaemon) -> None:
    async with reached(daemon.run) as (_, client):
        first = await client.get("/")
        right = await client.get("/", params={"station": "right"})
        again = await client.get("/")
        client.cookies.set("station", "gone")
        otherwise = await client.get("/")
    assert (first.status_code, first.headers["location"]) == (303, "/?station=left")
    assert right.status_code == 200 and 'data-events="/events?station=right"' in right.text
    assert 'data-station="right" data-sign="offline" title="right" aria-current="page"' in right.text
    assert again.headers["location"] == "/?station=right" and otherwise.headers["location"] == "/?station=left"


async def test_before_the_daemons_first_word_any_station_may_be_waited_for_and_a_wrong_one_is_then_told(
    tmp_path: Path,
) -> None:
    site, daemon = site_in(tmp_path), FakeDaemon(tmp_path)
    daemon.changes, daemon.others = {"station": "left"}, {"right": {}}
    async with page_process(site) as origin, browser_at(origin) as client:
        page = await client.get("/", params={"station": "right"})
        assert page.status_code == 200 and "OFFLINE" in page.text
        right, wrong = site.feed.open_screen("right"), site.feed.open_screen("rihgt")
        await daemon.start()
        await until(lambda: site.feed.up)
        daemon.part(station="left")
        await until(lambda: site.feed.strip("left").newest is not None)
        assert not list(told(right, "part"))
        assert wrong.closed and not wrong.waiting, "it ends, and never follows another station"
        assert (await client.head("/events", params={"station": "rihgt"})).status_code == 404, (
            "and its page is told why"
        )
        assert (await client.head("/events", params={"station": "right"})).status_code == 200
        await daemon.stop()


async def test_a_picture_of_any_station_is_served_and_waited_for(
    daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [daemon.part(kind, station=name) for name, kind in (("left", Kind.GOOD), ("right", Kind.SCRATCH))]
    async with reached(daemon.run) as (site, client):
        for part in parts:
            assert (await client.get(f"/thumb/{part['no']}")).status_code == 200
            assert (await client.get(f"/preview/{part['preview']}")).status_code == 200
            assert site.feed.expects(part["preview"])
        kept = []
        monkeypatch.setattr(site.thumbs, "make", lambda no, data, most: kept.append(most) or b"")
        await client.get(f"/thumb/{daemon.part()['no']}")
        assert kept == [2 * thumbs.KEPT], "room for the filmstrip of each"


async def test_the_box_is_ready_when_every_station_is(daemon: FakeDaemon) -> None:
    async with reached(daemon.run) as (site, client):
        assert (await client.get("/readyz")).status_code == 200
        daemon.others["right"] = OFFLINE
        daemon.push("status", daemon.status())
        await until(lambda: not site.feed.ready)
        answer = await client.get("/readyz")
    assert answer.status_code == 503 and answer.json()["reason"] == "Camera does not answer"


async def test_a_message_is_encoded_once_for_each_language_and_station(
    daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with reached(daemon.run) as (site, _):
        for language in LANGUAGES:
            with speaking(language):
                for name in ("left", "right", "right", ""):
                    site.feed.open_screen(name)
        made: list[str] = []
        encode = feed_module.encode
        monkeypatch.setattr(feed_module, "encode", lambda event, data: (made.append(event), encode(event, data))[1])
        daemon.part(station="right")
        await until(lambda: site.feed.strip("right").newest is not None)
        assert made.count("part") == len(LANGUAGES)
        made.clear()
        daemon.push("status", daemon.status())
        await until(lambda: made.count("status") >= 2 * len(LANGUAGES))
        assert made.count("status") % (2 * len(LANGUAGES)) == 0


async def test_screens_of_all_stations_together_are_bounded(daemon: FakeDaemon) -> None:
    async with reached(daemon.run) as (site, _):
        for n in range(MAX_CLIENTS):
            site.feed.open_screen("right" if n % 2 else "left")
        with pytest.raises(FeedFull):
            site.feed.open_screen("right")


async def test_filmstrip_and_last_fail_from_before_the_daemons_start_are_each_stations_own(tmp_path: Path) -> None:
    await write_record(tmp_path, [Entry(1, Kind.SCRATCH), Entry(2), Entry(3, Kind.EMPTY)], pictures=False)
    await write_record(tmp_path, [Entry(4), Entry(5, Kind.DENT)], pictures=False, station="st2")
    daemon = FakeDaemon(tmp_path)
    daemon.changes, daemon.others = {"station": "st1"}, {"st2": {}, "st3": {}}
    await daemon.start()
    async with reached(daemon.run) as (site, _):
        await until(lambda: all(not site.feed.strip(n).fail.count for n in ("st1", "st2", "st3")))
        found = {n: [p["part_id"] for p in site.feed.strip(n).parts] for n in ("st1", "st2", "st3")}
        assert {tab["sign"] for tab in site.feed.tabs()} == {"waiting"}, "what was before the start is no news"
        fails = {n: (site.feed.strip(n).last_fail or {}).get("part_id") for n in found}
    await daemon.stop()
    assert found == {"st1": ["3", "2", "1"], "st2": ["5", "4"], "st3": []}
    assert fails == {"st1": "1", "st2": "5", "st3": None}


def part(no: int, sign: str = "pass") -> dict[str, dict[str, Any]]:
    return {each: {"no": no, "sign": sign, "preview": f"{no}.jpg", "heat": None} for each in LANGUAGES}


def test_a_strip_asks_the_record_once_for_what_the_daemons_memory_has_not_and_goes_on_where_time_ran_out() -> None:
    strip = Strip()
    assert (strip.earlier.count, strip.fail.count) == (0, 0), "nothing is asked before the daemon was heard"
    strip.load([part(9), part(7)])
    assert (strip.earlier, strip.fail) == (strips.Wanted(7, KEEP - 2), strips.Wanted(7, 1))
    assert strip.set_earlier([lambda: part(5)["en"], lambda: part(8)["en"]], searched_to_no=4)
    assert [p["no"] for p in strip.parts] == [9, 7, 5] and strip.earlier == strips.Wanted(4, KEEP - 3)
    assert not strip.set_earlier([]) and strip.earlier.count == 0
    strip.has_no_fail(Found([], 3).searched_to_no)
    assert strip.fail == strips.Wanted(3, 1)
    assert strip.set_last_fail(lambda: part(2, "fail")["en"]) and strip.fail.count == 0
    assert not strip.set_last_fail(lambda: part(1, "fail")["en"]), "an older one is no news"
    strip.load([part(20, "fail"), part(19)])
    assert strip.last_fail is not None and strip.last_fail["no"] == 20 and strip.fail.count == 0
    assert strip.take(part(21)) and not strip.take(part(21)), "a part that came twice is shown once"


@pytest.mark.parametrize("read", [app._read_earlier, app._read_fail])
async def test_an_answer_of_the_record_that_comes_after_the_daemon_began_anew_is_left(
    tmp_path: Path, read: Any
) -> None:
    await write_record(tmp_path, [Entry(1), Entry(2, Kind.SCRATCH)], pictures=False)
    site = site_in(tmp_path)
    site.feed._keep({"station": "st1"})
    site.feed._load({"st1": []})
    page = site.records.page

    async def slow(*asked: Any) -> Found:
        found = await page(*asked)
        site.feed._load({"st1": [part(50)]})
        return found

    site.records.page = slow  # type: ignore[method-assign]
    strip = site.feed.strip()
    await read(site, "st1")
    assert [p["no"] for p in strip.parts] == [50] and strip.last_fail is None
    assert (strip.earlier, strip.fail) == (strips.Wanted(50, KEEP - 1), strips.Wanted(50, 1)), "it is asked anew"
    site.close()


def test_the_limits_of_a_row_are_those_of_the_station_that_runs_its_recipe(site: Site) -> None:
    lines = [
        {"station": n, "limits": {"bundle_id": "b", "recipe": r, "recipe_revision": 1}} for n, r in (("a", 1), ("b", 2))
    ]
    site.feed._keep({**lines[0], "stations": lines})
    row = {"bundle_id": "b", "recipe": 2, "recipe_revision": 1}
    assert site.limits_of(row) == lines[1]["limits"] and site.limits_of({**row, "recipe": 3}) is None


def alarm(id_: str, key: str, priority: str = "high") -> dict[str, Any]:
    params = dict.fromkeys(KINDS[key].params, "x")
    return {"id": id_, "key": key, "params": params, "priority": priority, "cause": "", "phase": "unacknowledged"}


def test_every_alarm_names_its_station_and_those_of_the_box_none() -> None:
    alarms = [alarm("camera", "camera"), alarm("cpu_temp", "cpu_temp"), alarm("right.camera", "camera")]
    status = {"stations": [{"station": "left"}, {"station": "right"}], "alarm_list": alarms}
    shown = {a["id"]: a["station"] for a in alarms_view(status, "left")["alarms"]}
    assert shown == {"camera": "Station left", "cpu_temp": "", "right.camera": "Station right"}
    assert [a["id"] for a in alarms_view(status, "right")["alarms"]] == ["cpu_temp", "right.camera", "camera"]
    urgent = {**status, "alarm_list": [*alarms, alarm("plc_verdict", "plc_verdict", "critical")]}
    assert alarms_view(urgent, "right")["alarms"][0]["id"] == "plc_verdict", "the most urgent first, whosever it is"
    alone = {"alarm_list": [alarm("camera", "camera")]}
    assert alarms_view(alone)["alarms"][0]["station"] == ""


async def test_who_is_asked_for_how_long_an_alarm_is_to_be_shelved_reads_of_which_station(tmp_path: Path) -> None:
    site = site_in(tmp_path)
    alarms = [alarm("camera", "camera"), alarm("right.camera", "camera")]
    async with people_of(site, [{Role.OPERATOR}]) as (operator,):
        site.feed._keep({"stations": [{"station": "left"}, {"station": "right"}], "alarm_list": alarms})
        text = (await operator.get("/alarms/list")).text
    asked = re.findall(r'data-what="Camera \((.+?)\): ', text)
    assert sorted(asked) == ["Station left", "Station right"]


async def test_a_part_of_a_station_that_the_status_does_not_name_is_of_another_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "RETRY_S", 600.0)
    daemon = FakeDaemon(tmp_path)
    await daemon.start()
    followed = Feed(lambda: connect_control(tmp_path / "control.sock", "test"))
    task = asyncio.create_task(followed.run())
    await until(lambda: followed.up)
    daemon.part(station="other")
    await until(lambda: not followed.up)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await daemon.stop()

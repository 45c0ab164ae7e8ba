"""Pages about the parts of all stations: in a box of several they say whose each is, and one can be asked for."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from inspector.demo.parts import Kind
from inspector.office.person import Role
from inspector.web.review_views import item_view
from tests.support.fake_daemon import FakeDaemon
from tests.support.page import client_of, reached, site_in
from tests.support.record import Entry, write_record
from tests.support.reviewing import REJECT, Part, write_parts
from tests.support.visitors import people_of


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[FakeDaemon]:
    """Of two stations, `left` and `right`."""
    fake = FakeDaemon(tmp_path)
    fake.changes, fake.others = {"station": "left"}, {"right": {}}
    await fake.start()
    yield fake
    await fake.stop()


async def test_the_part_page_says_its_station_and_the_history_finds_by_it(daemon: FakeDaemon) -> None:
    await write_record(daemon.run, [Entry(11)], pictures=False, station="left")
    await write_record(daemon.run, [Entry(22)], pictures=False, station="right")
    async with reached(daemon.run) as (_, client):
        page, rows = await client.get("/part/2"), await client.get("/history", params={"station": "right"})
        former = await client.get("/history", params={"station": "former"})
    assert 'href="/history?station=right"' in page.text
    assert "/part/2" in rows.text and "/part/1" not in rows.text
    assert '<option value="right" selected>' in rows.text and re.search(r'<td class="time"[^>]*>right</td>', rows.text)
    assert '<option value="former" selected>' in former.text
    async with client_of(site_in(daemon.run)) as alone:
        plain = (await alone.get("/history")).text
    assert '<option value="left"' not in plain and 'name="station"' in plain, "of one station there is no choice"


async def test_the_timing_offers_the_stations_and_says_whose_each_slow_cycle_is(daemon: FakeDaemon) -> None:
    for station in ("left", "right"):
        await write_record(daemon.run, [Entry(11)], pictures=False, station=station)
    async with reached(daemon.run) as (_, client):
        both, right = (await client.get("/timing")).text, (await client.get("/timing?station=right")).text
        former = (await client.get("/timing?station=former")).text
    choice = re.findall(r'<option value="(left|right|)"( selected)?>', right.partition('<select name="station">')[2])
    assert choice == [("", ""), ("left", ""), ("right", " selected")]
    assert '<td class="time">left</td>' in both and '<td class="time">right</td>' in both
    assert '<td class="time">left</td>' not in right and '<td class="time">right</td>' in right
    assert '<option value="former" selected>' in former and 'id="slowest"' not in former
    async with client_of(site_in(daemon.run)) as alone:
        plain = (await alone.get("/timing")).text
    assert '<input name="station"' in plain and '<td class="time">left</td>' not in plain, "of one there is no choice"


async def test_review_says_of_which_station_a_picture_is_where_there_are_several(daemon: FakeDaemon) -> None:
    for station in ("left", "right"):
        await write_parts(daemon.run, [Part(Kind.SCRATCH, REJECT)], station)
    async with reached(daemon.run) as (site, _), people_of(site, [[Role.QUALITY]]) as (browser,):
        browser.headers["x-csrf-token"] = await browser.token("/?station=left")
        items = (await browser.get("/review/queue?days=1")).json()["items"]
        assert [item["facts"][0] for item in items] == [["Station", "right"], ["Station", "left"]]
        kept = (await browser.post("/review/label", json={"no": 1, "label": "good", "ticket": "t"})).json()
        again = (await browser.post("/review/undo", json={"n": kept["n"]})).json()["item"]
        assert again["facts"][0] == ["Station", "left"], "nor is it forgotten with a label that is taken back"


@pytest.mark.parametrize("stations", [(), ("left",), ("left", "right"), ("renamed",)])
def test_a_picture_says_its_station_where_it_may_be_of_another(tmp_path: Path, stations: tuple[str, ...]) -> None:
    row = {"no": 1, "station": "left", "opened_utc_ms": 0, "part_id": 1, "serial": "", "lot": "", "image": "a/b.png"}
    facts = item_view(row, tmp_path, blind=True, stations=stations)["facts"]
    assert (["Station", "left"] in facts) is (stations not in [(), ("left",)])

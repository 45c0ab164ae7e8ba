from __future__ import annotations

import asyncio
import json
import re
from datetime import datetime
from pathlib import Path

import httpx
import pytest

from inspector.control import connect_control
from inspector.core.types import DeliveryState
from inspector.demo.parts import Kind
from inspector.web import feed, history
from inspector.web.filters import BadFilter, filters_of
from inspector.web.present import sign_of
from inspector.web.records import Filters
from inspector.web.stages import stages_of, waterfall
from plc.registers import Reason, Verdict
from tests.support.fake_daemon import FakeDaemon
from tests.support.page import browser_at, client_of, page_process, site_in, until
from tests.support.record import Entry, line_of, write_record

MIX = [
    Entry(101),
    Entry(102, Kind.SCRATCH),
    Entry(103, Kind.EMPTY),
    Entry(104, None),
    Entry(105, Kind.MISSING_HOLE),
    Entry(106),
]


def part_ids(answer: httpx.Response) -> list[int]:
    """The parts in the table, as it lists them."""
    rows = re.findall(r'<tr>\s*<td class="num" data-is="Record"><a href="/part/.*?</tr>', answer.text, re.S)
    return [int(re.findall(r'<td class="num second" [^>]*>(\d+)</td>', row)[0]) for row in rows]


async def test_the_history_lists_every_part_and_every_refused_trigger_newest_first(tmp_path: Path) -> None:
    await write_record(tmp_path, MIX)
    async with client_of(site_in(tmp_path)) as client:
        answer = await client.get("/history")
    assert part_ids(answer) == [106, 105, 104, 103, 102, 101]
    for told in ("Defect found: scratch", "Defect found: missing hole", "No part, or not this product"):
        assert told in answer.text
    assert re.search(r"Trigger refused:</span>\s*Trigger came too early", answer.text)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"verdict": "2"}, [105, 102]), ({"verdict": "4"}, [104, 103]), ({"reason": "105"}, [104]),
        ({"part_id": "106"}, [106]), ({"trigger_id": "2"}, [102]), ({"label": "missing hole"}, [105]),
        ({"verdict": "1", "part_id": "102"}, []),
        ({"from": "2001-01-01T00:00", "to": "2001-01-02T00:00"}, []),
        ({"from": "2001-01-01T00:00"}, [106, 105, 104, 103, 102, 101]),
    ],
)  # fmt: skip
async def test_a_filter_shows_what_was_asked_for_and_nothing_else(
    tmp_path: Path, query: dict[str, str], found: list[int]
) -> None:
    await write_record(tmp_path, MIX)
    async with client_of(site_in(tmp_path)) as client:
        assert part_ids(await client.get("/history", params=query)) == found


async def test_paging_by_key_shows_each_part_once_and_keeps_the_filter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "PAGE_ROWS", 3)
    await write_record(tmp_path, [Entry(n, Kind.GOOD if n % 2 else Kind.DENT) for n in range(1, 15)], pictures=False)
    seen: list[int] = []
    async with client_of(site_in(tmp_path)) as client:
        link: str | None = "/history?verdict=2"
        while link:
            answer = await client.get(link)
            seen += part_ids(answer)
            older = re.search(r'rel="next" href="([^"]+)"', answer.text)
            link = older[1].replace("&amp;", "&") if older else None
    assert seen == [14, 12, 10, 8, 6, 4, 2]


async def test_a_part_shows_what_was_decided_what_the_plc_was_told_and_its_picture(tmp_path: Path) -> None:
    told = (Verdict.NOT_INSPECTED, Reason.DEADLINE)
    await write_record(
        tmp_path, [Entry(7, Kind.DENT), Entry(8, Kind.GOOD, told, DeliveryState.UNKNOWN), Entry(9, None)]
    )
    async with client_of(site_in(tmp_path)) as client:
        dent, late, refused = [await client.get(f"/part/{no}") for no in (1, 2, 3)]
        picture = await client.get("/picture/1")
        assert (await client.get("/picture/2")).status_code == 404
        assert (await client.get("/part/4")).status_code == 404
    assert "FAIL: Defect found: dent (10)" in dent.text and "turned_disc-3-9f2c41aa" in dent.text
    assert picture.headers["content-type"] == "image/png" and picture.content[:4] == b"\x89PNG"
    assert "The PLC was told less than what was decided" in late.text and "Not confirmed" in late.text
    assert "FAULT (not inspected): Took too long (100)" in late.text
    assert "Refused trigger" in refused.text and "No model judged this part" in refused.text
    assert " style=" not in dent.text  # the policy would refuse it


async def test_a_picture_that_the_row_names_outside_the_archive_is_not_served(tmp_path: Path) -> None:
    await write_record(tmp_path, [Entry(7, Kind.DENT)])
    (tmp_path / "pictures" / "reject" / "0000000" / "0000000001.png").unlink()
    (tmp_path / "pictures" / "reject" / "0000000" / "0000000001.png").symlink_to(tmp_path / "results.db")
    async with client_of(site_in(tmp_path)) as client:
        assert (await client.get("/picture/1")).status_code == 404


async def test_a_record_that_is_not_there_yet_is_said_and_not_an_error_page(tmp_path: Path) -> None:
    async with client_of(site_in(tmp_path)) as client:
        answer = await client.get("/history")
        assert answer.status_code == 503 and "cannot be read now" in answer.text
        assert (await client.get("/part/1")).status_code == 503
        await write_record(tmp_path, MIX)
        assert (await client.get("/history")).status_code == 200


async def test_limits_are_shown_only_where_the_same_model_and_recipe_still_run(tmp_path: Path) -> None:
    await write_record(tmp_path, [Entry(7, Kind.EMPTY)])
    limits = {
        "bundle_id": "turned_disc-3-9f2c41aa", "recipe": 1, "recipe_revision": 2, "min_confidence": 0.9,
        "novelty_low": 0.5, "novelty_high": 1.55, "max_anomaly_score": None,
    }  # fmt: skip
    site, daemon = site_in(tmp_path), FakeDaemon(tmp_path)
    daemon.changes = {"limits": limits}
    await daemon.start()
    async with page_process(site) as origin, browser_at(origin) as client:
        await until(lambda: site.feed.up)
        same = await client.get("/part/1")
        daemon.changes = {"limits": {**limits, "recipe_revision": 3}}
        daemon.push("status", daemon.status())
        await until(lambda: site.feed.status["limits"]["recipe_revision"] == 3)
        other = await client.get("/part/1")
    await daemon.stop()
    assert "0.500 to 1.550" in same.text and 'data-sign="fail"' in same.text
    assert "0.500 to 1.550" not in other.text and "not at hand any more" in other.text


async def test_the_last_parts_and_the_last_fail_from_before_the_daemons_memory_come_from_the_record(
    tmp_path: Path,
) -> None:
    await write_record(tmp_path, MIX)
    site, daemon = site_in(tmp_path), FakeDaemon(tmp_path)
    daemon.changes = {"station": "st1"}
    await daemon.start()
    async with page_process(site):
        await until(lambda: site.feed.strip().last_fail is not None)
        screen = site.feed.open_screen()
        hello = json.loads(screen.waiting.popleft().decode().split("data: ")[1])
        site.feed.close_screen(screen)
        shown = [(part["no"], part["sign"], part["past"]) for part in hello["parts"]]
        found = await site.records.page(Filters(), None, 100)
    await daemon.stop()
    pinned = site.feed.strip().last_fail
    assert pinned is not None and pinned["part_id"] == "105"
    assert shown == [
        (row["no"], sign_of(row["published_code"], row["published_reason"]), True) for row in found
    ]  # fmt: skip


async def test_of_a_long_history_one_page_is_shown(tmp_path: Path) -> None:
    await write_record(tmp_path, line_of(120), pictures=False)
    async with client_of(site_in(tmp_path)) as client:
        assert len(part_ids(await client.get("/history"))) == history.PAGE_ROWS


def test_a_time_without_a_zone_is_the_stations_and_an_end_takes_in_all_of_its_minute() -> None:
    found = filters_of({"from": "2026-11-24T10:00", "to": "2026-11-24T10:00"})
    begin = int(datetime(2026, 11, 24, 10).astimezone().timestamp() * 1000)
    assert (found.from_utc_ms, found.to_utc_ms) == (begin, begin + 59_999)
    with pytest.raises(BadFilter):
        filters_of({"from": "999999-01-01"})


def test_the_bars_add_up_to_the_whole_and_what_runs_meanwhile_delays_none() -> None:
    bars = waterfall({"trigger": 0, "opening": 1.0, "opened": 6.0, "grabbed": 10.0, "predicted": 30.0, "decided": 40.0})
    took = {bar["name"]: float(bar["took"].split()[0]) for bar in bars}
    assert took["Record opened, meanwhile"] == 5.0 and took["Picture taken"] == 9.0
    assert sum(ms for name, ms in took.items() if "meanwhile" not in name) == 40.0
    assert max(bar["x"] + bar["width"] for bar in bars) <= 100.5


@pytest.mark.parametrize("stored", [None, "", "[]", "{", '{"judged": "soon"}', '{"judged": NaN}'])
def test_stage_times_that_cannot_be_read_are_left_out(stored: str | None) -> None:
    assert waterfall(stages_of(stored)) == []


async def test_a_feed_made_for_another_version_of_the_daemon_stays_offline(tmp_path: Path) -> None:
    daemon = FakeDaemon(tmp_path)
    daemon.parts = [{"station": "Line 1"}]
    await daemon.start()
    other = feed.Feed(lambda: connect_control(tmp_path / "control.sock", "test"))
    task = asyncio.create_task(other.run())
    await asyncio.sleep(0.2)
    assert not other.ready and not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await daemon.stop()

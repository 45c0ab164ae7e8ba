from __future__ import annotations

import re
import time
from contextlib import suppress
from datetime import datetime
from html import unescape
from math import isfinite
from pathlib import Path
from typing import Any

import apsw
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.core.checksum import checksum_of
from inspector.demo.parts import Kind
from inspector.store.names import heat_beside
from inspector.web import detail
from inspector.web.filters import FIELDS, BadFilter, filters_of, form_of
from inspector.web.scores import score_views
from inspector.web.stages import cycle_of, stages_of, sum_ms, sum_view
from plc.registers import Reason, Verdict
from tests.support.page import client_of, site_in
from tests.support.record import Entry, heat_map, line_of, write_record, write_settings

PARTS = [
    Entry(101, lot="L-1", serial="S-1"),
    Entry(102, Kind.SCRATCH, lot="L-1", serial="S-2", heat=True),
    Entry(103, Kind.EMPTY, lot="L-2"),
    Entry(104, None),
]
LIMITS = {"min_confidence": 0.9, "novelty_low": 0.5, "novelty_high": 1.5, "max_anomaly_score": 2.0}


def shown(answer: httpx.Response) -> list[int]:
    return [int(no) for no in re.findall(r'<a href="/part/(\d+)">', answer.text)]


@pytest.fixture
async def record(tmp_path: Path) -> Path:
    await write_record(tmp_path, PARTS)
    return tmp_path


def change(run: Path, sql: str, *values: Any) -> None:
    db = apsw.Connection(str(run / "results.db"))
    db.execute(sql, values)
    db.close()


async def test_every_filter_finds_its_parts(record: Path) -> None:
    change(record, "UPDATE inspections SET anomaly_score = 1.5, test_part = 1 WHERE no = 2")
    found = {
        "lot=L-1": [2, 1], "lot=L": [], "serial=S-2": [2], "recipe=1": [3, 2, 1], "recipe=2": [],
        "model=turned_disc-3-9f2c41aa": [3, 2, 1], "station=st1": [4, 3, 2, 1], "station=st2": [],
        "confidence_min=97,3": [3, 2, 1], "confidence_max=97.3": [], "novelty_min=1.5": [3], "novelty_max=1.5": [2, 1],
        "anomaly_min=1.4": [2], "anomaly_max=1.4": [], "anomaly_min=1&anomaly_max=2": [2],
        "test=1": [2], "test=0": [4, 3, 1], "picture=1": [3, 2], "picture=0": [4, 1], "lot=L-1&picture=1": [2],
    }  # fmt: skip
    async with client_of(site_in(record)) as client:
        for query, numbers in found.items():
            assert shown(await client.get(f"/history?{query}")) == numbers, query


@pytest.mark.parametrize("bad", ["recipe=x", "confidence_min=lots", "novelty_max=nan", "anomaly_min=1e999", "test=2"])
async def test_a_filter_that_cannot_be_read_is_named(record: Path, bad: str) -> None:
    async with client_of(site_in(record)) as client:
        for page in ("/history", "/history.csv", "/history.xlsx"):
            answer = await client.get(f"{page}?{bad}")
            assert answer.status_code == 400 and "cannot be read" in answer.text


@given(st.dictionaries(st.sampled_from([*FIELDS, "other"]), st.text(max_size=30), max_size=5))
def test_whatever_is_typed_is_read_or_named(query: dict[str, str]) -> None:
    form = form_of(query)
    assert set(form) <= set(FIELDS)
    with suppress(BadFilter):
        assert filters_of(form)


@pytest.mark.parametrize(
    ("begin", "end", "minutes"),
    [
        ("2026-10-25T02:00", "2026-10-25T02:29", 60),  # the hour from two to three comes twice
        ("2026-10-25T02:30", "2026-10-25T02:59", 60),
        ("2026-10-25T01:00", "2026-10-25T03:29", 210),
        ("2026-03-29T02:15", "2026-03-29T02:45", 0),  # there is no such time: nothing real may be cut off beside it
        ("2026-03-29T01:30", "2026-03-29T02:15", 30),
        ("2026-03-29T02:45", "2026-03-29T03:29", 30),
        ("2026-07-01T02:00", "2026-07-01T02:29", 30),
    ],
)
def test_in_the_night_of_the_clock_change_a_span_takes_in_every_part_whose_time_lies_in_it(
    monkeypatch: pytest.MonkeyPatch, begin: str, end: str, minutes: int
) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        found = filters_of({"from": begin, "to": end})
        assert found.from_utc_ms is not None and found.to_utc_ms is not None
        day = [
            int(datetime.fromisoformat(f"{begin[:10]}T00:00+00:00").timestamp() * 1000) + n * 60_000
            for n in range(-120, 1440)
        ]
        shown = [ms for ms in day if begin <= datetime.fromtimestamp(ms / 1000).isoformat()[:16] <= end]
        assert len(shown) == minutes
        assert all(found.from_utc_ms <= ms <= found.to_utc_ms for ms in shown)
    finally:
        monkeypatch.undo()
        time.tzset()


async def test_each_value_on_the_part_page_leads_to_all_parts_like_this(record: Path) -> None:
    async with client_of(site_in(record)) as client:
        page = (await client.get("/part/2")).text
        links = {at.replace("&amp;", "&") for at in re.findall(r'<dd><a href="(/history\?[^"]+)"', page)}
        for at in ("lot=L-1", "serial=S-2", "model=turned_disc-3-9f2c41aa", "reason=10", "label=scratch", "verdict=2"):
            assert f"/history?{at}" in links
        for at in links - {"/history?test=1"}:
            assert 2 in shown(await client.get(at)), at


async def test_what_judged_a_part_comes_from_the_record_whatever_runs_now(record: Path) -> None:
    settings = write_settings(record)
    async with client_of(site_in(record)) as client:
        page = (await client.get("/part/3")).text
        refused = (await client.get("/part/4")).text
    made = "somebody with an account", "longer exposure"
    for text in (str(checksum_of(settings)), "64 x 64 at 8, 8", "exposure, µs", *made, f"{4:064x}"):
        assert text in page, text
    assert "0.500 to 1.550" in page and "above the limit" in page and "keeps the limit" in page
    assert 'id="judged"' not in refused


async def test_settings_of_another_recipe_revision_are_not_shown_as_what_judged(record: Path) -> None:
    write_settings(record)
    change(record, "UPDATE inspections SET recipe_revision = 1 WHERE no = 3")
    async with client_of(site_in(record)) as client:
        page = (await client.get("/part/3")).text
    assert "0.500 to 1.550" not in page and "does not hold these settings" in page


async def test_all_that_the_plc_was_told_is_listed_in_order(record: Path) -> None:
    sql = "UPDATE inspections SET published_code = ?, published_reason = ?, delivery = ? WHERE no = 1"
    change(record, sql, int(Verdict.NOT_INSPECTED), int(Reason.DEADLINE), "unknown")
    change(record, sql, int(Verdict.NOT_INSPECTED), int(Reason.RESTARTED), "confirmed")
    async with client_of(site_in(record)) as client:
        page = (await client.get("/part/1")).text
    told = re.findall(r"<b>([^<]+)</b> <span[^>]*>([^<]+)</span>(?:<br>|</li>)", page)
    assert [text.rpartition(" ")[2] for text, _ in told] == ["PASS", "(100)", "(108)"]
    assert [state for _, state in told] == ["Confirmed", "Not confirmed", "Confirmed"]


async def test_a_part_that_the_plc_took_as_good_against_the_verdict_says_so(record: Path) -> None:
    note = "INSERT INTO wrong_accepts (station, trigger_id, part_id, utc_ms) SELECT station, trigger_id, part_id, ?"
    change(record, f"{note} FROM inspections WHERE no = 2", 4_000_000_000_000)
    change(record, f"{note} FROM inspections WHERE no = 3", 1)  # an earlier part of the same ids
    async with client_of(site_in(record)) as client:
        pages = [(await client.get(f"/part/{no}")).text for no in (2, 3)]
    assert ["it took this part as good, though" in page for page in pages] == [True, False]


async def test_the_heat_map_lies_over_the_kept_picture_and_else_over_the_small_one(record: Path) -> None:
    previews = record / "previews"
    previews.mkdir()
    for name in ("0000000001.jpg", "0000000001-heat.jpg"):
        (previews / name).write_bytes(heat_map())
    async with client_of(site_in(record)) as client:
        kept, small, bare = [(await client.get(f"/part/{no}")).text for no in (2, 1, 3)]
        heat = await client.get("/heat/2")
        assert [(await client.get(f"/heat/{no}")).status_code for no in (1, 3, 9)] == [404] * 3
    assert heat.headers["content-type"] == "image/jpeg" and heat.content == heat_map()
    assert 'src="/picture/2"' in kept and 'data-src="/heat/2"' in kept
    assert 'src="/preview/0000000001.jpg"' in small and 'data-src="/preview/0000000001-heat.jpg"' in small
    assert 'src="/picture/3"' in bare and "data-src" not in bare and "heat-toggle" not in bare
    assert heat_beside("reject/0000000/0000000002.png") == "reject/0000000/0000000002-heat.jpg"


async def test_the_stages_of_every_row_add_up_to_the_whole_within_a_millisecond(tmp_path: Path) -> None:
    await write_record(tmp_path, line_of(40), pictures=False)
    db = apsw.Connection(str(tmp_path / "results.db"))
    rows = list(db.execute("SELECT no, stages, elapsed_ms FROM inspections"))
    db.close()
    assert len(rows) == 40
    for no, stages, elapsed_ms in rows:
        together = sum_ms(stages_of(stages))
        assert together is not None and abs(together - elapsed_ms) <= 1.0, no
    async with client_of(site_in(tmp_path)) as client:
        page = (await client.get("/part/3")).text
    assert re.search(r'<p class="quiet" id="sum">All stages together [\d.]+ ms', page)
    assert 'Not counted: "Record opened, meanwhile", which runs' in unescape(page), "why the list adds up to more"


def test_a_whole_that_the_stages_do_not_add_up_to_is_said() -> None:
    view = sum_view({"trigger": 0, "grabbed": 9.0, "decided": 20.0, "publishing": 25.0}, 22.0)
    assert view is not None and not view["agree"] and "20.0" in view["text"] and "22.0" in view["text"]
    assert sum_view({"grabbed": 9.0}, 22.0) is None and sum_view({"decided": 9.0}, None) is None


@given(st.dictionaries(st.sampled_from(["opening", "opened", "grabbed", "judged", "publishing"]), st.floats(0, 1e4)))
def test_whatever_the_stages_are_those_in_a_row_add_up_to_the_decision(ends: dict[str, float]) -> None:
    together = sum_ms({**ends, "decided": 5000.0})
    assert together == pytest.approx(5000.0, abs=1e-6)
    assert all(stage.ended_ms > 0 for stage in cycle_of(ends))


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ((0.95, 1.0, 1.0), ["keeps the limit"] * 3),
        ((0.85, 0.4, 2.5), ["below the limit", "below the limit", "above the limit"]),
        ((0.9, 1.6, 2.0), ["keeps the limit", "above the limit", "keeps the limit"]),
        ((0.95, float("inf"), -1.0), ["keeps the limit", "above the limit", "keeps the limit"]),
    ],
)
def test_a_score_says_in_words_whether_it_keeps_its_limit(scores: tuple[float, ...], said: list[str]) -> None:
    row = dict(zip(("confidence", "novelty_score", "anomaly_score"), scores, strict=True))
    views = score_views(row, LIMITS)
    assert [v["said"] for v in views] == said
    assert [v["bar"] is None for v in views] == [not isfinite(score) for score in scores]
    for bar in (v["bar"] for v in views if v["bar"]):
        assert 0 <= bar["mark"] <= 100 and all(0 <= x <= 100 for x in bar["limits"])
        assert bar["left"] + bar["width"] <= 100.01
    assert all(v["bar"] is None and not v["said"] for v in score_views(row, None))


async def test_the_part_page_answers_while_the_archive_is_gone(record: Path) -> None:
    async with client_of(site_in(record, archive=record / "nowhere")) as client:
        answer = await client.get("/part/2")
    assert answer.status_code == 200 and "/picture/2" not in answer.text


def test_the_limits_of_a_zone_have_the_digits_of_a_measured_figure() -> None:
    told = detail._zone(
        {"name": "view", "brightness": [63.0374, 100.312], "contrast": [1.0, 9.87654], "sharpness": None}
    )
    assert "63.0" in told[1] and "100" in told[1] and "9.88" in told[1] and "63.03" not in told[1]
    assert "soon" in detail._range(["soon", 3]), "what the record has there is shown, whatever it is"

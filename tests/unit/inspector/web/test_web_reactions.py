"""What the PLC did after it was told: on the part page, in the history, in the stages and in the files to take away."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.demo.parts import Kind
from inspector.store.migrations import DISAGREES
from inspector.web.reactions import ack_text, disagrees, verdict_view
from inspector.web.stages import AGREE_WITHIN_MS, cycle_of, ends_of, sum_ms
from inspector.web.timing import cycles_of, stage_table
from inspector.web.words import speaking
from tests.support.page import client_of, site_in
from tests.support.record import Entry, write_record

PARTS = [
    Entry(101, ack_ms=12.5, plc_verdict=1),
    Entry(102, Kind.SCRATCH, ack_ms=8.0, plc_verdict=2),
    Entry(103, ack_ms=9.0, plc_verdict=2),  # the PLC rejected what was passed
    Entry(104, Kind.SCRATCH, ack_ms=9.0, plc_verdict=4),  # a by-pass let a reject go on
    Entry(105),  # nothing is known
    Entry(106, None, plc_verdict=3),
]


@pytest.fixture
async def record(tmp_path: Path) -> Path:
    await write_record(tmp_path, PARTS, pictures=False)
    return tmp_path


def row(**changes: Any) -> dict[str, Any]:
    return {"decided_code": 1, "published_code": None, "stages": "{}", "ack": None, "ack_ms": None, **changes}


async def test_the_part_page_says_what_the_plc_was_told_and_what_it_did(record: Path) -> None:
    async with client_of(site_in(record)) as client:
        pages = [(await client.get(f"/part/{no}")).text for no in range(1, 7)]
    assert "The PLC acknowledged it after 12.5 ms." in pages[0]
    assert re.search(r'id="plc-verdict" class="">The PLC reported: taken as good, [-\d: ]+, 840.0 ms after', pages[0])
    assert "PLC acknowledged" in pages[0].partition("Where the time went")[2], "a bar of the waterfall"
    assert "rejected" in pages[1] and "That is not what it was told" not in pages[0] + pages[1] + pages[5]
    for page, did in ((pages[2], "rejected"), (pages[3], "bypassed")):
        assert re.search(rf'class="problem">The PLC reported: {did}.*<b>That is not what it was told', page)
    assert "Whether the PLC acknowledged it is not known." in pages[4]
    assert "The PLC has reported no verdict of its own on this part." in pages[4]
    assert "PLC acknowledged" not in pages[4].partition("Where the time went")[2], "no stage is made up"


async def test_what_was_never_sent_has_no_acknowledge_that_could_be_unknown(record: Path) -> None:
    db = apsw.Connection(str(record / "results.db"))
    db.execute("UPDATE inspections SET delivery = 'none', ack = NULL, ack_ms = NULL WHERE no = 1")
    db.close()
    async with client_of(site_in(record)) as client:
        assert "acknowledged it" not in (await client.get("/part/1")).text


async def test_of_several_things_told_the_acknowledge_is_of_the_first(record: Path) -> None:
    db = apsw.Connection(str(record / "results.db"))
    db.execute("UPDATE inspections SET published_code = 4, published_reason = 108 WHERE no = 1")
    db.close()
    async with client_of(site_in(record)) as client:
        page = (await client.get("/part/1")).text
    first, second = re.findall(r"<li>.*?</li>", page[page.index('class="told"') :], re.S)[:2]
    assert "after 12.5 ms" in first and "acknowledged" not in second and "(108)" in second


async def test_where_the_plc_disagrees_is_found_and_said_in_the_history(record: Path) -> None:
    async with client_of(site_in(record)) as client:
        found = {
            plc: re.findall(r'<a href="/part/(\d+)">', (await client.get(f"/history?plc={plc}")).text) for plc in "01"
        }
        page = (await client.get("/history")).text
        assert (await client.get("/history?plc=2")).status_code == 400
    assert found == {"1": ["4", "3"], "0": ["6", "2", "1"]}
    assert re.findall(r"PLC: (\w+)", page) == ["bypassed", "rejected"], "and only there"


async def test_the_files_have_what_the_plc_did(record: Path) -> None:
    async with client_of(site_in(record)) as client:
        body = (await client.get("/history.csv")).content
        assert (await client.get("/history.xlsx")).status_code == 200
    lines = list(csv.reader(io.StringIO(body.decode("utf-8-sig"), newline="")))
    keys = [name[name.index("[") + 1 : -1] for name in lines[0]]
    rows = {int(line[0]): dict(zip(keys, line, strict=True)) for line in lines[1:]}
    wanted = ("ack", "ack_ms", "plc_verdict", "plc_verdict_text", "plc_verdict_ms", "plc_disagrees")
    assert [rows[1][key] for key in wanted] == ["acknowledged", "12.5", "1", "taken as good", "840.0", "0"]
    assert [rows[4][key] for key in wanted] == ["acknowledged", "9.0", "4", "bypassed", "840.0", "1"]
    assert [rows[5][key] for key in wanted] == [""] * 6 and rows[5]["plc_verdict_at"] == ""
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+[+-]\d\d:\d\d", rows[1]["plc_verdict_at"])


CODES = st.one_of(st.none(), st.integers(1, 6))


@given(CODES, CODES, st.one_of(st.none(), st.integers(0, 65535), st.integers(1, 4)))
def test_the_page_and_the_filter_mean_the_same_by_disagreeing(
    decided: int | None, published: int | None, verdict: int | None
) -> None:
    db = apsw.Connection(":memory:")
    sql = f"SELECT {DISAGREES} FROM (SELECT ? AS decided_code, ? AS published_code, ? AS plc_verdict)"
    found = db.execute(sql, (decided, published, verdict)).get
    db.close()
    said = disagrees(row(decided_code=decided, published_code=published, plc_verdict=verdict))
    assert bool(said) == bool(found)
    code = decided if published is None else published
    if verdict == 1 and code != 1:
        assert said, "a part that went on as good without a PASS is never said to be in order"


@pytest.mark.parametrize(("ms", "said"), [(-3.2, "3.2 ms before"), (0.0, "0.0 ms after"), (12_345.0, "12.3 s after")])
def test_how_long_after_it_was_told_is_said_with_its_sign(ms: float, said: str) -> None:
    view = verdict_view(row(plc_verdict=9, plc_verdict_utc_ms=1_790_000_000_000, plc_verdict_ms=ms))
    assert said in view["text"] and "an unknown verdict (9)" in view["text"] and view["disagrees"]


def test_a_verdict_of_another_life_of_the_service_has_a_time_and_no_distance() -> None:
    text = verdict_view(row(plc_verdict=1, plc_verdict_utc_ms=1_790_000_000_000, plc_verdict_ms=None))["text"]
    assert "ms" not in text and "taken as good" in text


def test_a_result_that_was_not_acknowledged_is_no_stage_and_says_how_long_it_stood() -> None:
    late = row(ack="timeout", ack_ms=10_004.0, stages='{"decided": 40.0, "publishing": 41.0}')
    assert ack_text(late) == "The PLC did not acknowledge it within 10.0 s."
    assert ends_of(late) == {"decided": 40.0, "publishing": 41.0}
    with speaking("zh"):
        assert "没有应答" in ack_text(late)


ENDS = st.dictionaries(
    st.sampled_from([
        "accepted", "opening", "opened", "exposing", "exposed", "grabbed", "checked", "cropped", "predicted", "judged",
    ]),
    st.floats(-50, 500),
)  # fmt: skip


ACKS = st.sampled_from([None, "acknowledged", "timeout"])


@given(ENDS, st.floats(500, 600), st.floats(600, 700), st.floats(0, 1e5), ACKS)
def test_with_every_stage_the_sum_is_the_whole_and_the_acknowledge_lies_beyond_it(
    ends: dict[str, float], decided: float, told: float, ack_ms: float, ack: str | None
) -> None:
    stored = json.dumps({"trigger": 0.0, **ends, "decided": decided, "publishing": told})
    one = row(stages=stored, ack=ack, ack_ms=None if ack is None else ack_ms, elapsed_ms=decided, kind="accepted")
    found = ends_of(one)
    together = sum_ms(found)
    assert together is not None and abs(together - decided) <= AGREE_WITHIN_MS
    stages = cycle_of(found)
    assert sum(s.own_ms for s in stages if not s.beside) == pytest.approx(stages[-1].ended_ms, abs=1e-6)
    assert ("acknowledged" in found) == (ack == "acknowledged")
    (cycle,) = cycles_of([one])
    assert cycle.whole_ms == decided
    assert len(stage_table([cycle])) == len(stages)

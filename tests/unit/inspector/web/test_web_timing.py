from __future__ import annotations

import asyncio
import csv
import io
import json
import re
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import apsw
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.web import cycles, timing
from inspector.web.stages import CYCLE
from inspector.web.timing import cycles_of, figures, legend_of, plot, slowest, stage_table
from inspector.web.words import read_catalog
from tests.support.page import client_of, site_in
from tests.support.record import line_of, write_record


def row(no: int, whole_ms: float, **changes: Any) -> dict[str, Any]:
    stages = {"trigger": 0, "opening": 0.3, "opened": 3.0, "grabbed": 9.0, "decided": whole_ms}
    return {
        "no": no, "kind": "accepted", "elapsed_ms": whole_ms, "stages": json.dumps(stages), "part_id": no,
        "opened_utc_ms": 1_790_000_000_000 + no, "image": None, "station": "st1", **changes,
    }  # fmt: skip


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=300))
def test_the_percentiles_are_those_of_numpy(values: list[float]) -> None:
    expected = [np.quantile(values, share, method="inverted_cdf") for share in timing.SHARES]
    assert list(figures(values)) == pytest.approx(expected)


def test_each_stage_has_its_own_time_and_what_runs_meanwhile_is_not_counted_into_the_next() -> None:
    table = {line["name"]: line for line in stage_table(cycles_of(row(n, 10.0 + n) for n in range(1, 101)))}
    assert table["Record opened, meanwhile"]["figures"] == ["2.7"] * 4
    assert table["Picture taken"]["figures"] == ["8.7"] * 4 and table["Picture taken"]["count"] == 100
    assert table["Decision saved"]["figures"] == ["51.0", "96.0", "100.0", "101.0"]


def test_the_slowest_cycle_comes_first_with_the_stage_that_took_longest() -> None:
    found = slowest(cycles_of(row(n, 10.0 + n % 7) for n in range(1, 50)))
    assert len(found) == timing.SLOWEST and found[0]["whole"] == "16.0 ms" and found[0]["sum"]["agree"]
    assert found[0]["longest"] == "Picture taken 8.7 ms"
    assert slowest(cycles_of([row(1, 100.0)]))[0]["longest"] == "Decision saved 91.0 ms"


def test_how_long_the_plc_took_to_acknowledge_is_no_part_of_what_was_slow() -> None:
    one = row(1, 100.0, ack="acknowledged", ack_ms=4000.0)
    stages = {**json.loads(one["stages"]), "publishing": 101.0}
    (found,) = slowest(cycles_of([{**one, "stages": json.dumps(stages)}]))
    assert found["longest"] == "Decision saved 91.0 ms" and found["whole"] == "100.0 ms"
    assert "PLC acknowledged" not in [bar["name"] for bar in found["bars"]]


def test_refused_triggers_and_rows_without_a_decision_are_no_cycles() -> None:
    assert cycles_of([row(1, 5.0, kind="refused"), row(2, 5.0, elapsed_ms=None), row(3, 5.0, elapsed_ms=np.inf)]) == []


def test_the_plot_never_leaves_out_the_slowest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "POINTS", 10)
    times, wholes = json.loads(plot(cycles_of(row(n, 900.0 if n == 137 else 10.0) for n in range(200, 0, -1))))
    assert len(times) == len(wholes) == 10 and max(wholes) == 900.0 and times == sorted(times)


def test_the_plot_shows_the_stations_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    try:
        ((seconds,), _) = json.loads(plot(cycles_of([row(0, 10.0)])))
    finally:
        monkeypatch.undo()
        time.tzset()
    assert seconds == 1_790_000_000 + 8 * 3600


def test_the_curve_stops_where_the_line_stood_and_goes_on_with_its_next_run() -> None:
    night_ms = 8 * 3_600_000
    parts = [row(n, 10.0, opened_utc_ms=1_790_000_000_000 + 1000 * n + (night_ms if n > 30 else 0)) for n in range(60)]
    times, wholes = json.loads(plot(cycles_of(parts)))
    assert wholes == [10.0] * 31 + [None] + [10.0] * 29 and times == sorted(times)
    slow = [row(n, 10.0, opened_utc_ms=1_790_000_000_000 + 300_000 * n) for n in range(20)]
    assert None not in json.loads(plot(cycles_of(slow)))[1], "a line that always waits five minutes has not stood"
    assert json.loads(plot([])) == [[], []]


def test_table_bars_and_legend_are_in_the_order_of_the_cycle_whatever_ended_first() -> None:
    ends = {"accepted": 1.0, "grabbed": 4.0, "predicted": 6.0, "judged": 6.0, "decided": 8.0, "opening": 1.5}
    late = {**ends, "opened": 7.0, "mystery": 9.0}  # the record was opened after the picture was judged
    cycles = cycles_of([row(1, 8.0, stages=json.dumps(late)), row(2, 8.0, stages=json.dumps(ends))])
    names = [
        "Accepted", "Record begun", "Record opened, meanwhile", "Picture taken", "Judged by the model", "Rule applied",
        "Decision saved", "mystery",
    ]  # fmt: skip
    assert [line["name"].lower() for line in stage_table(cycles)] == [name.lower() for name in names]
    bars = slowest(cycles)
    assert [bar["name"].lower() for bar in bars[0]["bars"]] == [name.lower() for name in names]
    assert [one["name"].lower() for one in legend_of(bars)] == [name.lower() for name in names]
    assert len({one["tone"] for one in legend_of(bars)}) == len(names)


def test_every_stage_that_has_a_word_has_its_place_in_the_cycle_and_its_colour() -> None:
    named = {key.removeprefix("stage.") for key in read_catalog("en") if key.startswith("stage.")}
    assert named == set(CYCLE)
    sheet = (Path(timing.__file__).parent / "static" / "pages.css").read_text("utf-8")
    assert {int(n) for n in re.findall(r"\.tone-(\d+) \{", sheet)} == set(range(len(CYCLE)))


def test_the_colours_of_the_stages_stand_out_from_their_card_and_from_each_other_in_light_and_dark() -> None:
    static = Path(timing.__file__).parent / "static"
    for scheme in (0, 1):  # light and dark
        (panel,) = re.findall(r"--panel: (#[0-9a-f]{6})", static.joinpath("base.css").read_text("utf-8"))[scheme::2]
        found = re.findall(r"\.tone-\d+ \{ fill: (#[0-9a-f]{6})", static.joinpath("pages.css").read_text("utf-8"))
        tones = found[scheme * len(CYCLE) : (scheme + 1) * len(CYCLE)]
        assert len(tones) == len(CYCLE) and min(contrast(tone, panel) for tone in tones) >= 3
        assert min(contrast(*pair) for pair in pairwise(tones)) >= 2


def contrast(one: str, other: str) -> float:
    """As WCAG 2 has it, of two colours such as #1c2226."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return sum(share * c for share, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


async def test_a_slow_cycle_with_a_picture_shows_it_small_and_one_without_shows_none(tmp_path: Path) -> None:
    await write_record(tmp_path, line_of(12))
    async with client_of(site_in(tmp_path)) as client:
        page = (await client.get("/timing")).text.partition('id="slowest"')[2]
        found = re.findall(r'<a class="small" href="/picture/(\d+)"><img src="/thumb/\1"', page)
        assert found and len(found) == page.count("<img") < page.count('class="bar"')
        for no in found:
            assert (await client.get(f"/thumb/{no}")).headers["content-type"] == "image/jpeg"


async def test_the_page_and_its_csv_say_what_sql_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cycles, "AT_ONCE", 30)
    await write_record(tmp_path, line_of(120), pictures=False)
    db = apsw.Connection(str(tmp_path / "results.db"))
    db.execute("UPDATE inspections SET elapsed_ms = 777 WHERE no = 5")
    sql = "SELECT no, elapsed_ms FROM inspections WHERE kind = 'accepted' AND no > 20 ORDER BY no DESC"
    newest, slow = list(db.execute(sql)), db.execute("SELECT max(elapsed_ms) FROM inspections WHERE no > 20").get
    db.close()
    async with client_of(site_in(tmp_path)) as client:
        page, everything = (await client.get("/timing?last=100")).text, (await client.get("/timing")).text
        answer = await client.get("/timing.csv?last=100")
        assert (await client.get("/timing?from=soon")).status_code == 400
        assert (await client.get("/timing.csv?from=soon")).status_code == 400
        assert "No cycle in this time" in (await client.get("/timing?to=2001-01-01T00:00")).text
        assert "Only the newest parts" in (await client.get("/timing?last=100&from=2001-01-01T00:00")).text
        assert "Only the newest parts" not in (await client.get("/timing?last=1000&from=2001-01-01T00:00")).text
    lines = list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"), newline="")))
    assert [(int(line[0]), float(line[5])) for line in lines[1:]] == newest
    assert lines[0][5] == "Trigger to decision on record, ms [elapsed_ms]"
    own = [n for n, name in enumerate(lines[0]) if name.endswith("_ms]") and n > 5 and "opened_ms" not in name]
    after = [n for n in own if re.search(r"\[(publishing|published|acknowledged)_ms\]", lines[0][n])]
    assert [lines[0][n] for n in after][-1].startswith("PLC acknowledged") and len(after) == 2
    for line in lines[1:]:
        assert abs(sum(float(line[n]) for n in own if n not in after) - float(line[5])) <= 1.0
        assert float(line[after[-1]]) == pytest.approx(12.5, abs=0.01)
    whole = re.search(r'<tr class="whole">.*?</tr>', page, re.S)
    assert whole and f">{len(newest)}<" in whole[0] and f">{slow:.1f}<" in whole[0]
    assert "777.0 ms" in everything and "777.0 ms" not in page
    assert everything.index("<b>777.0 ms</b>") < everything.index('/part/5"')


async def test_without_a_record_the_timing_says_so(tmp_path: Path) -> None:
    async with client_of(site_in(tmp_path)) as client:
        assert (await client.get("/timing")).status_code == 503
        assert (await client.get("/timing.csv")).status_code == 503


async def test_of_many_who_ask_at_once_few_hold_their_rows_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await write_record(tmp_path, line_of(20), pictures=False)
    inside, most, last, measure, two = 0, 0, cycles._last, cycles.cycles_of, asyncio.Event()

    async def entering(*of: Any) -> Any:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        if inside == 2:
            two.set()
        await two.wait()
        return await last(*of)

    def leaving(found: Any) -> Any:
        nonlocal inside
        inside -= bool(found)  # else it is the empty page that is shown where there are none
        return measure(found)

    monkeypatch.setattr(cycles, "_last", entering)
    async with client_of(site_in(tmp_path)) as client:
        monkeypatch.setattr(cycles, "cycles_of", leaving)
        asked = [client.get(path) for path in ("/timing", "/timing.csv", "/timing?last=100") * 3]
        assert {answer.status_code for answer in await asyncio.gather(*asked)} == {200}
    assert most == 2

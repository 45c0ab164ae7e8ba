"""The page Controls against a real daemon in this process: what it shows, and what it refuses."""

from __future__ import annotations

import asyncio
import csv
import io
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from inspector.compose import Box, open_box
from inspector.config import load_config
from inspector.health import watched
from inspector.line import inspect_forever
from inspector.office.person import Role
from inspector.web import controls
from inspector.web.site import Site
from plc.registers import CTRL, STAT
from plc.sim import SimPlc
from tests.support.patience import LONG_S
from tests.support.station import PATIENT, station_text
from tests.support.visitors import HTML, Browser, people_of


@pytest_asyncio.fixture
async def box(tmp_path: Path, free_port: int) -> AsyncIterator[Box]:
    """A station that collects; nothing connects it yet."""
    config = tmp_path / "station.toml"
    config.write_text(station_text(tmp_path, tmp_path, free_port, station='mode = "collect"'))
    async with open_box(load_config(config)) as opened:
        yield opened


async def send(browser: Browser, what: str, sent: dict[str, str] | None = None) -> tuple[int, str]:
    """Status, and what the person is told."""
    token = await browser.token("/controls")
    answer = await browser.post(f"/controls/{what}", json=sent or {}, headers={"x-csrf-token": token})
    found = answer.json() if answer.headers["content-type"] == "application/json" else {"error": answer.text}
    return answer.status_code, found.get("told") or found["error"]


async def test_online_everything_is_refused_offline_it_is_done_and_an_operator_only_looks(box: Box, site: Site) -> None:
    error = {"name": "STATUS.ERROR", "value": "1"}
    async with people_of(site, [[Role.CONTROLS], [Role.OPERATOR]]) as (ida, olga):
        hs = box.stations[0].port.handshake
        status, text = await send(ida, "force", error)
        assert status == 409 and "not offline" in text and not hs.forcing
        assert (await send(ida, "run", {"parts": "10"}))[0] == 409

        assert (await send(ida, "offline"))[0] == 200 and hs.set_offline
        assert (await send(ida, "force", error))[0] == 200
        state = (await ida.get("/controls/state")).json()
        assert (state["state"], state["may_force"], state["why"]) == ("offline", True, "Set offline by p0")
        assert [f["name"] for f in state["forced"]] == ["STAT.STATUS.ERROR"]
        assert re.search(r"by p0: .* in (5 min 0|4 min \d+) s", state["forced_text"])
        assert "ERROR" in state["stat"]["STATUS"]["bits"] and not hs.stat["STATUS"]
        for name, value, told in (
            ("STATUS.PASS", "1", "never forced"), ("RESULT_CODE", "1", "never forced to PASS"),
            ("STATUS.EROR", "1", "did you mean"), ("CONFIDENCE", "70000", "0 to 65535"), ("CONFIDENCE", "x", "decimal"),
        ):  # fmt: skip
            status, text = await send(ida, "force", {"name": name, "value": value})
            assert status == 400 and told in text
        token = {"x-csrf-token": await ida.token("/controls"), "content-type": "application/json"}
        for what, body in (
            ("force", rb'{"name": "STATUS.ERROR", "value": "\ud800"}'),
            ("release", rb'{"name": "\ud800"}'),
        ):
            assert (await ida.post(f"/controls/{what}", content=body, headers=token)).status_code == 400
        assert (await send(ida, "force", {"name": "STATUS.ERROR"}))[0] == 400
        assert (await send(ida, "run", {"parts": "0"}))[0] == 409 and (await send(ida, "run", {"parts": "x"}))[0] == 400

        page = await olga.get("/controls", headers=HTML)
        assert page.status_code == 200 and 'id="force"' not in page.text and "You may look" in page.text
        for what in ("offline", "online", "force", "release", "run", "abort"):
            assert (await send(olga, what, error))[0] == 403
        assert hs.forcing and (await olga.get("/controls/state")).json()["forced"]

        assert (await send(ida, "release", {"name": "STAT.STATUS.ERROR"}))[0] == 200 and not hs.forcing
        assert (await send(ida, "force", error))[0] == 200 and (await send(ida, "online"))[0] == 200
        assert not hs.forcing and not hs.set_offline
        assert (await ida.get("/controls/state?station=other")).status_code == 404


async def test_what_the_plc_and_the_station_wrote_is_on_the_page_and_in_the_csv(
    box: Box, site: Site, free_port: int
) -> None:
    sim = SimPlc(PATIENT)
    await sim.start(port=free_port)
    (running,), (link,) = box.stations, box.links
    tasks = [
        asyncio.create_task(link.run(), name="plc"), asyncio.create_task(inspect_forever(running.station), name="line"),
        asyncio.create_task(running.tell_health_forever(), name="health"),
    ]  # fmt: skip
    running.health.watched = watched(LONG_S, model=False)
    for part in ("camera", "store"):  # once, as nobody looks at them here
        running.health.ok(part)
    try:
        assert (await sim.play([3], 0.0))[0].code == 4  # collects
        async with people_of(site, [[Role.CONTROLS]]) as (ida,):
            state = (await ida.get("/controls/state")).json()
            assert set(state["ctrl"]) == {r.name for r in CTRL.registers}
            assert set(state["stat"]) == {r.name for r in STAT.registers}
            assert state["ctrl"]["PART_ID"] == {"value": "3", "hex": "0000 0003", "bits": []}
            assert state["stat"]["RESULT_CODE"]["value"] == "4 NOT_INSPECTED"
            assert state["connected"] and "s" in state["age"]
            names = [edge["name"] for edge in state["edges"]]
            assert names.index("STAT.STATUS.RESULTS_VALID") < names.index("CTRL.CONTROL.TRIGGER"), "newest first"
            later = (await ida.get(f"/controls/state?after={state['no']}")).json()
            assert all(edge["no"] > state["no"] for edge in later["edges"])

            text = (await ida.get("/controls/changes.csv?name=results_valid")).text
            (heads, *rows) = csv.reader(io.StringIO(text.removeprefix("\ufeff")))
            assert heads[1:4] == ["Time, UTC", "Written by", "Register or bit"]
            assert [(r[3], r[4], r[5]) for r in rows] == [
                ("STAT.STATUS.RESULTS_VALID", "1", "0"), ("STAT.STATUS.RESULTS_VALID", "0", "1"),
            ]  # fmt: skip
            assert all(len(r[1]) == len("2026-11-26 03:45:12.123") for r in rows)
    finally:
        await link.stop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await sim.close()


async def test_however_many_screens_look_few_of_them_ask_the_daemon_at_a_time(
    box: Box, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has few places, and the line's own commands need one."""
    now, most, ask, two = 0, 0, controls.have_done, asyncio.Event()

    async def counted(*of: Any) -> Any:
        nonlocal now, most
        now += 1
        most = max(most, now)
        if now == 2:
            two.set()
        await two.wait()
        try:
            return await ask(*of)
        finally:
            now -= 1

    monkeypatch.setattr(controls, "have_done", counted)
    async with people_of(site, [[Role.CONTROLS]]) as (browser,):
        answers = await asyncio.gather(*(browser.get("/controls/state") for _ in range(6)))
    assert {answer.status_code for answer in answers} == {200} and most == 2


async def test_without_a_daemon_it_says_so(site: Site) -> None:
    async with people_of(site, [[Role.CONTROLS]]) as (ida,):
        assert (await ida.get("/controls", headers=HTML)).status_code == 200
        assert (await ida.get("/controls/state")).status_code == 503
        assert (await ida.get("/controls/changes.csv")).status_code == 503
        status, text = await send(ida, "offline")
        assert status == 503 and "does not answer" in text

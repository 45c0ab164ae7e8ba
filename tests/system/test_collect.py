"""From an empty box to a dataset: the real daemon without a bundle, a simulated PLC, the page, training's own check.

And that nobody who looks through the camera can hold up a part.
"""

from __future__ import annotations

import asyncio
import io
import zipfile
from pathlib import Path
from typing import Any

import pytest

from inspector.demo.parts import Kind
from plc.client import ClientLink, LinkConfig
from plc.registers import Reason, Verdict
from plc.sim import SimConfig, SimPlc
from plc.sim.parts import NewPart
from tests.support.collecting import EmptyBox, empty_box
from tests.support.links import LONG_S, judging, place
from tests.support.live_line import parts_of
from tests.support.office import make_hashes_cheap
from tests.support.visitors import HTML, Browser
from training.data import scan

pytestmark = pytest.mark.system
PATIENT = {"deadline_s": 20.0, "max_trigger_age_s": 20.0, "heartbeat_timeout_s": 20.0}


def thirty() -> dict[int, tuple[str, NewPart]]:
    """Three lots, each of seven good parts and three scratched ones: by PART_ID, what it is and what comes."""
    good, bad = parts_of(Kind.GOOD), parts_of(Kind.SCRATCH)
    chosen = [(name, next(ids)) for _ in range(3) for name, ids in [("good", good)] * 7 + [("scratch", bad)] * 3]
    return {
        part_id: (name, NewPart(part_id, lot=f"L{n // 10}", serial=f"S{n}")) for n, (name, part_id) in enumerate(chosen)
    }


async def look_on(browser: Browser, seen: list[dict[str, Any]]) -> None:
    """As an open page does."""
    while True:
        answer = await browser.get("/collect/look?station=st1")
        assert answer.status_code == 200, answer.text
        seen.append(answer.json())
        await asyncio.sleep(0.02)


async def play(box: EmptyBox, browser: Browser, parts: list[NewPart]) -> list[dict[str, Any]]:
    """Past the camera while somebody looks; every part is answered as the contract wants it, and none is late."""
    seen: list[dict[str, Any]] = []
    looking = asyncio.create_task(look_on(browser, seen), name="looking")
    try:
        results = await box.sim.play(parts)
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
    assert [(r.code, r.reason, r.verdict) for r in results] == [
        (Verdict.NOT_INSPECTED, Reason.COLLECTING, "reject")
    ] * len(parts)
    return seen


@pytest.mark.slow
async def test_thirty_pictures_are_collected_labelled_and_taken_to_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_hashes_cheap(monkeypatch)
    async with empty_box(tmp_path) as box, Browser(base_url=box.origin) as browser:
        assert (await browser.log_in("anna")).status_code == 303
        browser.headers["x-csrf-token"] = await browser.token()
        live = (await browser.get("/collect/look?station=st1&region=40,8,240,240")).json()
        assert live["live"] and live["size"] == [320, 256] and live["figures"]["sharpness"] > 0
        assert (await browser.get(live["picture"])).content.startswith(b"\xff\xd8")
        region = {"station": "st1", "region": [40, 8, 240, 240]}
        assert (await browser.post("/collect/region", json=region)).status_code == 200
        for label, wanted in (("good", 21), ("scratch", 10)):
            await browser.post("/collect/target", json={"label": label, "lot": "", "wanted": wanted})

        parts = thirty()
        seen = await play(box, browser, [part for _, part in parts.values()])
        assert any(answer["no"] and answer["figures"] for answer in seen if not answer["live"]), "of the last part"

        queue: dict[str, Any] = {}
        async with asyncio.timeout(LONG_S):
            while queue.get("total") != 30:
                queue = (await browser.get("/review/queue?queue=collect&days=1&blind=1")).json()
                await asyncio.sleep(0.05)
        for item in queue["items"]:
            row = await box.site.records.row(item["no"])
            assert row is not None and row["lot"] and (row["published_code"], row["published_reason"]) == (4, 114)
            body = {"no": item["no"], "label": parts[row["part_id"]][0], "ticket": str(item["no"])}
            assert (await browser.post("/review/label", json=body)).status_code == 200
        found = (await browser.get("/collect/progress")).json()["progress"]
        assert [(one["label"], one["done"], one["wanted"]) for one in found] == [("good", 21, 21), ("scratch", 9, 10)]

        answer = await browser.submit("/collect/dataset", {"split_by": "lot"}, headers=HTML)
        assert answer.status_code == 200, answer.text
    with zipfile.ZipFile(io.BytesIO(answer.content)) as held:
        held.extractall(tmp_path / "dataset")
    data = scan(tmp_path / "dataset" / "manifest.csv")
    assert len(data.rows) == 30 and {len(data.of(split)) for split in ("train", "val", "test")} == {10}
    assert [(entry.name, entry.acceptable) for entry in data.classes] == [("good", True), ("scratch", False)]


async def test_ready_stays_away_while_the_camera_is_used_for_something_else() -> None:
    sim = SimPlc(SimConfig(ack_timeout_s=20, result_timeout_s=30, heartbeat_timeout_s=20))
    await sim.start()
    try:
        async with judging(ClientLink(LinkConfig(port=sim.port), [place(**PATIENT)])) as (judge,):
            port = judge.port
            assert await sim.wait_ready(LONG_S) and not port.spare, "the PLC may trigger"
            sim.program.habits.disable = True
            await until_scanned(sim, lambda: port.spare)
            with port.occupied():
                sim.program.habits.disable = False
                assert not await sim.wait_ready(0.3), "READY before the camera is free"
                with port.occupied():
                    pass
                assert not await sim.wait_ready(0.1), "two used it"
            assert await sim.wait_ready(LONG_S)
            (result,) = await sim.play([2])
            assert (result.code, result.verdict) == (Verdict.PASS, "good")
    finally:
        await sim.close()


async def until_scanned(sim: SimPlc, true: Any) -> None:
    async with asyncio.timeout(LONG_S):
        while not true():
            await sim.idle_for(0.01)

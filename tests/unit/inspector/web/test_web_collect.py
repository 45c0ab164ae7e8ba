"""The collect page as it answers: what is seen, what is wanted, what goes out."""

from __future__ import annotations

import asyncio
import base64
import io
import time
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from inspector.control import ControlError, ControlServer
from inspector.demo.parts import Kind, render
from inspector.office import collecting
from inspector.office.dataset import SplitBy
from inspector.office.dataset_files import splits_of
from inspector.office.labels import Labels
from inspector.office.person import Role
from inspector.store import audit, shelf
from inspector.threads import DeviceThread
from inspector.web import collect_export
from inspector.web.look import PICTURES, WAITING, Looks, NoLook
from inspector.web.records import Unreadable
from inspector.web.site import Site
from tests.support.fake_daemon import unrecorded
from tests.support.office import make_hashes_cheap
from tests.support.page import site_in
from tests.support.reviewing import Part, write_parts
from tests.support.visitors import HTML, Browser, people_of

COLLECTED = [
    Part(kind, shelf.Kind.COLLECT, lot=f"L{lot}", serial=f"S{lot}-{n}")
    for lot in range(4)
    for n, kind in enumerate((Kind.GOOD, Kind.SCRATCH, Kind.GOOD))
]
IN_QUEUE = Labels._in_queue
WRITES = ("/collect/target", "/collect/region", "/collect/dataset")
STATUS = {"station": "st1", "mode": "collect", "bundle_id": ""}


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    make_hashes_cheap(monkeypatch)


@asynccontextmanager
async def collector(
    run: Path, role: Role = Role.ADMIN, leave_out: tuple[Path, ...] = (), **status: Any
) -> AsyncIterator[tuple[Site, Browser]]:
    """The page of a station that collects, and who is logged in there."""
    site = site_in(run, leave_out=leave_out)
    site.feed._raw = {**STATUS, **status}
    try:
        async with people_of(site, [[role]]) as (browser,):
            browser.headers["x-csrf-token"] = await browser.token()
            yield site, browser
    finally:
        site.close()


async def label_all(browser: Browser, parts: list[Part] = COLLECTED) -> None:
    for no, part in enumerate(parts, 1):
        name = {Kind.GOOD: "good", Kind.SCRATCH: "scratch"}[part.kind]
        answer = await browser.post("/review/label", json={"no": no, "label": name, "ticket": str(no)})
        assert answer.status_code == 200, answer.text


async def test_a_target_names_a_class_gives_it_its_key_everywhere_and_counts_labels_by_lot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await write_parts(tmp_path, COLLECTED)
    async with collector(tmp_path) as (_, browser):
        for label, lot, wanted in (("scratch", "", 4), ("rust", "L1", 3), ("good", "L2", 2)):
            answer = await browser.post("/collect/target", json={"label": label, "lot": lot, "wanted": wanted})
            assert answer.status_code == 200
        await label_all(browser)
        for page in ("/collect", "/review"):
            shown = (await browser.get(page)).text
            assert 'data-label="rust" data-key=' in shown, page
        found = (await browser.get("/collect/progress")).json()
        assert [(p["label"], p["lot"], p["done"], p["wanted"]) for p in found["progress"]] == [
            ("scratch", "", 4, 4), ("rust", "L1", 0, 3), ("good", "L2", 2, 2)
        ]  # fmt: skip
        assert found["lots"] == [row for lot in range(4) for row in ([f"L{lot}", "Good", 2], [f"L{lot}", "scratch", 1])]
        asked = []
        monkeypatch.setattr(Labels, "_in_queue", lambda self, *of: asked.append(of) or IN_QUEUE(self, *of))
        for label, counts in (("rust", [1, 1]), ("good", [2])):
            again = {"no": 12, "label": label, "ticket": f"again {label}"}
            assert (await browser.post("/review/label", json=again)).status_code == 200
            lots = (await browser.get("/collect/progress")).json()["lots"]
            assert [n for lot, name, n in lots if lot == "L3" and name != "scratch"] == counts
        assert [after_n for _, after_n in asked] == [12, 13], "only what is new is read"
        for _ in range(3):
            last = (await browser.get("/review/queue?queue=collect")).json()["last"]
            assert (await browser.post("/review/undo", json={"n": last})).status_code == 200
        assert (await browser.get("/collect/progress")).json()["lots"][-2] == ["L3", "Good", 1], "counted anew"
        gone = await browser.post("/collect/target", json={"label": "rust", "lot": "L1", "wanted": 0})
        assert len(gone.json()["progress"]) == 2


@pytest.mark.parametrize("role", Role)
async def test_who_may_label_may_set_targets_and_who_sets_a_station_up_may_set_its_region(
    tmp_path: Path, role: Role
) -> None:
    await write_parts(tmp_path, [])
    async with collector(tmp_path, role) as (_, browser):
        may = {path: (await browser.post(path, json={})).status_code != 403 for path in WRITES}
        reviews = role in (Role.QUALITY, Role.ML, Role.ADMIN)
        sets_up = role in (Role.CONTROLS, Role.MAINTENANCE, Role.ML, Role.ADMIN)
        assert list(may.values()) == [reviews, sets_up, reviews]
        shown = await browser.get("/collect")
        assert shown.status_code == 200 and ('id="target"' in shown.text) is reviews


@pytest.mark.parametrize(
    "sent",
    [
        {}, {"label": "dent", "lot": "", "wanted": "5"}, {"label": "dent", "lot": "", "wanted": True},
        {"label": "a/b", "lot": "", "wanted": 5}, {"label": "dent", "lot": 3, "wanted": 5}, {"label": "dent", "lot": "",
        "wanted": 5, "person": "eve"},
    ],
)  # fmt: skip
async def test_a_target_that_cannot_be_meant_is_refused(tmp_path: Path, sent: dict[str, object]) -> None:
    await write_parts(tmp_path, [])
    async with collector(tmp_path) as (site, browser):
        answer = await browser.post("/collect/target", json=sent)
        assert answer.status_code == 400 and answer.json()["error"]
        assert await site.office.read(collecting.targets) == []


async def test_a_region_is_kept_with_its_entry_in_the_audit_but_not_where_a_bundle_fixed_it(tmp_path: Path) -> None:
    await write_parts(tmp_path, [])
    async with collector(tmp_path) as (site, browser):
        sent = {"station": "st1", "region": [40, 8, 240, 240]}
        assert (await browser.post("/collect/region", json=sent)).status_code == 200
        assert await site.office.read(collecting.regions) == {"st1": (40, 8, 240, 240)}
        newest = (await site.office.read(audit.newest, None, 1))[0]
        assert (newest.actor, newest.action, newest.what) == ("p0", "collect.region", "st1: 40, 8, 240, 240")
        assert 'data-regions="{&#34;st1&#34;: [40, 8, 240, 240]}"' in (await browser.get("/collect")).text
        for bad in ({"station": "st2", "region": None}, {"station": "st1", "region": [1, 2, 3]}, {"station": "st1"}):
            assert (await browser.post("/collect/region", json=bad)).status_code == 400
        site.feed._raw = {**STATUS, "mode": "inspect", "bundle_id": "disc-1"}
        refused = await browser.post("/collect/region", json={"station": "st1", "region": None})
        assert refused.status_code == 409 and "disc-1" in refused.json()["error"]
        assert await site.office.read(collecting.regions) == {"st1": (40, 8, 240, 240)}


async def test_however_many_browsers_look_the_daemon_is_asked_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inspector.web.look.EVERY_S", 600.0)
    asked: list[Any] = []

    async def look(params: Any, actor: str) -> dict[str, Any]:
        asked.append(params)
        await asyncio.sleep(0.05)
        if params["station"] == "dead":
            raise ControlError("link lost")
        return {"live": True, "no": None, "preview": None, "jpeg": base64.b64encode(b"picture").decode()}

    await write_parts(tmp_path, [])
    server = ControlServer(tmp_path / "control.sock", {"look": look}, unrecorded)
    await server.start()
    try:
        async with collector(tmp_path) as (site, browser):
            path = "/collect/look?station=st1&region=1,2,3,4"
            answers = await asyncio.gather(*(browser.get(path) for _ in range(8)))
            assert asked == [{"station": "st1", "roi": [1, 2, 3, 4]}]
            assert "jpeg" not in answers[0].json() and len({answer.json()["picture"] for answer in answers}) == 1
            picture = await browser.get(answers[0].json()["picture"])
            assert picture.content == b"picture" and picture.headers["cache-control"] == "no-store"
            dead = await browser.get("/collect/look?station=dead")
            assert dead.status_code == 200 and "link lost" in dead.json()["error"]
            assert (await browser.get("/collect/look?region=1,2")).status_code == 400
            assert site.looks is not None and len(site.looks._pictures) <= PICTURES
    finally:
        await server.close()
        await asyncio.sleep(0.05)  # a peer that has just left closes its end a turn later


async def test_who_looks_when_many_wait_is_told_so_at_once() -> None:
    looked = asyncio.Event()

    @asynccontextmanager
    async def hanging() -> AsyncIterator[Any]:
        await looked.wait()
        raise OSError("gone")
        yield

    looks = Looks(hanging)
    waiting = [asyncio.create_task(looks.look("st1", [n, 0, 1, 1])) for n in range(WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(NoLook, match="too many"):
        await looks.look("st1", None)
    looked.set()
    ends = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(end, NoLook) for end in ends)
    with pytest.raises(NoLook, match="does not answer"):
        await looks.look("st1", None)


async def test_without_a_daemon_the_page_is_there_and_says_so(tmp_path: Path) -> None:
    async with collector(tmp_path) as (_, browser):
        answer = await browser.get("/collect/look")
        assert answer.status_code == 200 and answer.json()["error"] == "The line daemon cannot be reached."
        assert (await browser.get("/collect/look/0000000001.jpg")).status_code == 404
        assert (await browser.get("/collect")).status_code == 503, "there is no record either"


async def take(browser: Browser, split_by: str = "lot") -> Any:
    return await browser.submit("/collect/dataset", {"split_by": split_by}, headers=HTML)


async def test_the_button_gives_the_same_dataset_as_the_command_with_the_region_in_it(tmp_path: Path) -> None:
    await write_parts(tmp_path, COLLECTED)
    async with collector(tmp_path) as (site, browser):
        await browser.post("/collect/region", json={"station": "st1", "region": [40, 8, 240, 240]})
        await label_all(browser)
        answer = await take(browser)
        assert answer.status_code == 200 and answer.headers["content-type"] == "application/zip"
        (tmp_path / "out.zip").write_bytes(answer.content)
        with zipfile.ZipFile(io.BytesIO(answer.content)) as held:
            assert held.testzip() is None
            names = held.namelist()
            assert len([name for name in names if name.endswith(".png")]) == 12
            assert b'"st1": [\n   40' in held.read("export.json")
        assert set(splits_of(tmp_path / "out.zip")) == {f"lot L{lot}" for lot in range(4)}
        assert site.exports._free == 2, "its place is free again"
        newest = (await site.office.read(audit.newest, None, 1))[0]
        assert (newest.action, newest.what) == ("collect.dataset", "12")


async def test_the_button_leaves_out_what_the_configuration_names_with_its_near_copies(tmp_path: Path) -> None:
    await write_parts(tmp_path, COLLECTED)
    library = tmp_path / "defect-library"
    library.mkdir()
    bright = np.clip(render(5, Kind.SCRATCH).image.astype(np.int16) * 1.05 + 4, 0, 255).astype(np.uint8)
    cv2.imwrite(str(library / "scratch.jpg"), bright[..., ::-1])
    async with collector(tmp_path, leave_out=(library,)) as (_, browser):
        await label_all(browser)
        assert f"pictures of {library}" in (await browser.get("/collect", headers=HTML)).text
        with zipfile.ZipFile(io.BytesIO((await take(browser)).content)) as held:
            numbers = {int(Path(name).stem) for name in held.namelist() if name.endswith(".png")}
        assert numbers == set(range(1, 13)) - {5}
        (library / "scratch.jpg").unlink()
        gone = await take(browser)
        assert gone.status_code == 409 and "holds no picture that could be left out" in gone.text


async def test_what_gives_no_dataset_is_said_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await write_parts(tmp_path, COLLECTED)
    async with collector(tmp_path) as (site, browser):
        none = await take(browser)
        assert none.status_code == 409 and "no picture has a settled label" in none.text
        await label_all(browser, COLLECTED[:3])
        one_lot = await take(browser)
        assert one_lot.status_code == 409 and "keep each part together" in one_lot.text
        monkeypatch.setattr(collect_export, "MOST_PICTURES", 2)
        large = await take(browser, "part")
        assert large.status_code == 413 and "inspector export dataset" in large.text
        monkeypatch.setattr(collect_export, "MOST_PICTURES", 20)
        monkeypatch.setattr(collect_export, "MOST_BYTES", 1000)
        assert (await take(browser, "part")).status_code == 413
        assert site.exports._free == 2
        taken = [site.exports.begin(known=True), site.exports.begin(known=True)]
        assert (await take(browser, "part")).status_code == 503
        for done in taken:
            done()


async def test_a_dataset_that_nobody_waits_for_any_more_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone() -> bool:
        return True

    def endless(*_: Any, watch: Any, **__: Any) -> None:
        while True:
            time.sleep(0.01)
            watch(1, 2)

    monkeypatch.setattr(collect_export, "plan", endless)
    monkeypatch.setattr(collect_export, "ASK_S", 0.02)
    site, thread = site_in(tmp_path), DeviceThread("dataset")
    try:
        with pytest.raises(Unreadable):
            await collect_export._planned(SimpleNamespace(is_disconnected=gone), site, SplitBy.LOT, thread)  # type: ignore[arg-type]
        await asyncio.wait_for(thread.call(int), 60)
    finally:
        thread.close()
        site.close()


async def test_a_picture_that_goes_away_meanwhile_breaks_the_file_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await write_parts(tmp_path, COLLECTED)
    async with collector(tmp_path) as (site, browser):
        await label_all(browser)
        noted = collect_export._noted

        def and_removed(*of: Any) -> None:
            noted(*of)
            for path in (tmp_path / "pictures").rglob("*.png"):
                path.unlink()

        monkeypatch.setattr(collect_export, "_noted", and_removed)
        with pytest.raises(AssertionError):  # httpx's, of an answer that never ended
            await take(browser)
        assert site.exports._free == 2

"""The review page as it answers: who may label, what is refused, what is hidden."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import apsw
import pytest

from inspector.core.estimates import Basis, Estimate
from inspector.demo.parts import Kind
from inspector.office.desk import Figures
from inspector.office.person import Role
from inspector.web.body import MAX_OBJECT
from inspector.web.review import TRUTHS
from inspector.web.review_views import figures_view
from inspector.web.site import Site, environment
from tests.support.office import make_hashes_cheap
from tests.support.page import client_of, site_in
from tests.support.reviewing import REJECT, SAMPLE, Part, write_parts
from tests.support.visitors import Browser, people_of

MIX = [Part(Kind.SCRATCH, REJECT), Part(Kind.GOOD, SAMPLE, serial="S2"), Part(Kind.DENT, REJECT), Part(Kind.GOOD)]


POSTS = ("/review/label", "/review/undo", "/review/truth", "/review/truth/undo")


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    make_hashes_cheap(monkeypatch)


@asynccontextmanager
async def reviewer_of(site: Site, role: Role = Role.QUALITY) -> AsyncIterator[Browser]:
    """Who is logged in with this role; their scripts send the token."""
    async with people_of(site, [[role]]) as (browser,):
        browser.headers["x-csrf-token"] = await browser.token()
        yield browser


@asynccontextmanager
async def page(run: Path) -> AsyncIterator[Browser]:
    site = site_in(run)
    try:
        async with reviewer_of(site) as browser:
            yield browser
    finally:
        site.close()


def body(no: object, label: object = "good", **changes: object) -> dict[str, object]:
    return {"no": no, "label": label, "ticket": f"{no}{label}", **changes}


async def test_a_label_is_kept_and_answered_with_what_the_line_said(tmp_path: Path) -> None:
    await write_parts(tmp_path, MIX)
    async with page(tmp_path) as client:
        waiting = (await client.get("/review/queue?queue=reject&days=1")).json()
        assert [item["no"] for item in waiting["items"]] == [3, 1] and waiting["total"] == 2
        assert waiting["items"][1]["said"]["word"] == "FAIL"
        answer = await client.post("/review/label", json=body(1, "scratch", note="edge", box=[1, 2, 3, 4]))
        assert answer.status_code == 200 and answer.json()["said"]["text"] == "Defect found: scratch"
        waiting = (await client.get("/review/queue?queue=reject&days=1")).json()
        assert [item["no"] for item in waiting["items"]] == [3] and waiting["done"] == 1
        shown = await client.get("/review")
    assert "False-reject share" in shown.text and "Image-judged, 1 parts" in shown.text


async def test_nobody_labels_a_picture_that_is_gone(tmp_path: Path) -> None:
    await write_parts(tmp_path, MIX)
    async with page(tmp_path) as client:
        shutil.rmtree(tmp_path / "pictures" / "reject")
        answer = await client.post("/review/label", json=body(1, "scratch"))
        assert answer.status_code == 404 and "error" in answer.json()
        assert (await client.post("/review/label", json=body(2))).status_code == 200


def test_a_share_of_errors_is_rounded_up_and_never_reads_as_none() -> None:
    few, none = (Estimate(share, 1.0, 3, 0, Basis.IMAGE) for share in (1 / 30_000, None))
    shown = [view["value"] for view in figures_view(Figures(few, none, few, 1, 2, 0, 0))]
    assert shown == ["0.01 %", "\N{EN DASH}", "0.01 %"]


async def test_a_heat_map_is_offered_where_one_lies_beside_the_picture(tmp_path: Path) -> None:
    await write_parts(tmp_path, MIX)
    (tmp_path / "pictures" / "reject" / "0000000" / "0000000003-heat.jpg").write_bytes(b"")
    async with page(tmp_path) as client:
        items = (await client.get("/review/queue?days=1")).json()["items"]
        assert [item["heat"] for item in items] == ["/heat/3", None]
        blind = (await client.get("/review/queue?days=1&blind=1")).json()["items"]
        assert [item["heat"] for item in blind] == [None, None]


async def test_blind_review_hears_nothing_of_the_verdict_before_the_label(tmp_path: Path) -> None:
    await write_parts(tmp_path, MIX)
    async with page(tmp_path) as client:
        answer = await client.get("/review/queue?queue=mixed&days=1&blind=1")
        assert {item["no"] for item in answer.json()["items"]} == {1, 2, 3}
        assert all(item["said"] is None and item["heat"] is None for item in answer.json()["items"])
        for told in ("FAIL", "scratch", "dent", "reject", "PASS"):
            assert told not in answer.text
        kept = (await client.post("/review/label", json=body(1))).json()
        assert kept["said"]["word"] == "FAIL"
        undone = (await client.post("/review/undo?blind=1", json={"n": kept["n"]})).json()
        assert undone["item"]["no"] == 1 and undone["item"]["said"] is None


async def test_taking_back_asked_again_takes_back_no_second_label(tmp_path: Path) -> None:
    await write_parts(tmp_path, MIX)
    async with page(tmp_path) as client:
        first, second = [(await client.post("/review/label", json=body(no))).json()["n"] for no in (1, 3)]
        assert (await client.get("/review/queue?days=1")).json()["last"] == second
        answers = [(await client.post("/review/undo", json={"n": second})).json() for _ in range(2)]
        assert answers[0] == answers[1] and (answers[0]["no"], answers[0]["last"]) == (3, first)
        for n in (True, "1", -1, 2**70, None):
            assert (await client.post("/review/undo", json={"n": n})).status_code == 400


@pytest.mark.parametrize("role", Role)
async def test_who_may_not_label_may_look(tmp_path: Path, role: Role) -> None:
    await write_parts(tmp_path, MIX)
    site, allowed = site_in(tmp_path), role in (Role.QUALITY, Role.ML, Role.ADMIN)
    try:
        async with reviewer_of(site, role) as browser:
            for path in POSTS:
                assert ((await browser.post(path, json={})).status_code != 403) is allowed, path
            shown = await browser.get("/review")
            assert shown.status_code == 200 and f'data-may="{int(allowed)}"' in shown.text
            assert (await browser.get("/review/queue?days=1")).json()["total"] == 2
    finally:
        site.close()


async def test_a_stranger_is_asked_to_log_in(tmp_path: Path) -> None:
    async with client_of(site_in(tmp_path)) as stranger:
        assert (await stranger.get("/review/queue")).status_code == 401
        asked = await stranger.get("/review", headers={"accept": "text/html"})
        assert asked.headers["location"].startswith("/log-in?next=")
        for path in POSTS:
            assert (await stranger.post(path, json=body(1))).status_code == 401


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (body(1, "a/b"), 400), (body(1, "train"), 400), (body(1, ""), 400), (body(1, box=[1, 2, 3]), 400),
        (body(1, box=[1.5, 2, 3, 4]), 400), (body(1, box=[0, 0, 0, 5]), 400), (body(1, note="x" * 501), 400),
        (body(1, None), 400), (body(1, {"a": 1}), 400), (body(1.5), 400), (body(True), 400), (body("1"), 400),
        (body(1, ticket=7), 400), (body(1, note=["x"]), 400),
        (body(1, person="eve"), 400), ({"no": 1}, 400), (body(1, ticket=""), 400), (body(1, note="x" * 20_000), 400),
        (body(4), 404), (body(99), 404), (body(2**70), 404),
    ],
)  # fmt: skip
async def test_what_cannot_be_meant_is_refused_and_nothing_is_kept(
    tmp_path: Path, sent: dict[str, object], status: int
) -> None:
    await write_parts(tmp_path, MIX)
    async with page(tmp_path) as client:
        answer = await client.post("/review/label", json=sent)
        assert answer.status_code == status and answer.json()["error"]
        assert (await client.post("/review/undo", json={"n": 1})).status_code == 409


async def test_a_body_that_is_no_object_or_too_large_is_refused(tmp_path: Path) -> None:
    await write_parts(tmp_path, MIX)
    async with page(tmp_path) as client:
        padded = json.dumps(body(1)).encode() + b" " * MAX_OBJECT
        infinite = b'{"no": 1e999, "label": "good", "ticket": "t"}'
        for content in (b"", b"[]", b"{", b"\xff", b"[" * 10_000, padded, infinite):
            assert (await client.post("/review/label", content=content)).status_code == 400


async def test_a_class_of_the_bundle_that_may_pass_counts_as_good(tmp_path: Path) -> None:
    await write_parts(tmp_path, MIX)
    site = site_in(tmp_path)
    site.feed._raw = {"limits": {"good_labels": ["good", "polished"]}}
    try:
        async with reviewer_of(site) as client:
            assert 'data-label="polished" data-key="1"' in (await client.get("/review")).text
            for no, name in ((1, "polished"), (3, "scratch")):
                await client.post("/review/label", json=body(no, name))
            assert site.desk is not None
            given = {no: kept[0].said.acceptable for no, kept in (await site.desk.labels.between(1, 9)).items()}
    finally:
        site.close()
    assert given == {1: True, 3: False}


@pytest.mark.parametrize("station", [None, "st1"])
async def test_a_class_that_may_pass_counts_as_good_also_where_the_daemon_is_silent_or_the_first_station_collects(
    tmp_path: Path, station: str | None
) -> None:
    await write_parts(tmp_path, MIX)
    judging = {"good_labels": ["good", "polished"]}
    with closing(apsw.Connection(str(tmp_path / "results.db"))) as db:
        content = json.dumps({"limits": judging})
        db.execute("INSERT INTO recipe_revisions VALUES (1, 1, '{}', 0, 'config', '')")
        db.execute(
            "INSERT INTO model_revs VALUES (1, 'disc-1-abc', 1, 1, ?, 0)", (content if station is None else "{}",)
        )
    site = site_in(tmp_path)
    if station is not None:
        first, second = {"station": station, "limits": None}, {"station": "st2", "limits": judging}
        site.feed._keep({**first, "stations": [first, second]})
    try:
        async with reviewer_of(site) as client:
            assert 'data-label="polished" data-key="1"' in (await client.get("/review")).text
            for no, name in ((1, "polished"), (3, "scratch")):
                assert (await client.post("/review/label", json=body(no, name))).status_code == 200
            assert site.desk is not None
            given = {no: kept[0].said.acceptable for no, kept in (await site.desk.labels.between(1, 9)).items()}
    finally:
        site.close()
    assert given == {1: True, 3: False}


async def test_a_truth_by_serial_changes_what_the_estimate_rests_on(tmp_path: Path) -> None:
    await write_parts(tmp_path, MIX)
    async with page(tmp_path) as client:
        await client.post("/review/label", json=body(2))
        sent = {"serial": " S2 ", "source": "complaint", "good": False, "note": "came back"}
        answer = await client.post("/review/truth", json=sent)
        assert answer.status_code == 200 and answer.json()["told"] == "Kept for serial S2."
        mistyped = await client.post("/review/truth", json={**sent, "serial": "S22"})
        assert mistyped.status_code == 200 and "no part with the serial S22" in mistyped.json()["told"]
        for wrong in ({**sent, "source": "rumour"}, {**sent, "good": 1}, {**sent, "serial": ""}):
            assert (await client.post("/review/truth", json=wrong)).status_code == 400
        shown = await client.get("/review")
    assert "By re-inspection, test or complaint, 1 parts" in shown.text
    assert "1 passed parts known to be bad" in shown.text


async def test_a_truth_for_a_serial_that_no_part_has_is_marked_and_can_be_taken_back(tmp_path: Path) -> None:
    await write_parts(tmp_path, MIX)
    nopart = "no part of this serial on record"
    async with page(tmp_path) as client:
        assert re.search(r'id="truths"[^>]* hidden', (await client.get("/review")).text), "nothing was told yet"
        sent = {"source": "complaint", "good": False}
        for serial in ("S2", "S22"):
            await client.post("/review/truth", json={**sent, "serial": serial})
        shown = (await client.get("/review")).text
        assert shown.count(nopart) == 1 and "Take back, serial S22" in shown and "Take back, serial S2" in shown
        answers = [await client.post("/review/truth/undo", json={"n": n}) for n in (2, 2, 1)]
        assert [answer.status_code for answer in answers] == [200] * 3 and answers[0].json() == answers[1].json()
        assert answers[0].json()["told"].startswith("Taken back for serial S22.")
        shown = (await client.get("/review")).text
        assert "<s>S22</s>" in shown and "Take back, serial" not in shown and "taken back by p0" in shown
        assert "0 passed parts known to be bad" in shown
        assert re.search(r"<s>Not good</s> .*taken back by p0", (await client.get("/part/2")).text)
        assert (await client.post("/review/truth/undo", json={"n": 9})).status_code == 409
        for n in (True, "1", -1, 2**70, None):
            assert (await client.post("/review/truth/undo", json={"n": n})).status_code == 400


async def test_truths_that_the_page_has_no_room_for_are_a_page_further(tmp_path: Path) -> None:
    await write_parts(tmp_path, MIX)
    async with page(tmp_path) as client:
        for n in range(TRUTHS + 1):
            await client.post("/review/truth", json={"serial": f"T{n}", "source": "complaint", "good": False})
        shown = (await client.get("/review")).text
        assert f"serial T{TRUTHS}" in shown and "serial T0" not in shown and "?before=2#truths" in shown
        older = (await client.get("/review?before=2")).text
        assert "serial T0" in older and "serial T1" not in older and "?before=" not in older
        assert "serial T1" in (await client.get("/review?before=x")).text


async def test_a_page_without_a_record_says_so(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        assert (await client.get("/review")).status_code == 503
        assert (await client.get("/review/queue")).status_code == 503
        assert (await client.get("/review/queue?queue=secret")).status_code == 400


async def test_the_part_page_shows_who_said_what(tmp_path: Path) -> None:
    await write_parts(tmp_path, MIX)
    async with page(tmp_path) as client:
        await client.post("/review/label", json=body(1, "good", note="<b>dust</b>"))
        await client.post("/review/undo", json={"n": 1})
        await client.post("/review/label", json=body(1, "scratch", box=[1, 2, 30, 40]))
        text = (await client.get("/part/1")).text
    assert "<s>Good</s>" in text and "taken back by p0" in text and "box 30 x 40 at 1, 2" in text
    assert "&lt;b&gt;dust" in text and "Settled." in text
    assert environment().get_template("_labels.html").render(said=None).strip() == ""


async def test_each_answer_is_in_the_language_of_who_asks(tmp_path: Path) -> None:
    await write_parts(tmp_path, MIX)
    zh = {"accept-language": "zh"}
    async with page(tmp_path) as client:
        item = (await client.get("/review/queue?days=1", headers=zh)).json()["items"][0]
        assert item["said"]["seen"].startswith("模型") and item["facts"][0][0] != "Time"
        answer = await client.post("/review/label", json=body(1), headers=zh)
        assert (answer.json()["label"], answer.json()["state"]) == ("合格", "已确定。")
        assert "剔除件误判率" in (await client.get("/review", headers=zh)).text

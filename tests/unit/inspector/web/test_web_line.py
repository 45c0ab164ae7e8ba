"""What the line screen asks of its own process: a reset in a person's name, small pictures from memory."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from inspector.demo.parts import Kind
from inspector.office.person import Role
from inspector.web import thumbs
from inspector.web.present import tallies_view
from inspector.web.words import speaking
from tests.support.fake_daemon import FakeDaemon
from tests.support.office import make_hashes_cheap
from tests.support.page import browser_at, client_of, page_process, site_in, until
from tests.support.record import Entry, write_record
from tests.support.visitors import Browser, people_of


async def reset(browser: Browser, **sent: object) -> tuple[int, str]:
    token = await browser.token()
    answer = await browser.post("/counts/reset", json=sent, headers={"x-csrf-token": token})
    found = answer.json()
    return answer.status_code, found.get("told") or found.get("error") or ""


async def test_a_reset_goes_to_the_daemon_in_the_name_of_who_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_hashes_cheap(monkeypatch)
    site, daemon = site_in(tmp_path), FakeDaemon(tmp_path)
    try:
        async with people_of(site, [{Role.OPERATOR}, {Role.ML}]) as (operator, other):
            status, text = await reset(operator, station="Line 1", why="")
            assert status == 503 and "does not answer" in text
            await daemon.start()
            assert (await reset(operator, station="Line 1", why=" new coil "))[0] == 200
            assert daemon.resets == [("p0", {"station": "Line 1", "why": "new coil"})]
            for sent in (
                {},
                {"why": ""},
                {"station": 1, "why": ""},
                *({"station": "Line 1", "why": w} for w in ("x" * 201, "a\nb")),
            ):
                assert (await reset(operator, **sent))[0] == 400
            daemon.changes = {"refuses": True}
            status, text = await reset(operator, station="Line 1", why="")
            assert status == 409 and "disk" not in text, "the daemon's English is for its log"
            assert "reset-dialog" in (await operator.get("/")).text
            assert "reset-dialog" not in (await other.get("/")).text
            token = await other.token()
            refused = await other.post("/counts/reset", json={"why": ""}, headers={"x-csrf-token": token})
            assert refused.status_code == 403
    finally:
        await daemon.stop()
        site.close()
    assert len(daemon.resets) == 1


async def test_a_small_picture_is_made_once_and_then_comes_from_memory(tmp_path: Path) -> None:
    site, daemon = site_in(tmp_path), FakeDaemon(tmp_path)
    await daemon.start()
    part = daemon.part(Kind.SCRATCH)
    async with page_process(site) as origin, browser_at(origin) as client:
        await until(lambda: site.feed.up)
        first = await client.get(f"/thumb/{part['no']}")
        (tmp_path / "previews" / part["preview"]).unlink()
        again = await client.get(f"/thumb/{part['no']}")
        missing = await client.get("/thumb/99")
    await daemon.stop()
    picture = cv2.imdecode(np.frombuffer(first.content, np.uint8), cv2.IMREAD_COLOR)
    assert first.headers["content-type"] == "image/jpeg" and max(picture.shape) <= thumbs.LONGEST_SIDE
    assert first.content == again.content and missing.status_code in (404, 503)


async def test_a_part_whose_small_picture_is_gone_shows_its_kept_one(tmp_path: Path) -> None:
    await write_record(tmp_path, [Entry(1), Entry(2, Kind.SCRATCH)])
    async with client_of(site_in(tmp_path)) as client:
        assert (await client.get("/thumb/2")).status_code == 200
        assert (await client.get("/thumb/1")).status_code == 404


def test_memory_for_small_pictures_is_bounded() -> None:
    kept, picture = thumbs.Thumbs(), cv2.imencode(".png", np.zeros((40, 60, 3), np.uint8))[1].tobytes()
    for no in range(thumbs.KEPT + 5):
        kept.make(no, picture)
    assert kept.get(4) is None and kept.get(5) is not None
    with pytest.raises(thumbs.NoPicture):
        kept.make(1, b"no picture")


def test_the_counts_are_told_in_words_with_the_plcs_own_beside_them() -> None:
    counts = {"triggers": 10, "pass": 6, "fail": 2, "uncertain": 0, "not_inspected": 1, "test": 1}
    tally = {"key": "L-7", "since_utc_ms": 0, "counts": counts, "reasons": [{"reason": 10, "count": 2}]}
    status = {
        "part_difference": 2,
        "tallies": [{**tally, "scope": "reset", "plc_parts": 12}, {**tally, "scope": "lot", "plc_parts": 0}],
    }
    lot, since_reset = tallies_view(status)
    assert (lot["name"], lot["counts"]["plc"], lot["differs"]) == ("Lot L-7", "–", "")
    assert (since_reset["counts"]["plc"], since_reset["differs"]) == (12, "+2 against ours")
    assert lot["counts"]["yield"] == "66.6 %" and lot["reasons"] == [{"text": "Defect found", "count": 2}]
    collecting = tallies_view({**status, "mode": "collect"})
    assert [t["counts"]["yield"] for t in collecting] == ["–", "–"], "it passes nothing"
    with speaking("zh"):
        assert tallies_view(status)[0]["name"] == "批次 L-7"
    assert tallies_view({}) == []

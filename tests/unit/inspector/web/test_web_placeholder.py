"""Pictures that the record names and nobody has: after a restore, for a backup holds none."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from inspector.demo.parts import Kind
from inspector.office.person import Role
from inspector.web.speech import COOKIE
from tests.support.office import make_hashes_cheap
from tests.support.page import client_of, site_in
from tests.support.record import Entry, write_record
from tests.support.reviewing import REJECT, Part, write_parts
from tests.support.visitors import people_of

IMG = {"accept": "image/avif,image/webp,image/*,*/*;q=0.8"}  # as a browser fills an <img>


@pytest.mark.parametrize("address", ["/thumb/2", "/picture/2"])
async def test_where_a_kept_picture_is_gone_a_page_shows_that_and_a_program_is_told_that_there_is_none(
    tmp_path: Path, address: str
) -> None:
    await write_record(tmp_path, [Entry(1), Entry(2, Kind.DENT)])
    shutil.rmtree(tmp_path / "pictures")
    async with client_of(site_in(tmp_path)) as client:
        shown = await client.get(address, headers=IMG)
        assert shown.status_code == 200 and shown.headers["content-type"] == "image/svg+xml"
        assert " ".join(re.findall(r"<text[^>]*>([^<]*)<", shown.text)) == "Picture not kept"
        assert shown.headers["cache-control"] == "no-store", "it may come back"
        client.cookies.set(COOKIE, "zh")
        assert "图像未保留" in (await client.get(address, headers=IMG)).text
        assert (await client.get(address)).status_code == 404


async def test_a_part_that_never_had_a_picture_and_one_that_never_was_have_no_placeholder(tmp_path: Path) -> None:
    await write_record(tmp_path, [Entry(1), Entry(2, Kind.DENT)])
    async with client_of(site_in(tmp_path)) as client:
        for no in (1, 99):
            assert (await client.get(f"/thumb/{no}", headers=IMG)).status_code == 404
            assert (await client.get(f"/picture/{no}", headers=IMG)).status_code == 404


async def test_the_history_and_the_part_page_say_that_a_picture_is_not_kept_any_more(tmp_path: Path) -> None:
    await write_record(tmp_path, [Entry(1), Entry(2, Kind.DENT), Entry(3, Kind.DENT)])
    (tmp_path / "pictures" / "reject" / "0000000" / "0000000002.png").unlink()
    async with client_of(site_in(tmp_path)) as client:
        table = (await client.get("/history")).text
        part = (await client.get("/part/2")).text
    assert re.findall(r'<td class="quiet aside">(Yes|Not kept|)</td>\s*</tr>', table) == ["Yes", "Not kept", ""]
    assert "a backup holds no pictures" in part and "/picture/2" not in part


async def test_a_review_leaves_out_what_nobody_can_look_at_and_takes_no_label_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_hashes_cheap(monkeypatch)
    await write_parts(tmp_path, [Part(Kind.SCRATCH, REJECT), Part(Kind.DENT, REJECT), Part(Kind.DENT, REJECT)])
    (tmp_path / "pictures" / "reject" / "0000000" / "0000000002.png").unlink()
    site = site_in(tmp_path)
    try:
        async with people_of(site, [[Role.QUALITY]]) as (browser,):
            browser.headers["x-csrf-token"] = await browser.token()
            waiting = (await browser.get("/review/queue?queue=reject&days=1")).json()
            assert [item["no"] for item in waiting["items"]] == [3, 1] and waiting["gone"] == 1
            answer = await browser.post("/review/label", json={"no": 2, "label": "good", "ticket": "a"})
            assert answer.status_code == 404 and "no picture of this part any more" in answer.text
    finally:
        site.close()

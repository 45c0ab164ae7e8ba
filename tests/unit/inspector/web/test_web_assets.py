"""What an opening line screen asks for: few answers, quick ones, and nothing twice."""

from __future__ import annotations

import asyncio
import re
import socket
from pathlib import Path

import pytest

from inspector.demo.parts import Kind
from inspector.web.pages import IN_SIGHT
from inspector.web.server import bind
from inspector.web.site import STATIC, assets_hash
from tests.support.fake_daemon import FakeDaemon
from tests.support.page import browser_at, client_of, page_process, site_in, until

KEPT = f"/static/{assets_hash()}"


async def test_a_file_under_its_version_is_kept_for_good_and_any_other_is_asked_for_again(tmp_path: Path) -> None:
    async with client_of(site_in(tmp_path)) as client:
        kept, plain = await client.get(f"{KEPT}/line.js"), await client.get("/static/line.js")
        assert kept.content == plain.content == (STATIC / "line.js").read_bytes()
        assert "immutable" in kept.headers["cache-control"] and plain.headers["cache-control"] == "no-cache"
        again = await client.get("/static/line.js", headers={"if-none-match": plain.headers["etag"]})
        assert again.status_code == 304 and again.content == b""
        other = await client.get("/static/draw.js", headers={"if-none-match": plain.headers["etag"]})
        assert other.status_code == 200
        assert (await client.get("/static/0123456789abcdef/line.js")).status_code == 404, "of another version"


async def test_every_file_of_the_page_is_there_with_its_kind(tmp_path: Path) -> None:
    kinds = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
    async with client_of(site_in(tmp_path)) as client:
        for path in (p for p in STATIC.rglob("*") if p.is_file()):
            answer = await client.get(f"/static/{path.relative_to(STATIC)}")
            assert answer.status_code == 200 and answer.content == path.read_bytes()
            assert answer.headers["content-type"].startswith(kinds.get(path.suffix, "")), path


async def test_style_sheets_come_as_one_in_the_order_asked_for(tmp_path: Path) -> None:
    async with client_of(site_in(tmp_path)) as client:
        joined = await client.get(f"{KEPT}/base+line.css")
        assert joined.headers["content-type"].startswith("text/css")
        assert joined.content == (STATIC / "base.css").read_bytes() + b"\n" + (STATIC / "line.css").read_bytes()
        for wrong in ("base+base.css", "base+nothing.css", "base+line.js", "base+.css", "+.css", "base+../x.css", ""):
            assert (await client.get(f"/static/{wrong}")).status_code == 404, wrong


async def test_the_page_itself_brings_the_last_results_and_the_pictures_in_sight(tmp_path: Path) -> None:
    site, daemon = site_in(tmp_path), FakeDaemon(tmp_path)
    for n in range(IN_SIGHT + 3):
        daemon.part(Kind.DENT if n == 0 else Kind.GOOD, seed=3)
    daemon.part(Kind.EMPTY, preview=None)  # the camera gave no picture
    await daemon.start()
    newest_first = [part["no"] for part in daemon.parts]
    async with page_process(site) as origin, browser_at(origin) as client:
        await until(lambda: site.feed.up)
        cold = (await client.get("/")).text
        for no in newest_first[1:]:
            await client.get(f"/thumb/{no}")
        warm = (await client.get("/")).text
    await daemon.stop()
    for page in (cold, warm):
        assert [int(no) for no in re.findall(r'<li data-no="(\d+)">', page)] == newest_first
    in_sight = {*newest_first[1:IN_SIGHT], newest_first[-1]}  # the last FAIL is pinned
    assert {int(no) for no in re.findall(r'src="/thumb/(\d+)"', cold)} == in_sight
    came_with_it = re.findall(r'data-no="(\d+)" src="data:image/jpeg;base64,[A-Za-z0-9+/=]{400,}"', warm)
    assert {int(no) for no in came_with_it} == in_sight and 'src="/thumb/' not in warm


async def test_an_answer_is_not_held_back_until_the_browser_has_acknowledged_its_beginning() -> None:
    waits: list[int] = []

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted: socket.socket = writer.get_extra_info("socket")
        waits.append(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    with bind("127.0.0.1", 0, "[web]") as sock:
        async with await asyncio.start_server(answer, sock=sock):
            reader, writer = await asyncio.open_connection(*sock.getsockname())
            await reader.read()
            writer.close()
            await writer.wait_closed()
    assert waits == [1]


@pytest.mark.parametrize("path", ["/", "/history", "/alarms"])
async def test_each_page_finds_its_sheets_under_their_version(tmp_path: Path, path: str) -> None:
    async with client_of(site_in(tmp_path)) as client:
        sheets = re.findall(r'<link rel="stylesheet" href="([^"]+)"', (await client.get(path)).text)
        assert sheets and sheets[0].startswith(KEPT)
        assert all([(await client.get(sheet)).status_code == 200 for sheet in sheets])

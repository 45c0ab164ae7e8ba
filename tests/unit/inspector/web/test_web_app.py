from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
import uvicorn
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from inspector.control import connect_control
from inspector.core.errors import ConfigError
from inspector.demo.parts import Kind
from inspector.store.history import SqliteHistory
from inspector.web import app, feed, pages, stream
from inspector.web.feed import Screen, encode
from inspector.web.guard import Guard
from tests.support.fake_daemon import FakeDaemon
from tests.support.page import browser_at, client_of, page_process, settings_in, site_in, until
from tests.support.record import write_record

pytestmark = pytest.mark.slow

ROUTES = (
    "/", "/history", "/part/1", "/picture/1", "/healthz", "/readyz", "/favicon.ico", "/static/line.js",
    "/preview/x.jpg", "/no/such/page", "/part/x", "/history?verdict=x",
)  # fmt: skip


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[FakeDaemon]:
    fake = FakeDaemon(tmp_path)
    await fake.start()
    yield fake
    await fake.stop()


@pytest.mark.parametrize("route", ROUTES)
async def test_every_answer_carries_the_strict_policy(tmp_path: Path, route: str) -> None:
    async with client_of(site_in(tmp_path)) as client:
        answer = await client.get(route)
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'self'") and "unsafe" not in policy and "http" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["cache-control"] == "no-store" or route.startswith(("/static/", "/favicon", "/picture/"))
    for closed in ("object-src 'none'", "base-uri 'none'", "form-action 'self'", "frame-ancestors 'none'"):
        assert closed in policy, "what default-src does not cover, or must not leave open"


async def test_a_page_that_fails_by_a_bug_still_carries_the_policy_and_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = site_in(tmp_path)
    monkeypatch.setattr(SqliteHistory, "row", None)
    async with client_of(site) as client:
        answer = await client.get("/part/1")
    assert answer.status_code == 500 and "content-security-policy" in answer.headers
    assert "NoneType" not in answer.text and "Traceback" not in answer.text


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
async def test_nothing_can_be_written_through_the_page(tmp_path: Path, method: str) -> None:
    async with client_of(site_in(tmp_path)) as client:
        for route in ("/", "/history", "/part/1", "/events", "/preview/x.jpg"):
            assert (await client.request(method, route)).status_code == 405


async def test_a_monitor_may_ask_for_the_headers_alone(tmp_path: Path) -> None:
    async with client_of(site_in(tmp_path)) as client:
        for route in ("/", "/healthz", "/static/line.css"):
            answer = await client.head(route)
            assert answer.status_code == 200 and answer.content == b""


async def test_a_request_that_may_write_never_reaches_what_the_guard_protects() -> None:
    reached: list[str] = []

    async def eager(scope: Scope, receive: Receive, send: Send) -> None:
        reached.append(scope["method"])
        await Response("done")(scope, receive, send)

    transport = httpx.ASGITransport(app=Guard(eager, None))
    async with httpx.AsyncClient(transport=transport, base_url="http://any") as client:
        answers = [(await client.request(method, "/")).status_code for method in ("POST", "DELETE", "GET", "HEAD")]
    assert answers == [405, 405, 200, 200] and reached == ["GET", "HEAD"]


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8080", ""])
async def test_a_page_elsewhere_cannot_read_us_under_a_name_of_its_own(tmp_path: Path, host: str) -> None:
    async with client_of(site_in(tmp_path)) as client:
        assert (await client.get("/", headers={"host": host})).status_code == 403
        for ours in ("localhost:8080", "127.0.0.1:9", "[::1]:8080"):
            assert (await client.get("/", headers={"host": ours})).status_code == 200


@pytest.mark.parametrize(
    "name", ["..%2f..%2fetc%2fpasswd", "%2e%2e%2fresults.db", "..%5cresults.db", ".png", "a%00.png", "results.db"]
)
async def test_a_preview_outside_its_folder_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "previews").mkdir()
    (tmp_path / "results.db").write_bytes(b"secret")
    async with client_of(site_in(tmp_path)) as client:
        answer = await client.get(f"/preview/{name}")
    assert answer.status_code == 404 and b"secret" not in answer.content


async def test_a_filter_is_shown_as_text_and_never_as_markup(tmp_path: Path) -> None:
    await write_record(tmp_path, [])
    async with client_of(site_in(tmp_path)) as client:
        answer = await client.get("/history", params={"label": '"><script>alert(1)</script>'})
    assert answer.status_code == 200
    assert "<script>alert" not in answer.text and "&lt;script&gt;" in answer.text


@pytest.mark.parametrize(
    "query", [{"part_id": "-1"}, {"trigger_id": "70000"}, {"verdict": "9"}, {"from": "yesterday"}, {"before": "1e9"}]
)
async def test_a_filter_that_cannot_be_read_is_named_and_not_guessed(tmp_path: Path, query: dict[str, str]) -> None:
    async with client_of(site_in(tmp_path)) as client:
        answer = await client.get("/history", params=query)
    assert answer.status_code == 400 and "cannot be read" in answer.text


def test_the_network_may_look_only_where_the_configuration_says_so(tmp_path: Path) -> None:
    for host in ("0.0.0.0", "::", "192.168.1.5", "appliance"):
        with pytest.raises(ConfigError, match="allow_remote_view"):
            app.listen(settings_in(tmp_path, host=host))
    app.listen(settings_in(tmp_path, host="0.0.0.0", allow_remote_view=True)).close()


def test_a_port_in_use_is_said_in_words(tmp_path: Path) -> None:
    with app.listen(settings_in(tmp_path)) as taken:
        taken.listen()
        settings = settings_in(tmp_path)
        busy = type(settings)(
            **{**{f: getattr(settings, f) for f in settings.__slots__}, "port": taken.getsockname()[1]}
        )
        with pytest.raises(ConfigError, match="cannot listen"):
            app.listen(busy)


async def test_ready_follows_the_daemon_and_health_does_not(daemon: FakeDaemon, tmp_path: Path) -> None:
    site = site_in(tmp_path)
    async with page_process(site) as origin, browser_at(origin) as client:
        await until(lambda: site.feed.ready)
        assert (await client.get("/readyz")).status_code == 200
        daemon.changes = {"ready": False, "offline_reason": 4}
        daemon.push("status", daemon.status())
        await until(lambda: not site.feed.ready)
        answer = await client.get("/readyz")
        assert answer.status_code == 503 and answer.json()["reason"] == "Camera does not answer"
        await daemon.stop()
        await until(lambda: not site.feed.up)
        answer = await client.get("/readyz")
        assert answer.status_code == 503 and answer.json()["reason"] == "The inspection is not running"
        assert (await client.get("/healthz")).status_code == 200


async def test_a_silent_daemon_is_not_ready_two_seconds_after_its_last_word(daemon: FakeDaemon, tmp_path: Path) -> None:
    site, now = site_in(tmp_path), [100.0]
    site.feed = feed.Feed(lambda: connect_control(site.settings.socket, "test"), monotonic_s=lambda: now[0])
    async with page_process(site):
        await until(lambda: site.feed.ready)
        daemon.hang()
        daemon.part()
        await until(lambda: site.feed.strip().parts)  # and so all has come that it had said before
        now[0] += feed.FRESH_S + 0.1
        assert site.feed.up and not site.feed.ready


async def test_without_a_daemon_the_page_opens_and_says_offline(tmp_path: Path) -> None:
    site = site_in(tmp_path)
    async with page_process(site) as origin, browser_at(origin) as client:
        assert "OFFLINE" in (await client.get("/")).text
        async with client.stream("GET", "/events") as stream:
            events = [e async for e in _events(stream, 2)]
    assert events[0][0] == "hello" and events[1] == ("link", {"up": False})


async def test_a_new_screen_gets_the_last_parts_and_then_each_new_one(daemon: FakeDaemon, tmp_path: Path) -> None:
    for kind in (Kind.GOOD, Kind.SCRATCH, Kind.GOOD):
        daemon.part(kind)
    site = site_in(tmp_path)
    async with page_process(site) as origin, browser_at(origin) as client:
        await until(lambda: site.feed.up)
        async with client.stream("GET", "/events") as stream:
            events = _events(stream, 20)
            _, hello = await anext(events)
            assert [p["no"] for p in hello["parts"]] == [3, 2, 1]
            assert hello["last_fail"]["no"] == 2
            daemon.part(Kind.DENT)
            part = await _next(events, "part")
            assert part["word"] == "FAIL" and part["text"] == "Defect found: dent"
            await events.aclose()
        picture = await client.get(f"/preview/{part['preview']}")
        assert picture.headers["content-type"] == "image/jpeg" and picture.content[:2] == b"\xff\xd8"


async def test_a_picture_that_the_archive_is_about_to_write_is_waited_for(
    daemon: FakeDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = daemon.part(Kind.GOOD)
    file = tmp_path / "previews" / part["preview"]
    content = file.read_bytes()
    file.unlink()
    site = site_in(tmp_path)
    async with page_process(site) as origin, browser_at(origin) as client:
        await until(lambda: site.feed.up)
        assert (await client.get("/preview/0000999999.jpg")).status_code == 404, "nobody told of such a part"
        with monkeypatch.context() as patient:
            patient.setattr(pages, "WRITTEN_WITHIN_S", 600.0)
            patient.setattr(pages, "ON_ITS_WAY", 6000)
            asked = asyncio.create_task(client.get(f"/preview/{part['preview']}"))
            await asyncio.sleep(0.3)
            assert not asked.done()
            file.write_bytes(content)
            assert (await asked).content == content
        file.unlink()
        assert (await client.get(f"/preview/{part['preview']}")).status_code == 404, "not for ever"


async def test_the_page_finds_a_daemon_that_was_started_again(daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.part()
    site = site_in(tmp_path)
    async with page_process(site):
        await until(lambda: site.feed.up)
        await daemon.stop()
        await until(lambda: not site.feed.up)
        again = FakeDaemon(tmp_path)
        await again.start()
        await until(lambda: site.feed.ready)
        await again.stop()


async def test_the_screen_after_the_last_allowed_one_is_told_to_come_back(tmp_path: Path) -> None:
    site = site_in(tmp_path)
    async with page_process(site) as origin, AsyncExitStack() as stack:
        limits = httpx.Limits(max_connections=feed.MAX_CLIENTS + 5)
        client = await stack.enter_async_context(browser_at(origin, limits=limits))
        for _ in range(feed.MAX_CLIENTS):
            stream = await stack.enter_async_context(client.stream("GET", "/events"))
            assert stream.status_code == 200
        answer = await client.get("/events")
        assert answer.status_code == 503 and "retry-after" in answer.headers
        await stream.aclose()
        await until(lambda: site.feed.screens < feed.MAX_CLIENTS)
        async with client.stream("GET", "/events") as stream:
            assert stream.status_code == 200


async def test_one_address_cannot_take_the_places_of_all_others_also_behind_our_proxy(tmp_path: Path) -> None:
    site = site_in(tmp_path)
    async with page_process(site) as origin, AsyncExitStack() as stack:
        limits = httpx.Limits(max_connections=feed.MAX_CLIENTS + 5)
        client = await stack.enter_async_context(browser_at(origin, limits=limits))

        async def opened(address: str = "") -> httpx.Response:
            headers = {"x-forwarded-for": address} if address else {}  # as nginx on the box says it
            return await stack.enter_async_context(client.stream("GET", "/events", headers=headers))

        many = [await opened(f"2001:db8::{n + 1:x}") for n in range(feed.MAX_OF_ONE)]  # one machine may have a /64
        assert {screen.status_code for screen in many} == {200}
        refused = await opened("2001:db8::ffff")
        assert refused.status_code == 503 and "retry-after" in refused.headers
        assert (await opened("203.0.113.7")).status_code == 200, "another address has its place"
        await many[0].aclose()
        await until(lambda: site.feed.screens == feed.MAX_OF_ONE)
        assert (await opened("2001:db8::2")).status_code == 200, "a place that was given back may be had again"


async def test_a_screen_that_does_not_begin_is_dropped_and_holds_nothing() -> None:
    screen = Screen()
    for n in range(feed.QUEUE + 1):
        screen.offer(encode("part", {"no": n}))
    screen.offer(encode("part", {"no": 99}))
    assert screen.closed and not screen.waiting


def test_a_screen_that_falls_behind_is_cut_off_and_one_that_takes_a_large_first_message_is_not() -> None:
    class Slow(asyncio.Transport):
        held, cut = 0, False

        def is_closing(self) -> bool:
            return self.cut

        def get_write_buffer_size(self) -> int:
            return self.held

        def write(self, data: bytes | bytearray | memoryview) -> None:
            self.held += len(data)

        def abort(self) -> None:
            self.cut = True

    slow, most = Slow(), stream.MOST_BEHIND
    write = stream.writer_of(slow, chunked=True)
    write(b"x" * 4 * most)
    write(b"link")
    assert not slow.cut, "what it needs to draw at all may come in its own time"
    for _ in range(100):
        write(b"x" * (most // 50))
    assert slow.cut and slow.held < 6 * most


async def test_the_process_ends_at_once_though_screens_are_open(
    daemon: FakeDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = uvicorn.Config  # which itself cuts off no stream while we wait: the end of each is our own doing
    monkeypatch.setattr("uvicorn.Config", lambda *of, **more: config(*of, **{**more, "timeout_graceful_shutdown": 600}))
    site = site_in(tmp_path)
    sock = app.listen(site.settings)
    origin = f"http://127.0.0.1:{sock.getsockname()[1]}"
    task = asyncio.create_task(app.serve(site, sock))
    async with browser_at(origin) as client, client.stream("GET", "/events") as stream:
        lines = stream.aiter_lines()  # held: dropped, it would close the stream itself
        await anext(lines)
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(60):
            await task


async def test_a_daemon_that_speaks_nonsense_is_offline_and_not_the_end(tmp_path: Path) -> None:
    asked = 0

    async def nonsense(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        writer.write(b"{]\n")
        writer.close()

    site = site_in(tmp_path)
    server = await asyncio.start_unix_server(nonsense, site.settings.socket)
    async with page_process(site) as origin, browser_at(origin) as client:
        await until(lambda: asked > 1)  # it has read that, and asks again
        assert (await client.get("/readyz")).status_code == 503
    server.close()


async def _events(stream: httpx.Response, most: int) -> AsyncIterator[tuple[str, dict[str, object]]]:
    event, count = "", 0
    async for line in stream.aiter_lines():
        if line.startswith("event: "):
            event = line[7:]
        elif line.startswith("data: "):
            yield event, json.loads(line[6:])
            count += 1
            if count == most:
                return


async def _next(events: AsyncIterator[tuple[str, dict[str, object]]], wanted: str) -> dict[str, object]:
    async for event, data in events:
        if event == wanted:
            return data
    raise AssertionError(f"no {wanted} came")

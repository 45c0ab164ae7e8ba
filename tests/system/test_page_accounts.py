"""The page as a process of its own: log-in over TLS, slow strangers, and nginx before it."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from inspector.demo.processes import child, config_text
from inspector.office.certificate import ensure_own, own_pair
from inspector.web.server import HANDSHAKE_S, HEADERS_LEAST_S, HEADERS_S
from plc.free_port import free_port as a_free_port
from tests.support.office import PASSWORD
from tests.support.visitors import HTML, Browser

pytestmark = pytest.mark.system
PATIENCE_S = 120.0  # on cores that others use as well
NGINX_CONF = Path(__file__).parents[2] / "configs" / "nginx.conf"


@dataclass(frozen=True)
class Page:
    port: int
    folder: Path

    @property
    def log(self) -> list[dict[str, object]]:
        """Its lines so far."""
        found = (self.folder / "page.log").read_text().splitlines(keepends=True)
        return [json.loads(line) for line in found if line.startswith("{") and line.endswith("\n")]

    def trusted(self) -> ssl.SSLContext:
        """Trusts the box's own certificate, and nothing else."""
        return ssl.create_default_context(cafile=str(own_pair(self.folder / "state-web").certificate))


@asynccontextmanager
async def page_in(folder: Path, port: int, more: str) -> AsyncIterator[Page]:
    text = config_text(1, folder, page_port=port)
    (folder / "page.toml").write_text(text.replace("[web]\n", f"[web]\n{more}\n"))
    page = Page(port, folder)
    async with child("inspector", "web", str(folder / "page.toml"), log=folder / "page.log") as process:
        async with asyncio.timeout(PATIENCE_S):
            while not any("code" in line for line in page.log) or not await _listens(port):
                assert process.returncode is None, (folder / "page.log").read_text()
                await asyncio.sleep(0.05)
        yield page


async def _listens(port: int) -> bool:
    with suppress(OSError):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        return True
    return False


async def make_admin(browser: Browser, page: Page) -> None:
    code = next(str(line["code"]) for line in page.log if "code" in line)
    form = {"code": code, "name": "Anna", "password": PASSWORD, "again": PASSWORD}
    answer = await browser.submit("/first-start", form, page="/first-start")
    assert (answer.status_code, answer.headers["location"]) == (303, "/admin")


async def test_a_box_from_first_start_over_tls_to_the_end_of_a_session_by_a_role_change(
    tmp_path: Path, free_port: int
) -> None:
    async with page_in(tmp_path, free_port, "tls = true") as page:
        silent = await asyncio.open_connection("127.0.0.1", free_port)
        async with (
            Browser(base_url=f"https://127.0.0.1:{free_port}", verify=page.trusted()) as anna,
            Browser(base_url=f"https://127.0.0.1:{free_port}", verify=page.trusted()) as boris,
        ):
            await make_admin(anna, page)
            shown = await anna.submit("/admin/people", {"name": "Boris", "roles": "operator"}, page="/admin")
            code = re.search(r"[A-Z2-9]{4}(?:-[A-Z2-9]{4}){3}", shown.text)
            assert code is not None
            form = {"name": "Boris", "code": code[0], "password": PASSWORD, "again": PASSWORD}
            entered = await boris.submit("/new-password", form, page="/new-password")
            cookie = entered.headers["set-cookie"]
            assert cookie.startswith("__Host-inspector=") and "SameSite=strict" in cookie
            assert "Secure" in cookie and "HttpOnly" in cookie
            assert (await boris.get("/me")).status_code == 200
            token = await anna.token("/admin")
            path, fields = "/admin/people/2/roles", {"roles": "quality"}
            for wrong in ({"csrf": "x"}, {}, {"csrf": await boris.token()}):
                assert (await anna.post(path, data={**fields, **wrong})).status_code == 403
            foreign = {"sec-fetch-site": "cross-site", "origin": "https://evil.example"}
            assert (await anna.post(path, data={**fields, "csrf": token}, headers=foreign)).status_code == 403
            assert (await boris.get("/me")).status_code == 200, "nothing was changed until now"
            assert (await anna.post(path, data={**fields, "csrf": token})).status_code == 303
            assert (await boris.get("/me", headers=HTML)).headers["location"] == "/log-in?next=/me"
            assert (await anna.get("/")).headers["content-security-policy"].startswith("default-src 'self'")
        done = await _command("audit", "check", str(tmp_path / "page.toml"))
        assert re.match(r"accounts: whole: 4 entries, head 4:[0-9a-f]{64}\nline: nothing yet", done), done
        assert (
            done.splitlines()[0].split("head ")[1] == f"4:{[line['hash'] for line in page.log if 'hash' in line][-1]}"
        )
        assert PASSWORD not in (tmp_path / "page.log").read_text()
        async with asyncio.timeout(PATIENCE_S):  # a handshake that never comes is cut off
            await _closed(silent[0])
        silent[1].close()
    assert (tmp_path / "state-web").stat().st_mode & 0o777 == 0o700


async def test_500_half_sent_headers_and_silent_connections_are_closed_within_ten_seconds_and_keep_nobody_out(
    tmp_path: Path, free_port: int
) -> None:
    assert HANDSHAKE_S + HEADERS_S <= 10, "the page's own limits, which it keeps where its machine lets it"
    async with page_in(tmp_path, free_port, "") as page, asyncio.TaskGroup() as tasks:
        begun_s = asyncio.get_running_loop().time()
        opened = [await asyncio.open_connection("127.0.0.1", page.port) for _ in range(500)]
        for number, (_, writer) in enumerate(opened):
            writer.write(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: " if number % 5 else b"")
        opened.append(await _served_once_and_then_half_asked(page.port))
        trickling = tasks.create_task(_trickle([writer for _, writer in opened[::50]]))
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{page.port}", timeout=PATIENCE_S) as client:
            assert (await client.get("/")).status_code == 200
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*(_closed(reader) for reader, _ in opened))
        assert asyncio.get_running_loop().time() - begun_s >= HEADERS_LEAST_S, "not before a slow browser could speak"
        trickling.cancel()
        for _, writer in opened:
            writer.close()


@pytest.mark.skipif(not shutil.which("nginx"), reason="nginx is not installed (apt: nginx)")
async def test_the_page_behind_the_nginx_that_we_ship(tmp_path: Path, free_port: int) -> None:
    pair = ensure_own(tmp_path / "nginx", ["box7.plant"], datetime.now(UTC))
    ports = {port: a_free_port() for port in ("80", "443")}
    text = NGINX_CONF.read_text()
    for was, now in (
        ("listen 80;", f"listen 127.0.0.1:{ports['80']};"),
        ("listen 443 ssl;", f"listen 127.0.0.1:{ports['443']} ssl;"),
        ("127.0.0.1:8080", f"127.0.0.1:{free_port}"), ("/etc/inspector/web.pem", str(pair.certificate)),
        ("/etc/inspector/web.key", str(pair.key)), ("/run/nginx.pid", str(tmp_path / "nginx.pid")),
        ("http {", "http {\n" + "".join(f"{kind}_temp_path {tmp_path}/{kind};\n" for kind in _TEMPORARY)),
    ):  # fmt: skip
        assert was in text, was
        text = text.replace(was, now)
    (tmp_path / "nginx.conf").write_text(text)
    more = 'names = ["box7.plant"]\nview = "logged_in"'
    async with page_in(tmp_path, free_port, more) as page, _nginx(tmp_path, ports["443"]):
        trusted = ssl.create_default_context(cafile=str(pair.certificate))
        origin = f"https://127.0.0.1:{ports['443']}"
        async with Browser(base_url=origin, verify=trusted, headers={"host": "box7.plant"}) as browser:
            await make_admin(browser, page)
            answer = await browser.get("/admin")
            assert answer.status_code == 200
            assert "strict-transport-security" in answer.headers and "content-security-policy" in answer.headers
            assert "server" not in answer.headers or "/" not in answer.headers["server"]
            assert (await browser.post("/admin/people", content=b"x" * 2_000_000)).status_code == 413
            spoofed = {"x-forwarded-for": "203.0.113.9", "x-forwarded-proto": "http"}
            await browser.submit("/log-out")
            form = {"name": "Anna", "password": "wrong"}
            refused = await browser.submit("/log-in", form, page="/log-in", headers=spoofed)
            assert refused.status_code == 403 and "wrong" in refused.text
        assert [line["address"] for line in page.log if line.get("event") == "log-in failed"] == ["127.0.0.1"]
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{ports['80']}", timeout=PATIENCE_S) as plain:
            sent_on = await plain.get("/log-in", headers={"host": "box7.plant"})
            assert (sent_on.status_code, sent_on.headers["location"]) == (301, "https://box7.plant/log-in")
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{free_port}", timeout=PATIENCE_S) as direct:
            asked = await direct.get("/log-in", headers={"host": "box7.plant"})
            assert asked.status_code == 403 and "encrypted" in asked.text, "a proxy without TLS is noticed"


_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@asynccontextmanager
async def _nginx(folder: Path, port: int) -> AsyncIterator[None]:
    command = ("nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-g", "daemon off;")
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(60):
            while True:
                assert process.returncode is None, await process.stderr.read() if process.stderr else b""
                with suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    break
                await asyncio.sleep(0.05)
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


async def _closed(reader: asyncio.StreamReader) -> None:
    with suppress(ConnectionError):
        while await reader.read(4096):
            pass


async def _served_once_and_then_half_asked(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection that is kept gets the same patience for its next request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    await reader.readuntil(b"}")
    writer.write(b"GET /healthz HTT")
    return reader, writer


async def _trickle(writers: list[asyncio.StreamWriter]) -> None:
    """A byte each half second: not silent, and never done."""
    while True:
        await asyncio.sleep(0.5)
        for writer in writers:
            writer.write(b"x")


async def _command(*arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "inspector", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    told, _ = await process.communicate()
    return told.decode()

"""Nothing phones home: daemon, page and prediction service talk to this machine alone, and ask for no name."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import cv2
import httpx
import pytest

from inspector.demo.parts import Kind, render
from inspector.demo.processes import config_text
from inspector.web.roles import ROUTES
from plc.registers import Verdict
from plc.sim import SimConfig, SimPlc
from tests.support.screens import WITHOUT_END, address_of
from tests.support.traced import is_outgoing, traced

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]

START_S = 120.0  # traced, on two busy cores
PATIENT = SimConfig(ack_timeout_s=5, result_timeout_s=10, heartbeat_timeout_s=5, ready_timeout_s=START_S)
ASKS = """
import socket
for ask in (lambda: socket.getaddrinfo("inspector.invalid", 80), lambda: socket.socket().connect_ex(("127.0.0.1", 9)),
            lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(("192.0.2.1", 9))):
    try:
        ask()
    except OSError:
        pass
"""


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    end_s = time.monotonic() + START_S
    while not await holds():
        assert time.monotonic() < end_s, "never came up"
        await asyncio.sleep(0.2)


async def answers(client: httpx.AsyncClient, path: str) -> bool:
    try:
        return (await client.get(path)).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize(
    ("call", "outgoing"),
    [
        ('connect(3, {sa_family=AF_INET, sin_port=htons(502), sin_addr=inet_addr("127.0.0.1")}, 16) = 0', False),
        ('connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.0.2.1")}, 16) = -1', True),
        ('connect(3, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("127.0.0.53")}, 16) = 0', True),
        ('sendto(3, "x", 1, 0, {sa_family=AF_INET6, sin6_port=htons(9), inet_pton(AF_INET6, "::1", ...)}, 28)', False),
        (
            'sendto(3, "x", 1, 0, {sa_family=AF_INET6, sin6_port=htons(9), inet_pton(AF_INET6, "2001:db8::1")}, 28)',
            True,
        ),
        ('connect(3, {sa_family=AF_UNIX, sun_path="/var/run/nscd/socket"}, 110) = -1', True),
        ('connect(3, {sa_family=AF_UNIX, sun_path="/run/inspector/control.sock"}, 110) = 0', False),
    ],
)
def test_what_counts_as_outgoing(call: str, outgoing: bool) -> None:
    assert is_outgoing(call) is outgoing


def test_the_trace_sees_a_name_that_is_asked_for_and_an_address_beyond(tmp_path: Path) -> None:
    with traced(tmp_path, "asks", "-c", ASKS) as asking:
        asking.process.wait(START_S)
    told = "\n".join(asking.outgoing())
    assert "192.0.2.1" in told and "127.0.0.1" not in told.replace("htons(53)", "")
    assert any(sign in told for sign in ("htons(53)", "nscd", "resolve"))


async def test_daemon_and_page_talk_to_this_machine_alone(tmp_path: Path, free_port: int) -> None:
    sim = SimPlc(PATIENT)
    await sim.start()
    link = f"htons({sim.port})"
    config = tmp_path / "demo.toml"
    text = config_text(sim.port, tmp_path, page_port=free_port)
    config.write_text(
        text.replace("deadline_ms = 300", "deadline_ms = 5000").replace("_age_ms = 200", "_age_ms = 2000")
    )
    try:
        with (
            traced(tmp_path, "daemon", "-m", "inspector", "run", str(config)) as daemon,
            traced(tmp_path, "page", "-m", "inspector", "web", str(config)) as page,
        ):
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{free_port}", timeout=START_S) as client:
                await until(lambda: answers(client, "/healthz"))
                results = await sim.play([1, 2, 3])
                for path in ("/", "/history", "/part/1"):
                    assert (await client.get(path)).status_code == 200
                for method, template in ROUTES:
                    if method == "GET" and template not in WITHOUT_END:
                        assert (await client.get(address_of(template))).status_code != 500
    finally:
        await sim.close()
    assert all(r.code in list(Verdict) for r in results)
    assert any(link in call for call in daemon.calls()), "the trace saw the PLC's link"
    assert any("control.sock" in call for call in page.calls()), "the trace saw the page's link"
    assert daemon.outgoing() == [] and page.outgoing() == []


async def test_the_prediction_service_talks_to_this_machine_alone(tmp_path: Path, free_port: int) -> None:
    part = cv2.imencode(".png", render(1, Kind.GOOD).image[..., ::-1])[1].tobytes()
    with traced(tmp_path, "serve", "-m", "inspector", "serve", "--bundle", "demo", "--port", str(free_port)) as service:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{free_port}", timeout=START_S) as client:
            await until(lambda: answers(client, "/readyz"))
            answer = await client.post("/predict", files={"file": ("part.png", part)})
    assert answer.json()["verdict"] == "PASS"
    assert any("sendto(" in call for call in service.calls()), "the trace saw the answer to the decoding child"
    assert service.outgoing() == []

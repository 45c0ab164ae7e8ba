"""The whole daemon stopped or ended (docs/faults.md): silence is a reject, and nothing late is ever a PASS."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from inspector.demo.parts import Kind
from plc.images import Image
from plc.registers import Status
from tests.support.faulty_line import faulty_line, parts_of

pytestmark = pytest.mark.slow

GOOD = parts_of(Kind.GOOD)


def online(stat: Image) -> bool:
    return bool(Status(stat["STATUS"]) & Status.ONLINE)


async def test_sigterm_ends_the_daemon_within_two_seconds_with_online_off_in_the_plc(tmp_path):
    async with faulty_line(tmp_path) as line, line.start() as process:
        await line.sim.play(GOOD[:2])
        assert online(line.sim.stat())
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        ending = asyncio.create_task(process.wait())
        while not ending.done():
            await line.sim.idle_for(0.02)
        took_s = time.monotonic() - begun
        assert ending.result() == 0
        assert took_s < 2.0
        assert not online(line.sim.stat())
    line.checked()


async def test_a_daemon_stopped_between_prediction_and_record_is_silence_and_its_late_word_is_no_pass(tmp_path):
    """Fault row 32: SIGSTOP in mid cycle, SIGCONT after the PLC has rejected the part."""
    async with faulty_line(tmp_path) as line, line.start(failpoints={"predicted": "stop@2"}) as process:
        before, stopped = await line.sim.play(GOOD[:2])
        assert line.sim.stat()["RES_TRIGGER_ID"] != stopped.trigger_id
        process.send_signal(signal.SIGCONT)
        (after,) = await line.sim.play(GOOD[2:3])
    assert (before.verdict, stopped.verdict, after.verdict) == ("good", "reject", "good")
    rows = {row["trigger_id"]: row for row in line.checked()}
    assert rows[stopped.trigger_id]["published_code"] != 1
    assert rows[stopped.trigger_id]["decided_code"] == 4, "decided too late to be anything else"


async def test_a_daemon_stopped_while_idle_is_not_ready_to_the_plc(tmp_path):
    """Fault row 32: without a heartbeat the PLC brings no trigger."""
    async with faulty_line(tmp_path) as line, line.start() as process:
        await line.sim.play(GOOD[:1])
        process.send_signal(signal.SIGSTOP)
        await line.sim.idle_for(2.5)
        line.sim.cfg.ready_timeout_s = 0.5
        (ignored,) = await line.sim.play(GOOD[1:2])
        process.send_signal(signal.SIGCONT)
        line.sim.cfg.ready_timeout_s = 25
        (after,) = await line.sim.play(GOOD[2:3])
    assert (ignored.verdict, ignored.code, after.verdict) == ("reject", 0, "good")
    line.checked()


class Systemd:
    """A real NOTIFY_SOCKET, read at once: the kernel keeps few datagrams."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._messages: list[str] = []
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def heard(self) -> list[str]:
        """What came since the last question."""
        messages, self._messages = self._messages, []
        return messages

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RD)
        self._thread.join(10)
        self._socket.close()

    def _listen(self) -> None:
        while message := self._socket.recv(4096):
            self._messages.append(message.decode())


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Systemd]:
    listening = Systemd(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    yield listening
    listening.close()


async def test_systemds_watchdog_is_fed_by_finished_work_and_not_by_a_stopped_process(tmp_path, systemd):
    """Fault row 32: WATCHDOG=1 comes while every device thread turns; READY=1 once; STOPPING=1 at the end."""
    async with faulty_line(tmp_path) as line:
        async with line.start() as process:
            await line.sim.play(GOOD[:1])
            await line.sim.idle_for(1.0)
            alive = systemd.heard()
            assert alive.count("READY=1") == 1 and alive.count("WATCHDOG=1") >= 3
            os.kill(process.pid, signal.SIGSTOP)
            await line.sim.idle_for(0.3)
            systemd.heard()
            await line.sim.idle_for(1.0)
            assert systemd.heard() == []
            os.kill(process.pid, signal.SIGCONT)
            await line.sim.idle_for(1.0)
        assert "STOPPING=1" in systemd.heard()
    line.checked()

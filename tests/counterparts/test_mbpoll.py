"""mbpoll, a Modbus master that is not ours, against the daemon that listens: what it reads, writes and is refused."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from inspector.demo.processes import last_words
from plc.free_port import free_port as a_free_port
from plc.registers import BLOCKS, CTRL, DEVICE, DIAG, IDENT, MAP_VERSION, SIGNATURE, STAT, Block
from tests.counterparts.line import FIRST_PART, WordOrder, foreign_plc, station

pytestmark = [pytest.mark.foreign, pytest.mark.system, pytest.mark.slow]

START_S = 120.0
DIAG_S = 1.5  # DIAG is of once a second
FUNCTIONS: dict[Literal[3, 4], str] = {3: "4", 4: "3"}  # how mbpoll calls the tables of functions 3 and 4
REFUSED = "Illegal data address"  # exception 2, as mbpoll says it
MOVING = {"HEARTBEAT", "STATE", "STATUS", "OFFLINE_REASON", "STATUS2", "UPTIME", "POLL_GAP_MAX", "CPU_C", "DISK_FREE"}


class Mbpoll:
    """One call, one connection, one request. Addresses are 0-based."""

    def __init__(self, port: int) -> None:
        self.port = port

    def read(self, address: int, count: int, function: Literal[3, 4] = 3, unit: int = 1, kind: str = "") -> list[int]:
        """Registers as they are; kind ":int": 32-bit values, low word first. Fails where it is refused."""
        table = FUNCTIONS[function] + kind
        done = self._run("-a", str(unit), "-t", table, "-r", str(address), "-c", str(count))
        assert done.returncode == 0, done.stdout + done.stderr
        return [int(text) for text in re.findall(r"^\[\d+\]:\s*(-?\d+)", done.stdout, re.MULTILINE)]

    def refuses_read(self, address: int, count: int) -> bool:
        return REFUSED in self._run("-t", "4", "-r", str(address), "-c", str(count)).stderr

    def write(self, address: int, *words: int, unit: int = 1) -> str:
        """Function 6 for one word, else 16. What mbpoll says."""
        done = self._run("-a", str(unit), "-t", "4", "-r", str(address), values=words)
        return done.stdout + done.stderr

    def block(self, block: Block, function: Literal[3, 4] = 3, unit: int = 1) -> list[int]:
        return self.read(block.base, block.size, function, unit)

    def counter(self, name: str) -> int:
        """A counter of DIAG; big endian words."""
        high, low = self.read(DIAG.base + DIAG[name].offset, 2, 4)
        return high << 16 | low

    def _run(self, *options: str, values: tuple[int, ...] = ()) -> subprocess.CompletedProcess[str]:
        command = ["mbpoll", "-m", "tcp", "-0", "-1", "-p", str(self.port), *options, "127.0.0.1", *map(str, values)]
        return subprocess.run(command, capture_output=True, text=True, timeout=240, stdin=subprocess.DEVNULL)


def still(block: Block, words: list[int]) -> dict[str, list[int]]:
    """The registers that stand still while nobody triggers, by name."""
    return {r.name: words[r.offset : r.offset + r.length] for r in block.registers if r.name not in MOVING}


@contextlib.contextmanager
def serving(folder: Path, word_order: WordOrder = "big") -> Iterator[Mbpoll]:
    """The daemon, listening; its log is in the folder."""
    port = a_free_port()
    config = station(folder, "server", port, word_order)
    with (folder / "daemon.log").open("ab") as log:
        process = subprocess.Popen([sys.executable, "-m", "inspector", "run", str(config)], stdout=log, stderr=log)
    try:
        _until_listening(port, folder)
        yield Mbpoll(port)
    finally:
        process.terminate()
        try:
            process.wait(60)
        finally:
            process.kill()
            process.wait()


def _until_listening(port: int, folder: Path) -> None:
    end = time.monotonic() + START_S
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert time.monotonic() < end, f"it does not listen: {last_words(folder / 'daemon.log')}"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def mbpoll(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mbpoll]:
    """mbpoll and a listening daemon that all tests of this file share; none of them leaves anything written."""
    if shutil.which("mbpoll") is None:
        pytest.skip("mbpoll is not installed")
    with serving(tmp_path_factory.mktemp("appliance")) as tool:
        yield tool


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: str(block.name))
def test_function_3_and_4_read_the_same_words(mbpoll: Mbpoll, block: Block):
    holding, inputs = (still(block, mbpoll.block(block, function)) for function in (3, 4))
    assert holding == inputs
    assert len(mbpoll.block(block)) == block.size


def test_stat_shows_its_signature_and_a_heartbeat_that_moves(mbpoll: Mbpoll):
    stat = mbpoll.block(STAT)
    assert stat[STAT["STAT_SIGNATURE"].offset] == SIGNATURE + 1
    end = time.monotonic() + 60
    while mbpoll.block(STAT)[STAT["HEARTBEAT"].offset] == stat[STAT["HEARTBEAT"].offset]:
        assert time.monotonic() < end, "it stands still"
        time.sleep(0.25)


def test_device_shows_signature_version_stations_and_word_order(mbpoll: Mbpoll):
    device = mbpoll.block(DEVICE, 4)
    assert device[:3] == [SIGNATURE, MAP_VERSION, 1]
    assert device[4:6] == [0x1234, 0x5678]


def test_diag_counts_this_start(mbpoll: Mbpoll):
    assert mbpoll.counter("BOOT_COUNT") == 1
    assert mbpoll.counter("TRIGGERS") == 0


@pytest.mark.parametrize("unit", [0, 1, 2, 255])
def test_any_unit_id_is_answered(mbpoll: Mbpoll, unit: int):
    assert mbpoll.block(DEVICE, unit=unit) == mbpoll.block(DEVICE)
    assert "Written 1 references" in mbpoll.write(CTRL.base + CTRL["RECIPE_EXPECTED"].offset, 0, unit=unit)


@pytest.mark.parametrize("words", [(7,), (7, 8, 9)], ids=["one register", "several"])
def test_ctrl_and_ident_take_a_write_and_lose_it_with_the_connection(mbpoll: Mbpoll, words: tuple[int, ...]):
    time.sleep(DIAG_S)  # what came before is counted by then
    before = mbpoll.counter("LINK_SESSIONS")
    for address in (CTRL.base + CTRL["COMMAND_ARG"].offset, IDENT.base + IDENT["LOT"].offset):
        assert f"Written {len(words)} references" in mbpoll.write(address, *words)
    assert mbpoll.block(CTRL) == [0] * CTRL.size, "what an owner wrote counts no longer than it is there"
    assert mbpoll.block(IDENT) == [0] * IDENT.size
    end = time.monotonic() + 60
    while mbpoll.counter("LINK_SESSIONS") < before + 2:
        assert time.monotonic() < end, "the station has not seen two owners come"
        time.sleep(0.2)


@pytest.mark.parametrize("block", [STAT, DIAG, DEVICE], ids=lambda block: str(block.name))
@pytest.mark.parametrize("words", [(7,), (7, 8, 9)], ids=["one register", "several"])
def test_what_the_appliance_writes_is_refused_to_others_with_exception_2(
    mbpoll: Mbpoll, block: Block, words: tuple[int, ...]
):
    before = still(block, mbpoll.block(block))
    for register in (block.registers[0], block.registers[-1]):
        assert REFUSED in mbpoll.write(block.base + register.offset, *words)
    assert still(block, mbpoll.block(block)) == before


def test_a_write_across_the_end_of_ctrl_is_refused_whole(mbpoll: Mbpoll):
    assert REFUSED in mbpoll.write(CTRL.base + CTRL.size - 1, 7, 7)
    assert mbpoll.block(CTRL) == [0] * CTRL.size


@pytest.mark.parametrize("address", [200, 1999, DEVICE.base + DEVICE.size, 65_535])
def test_what_is_no_station_of_this_box_is_refused_with_exception_2(mbpoll: Mbpoll, address: int):
    assert mbpoll.refuses_read(address, 1)
    assert REFUSED in mbpoll.write(address, 1)


def test_a_double_word_reads_right_in_a_tool_that_takes_the_low_word_first(mbpoll: Mbpoll, tmp_path: Path):
    assert mbpoll.read(DEVICE.base + DEVICE["WORD_ORDER"].offset, 1, kind=":int") == [0x5678_1234]
    with serving(tmp_path, "little") as little:
        assert little.read(DEVICE.base + DEVICE["WORD_ORDER"].offset, 1, kind=":int") == [0x1234_5678]


async def test_a_second_master_is_refused_while_a_plc_owns_the_station_and_its_parts_are_not_disturbed(
    mbpoll: Mbpoll, c_plc: Path, tmp_path: Path
):
    options = ("client", "-p", mbpoll.port, "-n", 40, "-f", FIRST_PART)
    before = mbpoll.counter("TRIGGERS")
    assert before == 0, "the PLC waits until all its parts are counted"
    said: list[str] = []
    async with foreign_plc(c_plc, *map(str, options), log=tmp_path / "plc.log") as plc:
        first = await plc.line()
        playing = asyncio.create_task(plc.played())
        while not playing.done():
            text = await asyncio.to_thread(mbpoll.write, CTRL.base, 0)
            said += [] if playing.done() else [text]  # one that ended later may have come when nobody was the owner
        played = await playing
    assert said and all(REFUSED in text for text in said), said
    results = [first, *played.results]
    assert [r["part_echo"] for r in results] == [r["part_id"] for r in results] and all(r["code"] for r in results)
    assert played.totals["TRIGGERS"] == 40 and not played.totals["link_faults"]

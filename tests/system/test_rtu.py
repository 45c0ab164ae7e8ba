"""The contract on a serial line (section 8, test 61): nominal cycles, and everything that such a line does wrong."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import deque
from dataclasses import replace

import pytest

from plc.registers import STAT, Status
from plc.rtu_frames import sealed
from plc.server import Memory, RegisterServer
from plc.sim import SimConfig, SimPlc
from plc.transport import connect_wire
from plc.wire import ExceptionReply, LinkFault
from tests.support import serial_line as line_faults
from tests.support.links import LONG_S, PATIENT, UNHURRIED_S, inspecting, until, wire_to
from tests.support.rtu import FAULTS, NAMES, QUIET_S, TIMEOUT_S, UNIT, ports, serving, wrong_accepts
from tests.support.serial_line import FaultyLine, needs_socat, socat_pair

pytestmark = pytest.mark.system


@contextlib.asynccontextmanager
async def faulty_line():
    """A line, a memory of 100 registers behind it (register n holds n), and how to connect to it."""
    registers = RegisterServer(Memory(100, words=list(range(100))))
    with FaultyLine() as line:
        plc, transport = ports(line.server_port, line.client_port)
        async with serving(plc, registers) as server:
            yield line, registers.memory, transport, server


# -- nominal -----------------------------------------------------------------------------------------------------------


@needs_socat
async def test_twenty_parts_on_a_serial_line_give_twenty_results_and_each_is_its_own(tmp_path):
    plc = SimPlc(SimConfig(**PATIENT))
    with socat_pair(tmp_path) as pair:
        cfg, transport = ports(*pair.ports)
        async with serving(cfg, plc.server), inspecting(transport, request_timeout_s=UNHURRIED_S) as judge:
            results = await plc.play(range(100, 120))
            assert judge.port.status.faults == 0
            assert judge.port.status.text == f"connected to unit {UNIT} on {pair.ports[1]}"
    assert [r.verdict for r in results] == ["good", "reject"] * 10
    assert [r.code for r in results] == [1, 2] * 10


async def test_the_bytes_of_a_read_and_a_write_are_those_of_modbus_over_serial_line():
    async with faulty_line() as (line, _, transport, _), wire_to(transport, LONG_S) as wire:
        assert await wire.read(20, 2) == [20, 21]
        await wire.write(22, [0x0102])
        assert line.requests == [
            sealed(7, bytes.fromhex("03 0014 0002")),
            sealed(7, bytes.fromhex("10 0016 0001 02 0102")),
        ]


# -- what a server must not answer -------------------------------------------------------------------------------------


async def test_a_request_to_another_unit_gets_silence_and_the_next_one_to_us_its_answer():
    async with faulty_line() as (_, _, transport, server):
        with pytest.raises(LinkFault, match="no answer within 250 ms"):
            async with wire_to(replace(transport, unit_id=UNIT + 1), TIMEOUT_S) as wire:
                await wire.read(20, 2)
        assert server.requests == 0
        async with wire_to(transport, LONG_S) as wire:
            assert await wire.read(20, 2) == [20, 21]


async def test_an_exception_is_an_answer_and_the_line_works_on():
    async with faulty_line() as (_, memory, transport, _), wire_to(transport, LONG_S) as wire:
        memory.writable = lambda address: address != 30
        with pytest.raises(ExceptionReply, match="exception 2"):
            await wire.write(29, [1, 2, 3])
        with pytest.raises(ExceptionReply, match="exception 2"):
            await wire.read(99, 2)
        assert await wire.read(29, 3) == [29, 30, 31]


# -- what a client must not believe ------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", FAULTS, ids=NAMES)
async def test_an_answer_that_the_line_spoiled_is_a_fault_and_never_data(fault):
    async with faulty_line() as (line, _, transport, _):
        async with wire_to(transport, TIMEOUT_S) as wire:
            line.faults.append(fault)
            with pytest.raises(LinkFault):
                await wire.read(20, 2)
            with pytest.raises(LinkFault):  # nothing more is asked before the port was opened again
                await wire.read(20, 2)
            assert len(line.requests) == 1
        async with wire_to(transport, LONG_S) as wire:
            assert await wire.read(20, 2) == [20, 21]


@pytest.mark.parametrize("fault", [line_faults.surplus_byte, line_faults.twice], ids=["a byte too many", "twice"])
async def test_bytes_after_an_answer_end_the_connection_before_the_next_request(fault):
    async with faulty_line() as (line, memory, transport, _):
        async with wire_to(transport, LONG_S) as wire:
            line.faults.append(fault)
            with contextlib.suppress(LinkFault):  # where the bytes came at once
                await wire.read(20, 2)
                await until(lambda: wire._port._bytes)  # else they come in the kernel's own time
            memory.words[20] = 99
            with pytest.raises(LinkFault):
                await wire.read(20, 2)
        async with wire_to(transport, LONG_S) as wire:
            assert await wire.read(20, 2) == [99, 21]


async def test_an_answer_in_pieces_is_put_together():
    async with faulty_line() as (line, _, transport, _), wire_to(transport, LONG_S) as wire:
        line.faults.append(line_faults.in_pieces)
        assert await wire.read(20, 2) == [20, 21]


async def test_a_late_answer_is_never_taken_as_the_answer_to_the_next_request():
    """Row 24. The register changed meanwhile: the late answer shows 20, the true one, which takes its time too, 99."""
    async with faulty_line() as (line, memory, transport, _):
        line.faults.extend([line_faults.late(TIMEOUT_S + QUIET_S / 2), line_faults.late(0.2)])
        with pytest.raises(LinkFault, match="no answer within 250 ms"):
            async with wire_to(transport, TIMEOUT_S) as wire:
                await wire.read(20, 2)
        memory.words[20] = 99
        async with wire_to(transport, LONG_S) as wire:
            assert await wire.read(20, 2) == [99, 21]


async def test_an_answer_that_is_later_than_the_quiet_time_does_not_fit_the_first_request_of_a_session():
    held: list[bytes] = []

    def hold(frame: bytes) -> list[tuple[float, bytes]]:
        held.append(frame)
        return []

    async with faulty_line() as (line, _, transport, _):
        line.faults.extend([hold, lambda frame: [(0.0, held[0]), (0.05, frame)]])
        with pytest.raises(LinkFault):
            async with wire_to(transport, TIMEOUT_S) as wire:
                await wire.read(0, 20)  # as a poll of CTRL
        async with wire_to(transport, LONG_S) as wire:
            with pytest.raises(LinkFault, match="138 bytes came in place of 93"):
                await wire.read(20, STAT.size)


async def test_a_line_on_which_somebody_talks_all_the_time_is_refused():
    async with faulty_line() as (line, _, transport, _):

        async def babble():
            while True:
                line.say(b"\x01\x03")
                await asyncio.sleep(0.05)

        patient = replace(transport, serial=replace(transport.serial, quiet_s=1.0))  # it is not quiet where we are late
        task = asyncio.create_task(babble())
        with pytest.raises(LinkFault, match="does not fall silent"):
            async with wire_to(patient, TIMEOUT_S):
                pass
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_noise_while_nothing_is_asked_ends_the_connection():
    async with faulty_line() as (line, _, transport, _), wire_to(transport, LONG_S) as wire:
        await wire.read(20, 2)
        line.say(b"\x00")
        await until(lambda: wire._port._bytes)  # the kernel hands it over in its own time
        with pytest.raises(LinkFault, match="that nobody asked for"):
            await wire.read(20, 2)


# -- the port ----------------------------------------------------------------------------------------------------------


async def test_a_port_that_is_not_there_and_one_that_is_in_use_are_named(tmp_path):
    with pytest.raises(LinkFault, match=r"serial port .*nothing cannot be opened"):
        await connect_wire(ports("unused", str(tmp_path / "nothing"))[1], TIMEOUT_S, time.monotonic, deque())
    async with faulty_line() as (_, _, transport, _), wire_to(transport, TIMEOUT_S):
        with pytest.raises(LinkFault, match="cannot be opened"):
            async with wire_to(transport, TIMEOUT_S):
                pass


@needs_socat
async def test_an_unplugged_port_rejects_its_part_and_the_line_goes_on_when_it_is_back(tmp_path):
    plc = SimPlc(SimConfig(**PATIENT))
    with socat_pair(tmp_path) as pair:
        cfg, transport = ports(*pair.ports)
        async with serving(cfg, plc.server), inspecting(transport, request_timeout_s=UNHURRIED_S) as judge:
            (before,) = await plc.play([100])
            plc.cfg.result_timeout_s = 2.0  # no result of the next part is read
            judge.may_tell.clear()
            cut = asyncio.create_task(plc.play([102]))
            await until(lambda: plc.stat()["STATUS"] & Status.TRIGGER_ACK)
            pair.unplug()
            judge.may_tell.set()
            await until(lambda: not judge.port.status.connected and "serial port" in judge.port.status.text)
            pair.plug()
            (during,) = await cut
            plc.cfg.result_timeout_s = UNHURRIED_S
            (after,) = await plc.play([104])
    assert (before.verdict, during.verdict, after.verdict) == ("good", "reject", "good")


@pytest.mark.slow
async def test_a_line_with_every_kind_of_fault_passes_no_part_that_was_judged_bad_and_recovers():
    """About one answer in sixty is spoiled, in one of fourteen ways; the seed makes it the same every time."""
    plc, dice = SimPlc(SimConfig(**PATIENT)), random.Random(61)
    ways = [*FAULTS, line_faults.surplus_byte, line_faults.twice, line_faults.late(0.3), line_faults.late(0.5)]
    with FaultyLine() as line:
        cfg, transport = ports(line.server_port, line.client_port)
        async with serving(cfg, plc.server), inspecting(transport) as judge:
            await plc.play([100])
            for _ in range(8):
                line.faults.extend([line_faults.none] * dice.randrange(30, 90))
                line.faults.append(dice.choice(ways))
            while line.faults:
                await plc.play([plc.next_id])
            assert judge.port.status.faults >= 5
            assert wrong_accepts(plc) == []
            await plc.play([200])  # a fault may still be under way
            for _ in range(5):  # or an answer was late because the machine was
                (after,) = await plc.play([202])
                if after.verdict == "good":
                    break
    assert after.verdict == "good"
    assert wrong_accepts(plc) == []


async def test_after_a_timeout_nothing_is_written_before_the_signature_was_read_again():
    plc, asked = SimPlc(SimConfig(**PATIENT)), list[int]()

    def lose(frame: bytes) -> list[tuple[float, bytes]]:
        asked.append(len(line.requests))
        return []

    with FaultyLine() as line:
        cfg, transport = ports(line.server_port, line.client_port)
        async with serving(cfg, plc.server), inspecting(transport):
            await plc.play([100])
            plc.ctrl["SIGNATURE"] = 0x1234  # another device answers under this address now
            await plc.idle_for(0.05)
            line.faults.append(lose)
            while not asked or len(line.requests) < asked[0] + 20:
                await plc.idle_for(0.02)
    after = line.requests[asked[0] :]
    assert after[0] == sealed(UNIT, bytes((3, 0, STAT.base, 0, STAT.size)))
    assert not [request for request in after if request[1] == 16]

"""Every reply is checked: whatever is not exactly the answer to the request is a fault, never data."""

from __future__ import annotations

import asyncio
import contextlib
import struct
import time
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.pdu import DecodePDU
from pymodbus.pdu.register_message import ReadHoldingRegistersResponse, WriteMultipleRegistersResponse

from plc.transport import TransportConfig, connect_wire
from plc.wire import ExceptionReply, LinkFault, Wire
from tests.support.links import until

TIMEOUT_S = 0.3  # for what never comes
LONG_S = 600.0  # for what comes, on cores that others use as well


class Told(Wire):
    """A wire whose answers are given."""

    def __init__(self, reply: bytes) -> None:
        super().__init__(time.monotonic, deque())
        self.reply, self.asked = reply, b""

    async def _exchange(self, request: bytes) -> bytes:
        self.asked = request
        return self.reply

    def _abort(self) -> None:
        pass


def run(coroutine):
    return asyncio.run(coroutine)


def pdu(message) -> bytes:
    return message.function_code.to_bytes(1, "big") + message.encode()


@given(st.integers(0, 0xFFFF), st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=123))
def test_requests_and_answers_are_those_of_pymodbus(address, words):
    wire = Told(pdu(ReadHoldingRegistersResponse(registers=words)))
    assert run(wire.read(address, len(words))) == words
    asked = DecodePDU(True).decode(wire.asked)
    assert (asked.function_code, asked.address, asked.count) == (3, address, len(words))
    wire = Told(pdu(WriteMultipleRegistersResponse(address=address, count=len(words))))
    run(wire.write(address, words))
    asked = DecodePDU(True).decode(wire.asked)
    assert (asked.function_code, asked.address, asked.registers) == (16, address, words)


@given(st.binary(max_size=60))
def test_no_bytes_but_the_right_ones_are_ever_taken_as_registers(reply):
    wire = Told(reply)
    try:
        words = run(wire.read(0, 2))
    except ExceptionReply:
        assert len(reply) == 2 and reply[0] == 0x83
    except LinkFault:
        with pytest.raises(LinkFault):  # and nothing is asked on this connection again
            run(wire.read(0, 2))
    else:
        assert reply == struct.pack(">BBHH", 3, 4, *words)


@pytest.mark.parametrize(
    "reply",
    [b"", b"\x10", struct.pack(">BHH", 16, 21, 3), struct.pack(">BHH", 16, 20, 2), struct.pack(">BHHB", 16, 20, 3, 0),
     struct.pack(">BHH", 6, 20, 3)],
)  # fmt: skip
def test_a_write_is_confirmed_by_its_own_address_and_count_only(reply):
    with pytest.raises(LinkFault):
        run(Told(reply).write(20, [1, 2, 3]))


def test_an_exception_leaves_the_connection_usable_and_is_never_data():
    wire = Told(b"\x83\x02")
    with pytest.raises(ExceptionReply, match="function 3: exception 2"):
        run(wire.read(0, 2))
    wire.reply = b"\x03\x04\x00\x01\x00\x02"
    assert run(wire.read(0, 2)) == [1, 2]


# -- the frames of TCP -------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def served(script, timeout_s=LONG_S):
    """A wire to a server that answers each request frame with what script(frame) gives: (seconds, bytes) or None."""

    async def serve(reader, writer):
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                header = await reader.readexactly(6)
                frame = header + await reader.readexactly(int.from_bytes(header[4:6], "big"))
                for pause_s, data in script(frame):
                    await asyncio.sleep(pause_s)
                    if data is None:
                        writer.transport.abort()
                        return
                    writer.write(data)
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    transport = TransportConfig(port=server.sockets[0].getsockname()[1])
    wire = await connect_wire(transport, timeout_s, time.monotonic, deque())
    try:
        yield wire
    finally:
        wire.abort()
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0.01)


def right(frame: bytes) -> bytes:
    """The answer to a read of two registers."""
    return frame[:4] + b"\x00\x07" + frame[6:7] + b"\x03\x04\x00\x01\x00\x02"


async def test_an_answer_in_single_bytes_is_read_if_it_is_whole_in_time():
    async with served(lambda frame: [(0.001, bytes((byte,))) for byte in right(frame)]) as wire:
        assert await wire.read(0, 2) == [1, 2]


@pytest.mark.parametrize(
    ("what", "script"),
    [
        ("the transaction before", lambda f: [(0, b"\x00\x00" + right(f)[2:])]),
        ("another protocol", lambda f: [(0, right(f)[:2] + b"\x00\x01" + right(f)[4:])]),
        ("another unit", lambda f: [(0, right(f)[:6] + b"\x09" + right(f)[7:])]),
        ("no length", lambda f: [(0, right(f)[:4] + b"\x00\x00" + right(f)[6:])]),
        ("a length beyond Modbus", lambda f: [(0, right(f)[:4] + b"\x01\x2c" + right(f)[6:])]),
        ("half a frame, then the end", lambda f: [(0, right(f)[:9]), (0, None)]),
        ("the end", lambda f: [(0, None)]),
    ],
)
async def test_a_frame_that_is_not_the_answer_ends_the_connection(what, script):
    async with served(script) as wire:
        with pytest.raises(LinkFault):
            await wire.read(0, 2)
        with pytest.raises(LinkFault):
            await wire.read(0, 2)


@pytest.mark.parametrize(
    ("what", "script"),
    [
        ("a trickle that never ends in time", lambda f: [(0.05, bytes((byte,))) for byte in right(f)]),
        ("silence", lambda f: []),
    ],
)
async def test_an_answer_that_is_not_whole_in_time_ends_the_connection(what, script):
    async with served(script, TIMEOUT_S) as wire:
        with pytest.raises(LinkFault, match="no answer within 300 ms"):
            await wire.read(0, 2)
        with pytest.raises(LinkFault, match="no answer within 300 ms"):
            await wire.read(0, 2)


async def test_a_doubled_answer_does_not_answer_the_next_request():
    async with served(lambda frame: [(0, right(frame) * 2)]) as wire:
        assert await wire.read(0, 2) == [1, 2]
        with pytest.raises(LinkFault, match="to request 1; asked was unit 1, 2"):
            await wire.read(0, 2)


async def test_an_answer_after_the_timeout_does_not_answer_the_next_request():
    async with served(lambda frame: [(TIMEOUT_S + 0.05, right(frame))], TIMEOUT_S) as wire:
        with pytest.raises(LinkFault, match="no answer within 300 ms"):
            await wire.read(0, 2)
        await asyncio.sleep(0.1)
        with pytest.raises(LinkFault):
            await wire.read(0, 2)


async def test_a_request_that_was_cut_short_ends_the_connection():
    asked: list[bytes] = []

    def silent(frame: bytes) -> list[tuple[float, bytes]]:
        asked.append(frame)
        return []

    async with served(silent) as wire:
        task = asyncio.create_task(wire.read(0, 2))
        await until(lambda: asked)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(LinkFault, match="cut short"):
            await wire.read(0, 2)


async def test_a_plc_that_goes_away_is_noticed_without_waiting_for_the_timeout():
    async with served(lambda frame: [(0, None)], LONG_S) as wire:  # longer than any test may take
        with pytest.raises(LinkFault, match="the PLC closed the connection"):
            await wire.read(0, 2)


async def test_a_port_where_nobody_listens_is_named(free_port):
    with pytest.raises(LinkFault, match=f"no PLC answers at 127.0.0.1:{free_port}: Connection refused$"):
        await connect_wire(TransportConfig(port=free_port), LONG_S, time.monotonic, deque())


@pytest.mark.parametrize(
    "fields", [{"kind": "tls"}, {"kind": "rtu"}, {"kind": "tcp", "serial": object()}, {"kind": "tcp", "tls": object()}]
)
def test_a_transport_that_lacks_its_own_settings_or_has_anothers_is_refused(fields):
    with pytest.raises(ValueError):
        TransportConfig(**fields)

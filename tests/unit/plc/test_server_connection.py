"""How old a request may be, by when its bytes came: on an injected clock, without a socket."""

from __future__ import annotations

import asyncio
import struct

import pytest
from pymodbus.pdu import ModbusPDU

from plc.pdu import Peer, answer
from plc.server import Access, Memory, ModbusServer
from plc.server_connection import READ_SIZE, TURN_FRAMES, Connection

READ = struct.pack(">HHHBBHH", 1, 0, 6, 1, 3, 0, 1)


class Pipe(asyncio.Transport):
    """Takes answers; says whether it is read."""

    def __init__(self) -> None:
        super().__init__()
        self.answers, self.reading, self.ended = 0, True, False

    def write(self, data: bytes) -> None:  # type: ignore[override]
        self.answers += 1

    def is_reading(self) -> bool:
        return self.reading

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.ended

    def abort(self) -> None:
        self.ended = True


class Bench:
    """A server whose clock stands still, one connection, and the age bounds of each request that it answered."""

    def __init__(self) -> None:
        self.now, self.ages = 100.0, []
        self.server = ModbusServer(self.respond, Access(), monotonic_s=lambda: self.now)
        self.peer, self.pipe = Peer("plc"), Pipe()
        self.connection = Connection(self.server, self.peer)
        self.connection.connection_made(self.pipe)

    def respond(self, body: bytes, peer: Peer) -> ModbusPDU:
        self.ages.append((round(self.now - peer.since_s, 6), round(peer.waited_s, 6)))
        memory = Memory()
        return answer(body, memory.read, memory.write)

    def receive(self, data: bytes, after_s: float) -> None:
        self.now += after_s
        self.connection.data_received(data)

    def close(self) -> None:
        self.connection.connection_lost(None)


@pytest.fixture
async def bench():
    one = Bench()
    yield one
    one.close()


async def test_a_request_is_at_most_as_old_as_the_answer_before_it(bench: Bench) -> None:
    bench.receive(READ, 1.0)  # since the connection began
    bench.receive(READ, 0.25)
    assert bench.ages == [(1.0, 0.0), (0.25, 0.0)]


async def test_requests_that_come_together_are_equally_old(bench: Bench) -> None:
    bench.receive(READ, 0.0)
    bench.receive(READ * 3, 0.5)
    assert bench.ages[1:] == [(0.5, 0.0)] * 3


async def test_a_request_in_pieces_is_as_old_as_its_first_byte(bench: Bench) -> None:
    bench.receive(READ, 0.0)
    bench.receive(READ + READ[:5], 0.5)
    bench.receive(READ[5:], 0.25)
    assert bench.ages[1:] == [(0.5, 0.0), (0.75, 0.0)]


async def test_what_is_found_after_our_own_pause_has_waited_for_as_long(bench: Bench) -> None:
    bench.server.turned_s = 100.0
    bench.receive(READ, 0.01)
    bench.receive(READ, 0.3)
    bench.server.turned_s = bench.now
    bench.receive(READ, 0.01)
    assert [waited for _, waited in bench.ages] == [0.01, 0.31, 0.01]


async def test_what_did_not_fit_one_read_has_waited_like_the_first_of_it(bench: Bench) -> None:
    bench.server.turned_s = 100.0
    whole = READ * (READ_SIZE // len(READ) + 1)
    bench.receive(whole[:READ_SIZE], 0.5)
    bench.server.turned_s = bench.now
    while bench.connection._again:  # noqa: ASYNC110 - a state without an event
        await asyncio.sleep(0)
    bench.ages.clear()
    bench.receive(whole[READ_SIZE:] + READ, 0.0)
    bench.receive(READ, 0.0)
    assert [waited for _, waited in bench.ages] == [0.5, 0.5, 0.0]


async def test_many_requests_at_once_leave_turns_for_others_and_are_all_answered(bench: Bench) -> None:
    bench.receive(READ * (2 * TURN_FRAMES + 1), 0.0)
    assert (bench.pipe.answers, bench.pipe.reading) == (TURN_FRAMES, False)
    for _ in range(3):
        await asyncio.sleep(0)
    assert (bench.pipe.answers, bench.pipe.reading) == (2 * TURN_FRAMES + 1, True)


async def test_a_peer_that_takes_no_answers_is_asked_no_more_and_what_it_sent_grows_old(bench: Bench) -> None:
    bench.server.turned_s = 100.0
    bench.connection._full = True  # the answer to the first fills the transport
    bench.receive(READ * 2, 0.0)
    assert (bench.pipe.answers, bench.pipe.reading) == (0, False)
    bench.now = bench.server.turned_s = 100.4
    bench.connection.resume_writing()
    assert (bench.pipe.answers, bench.pipe.reading) == (2, True)
    bench.receive(READ, 0.0)
    assert bench.ages == [(0.4, 0.0), (0.4, 0.0), (0.0, 0.4)]


async def test_what_comes_long_after_such_a_pause_has_not_waited(bench: Bench) -> None:
    bench.server.turned_s = 100.0
    bench.receive(READ * (TURN_FRAMES + 1), 0.0)
    await asyncio.sleep(0)
    assert bench.pipe.reading
    bench.now = bench.server.turned_s = 105.0
    bench.receive(READ, 0.0)
    assert bench.ages[-1] == (5.0, 0.0)


async def test_nothing_is_answered_behind_a_malformed_frame(bench: Bench) -> None:
    bench.receive(READ + b"\0\1\0\1\0\6" + READ, 0.0)
    assert (bench.pipe.answers, bench.pipe.ended) == (1, True)

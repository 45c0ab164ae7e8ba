"""The fault proxy, between a real Modbus server and a client that sees bytes: each fault does what it says."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from plc.conformance.raw import Lost, frame, read_pdu, write_pdu
from plc.fault_proxy import FaultProxy, Side
from plc.server import Memory, RegisterServer
from tests.support.links import LONG_S, PatientModbus, until


@asynccontextmanager
async def behind_a_proxy() -> AsyncIterator[tuple[FaultProxy, RegisterServer]]:
    server = RegisterServer(Memory(words=list(range(2100))), idle_timeout_s=LONG_S)
    await server.start()
    proxy = FaultProxy(("127.0.0.1", server.port))
    await proxy.start()
    try:
        yield proxy, server
    finally:
        await proxy.close()
        await server.close()


@asynccontextmanager
async def connected(proxy: FaultProxy) -> AsyncIterator[PatientModbus]:
    raw = await PatientModbus.connect("127.0.0.1", proxy.port)
    try:
        yield raw
    finally:
        await raw.close()


async def test_without_a_fault_requests_and_replies_pass_unchanged_and_are_counted_by_function():
    async with behind_a_proxy() as (proxy, server), connected(proxy) as raw:
        assert await raw.read(10, 3) == [10, 11, 12]
        await raw.write(20, [7, 8])
        assert server.memory.words[20:22] == [7, 8]
        assert (proxy.counts["request_3"], proxy.counts["request_16"], proxy.live) == (1, 1, 1)


async def test_delay_holds_replies_back_for_its_time():
    async with behind_a_proxy() as (proxy, _), connected(proxy) as raw:
        proxy.replies.delay_s = 0.1
        begun = time.monotonic()
        assert await raw.read(1, 1) == [1]
        assert time.monotonic() - begun >= 0.1


async def test_orphans_stay_at_the_server_until_they_are_buried():
    """Eight of them once kept an appliance out of a PLC that takes eight connections."""
    async with behind_a_proxy() as (proxy, server):
        async with connected(proxy) as raw:
            await raw.read(1, 1)
            proxy.orphan()
            assert await raw.closed(LONG_S)
        async with connected(proxy) as again:
            await again.read(1, 1)
            assert (proxy.live, server.connections) == (2, 2)
            proxy.bury()
            await until(lambda: (proxy.live, server.connections) == (1, 1))
            assert await again.read(1, 1) == [1]


@pytest.mark.parametrize("fault", ["cut", "reset"])
async def test_a_cut_ends_both_connections_and_a_new_one_works(fault):
    async with behind_a_proxy() as (proxy, server):
        async with connected(proxy) as raw:
            await raw.read(1, 1)
            getattr(proxy, fault)()
            assert await raw.closed(LONG_S)
            await until(lambda: (proxy.live, server.connections, proxy.counts[fault]) == (0, 0, 1))
        async with connected(proxy) as again:
            assert await again.read(1, 1) == [1]


async def test_refused_connections_end_at_once():
    async with behind_a_proxy() as (proxy, server):
        proxy.refuse = True
        async with connected(proxy) as raw:
            assert await raw.closed(LONG_S)
        assert (proxy.counts["refused"], server.requests) == (1, 0)


async def test_a_black_hole_swallows_everything_and_tells_nobody():
    async with behind_a_proxy() as (proxy, server), connected(proxy) as raw:
        await raw.read(1, 1)
        proxy.black_hole()
        await raw.send(frame(9, read_pdu(0, 1)))
        await until(lambda: proxy.counts["vanished"])
        assert not await raw.closed(0.2)
        assert (server.requests, server.connections, proxy.counts["vanished"]) == (1, 1, 1)


async def test_half_open_the_peer_of_a_dead_end_learns_nothing():
    async with behind_a_proxy() as (proxy, server), connected(proxy) as raw:
        await raw.read(1, 1)
        proxy.half_open(Side.SERVER)
        await raw.send(frame(9, read_pdu(0, 1)))
        await until(lambda: (server.connections, proxy.counts["vanished"]) == (0, 1))
        assert not await raw.closed(0.2)
        assert server.requests == 1


async def test_half_close_the_peer_reads_the_end_and_may_still_send():
    async with behind_a_proxy() as (proxy, server), connected(proxy) as raw:
        await raw.read(1, 1)
        proxy.half_close(Side.SERVER)
        assert await raw.closed(LONG_S)
        await raw.send(frame(9, write_pdu(5, [55])))
        await until(lambda: server.memory.words[5] == 55)


async def test_a_doubled_request_arrives_twice_and_is_answered_once():
    async with behind_a_proxy() as (proxy, server), connected(proxy) as raw:
        proxy.requests.duplicate = 1
        await raw.write(3, [33])
        assert await raw.read(3, 1) == [33], "the second reply must not answer the next request"
        assert (server.writes, proxy.counts["duplicated"]) == (2, 1)


async def test_two_requests_change_places():
    async with behind_a_proxy() as (proxy, server), connected(proxy) as raw:
        proxy.requests.reorder = 1
        await raw.send(frame(1, write_pdu(3, [1])) + frame(2, write_pdu(3, [2])))
        assert [(await raw.receive())[0] for _ in range(2)] == [2, 1]
        assert (server.memory.words[3], proxy.counts["reordered"]) == (1, 1)


async def test_a_request_that_nobody_overtakes_arrives_late_and_alone():
    async with behind_a_proxy() as (proxy, _), connected(proxy) as raw:
        proxy.requests.reorder = 1
        begun = time.monotonic()
        assert await raw.read(4, 1) == [4]
        assert time.monotonic() - begun >= 0.1


async def test_one_byte_at_a_time_still_makes_whole_frames(monkeypatch):
    monkeypatch.setattr("plc.server_connection.HALF_FRAME_S", LONG_S)  # the server's patience is not what is tried here
    async with behind_a_proxy() as (proxy, _), connected(proxy) as raw:
        proxy.requests.drip_s = proxy.replies.drip_s = 0.001
        assert await raw.read(0, 5) == [0, 1, 2, 3, 4]


async def test_a_corrupted_frame_differs_in_one_bit_and_the_next_one_is_whole():
    async with behind_a_proxy() as (proxy, _), connected(proxy) as raw:
        proxy.replies.corrupt = 1
        await raw.send(frame(1, read_pdu(0, 20)))
        _, _, damaged = await raw.receive()
        whole = bytes((3, 40)) + b"".join(n.to_bytes(2, "big") for n in range(20))
        differing = int.from_bytes(damaged, "big") ^ int.from_bytes(whole, "big")
        assert differing.bit_count() <= 1 and proxy.counts["corrupted"] == 1
        assert await raw.read(1, 1) == [1]


async def test_old_bytes_can_be_delivered_after_the_client_has_a_new_session():
    async with behind_a_proxy() as (proxy, server):
        async with connected(proxy) as old:
            await old.read(1, 1)
            proxy.requests.hold = True
            await old.send(frame(9, write_pdu(5, [99])))
            await until(lambda: proxy.counts["held"])
            proxy.orphan()
            assert await old.closed(LONG_S)
        proxy.requests.hold = False
        async with connected(proxy) as new:
            await new.write(5, [1])
            assert await proxy.deliver_held() == 1
            await until(lambda: server.memory.words[5] == 99)  # over the old connection, after the new one's write


async def test_bytes_that_are_no_modbus_pass_as_they_come():
    async with behind_a_proxy() as (proxy, server), connected(proxy) as raw:
        await raw.send(b"GET / HTTP/1.1\r\n\r\n")
        assert await raw.closed(LONG_S), "the server ends what it cannot read"
        assert server.malformed == 1


async def test_a_target_that_does_not_listen_is_a_refused_connection(free_port):
    proxy = FaultProxy(("127.0.0.1", free_port))
    await proxy.start()
    try:
        async with connected(proxy) as raw:
            with pytest.raises(Lost):
                await raw.read(1, 1)
        assert proxy.counts["refused"] == 1
    finally:
        await proxy.close()

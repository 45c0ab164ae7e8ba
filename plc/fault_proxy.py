"""A TCP proxy between an appliance and its PLC, which breaks their connections on purpose and counts what it does.

It knows as much of Modbus TCP as is needed to delay, double, hold back or swap whole requests (the length in the MBAP
header); bytes that are no such frame pass as they come. Faults are switched while it runs, for each direction.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import time
from collections import Counter
from dataclasses import dataclass, field

from plc.fault_lane import HEADER, Lane, Passage, Side, Watch, rest_of, transaction_of

__all__ = ["FaultProxy", "Lane", "Side", "reset"]

SWAP_WAIT_S = 0.1  # a request that waits for the next one to overtake it goes on alone after that


class FaultProxy:
    """Listens on 127.0.0.1 and forwards to `target`, which may change between connections.

    refuse: new connections are reset at once, as if nobody listened. counts: accepted, refused, cut, reset, duplicated,
    reordered, corrupted, held, vanished (frames), request_N (frames of function N). watch: hears of every frame.
    """

    def __init__(self, target: tuple[str, int] | None = None, *, seed: int = 0) -> None:
        self.target = target
        self.requests, self.replies = Lane(), Lane()
        self.refuse = False
        self.counts: Counter[str] = Counter()
        self.random = random.Random(seed)
        self.watch: Watch | None = None
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._pipes: set[_Pipe] = set()

    @property
    def port(self) -> int:
        if self._server is None:
            raise RuntimeError("not started")
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def live(self) -> int:
        """Connections that stand now."""
        return len(self._pipes)

    async def start(self, port: int = 0, host: str = "127.0.0.1") -> None:
        self._server = await asyncio.start_server(self._accept, host, port)

    async def close(self) -> None:
        """Ends every connection and task."""
        if self._server is None:
            return
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()
        self._server = None

    def heal(self) -> None:
        """All faults off; connections that stand stay as they are."""
        self.requests, self.replies, self.refuse = Lane(), Lane(), False

    def wrong(self) -> str:
        """The faults that are switched on, in words; "" for none."""
        refused = "refused" if self.refuse else ""
        lanes = {"requests": str(self.requests), "replies": str(self.replies), "new connections": refused}
        return "; ".join(f"{name}: {wrong}" for name, wrong in lanes.items() if wrong)

    def lane(self, side: Side) -> Lane:
        """The faults of what `side` says."""
        return self.requests if side is Side.CLIENT else self.replies

    # -- faults at once ------------------------------------------------------------------------------------------------

    def cut(self) -> None:
        """Close every connection in order (FIN to both ends)."""
        self._tell("cut")
        for pipe in list(self._pipes):
            self.counts["cut"] += 1
            pipe.close()

    def reset(self) -> None:
        """Reset every connection (RST to both ends)."""
        self._tell("reset")
        for pipe in list(self._pipes):
            self.counts["reset"] += 1
            pipe.reset(Side.CLIENT)
            pipe.reset(Side.SERVER)

    def black_hole(self, on: bool = True) -> None:
        """Nothing passes in either direction, and nobody is told."""
        self.requests.black_hole = self.replies.black_hole = on

    def half_close(self, side: Side) -> None:
        """`side` has said its last: its peer reads the end, but may still send."""
        for pipe in list(self._pipes):
            pipe.end_of(side)

    def half_open(self, side: Side) -> None:
        """`side` lost its power: its socket is gone, the other end is not told and its bytes vanish."""
        self._tell(f"half-open: the {side.name.lower()} lost its power")
        for pipe in list(self._pipes):
            pipe.forget(side)

    def orphan(self) -> None:
        """Reset the clients' ends only: the servers keep the old connections, for `deliver_held`."""
        self._tell("the clients' ends are reset, the servers keep theirs")
        for pipe in list(self._pipes):
            pipe.orphaned = True
            pipe.reset(Side.CLIENT)

    async def deliver_held(self) -> int:
        """Send what was held back to the servers, over the connections it came from; returns how many frames."""
        frames = 0
        for pipe in list(self._pipes):
            frames += len(pipe.held)
            while pipe.held:
                await pipe.send(Side.SERVER, *pipe.held.pop(0))
        return frames

    def bury(self) -> None:
        """What `orphan` left ends at the servers too, which may take only so many connections."""
        for pipe in [pipe for pipe in self._pipes if pipe.orphaned]:
            pipe.reset(Side.SERVER)

    def _tell(self, what: str) -> None:
        if self.watch is not None:
            self.watch.happened(what)

    # -- connections ---------------------------------------------------------------------------------------------------

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a connection is served by a task")
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except asyncio.CancelledError:
            if self._server is not None and self._server.is_serving():
                raise
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuse or self.target is None:
            self.counts["refused"] += 1
            reset(writer)
            return
        try:
            server_reader, server_writer = await asyncio.open_connection(*self.target)
        except OSError:
            self.counts["refused"] += 1
            reset(writer)
            return
        self.counts["accepted"] += 1
        pipe = _Pipe(self, self.counts["accepted"], (reader, writer), (server_reader, server_writer))
        self._pipes.add(pipe)
        self._tell(f"connection {pipe.number} begins")
        try:
            await pipe.run()
        finally:
            self._pipes.discard(pipe)
            self._tell(f"connection {pipe.number} is over")
            server_writer.transport.abort()


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(eq=False)
class _Pipe:
    """One connection through the proxy."""

    proxy: FaultProxy
    number: int
    client: Streams
    server: Streams
    orphaned: bool = False
    held: list[tuple[bytes, float]] = field(default_factory=list)  # and when they came
    _gone: set[Side] = field(default_factory=set)  # ends that lost their power
    _doubled: Counter[int] = field(default_factory=Counter)  # by transaction: surplus replies to come
    _overtaken: tuple[bytes, float] | None = None

    async def run(self) -> None:
        async with asyncio.TaskGroup() as pumps:
            pumps.create_task(self._pump(Side.CLIENT), name="proxy requests")
            pumps.create_task(self._pump(Side.SERVER), name="proxy replies")

    def close(self) -> None:
        for _, writer in (self.client, self.server):
            writer.close()

    def reset(self, side: Side) -> None:
        reset(self._streams(side)[1])

    def end_of(self, side: Side) -> None:
        writer = self._streams(_other(side))[1]
        if writer.can_write_eof() and not writer.is_closing():
            with contextlib.suppress(OSError):  # that end is gone already
                writer.write_eof()

    def forget(self, side: Side) -> None:
        self._gone.add(side)
        self.reset(side)

    async def send(self, to: Side, data: bytes, came_s: float, fate: str = "passed") -> None:
        """Write to one end; what its peer cannot take any more is lost, as on a real wire."""
        writer = self._streams(to)[1]
        if to in self._gone or writer.is_closing():
            self._lost(_other(to), data, came_s)
            return
        self.tell(_other(to), fate, data, came_s)  # first: the write may be answered before it returns
        try:
            await self._write(writer, data, self.proxy.lane(_other(to)).drip_s)
        except ConnectionError:
            self._lost(_other(to), data, came_s)

    def _lost(self, side: Side, data: bytes, came_s: float) -> None:
        self.proxy.counts["vanished"] += 1
        self.tell(side, "lost", data, came_s)

    def tell(self, side: Side, fate: str, data: bytes, came_s: float) -> None:
        if self.proxy.watch is not None:
            self.proxy.watch.passed(Passage(self.number, side, fate, came_s, time.monotonic(), data))

    async def _write(self, writer: asyncio.StreamWriter, data: bytes, drip_s: float | None) -> None:
        pieces = [data] if drip_s is None else [data[i : i + 1] for i in range(len(data))]
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            if drip_s:
                await asyncio.sleep(drip_s)

    def _streams(self, side: Side) -> Streams:
        return self.client if side is Side.CLIENT else self.server

    async def _pump(self, side: Side) -> None:
        """What `side` says goes to the other, until it ends; its end is passed on as it came."""
        reader = self._streams(side)[0]
        try:
            while frame := await self._next_frame(reader, side):
                await self._pass_on(side, frame)
        except ConnectionError:
            if not self._silenced(side):
                self.reset(_other(side))
            return
        if not self._silenced(side):
            self.end_of(side)

    def _silenced(self, side: Side) -> bool:
        """The other end must not learn that this one is gone."""
        return side in self._gone or (self.orphaned and side is Side.CLIENT)

    async def _next_frame(self, reader: asyncio.StreamReader, side: Side) -> bytes:
        """A whole Modbus frame, or any bytes that are none; b"" at the end."""
        while True:
            wait_s = SWAP_WAIT_S if self._overtaken is not None and side is Side.CLIENT else None
            try:
                async with asyncio.timeout(wait_s):
                    header = await reader.readexactly(HEADER)  # loses nothing when it is given up
            except TimeoutError:  # nobody overtakes it
                alone, self._overtaken = self._overtaken, None
                if alone is not None:
                    await self.send(Side.SERVER, *alone)
                continue
            except asyncio.IncompleteReadError as exc:
                return exc.partial
            return header + await rest_of(reader, header)

    async def _pass_on(self, side: Side, frame: bytes) -> None:
        lane, counts, came_s = self.proxy.lane(side), self.proxy.counts, time.monotonic()
        if side is Side.CLIENT and len(frame) > HEADER + 1:
            counts[f"request_{frame[HEADER + 1]}"] += 1
        if lane.delay_s or lane.jitter_s:
            await asyncio.sleep(lane.delay_s + self.proxy.random.uniform(0, lane.jitter_s))
        if lane.black_hole:
            self._lost(side, frame, came_s)
            return
        if side is Side.SERVER and self._unwanted(frame):
            counts["vanished"] += 1
            self.tell(side, "unwanted", frame, came_s)
            return
        fate = "passed"
        if lane.corrupt:
            lane.corrupt -= 1
            counts["corrupted"] += 1
            frame, fate = self._flipped(frame), "corrupted"
        if lane.hold:
            counts["held"] += 1
            self.held.append((frame, came_s))
            self.tell(side, "held", frame, came_s)
            return
        for one, its_s in self._in_order(side, lane, frame, came_s):
            await self.send(_other(side), one, its_s, fate)

    def _in_order(self, side: Side, lane: Lane, frame: bytes, came_s: float) -> list[tuple[bytes, float]]:
        now = (frame, came_s)
        if side is not Side.CLIENT:
            return [now]
        if self._overtaken is not None:
            late, self._overtaken = self._overtaken, None
            self.proxy.counts["reordered"] += 1
            return [now, late]
        if lane.reorder:
            lane.reorder -= 1
            self._overtaken = now
            return []
        if lane.duplicate:
            lane.duplicate -= 1
            self.proxy.counts["duplicated"] += 1
            self._doubled[transaction_of(frame)] = 2
            return [now, now]
        return [now]

    def _unwanted(self, reply: bytes) -> bool:
        """The second answer to a doubled request: its sender asked once."""
        transaction = transaction_of(reply)
        if not self._doubled[transaction]:
            return False
        self._doubled[transaction] -= 1
        return not self._doubled[transaction]

    def _flipped(self, frame: bytes) -> bytes:
        """One bit of the PDU is wrong; the header stays, so that the next frame is found."""
        at = self.proxy.random.randrange(min(HEADER + 1, len(frame) - 1), len(frame))
        return frame[:at] + bytes([frame[at] ^ 1 << self.proxy.random.randrange(8)]) + frame[at + 1 :]


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST: what is not sent yet is thrown away, and the peer is told at once."""
    sock = writer.get_extra_info("socket")
    if sock is not None and not writer.is_closing():
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _other(side: Side) -> Side:
    return Side.SERVER if side is Side.CLIENT else Side.CLIENT

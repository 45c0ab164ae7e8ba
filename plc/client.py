"""Client direction: we poll the PLC's memory and write our results into it. A thin adapter on the handshake.

One pymodbus client object for each TCP connection, our own reconnect, `retries=0`, every reply checked: otherwise
pymodbus resends writes, accepts short replies and backs off for minutes (docs/decisions/0002-libraries.md).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException

from plc.handshake import Handshake, HealthInput, Link, Part, Record
from plc.images import Image, WordOrder
from plc.registers import CTRL, DIAG, IDENT, STAT, Reason, Verdict

OWN_CONFLICTS = 3  # foreign heartbeats in our STAT before we stop writing


@dataclass(frozen=True, slots=True)
class LinkConfig:
    host: str = "127.0.0.1"
    port: int = 502
    unit_id: int = 1
    word_order: WordOrder = "big"
    ctrl_base: int = 0
    stat_base: int = 20
    diag_base: int = 100
    ident_base: int = 140
    poll_s: float = 0.005
    armed_poll_s: float = 0.002
    request_timeout_s: float = 0.25
    reconnect_min_s: float = 0.1
    reconnect_max_s: float = 2.0
    heartbeat_s: float = 0.1
    two_phase: bool = True


@dataclass(frozen=True, slots=True)
class Told:
    """What the PLC was told of a part. state: confirmed, unknown (written, not confirmed) or none (never written)."""

    record: Record
    state: str
    mono_s: float


@dataclass(slots=True)
class LinkStatus:
    """For the page: what the link does, and how fast."""

    connected: bool = False
    text: str = "not connected yet"
    rtt_s: deque[float] = field(default_factory=lambda: deque(maxlen=1000))
    poll_gap_max_s: float = 0.0

    @property
    def rtt_p99_s(self) -> float:
        return sorted(self.rtt_s)[int(0.99 * (len(self.rtt_s) - 1))] if self.rtt_s else 0.0


class LinkFault(Exception):
    """The connection cannot be used any more: reconnect."""


class PlcClient:
    """Runs one station over one connection. `monotonic_s` is the clock that the handshake's times are on."""

    def __init__(
        self,
        link: LinkConfig,
        handshake: Handshake,
        *,
        monotonic_s: Callable[[], float] = time.monotonic,
        diag: Callable[[], dict[str, int]] = dict,
    ) -> None:
        self.cfg, self.handshake, self._now, self._diag = link, handshake, monotonic_s, diag
        self.status = LinkStatus()
        self._client: AsyncModbusTcpClient | None = None
        self._lock = asyncio.Lock()  # one request at a time on the wire
        self._parts: asyncio.Queue[tuple[Part, str, str]] = asyncio.Queue()
        self._stopped = asyncio.Event()
        self._written: list[int] | None = None
        self._foreign = 0

    # -- for the line --------------------------------------------------------------------------------------------------

    async def next(self) -> tuple[Part, str, str]:
        """The next part with its lot and serial ("" where the PLC gave none)."""
        return await self._parts.get()

    async def publish(self, part: Part, record: Record) -> Told:
        """Record, confirmed; then flags (P6). Downgrades; never replaces a verdict whose flags were tried (P9)."""
        loaded = self.handshake.load(part, record, self._now())
        for _ in range(2):  # a record that became untrue between the phases is loaded once more, as a reject
            if loaded is None or self._client is None:
                break
            started = self._now()
            if self.cfg.two_phase and not await self._write_stat():
                break
            if self.handshake.raise_flags(part, loaded, self._now()):
                confirmed = await self._write_stat()
                return Told(loaded, "confirmed" if confirmed else "unknown", started)
            loaded = self.handshake.load(part, loaded, self._now())
        self.handshake.give_up(part, self._now())
        reject = self.handshake.downgrade(part, loaded or record, self._now())
        return Told(_not_pass(reject), "none", self._now())

    def set_health(self, health: HealthInput) -> None:
        self.handshake.health(health, self._now())

    def exposed(self) -> None:
        self.handshake.exposed(self._now())

    # -- the connection ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Connect, serve, reconnect with back-off; until `stop()`."""
        delay = self.cfg.reconnect_min_s
        while not self._stopped.is_set():
            try:
                await self._connect()
                delay = self.cfg.reconnect_min_s
                await self._serve()
            except (LinkFault, ModbusException, OSError, TimeoutError) as exc:
                self.status.text = str(exc) or type(exc).__name__
            finally:
                self._disconnect()
            if not self._stopped.is_set():
                await asyncio.sleep(delay)
                delay = min(2 * delay, self.cfg.reconnect_max_s)

    async def stop(self) -> None:
        """Last write with ONLINE=0, within 200 ms, then close (fault table, row 28)."""
        self.handshake.stop(self._now())
        if self._client is not None and self.handshake.simulator is not None:
            try:
                async with asyncio.timeout(0.2):
                    await self._write_stat()
            except TimeoutError:
                self.status.text = "the PLC did not take the last write in time"
        self._stopped.set()
        self._disconnect()

    async def _connect(self) -> None:
        c = self.cfg
        client = AsyncModbusTcpClient(
            c.host, port=c.port, timeout=c.request_timeout_s, retries=0, reconnect_delay=0, name="plc"
        )
        self._client = client
        async with asyncio.timeout(c.request_timeout_s * 4):
            if not await client.connect():
                raise LinkFault(f"no PLC answers at {c.host}:{c.port}")
        found = Image(STAT, await self._read(c.stat_base, STAT.size), c.word_order)
        self._written, self._foreign = None, 0
        self.handshake.link_up(self._now(), found["TRIGGER_ID_ACK"])
        self.status.connected, self.status.text = True, f"connected to {c.host}:{c.port}"

    def _disconnect(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()
        if self.status.connected or self.handshake.link is not Link.DOWN:
            self.status.connected = False
            self.handshake.link_down(self._now())

    async def _serve(self) -> None:
        """Poll and heartbeat side by side, until one of them ends; its fault is ours."""
        beat = asyncio.create_task(self._beat_forever(), name="plc-heartbeat")
        poll = asyncio.create_task(self._poll_until_stopped(), name="plc-poll")
        try:
            done, _ = await asyncio.wait((beat, poll), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (beat, poll):
                task.cancel()
            await asyncio.gather(beat, poll, return_exceptions=True)

    async def _poll_until_stopped(self) -> None:
        c, hs = self.cfg, self.handshake
        last = self._now()
        while not self._stopped.is_set():
            sent = self._now()
            self.status.poll_gap_max_s = max(self.status.poll_gap_max_s, sent - last)
            last = sent
            words = await self._read(c.ctrl_base, CTRL.size)
            hs.sample(Image(CTRL, words, c.word_order), sent, self._now())
            await self._hand_out()
            hs.tick(self._now())
            if self._needs_write():
                await self._write_or_fault()
            armed = hs.link is Link.LIVE
            await asyncio.sleep(c.armed_poll_s if armed else c.poll_s)

    async def _hand_out(self) -> None:
        """Give new parts to the line; LOT and SERIAL are read at accept, and only believed if they are of this id."""
        hs = self.handshake
        while hs.events:
            part = hs.events.popleft()
            if self._needs_write():
                await self._write_or_fault()  # ACK first: the PLC's T_ack runs
            lot = serial = ""
            if part.refused is None:
                ident = Image(IDENT, await self._read(self.cfg.ident_base, IDENT.size), self.cfg.word_order)
                if ident["IDENT_ID"] == ident["IDENT_ID_TAIL"] == part.trigger_id:
                    lot, serial = ident.text("LOT"), ident.text("SERIAL")
            self._parts.put_nowait((part, lot, serial))

    async def _beat_forever(self) -> None:
        """Heartbeat, full image (P5) and, once a second, DIAG; the read-back shows a second writer."""
        beats = 0
        while True:
            self.handshake.beat(self._now())
            if self.handshake.simulator is not None:
                await self._check_owner()
                await self._write_or_fault()
                if beats % max(1, round(1 / self.cfg.heartbeat_s)) == 0:
                    await self._write_diag()
            beats += 1
            await asyncio.sleep(self.cfg.heartbeat_s)

    async def _check_owner(self) -> None:
        if self._written is None or self._foreign >= OWN_CONFLICTS:
            return
        words = await self._read(self.cfg.stat_base + STAT["HEARTBEAT"].offset, 1)
        ours = self._written[STAT["HEARTBEAT"].offset]
        self._foreign = self._foreign + 1 if words[0] not in (ours, 0) else 0  # 0: the PLC cleared its area
        if self._foreign >= OWN_CONFLICTS:
            self.handshake.owner_conflict(self._now())
            self.status.text = "another appliance writes to this PLC's result area: stopped writing"

    def _needs_write(self) -> bool:
        return self.handshake.simulator is not None and self.handshake.stat.words != self._written

    async def _write_or_fault(self) -> None:
        if not await self._write_stat():
            raise LinkFault("a write was not confirmed")

    async def _write_stat(self) -> bool:
        """Write the newest full image. False: not confirmed. Nothing is ever written without the PLC's signature."""
        if self._client is None or self.handshake.simulator is None or self._foreign >= OWN_CONFLICTS:
            return False
        async with self._lock:
            words = list(self.handshake.stat.words)
            try:
                await self._write(self.cfg.stat_base, words)
            except (LinkFault, ModbusException, OSError, TimeoutError) as exc:
                self.status.text = f"write failed: {exc}"
                self._abort()
                return False
            self._written = words
            return True

    async def _write_diag(self) -> None:
        image = Image(DIAG, word_order=self.cfg.word_order)
        values = {**self.handshake.counts, **self._diag()}
        values["RTT_P99"] = round(self.status.rtt_p99_s * 10_000)
        values["POLL_GAP_MAX"] = round(self.status.poll_gap_max_s * 10_000)
        for name, value in values.items():
            image[name] = value
        async with self._lock:
            await self._write(self.cfg.diag_base, image.words)

    def _abort(self) -> None:
        if self._client is not None:
            self._client.close()  # the poll loop sees it and reconnects

    async def _read(self, address: int, count: int) -> list[int]:
        client = self._client
        if client is None:
            raise LinkFault("closed")
        async with self._lock:
            started = self._now()
            reply = await client.read_holding_registers(address, count=count, device_id=self.cfg.unit_id)
            self.status.rtt_s.append(self._now() - started)
        if reply.isError() or reply.function_code != 3 or len(reply.registers) != count:
            raise LinkFault(f"bad reply to a read of {count} registers at {address}: {reply}")
        return list(reply.registers)

    async def _write(self, address: int, words: list[int]) -> None:
        client = self._client
        if client is None:
            raise LinkFault("closed")
        reply = await client.write_registers(address, words, device_id=self.cfg.unit_id)
        if reply.isError() or reply.function_code != 16 or (reply.address, reply.count) != (address, len(words)):
            raise LinkFault(f"bad reply to a write of {len(words)} registers at {address}: {reply}")


def _not_pass(record: Record) -> Record:
    """A record that was never told cannot count as a PASS."""
    if record.code != Verdict.PASS:
        return record
    return replace(record, code=int(Verdict.NOT_INSPECTED), reason=Reason.LINK_LOST)

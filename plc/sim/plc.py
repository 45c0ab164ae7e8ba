"""The simulated PLC as a Modbus server: its memory is polled and written by the appliance (client direction)."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from plc.images import Image
from plc.registers import CTRL, DIAG, IDENT, STAT
from plc.rtu import RtuServer
from plc.serial_port import SerialConfig
from plc.server import Memory, RegisterServer
from plc.sim.line import SimLine
from plc.tls import ServerTls


@dataclass
class SimPlc(SimLine):
    """Memory, server and program of one simulated PLC; `frozen` stops its program while the server answers on.

    beside: another one whose memory and server this program shares, as two stations of one PLC do; base: where there.
    tls: who may connect, and with which certificate it answers. serial: a line that it answers on, as `unit_id`,
    instead of a TCP port; there is no connection to be cut then.
    """

    beside: SimPlc | None = None
    base: int = 0
    tls: ServerTls | None = None
    serial: SerialConfig | None = None
    unit_id: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.beside is None:
            self._writable = set[int]()  # the appliance's own registers
            self.memory = Memory(writable=self._writable.__contains__)
            self.server = RegisterServer(self.memory)
        else:
            self.memory, self.server, self._writable = self.beside.memory, self.beside.server, self.beside._writable
        self._writable.update(range(self.base + CTRL.size, self.base + IDENT.base))  # STAT and DIAG only (P4)
        self._held: list[int] | None = None  # STAT as the program saw it last, while the memory is held
        self._identified = [0] * IDENT.size
        self._ends: set[asyncio.Task[None]] = set()  # connections that are being cut
        self._listens = ("127.0.0.1", 0)
        self._unit: RtuServer | None = None
        self._write()

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Raises OSError: the address is taken, or not ours. LinkFault: the serial port cannot be opened."""
        if self.serial is not None:
            await self._listen_on_line(self.serial)
            return
        await self.server.start(host, port, tls=self.tls)
        self._listens = host, self.server.port

    async def _listen_on_line(self, line: SerialConfig) -> None:
        self._unit = RtuServer(line, self.unit_id, lambda body, peer: self.server.answer(body))
        await self._unit.start()

    async def close(self) -> None:
        await asyncio.gather(*self._ends)
        if self._unit is not None:
            await self._unit.close()
        if self.beside is None:
            await self.server.close()

    @property
    def port(self) -> int:
        return self.server.port

    def stat(self) -> Image:
        first = self.base + STAT.base
        return Image(STAT, self._held or self.memory.words[first : first + STAT.size], self.cfg.word_order)

    def _write(self) -> None:
        if self._held is not None:
            return
        for image in (self.program.ident, self.program.ctrl):  # the identification before the trigger
            if image.block is IDENT and image.words == self._identified:
                continue  # it changes with a part only, and a PLC without lots leaves the block alone
            first = self.base + image.block.base
            self.memory.words[first : first + image.block.size] = image.words
        self._identified = list(self.program.ident.words)

    # -- what a fault script does --------------------------------------------------------------------------------------

    def zero_memory(self) -> None:
        for block in (CTRL, STAT, DIAG, IDENT):
            first = self.base + block.base
            self.memory.words[first : first + block.size] = [0] * block.size

    def hold_memory(self, held: bool) -> None:
        self._held = list(self.stat().words) if held else None

    def cut_link(self) -> None:
        self._begin(self.server.drop_connections())

    def plug(self, plugged: bool) -> None:
        if self.serial is None:
            self._begin(self.server.start(*self._listens, tls=self.tls) if plugged else self.server.close())
        elif self._unit is not None:
            self._begin(self._listen_on_line(self.serial) if plugged else self._unit.close())

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="sim-link")
        self._ends.add(task)
        task.add_done_callback(self._ends.discard)

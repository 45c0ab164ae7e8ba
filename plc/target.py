"""Somebody else's registers, looked at from outside: where a station's two images lie at HOST:PORT, and whose they are.

Towards a PLC (client direction) this is its memory; towards an appliance that serves (server direction), the appliance.
"""

from __future__ import annotations

import re
import time
from collections import deque
from dataclasses import dataclass
from typing import Annotated, Self

import typer

from plc.carrier import PLAIN, Carrier, CarrierProblem, is_device
from plc.images import Image, WordOrder
from plc.registers import CTRL, DEVICE, IDENT, SIGNATURE, STAT, Block
from plc.serial_port import SerialConfig
from plc.tls import PORT as TLS_PORT
from plc.tls import TlsFiles
from plc.transport import TransportConfig, TransportKind, connect_wire
from plc.values import signatures
from plc.wire import ExceptionReply, Wire

StationOption = Annotated[int, typer.Option(help="number; its blocks begin at (number - 1) * 200", min=1, max=8)]
CtrlOption = Annotated[int | None, typer.Option(help="where CTRL begins instead, 0-based", min=0, max=65515)]
StatOption = Annotated[int | None, typer.Option(help="where STAT begins; else CTRL + 20", min=0, max=65491)]
UnitOption = Annotated[int, typer.Option(help="Modbus unit id", min=0, max=255)]
OrderOption = Annotated[WordOrder, typer.Option(help="of 32-bit values")]

SPAN = 200  # registers from one station to the next
DIAG_OFFSET, IDENT_OFFSET = 100, 140
TIMEOUT_S = 2.0


class TargetProblem(Exception):
    """What is there cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where one station lies. Bases are 0-based, as on the wire. serial: then host and port are of no meaning."""

    host: str
    port: int
    number: int = 1
    ctrl_base: int = 0
    stat_base: int = 20
    diag_base: int = 100
    ident_base: int = 140
    unit_id: int = 1
    word_order: WordOrder = "big"
    tls: TlsFiles | None = None
    server_name: str = ""
    serial: SerialConfig | None = None

    @property
    def transport(self) -> TransportConfig:
        kind: TransportKind = "rtu" if self.serial is not None else "tls" if self.tls is not None else "tcp"
        return TransportConfig(kind, self.host, self.port, self.unit_id, self.tls, self.server_name, self.serial)

    def base(self, block: Block) -> int:
        return {
            "CTRL": self.ctrl_base,
            "STAT": self.stat_base,
            "DIAG": self.diag_base,
            "IDENT": self.ident_base,
            "DEVICE": DEVICE.base,
        }[block.name]

    def __str__(self) -> str:
        if self.serial is not None:
            return f"{self.serial.device} unit {self.unit_id}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_target(
    where: str, station: int, ctrl_base: int | None, stat_base: int | None, ident_base: int | None, unit_id: int,
    word_order: WordOrder, carrier: Carrier = PLAIN,
) -> Target:  # fmt: skip
    """where: HOST:PORT, or the device of a serial line. Bases that are not given follow from that of CTRL, and it from
    the station. Raises TargetProblem."""
    first = (station - 1) * SPAN if ctrl_base is None else ctrl_base
    bases = (
        first, first + STAT.base if stat_base is None else stat_base,
        first + DIAG_OFFSET, first + IDENT.base if ident_base is None else ident_base,
    )  # fmt: skip
    if is_device(where):
        if not 1 <= unit_id <= 247:
            raise TargetProblem(f"units on a serial line are 1 to 247, not {unit_id}: --unit-id")
        try:
            return Target("", 0, station, *bases, unit_id, word_order, serial=carrier.line(where))
        except CarrierProblem as exc:
            raise TargetProblem(str(exc)) from exc
    default = TLS_PORT if carrier.tls else 502
    found = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([^\s:\[\]]+))(?::(\d+))?", where)
    if found is None or not 0 < int(found[3] or default) <= 0xFFFF:
        raise TargetProblem(
            f'"{where}" is no HOST:PORT, such as 192.168.10.5:502, and no serial line, such as /dev/ttyUSB0'
        )
    return Target(
        found[1] or found[2], int(found[3] or default), station, *bases, unit_id, word_order, carrier.files,
        carrier.server_name,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Seen:
    """Both images of one moment; `at_s` is monotonic, of the reply to the later one."""

    ctrl: Image
    stat: Image
    at_s: float


class Reader:
    """One connection that only ever reads (FC03). Raises plc.wire.LinkFault when it is of no more use."""

    def __init__(self, target: Target, wire: Wire, rtt_s: deque[float]) -> None:
        self.target, self._wire, self.rtt_s = target, wire, rtt_s
        self.is_appliance = False

    @classmethod
    async def connect(cls, target: Target, rtt_s: deque[float], timeout_s: float = TIMEOUT_S) -> Self:
        """Raises LinkFault: nobody answers."""
        wire = await connect_wire(target.transport, timeout_s, time.monotonic, rtt_s)
        reader = cls(target, wire, rtt_s)
        try:
            device = await reader.block(DEVICE)
            shows = device["DEVICE_SIGNATURE"], device["WORD_ORDER"]
            reader.is_appliance = shows[0] == SIGNATURE and shows[1] in (0x12345678, 0x56781234)
        except ExceptionReply:
            pass  # a PLC without such addresses
        except BaseException:
            reader.close()
            raise
        return reader

    def close(self) -> None:
        self._wire.abort()

    async def images(self) -> Seen:
        """CTRL and STAT; in one request where they lie one after the other."""
        target, at = self.target, self.target.ctrl_base
        if target.stat_base == at + CTRL.size:
            words = await self._wire.read(at, CTRL.size + STAT.size)
            ctrl, stat = words[: CTRL.size], words[CTRL.size :]
            return Seen(Image(CTRL, ctrl, target.word_order), Image(STAT, stat, target.word_order), time.monotonic())
        first = await self.block(CTRL)
        return Seen(first, await self.block(STAT), time.monotonic())

    async def block(self, block: Block) -> Image:
        words = await self._wire.read(self.target.base(block), block.size)
        return Image(block, words, self.target.word_order)


def whose(target: Target, seen: Seen, *, is_appliance: bool) -> str:
    """In words: what it is that answers, by its signatures."""
    if is_appliance:
        return "an appliance that serves (server direction)"
    kind = signatures(target.number).get(seen.ctrl["SIGNATURE"])
    return f"a {kind}'s memory (client direction)" if kind else "unknown"


def signature_problem(target: Target, seen: Seen) -> str:
    """Why these are not the images of this station, or which side is missing; "" where both show their signature."""
    number = target.number
    ctrl, stat = seen.ctrl["SIGNATURE"], seen.stat["STAT_SIGNATURE"]
    wanted = " or ".join(f"0x{value:04X}" for value in signatures(number))
    plc_there, appliance_there = ctrl in signatures(number), stat == SIGNATURE + number
    if plc_there and appliance_there:
        return ""
    at = target.ctrl_base + CTRL["SIGNATURE"].offset, target.stat_base + STAT["STAT_SIGNATURE"].offset
    if plc_there:
        ours = f"0x{SIGNATURE + number:04X}"
        return f"no appliance has written here yet: STAT_SIGNATURE at {at[1]} is 0x{stat:04X}, not {ours}"
    if appliance_there:
        return f"the PLC does not show its signature yet: SIGNATURE at {at[0]} is 0x{ctrl:04X}, not {wanted}"
    return (
        f"no signature of station {number}: SIGNATURE at {at[0]} is 0x{ctrl:04X}, not {wanted}, and STAT_SIGNATURE at "
        f"{at[1]} is 0x{stat:04X}. Wrong address, wrong station, or not this contract"
    )


def shows_any_signature(target: Target, seen: Seen) -> bool:
    """Is at least one side of this station there?"""
    number = target.number
    return seen.ctrl["SIGNATURE"] in signatures(number) or seen.stat["STAT_SIGNATURE"] == SIGNATURE + number

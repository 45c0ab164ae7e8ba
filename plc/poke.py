"""`inspector-plc poke`: write registers by name, while an installation is being commissioned and nothing is Online."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from plc.carrier import (
    CarrierProblem,
    MakeCarrier,
    takes_carrier,
)
from plc.images import Image
from plc.registers import CTRL, IDENT, SIGNATURE, STAT, Block, Register, Status
from plc.target import (
    CtrlOption,
    OrderOption,
    Reader,
    Seen,
    StationOption,
    StatOption,
    Target,
    TargetProblem,
    UnitOption,
    parse_target,
    shows_any_signature,
    signature_problem,
    whose,
)
from plc.values import Assignment, NameProblem, assign, parse_assignment, signatures, spelled
from plc.wire import ExceptionReply, LinkFault

HEARTBEAT_WAIT_S = 0.3  # an appliance's heartbeat moves every 100 ms


class Refused(Exception):
    """Nothing was written; the text says why, and what would help."""


@dataclass(frozen=True, slots=True)
class Write:
    """One register as it is and as it shall be; `words` go to `address`."""

    assignments: tuple[Assignment, ...]
    register: Register
    address: int
    before: str
    after: str
    words: list[int]

    @property
    def name(self) -> str:
        return f"{self.assignments[0].place.block.name}.{self.register.name}"


@takes_carrier
def poke(
    where: Annotated[str, typer.Argument(metavar="HOST:PORT|DEVICE", help="the PLC or the appliance; port 502 if "
                                         "none. Or a serial line, as /dev/ttyUSB0")],
    what: Annotated[list[str], typer.Argument(metavar="NAME=VALUE...", help="TRIGGER_ID=17, CONTROL.TRIGGER=1, LOT=A7; "
                                              "decimal, or hexadecimal as 0xA101")],
    station: StationOption = 1,
    ctrl_base: CtrlOption = None,
    stat_base: StatOption = None,
    ident_base: Annotated[int | None, typer.Option(help="where IDENT begins; else + 140", min=0, max=65505)] = None,
    unit_id: UnitOption = 1,
    word_order: OrderOption = "big",
    *,
    carrier: MakeCarrier,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would be written, and write nothing")] = False,
) -> None:  # fmt: skip
    """Write registers by name, for commissioning; shows each before and after.

    Refused while the appliance is Online (STAT.STATUS bit ONLINE); where no
    signature of the station is found, for a wrong address must not change a
    PLC's memory; and for the registers that an appliance itself writes.
    Status 0: written and read back. 1: refused, nobody answered, or something
    else was read back. 2: no such name or value.

    Examples:

      inspector-plc poke 192.168.10.5:502 CONTROL.TRIGGER=1 --dry-run

      inspector-plc poke 127.0.0.1:5020 TRIGGER_ID=17 PART_ID=4711 CONTROL.TRIGGER=1

      inspector-plc poke 192.168.10.20 SIGNATURE=0xA101

      inspector-plc poke 192.168.10.20 TRIGGER_ID=17 --tls --ca ca.pem --cert me.pem --key me.key

      inspector-plc poke /dev/ttyUSB0 TRIGGER_ID=17 --baud 19200 --unit-id 7
    """
    try:
        target = parse_target(where, station, ctrl_base, stat_base, ident_base, unit_id, word_order, carrier())
        assignments = [parse_assignment(text) for text in what]
    except (CarrierProblem, TargetProblem, NameProblem) as exc:
        typer.echo(str(exc), err=True)
        raise typer.Exit(2) from exc
    try:
        taken = asyncio.run(_poke(target, assignments, dry_run=dry_run))
    except Refused as exc:
        typer.echo(f"refused, nothing was written: {exc}", err=True)
        raise typer.Exit(1) from exc
    except ExceptionReply as exc:
        hint = "a register that it keeps to itself, an address it does not have, or its CTRL has another owner now"
        typer.echo(f"{target}: {exc}: {hint}", err=True)
        raise typer.Exit(1) from exc
    except LinkFault as exc:
        typer.echo(f"{target}: {exc}", err=True)
        raise typer.Exit(1) from exc
    raise typer.Exit(0 if taken else 1)


class Poker(Reader):
    """A reader that writes too, on the same connection: a serial line has no other, and a server frees what an owner
    wrote as soon as its connection is over."""

    async def write(self, write: Write) -> None:
        """Raises LinkFault."""
        await self._wire.write(write.address, write.words)


async def _poke(target: Target, assignments: Sequence[Assignment], *, dry_run: bool) -> bool:
    """True: what was written was read back. Raises Refused, LinkFault."""
    reader = await Poker.connect(target, deque(maxlen=100))
    try:
        seen = await reader.images()
        typer.echo(f"{target} is {whose(target, seen, is_appliance=reader.is_appliance)}")
        await _check(reader, seen, assignments)
        writes = await planned(reader, seen, assignments)
        for write in writes:
            would = "would write" if dry_run else "writing"
            typer.echo(f"{would} {write.name} at {write.address}: {write.before} -> {write.after}")
        if dry_run:
            return True
        return await _write(reader, writes)
    finally:
        reader.close()


async def _check(reader: Reader, seen: Seen, assignments: Sequence[Assignment]) -> None:
    """Raises Refused."""
    target = reader.target
    if not shows_any_signature(target, seen):
        raise Refused(signature_problem(target, seen))
    if Status(seen.stat["STATUS"]) & Status.ONLINE:
        await asyncio.sleep(HEARTBEAT_WAIT_S)
        moves = (await reader.images()).stat["HEARTBEAT"] != seen.stat["HEARTBEAT"]
        left = "but its heartbeat stands still, as if it died: start it, then stop it in order"
        raise Refused(f"the appliance is Online; {'set it offline (SET_OFFLINE), or stop it' if moves else left}")
    for block in dict.fromkeys(a.place.block for a in assignments):
        if reader.is_appliance and block not in (CTRL, IDENT):
            raise Refused(f"{block.name}: an appliance writes this block itself; CTRL and IDENT are the PLC's")
        if not reader.is_appliance:
            why = foreign(target, block, seen.ctrl if block is CTRL else await reader.block(block))
            if why:
                raise Refused(f"{block.name} at {target.base(block)}: {why}")


def foreign(target: Target, block: Block, image: Image) -> str:
    """Why this place in a PLC's memory cannot be the block it is taken for; "" where it can.

    One block's signature says nothing of where the others lie: each has to look like itself, or to be empty.
    """
    if block is CTRL:
        return "" if image["SIGNATURE"] in signatures(target.number) else "it does not show its signature"
    if block is STAT:
        right = image["STAT_SIGNATURE"] == SIGNATURE + target.number or not any(image.words)
        return "" if right else "neither empty nor with the signature of an appliance: a wrong --stat-base?"
    if block is IDENT:
        right = image["IDENT_ID"] == image["IDENT_ID_TAIL"]
        return "" if right else "its first and last register differ: a wrong --ident-base?"
    return "counters of the appliance, with nothing to know the place by"


async def planned(reader: Reader, seen: Seen, assignments: Sequence[Assignment]) -> list[Write]:
    """One write for each register, in the given order; several bits of one register are one write."""
    images = {"CTRL": seen.ctrl.copy(), "STAT": seen.stat.copy()}
    names = list(dict.fromkeys((a.place.block.name, a.place.register.name) for a in assignments))
    writes = []
    for block_name, name in names:
        mine = tuple(a for a in assignments if (a.place.block.name, a.place.register.name) == (block_name, name))
        block, register = mine[0].place.block, mine[0].place.register
        if block_name not in images:
            images[block_name] = await reader.block(block)
        image = images[block_name]
        before = spelled(image, register)
        for assignment in mine:
            assign(image, assignment)
        slots = slice(register.offset, register.offset + register.length)
        address = reader.target.base(block) + register.offset
        writes.append(Write(mine, register, address, before or '""', spelled(image, register), image.words[slots]))
    return writes


async def _write(reader: Poker, writes: Sequence[Write]) -> bool:
    for write in writes:
        await reader.write(write)
    right = True
    for write in writes:
        block = write.assignments[0].place.block
        now = spelled(await reader.block(block), write.register)
        if now != write.after:
            right = False
            typer.echo(f"{write.name} reads {now} again: somebody else writes it too (the PLC's program?)", err=True)
    typer.echo("written and read back" if right else "written, but not all of it stayed", err=not right)
    return right

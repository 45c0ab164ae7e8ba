"""`inspector-plc sim`: a line to try an appliance on."""

from __future__ import annotations

import asyncio
import importlib
import itertools
import json
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from plc.carrier import (
    RTU,
    Carrier,
    MakeCarrier,
    takes_carrier,
)
from plc.registers import Reason, Verdict
from plc.sim.belt import BeltConfig
from plc.sim.parts import SimConfig, SimResult, TrackConfig, part_ids
from plc.sim.plc import SimPlc
from plc.sim.script import ScriptError, parse, usage
from plc.sim_client import REQUEST_TIMEOUT_S, SimClientPlc
from plc.target import OrderOption, TargetProblem, parse_target
from plc.tls import ServerTls, TlsError
from plc.transport import TransportConfig
from plc.wire import LinkFault

COUNTS_PER_S = 1000.0  # of the encoder: a count is a millisecond of a belt that runs
WORDS = {v.value: v.name for v in Verdict} | {0: "no result", 5: "TEST OK", 6: "TEST MISSED"}
GATE = {1: "good", 2: "reject", 3: "reject, not inspected", 4: "BYPASSED", 0: "lost by a restart"}


@dataclass(frozen=True, slots=True)
class Job:
    """What to play, where, and how to tell of it."""

    host: str
    port: int
    parts: Iterator[int]
    rate: float
    belt: BeltConfig | None
    event: Callable[[str], None]


@takes_carrier
def sim(
    port: Annotated[int, typer.Option(help="where the appliance finds this PLC on 127.0.0.1", min=0, max=65535)] = 5020,
    connect: Annotated[str, typer.Option(metavar="HOST:PORT", help="instead: be the client of an appliance that serves "
                                         "there (server direction); or a serial line, as /dev/ttyUSB0")] = "",
    serial: Annotated[str, typer.Option("--serial", metavar="DEVICE", help="instead: be a unit on this serial line, "
                                        "which the appliance asks (client direction)", rich_help_panel=RTU)] = "",
    unit_id: Annotated[int, typer.Option(help="Modbus unit id; on a serial line 1 to 247", min=0, max=255)] = 1,
    parts: Annotated[int, typer.Option(help="how many parts to bring; 0 = until it is ended", min=0)] = 100,
    rate: Annotated[float, typer.Option(help="parts a second; 0 = as fast as the appliance answers", min=0)] = 0.0,
    scan_ms: Annotated[float, typer.Option(help="scan time of the PLC's program", min=0.5)] = 5.0,
    station: Annotated[int, typer.Option(help="station number, shown in the signature", min=1, max=8)] = 1,
    belt: Annotated[bool, typer.Option("--belt", help="a belt that waits for nobody; needs --rate")] = False,
    gate_ms: Annotated[int, typer.Option(help="with --belt: travel time from camera to reject gate", min=50)] = 600,
    ack_ms: Annotated[float, typer.Option(help="T_ack: later than that, the part is a reject; above 500 also the limit "
                                          "for a heartbeat and for an answer", min=1)] = 100.0,
    result_ms: Annotated[float, typer.Option(help="T_result: later than that, it is a reject", min=1)] = 500.0,
    ready_s: Annotated[float, typer.Option(help="without --belt: a part waits that long for READY", min=0)] = 15.0,
    recipe: Annotated[int, typer.Option(help="RECIPE_EXPECTED; 0 = no check", min=0, max=65535)] = 0,
    lot: Annotated[str, typer.Option(help="LOT of every part, at most 16 characters; serials count within it")] = "",
    bad_share: Annotated[float | None, typer.Option(help="share of bad parts; needs --truth", min=0, max=1)] = None,
    truth: Annotated[str, typer.Option(help="MODULE:FUNCTION that says of a PART_ID whether the part is good")] = "",
    faults: Annotated[Path | None, typer.Option(help="a fault script; see --list-faults", dir_okay=False)] = None,
    fault: Annotated[list[str] | None, typer.Option(help="one line of a fault script; may be given often")] = None,
    list_faults: Annotated[bool, typer.Option("--list-faults", help="print every fault, and end")] = False,
    word_order: OrderOption = "big",
    production: Annotated[bool, typer.Option("--production", help="show the signature of a real PLC")] = False,
    as_json: Annotated[bool | None, typer.Option("--json/--text", help="one object, or a line, for each part; without: "
                                                 "text on a terminal, else JSON")] = None,
    *,
    carrier: MakeCarrier,
) -> None:  # fmt: skip
    """Play a PLC and its line, for an appliance to be tried on.

    The appliance polls it (client direction) or, with --connect, serves and is
    scanned by it (server direction). Every part is a reject until its own
    result is good. JSON gives what the PLC read of each part; what a fault
    script does, change-overs and alarms are told on stderr. Status 2: it could
    not start.

    Examples:

      inspector-plc sim --parts 200 --rate 5

      inspector-plc sim --belt --rate 5 --gate-ms 800 --parts 0

      inspector-plc sim --connect 192.168.10.20:502 --rate 2

      inspector-plc sim --connect 192.168.10.20 --tls --ca ca.pem --cert plc.pem --key plc.key

      inspector-plc sim --serial /dev/ttyUSB0 --baud 115200 --unit-id 7

      inspector-plc sim --fault "at 20: stop 2 s" --fault "at 30: never ack"

      inspector-plc sim --recipe 1 --fault "at part 50: recipe 2"

      inspector-plc sim --bad-share 0.2 --truth inspector.demo.play:is_good
    """
    if list_faults:
        typer.echo(usage())
        return
    try:
        text = (faults.read_text(encoding="utf-8") if faults is not None else "") + "\n" * bool(faults and fault)
        script = parse(text + "\n".join(fault or ()))
        ids = _ids(parts, bad_share, truth)
        moving = BeltConfig(COUNTS_PER_S, round(COUNTS_PER_S / rate), gate=gate_ms) if belt and rate else None
        if belt and moving is None:
            raise ValueError("--belt needs --rate: parts a second")
        carried = _carried(carrier(), connect, serial, unit_id)
    except ScriptError as exc:
        _refuse(f"{faults or '--fault'}, {exc}")
    except (OSError, UnicodeError, ValueError, TargetProblem, TlsError) as exc:
        _refuse(str(exc))
    patience_s = max(REQUEST_TIMEOUT_S, ack_ms / 1000)
    cfg = SimConfig(
        station, not production, scan_ms / 1000, ack_ms / 1000, result_ms / 1000, patience_s, ready_timeout_s=ready_s,
        recipe=recipe, lot=lot, word_order=word_order, track=TrackConfig(gate_ms) if moving is not None else None,
    )  # fmt: skip
    json_wanted = not sys.stdout.isatty() if as_json is None else as_json
    teller = Teller(as_json=json_wanted)
    told: dict[str, Any] = {"on_result": teller.part, "on_event": teller.event, "script": script}
    line: SimPlc
    if isinstance(carried, TransportConfig):
        line = SimClientPlc(cfg, **told, transport=carried, request_timeout_s=patience_s)
        host, port = carried.host, carried.port
    else:
        line, host = SimPlc(cfg, **told, unit_id=unit_id, **carried), "127.0.0.1"
    asyncio.run(_play(line, Job(host, port, ids, rate, moving, teller.event)))
    teller.end()


def _carried(carrier: Carrier, connect: str, serial: str, unit_id: int) -> TransportConfig | dict[str, Any]:
    """Over what the appliance is asked; or, where it asks, the fields of SimPlc. Raises TargetProblem, ValueError,
    TlsError."""
    if connect and serial:
        raise ValueError("--connect and --serial: one of the two")
    if connect or serial:
        target = parse_target(connect or serial, 1, None, None, None, unit_id, "big", carrier)
        if connect:
            return target.transport
        if target.serial is None:
            raise ValueError(f"--serial {serial}: not a serial line, such as /dev/ttyUSB0")
        return {"serial": target.serial}
    return {"tls": ServerTls(carrier.files)} if carrier.files is not None else {}


def _refuse(text: str) -> None:
    typer.echo(text, err=True)
    raise typer.Exit(2)


def _ids(parts: int, bad_share: float | None, truth: str) -> Iterator[int]:
    """Raises ValueError: no such truth."""
    if (bad_share is None) != (not truth):
        raise ValueError("--bad-share and --truth belong together: only the truth of a PART_ID tells which part is bad")
    if bad_share is None:
        return iter(range(1, parts + 1)) if parts else itertools.count(1)
    module, _, name = truth.partition(":")
    try:
        is_good = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as exc:
        raise ValueError(f"--truth {truth}: {exc}") from exc
    ids = part_ids(is_good, bad_share)
    return itertools.islice(ids, parts) if parts else ids


async def _play(line: SimPlc, job: Job) -> None:
    """SIGTERM and SIGINT end it after the part in flight."""

    def stop() -> None:
        line.stopping = True

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    try:
        await line.start(job.host, job.port)
    except OSError as exc:
        _refuse(f"cannot listen on 127.0.0.1:{job.port}: {exc.strerror or exc}")
    except LinkFault as exc:
        _refuse(str(exc))
    job.event(f"simulated PLC of station {line.cfg.number}: {_does(line, job.host)}; Ctrl-C ends it")
    try:
        if job.belt is not None:
            await line.run_belt(job.belt, job.parts)
        else:
            await line.play(job.parts, 1 / job.rate if job.rate else 0.0)
    finally:
        await line.close()


def _does(line: SimPlc, host: str) -> str:
    if isinstance(line, SimClientPlc):
        return f"client of {line.transport.where if line.transport is not None else host}"
    if line.serial is not None:
        return f"unit {line.unit_id} on {line.serial.device}"
    return f"Modbus TCP on {host}:{line.port}" + (" (TLS)" if line.tls is not None else "")


class Teller:
    """Prints what came of each part, as JSON for programs or as a line for people."""

    def __init__(self, *, as_json: bool) -> None:
        self._json = as_json
        self._codes: Counter[int] = Counter()
        self._gate: Counter[int] = Counter()

    def part(self, result: SimResult) -> None:
        self._codes[result.code] += 1
        self._gate[result.plc_verdict] += 1
        typer.echo(json.dumps(asdict(result)) if self._json else one_line(result))

    def event(self, text: str) -> None:
        typer.echo(f"-- {text}", err=True)

    def end(self) -> None:
        if self._json:
            return
        codes = ", ".join(f"{WORDS[code]} {n}" for code, n in sorted(self._codes.items()))
        gate = ", ".join(f"{GATE[verdict]} {n}" for verdict, n in sorted(self._gate.items()))
        typer.echo(f"{sum(self._codes.values())} parts: {codes or 'none'}; at the gate: {gate or 'none'}")


def one_line(result: SimResult) -> str:
    """Id, part, what the appliance said, what the PLC did, and how long it took."""
    reason = Reason(result.reason).name.lower() if result.reason in set(Reason) else str(result.reason)
    said = WORDS.get(result.code, str(result.code)) + (f" ({reason})" if result.reason else "")
    if result.valid_s is None and result.why:
        said = result.why
    took = [
        f"{name} {1000 * (at - result.edge_s):.1f} ms"
        for name, at in (("ack", result.ack_s), ("result", result.valid_s)) if at is not None
    ]  # fmt: skip
    done = GATE[result.plc_verdict]
    return f"id {result.trigger_id:5}  part {result.part_id:<6} {said:32} -> {done:22} {', '.join(took)}".rstrip()

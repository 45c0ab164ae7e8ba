"""`inspector-plc monitor`: look at a link from outside, without writing anything."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live

from plc.carrier import (
    CarrierProblem,
    MakeCarrier,
    takes_carrier,
)
from plc.monitor_view import Clock, LinkView, edge_line, percentile_ms, screen
from plc.observer import Edge, Observer, alarms
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
from plc.values import as_json
from plc.wire import LinkFault

RETRY_S = 1.0
ONCE_S = 0.4  # --once looks that long, to see whether the heartbeats move
REDRAW_S = 0.1


@takes_carrier
def monitor(
    where: Annotated[str, typer.Argument(metavar="HOST:PORT|DEVICE", help="the PLC (client direction) or the "
                                         "appliance (server direction); port 502 if none is given. Or a serial line, "
                                         "as /dev/ttyUSB0")],
    station: StationOption = 1,
    ctrl_base: CtrlOption = None,
    stat_base: StatOption = None,
    unit_id: UnitOption = 1,
    word_order: OrderOption = "big",
    interval_ms: Annotated[float, typer.Option(help="time between two looks", min=2)] = 10.0,
    once: Annotated[bool, typer.Option("--once", help="print both images and end")] = False,
    as_json_: Annotated[bool, typer.Option("--json", help="for programs: one object, or one an edge")] = False,
    seconds: Annotated[float | None, typer.Option(help="end after so long", min=0)] = None,
    *,
    carrier: MakeCarrier,
) -> None:  # fmt: skip
    """Show both images of a station by name, live.

    Values, bits, edges, round-trip times and heartbeats. It only ever reads
    (function 3), and connects again by itself; Ctrl-C ends it. What comes and
    goes between two looks is not seen. Where the output is no terminal, each
    edge is a line. Status 1: nobody answered, or no signature of the station.
    A serial line has one master: look at it while the other master is off.

    Examples:

      inspector-plc monitor 192.168.10.5:502

      inspector-plc monitor 192.168.10.5 --station 2 --ctrl-base 1000

      inspector-plc monitor 127.0.0.1:5020 --once --json

      inspector-plc monitor 192.168.10.20 --tls --ca ca.pem --cert me.pem --key me.key

      inspector-plc monitor /dev/ttyUSB0 --baud 19200 --unit-id 7
    """
    try:
        target = parse_target(where, station, ctrl_base, stat_base, None, unit_id, word_order, carrier())
    except (CarrierProblem, TargetProblem) as exc:
        typer.echo(str(exc), err=True)
        raise typer.Exit(2) from exc
    watch = Monitor(target, interval_ms / 1000)
    with contextlib.suppress(KeyboardInterrupt):
        ok = asyncio.run(_once(watch, as_json=as_json_) if once else _follow(watch, seconds, as_json=as_json_))
        raise typer.Exit(0 if ok else 1)


class Monitor:
    """Looks at one target again and again, and keeps what it saw."""

    def __init__(self, target: Target, interval_s: float) -> None:
        self.target, self._interval_s = target, interval_s
        self.observer = Observer()
        self.stopping = asyncio.Event()
        self.rtt_s: deque[float] = deque(maxlen=1000)
        self.state, self.connected, self.is_appliance = "connecting", False, False
        now = datetime.datetime.now().astimezone()
        self.clock = Clock(time.monotonic(), now)

    async def look_forever(self, tell: Callable[[Edge], None]) -> None:
        """Connect, look, connect again; until `stopping`, so that no request is cut short."""
        while not self.stopping.is_set():
            with contextlib.suppress(LinkFault):
                await self.look(tell)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RETRY_S):
                    await self.stopping.wait()

    async def look(self, tell: Callable[[Edge], None], for_s: float | None = None) -> None:
        """One connection, until it breaks or for_s after it was made, which may take longer. Raises LinkFault."""
        try:
            reader = await Reader.connect(self.target, self.rtt_s)
            try:
                await self._read(reader, tell, None if for_s is None else time.monotonic() + for_s)
            finally:
                reader.close()
        except LinkFault as exc:
            was, self.connected = self.connected, False
            self.state = str(exc) + (f"; trying again every {RETRY_S:g} s" if for_s is None else "")
            if was:
                tell(self.observer.lost(time.monotonic(), f"connection lost: {exc}"))
            raise

    async def _read(self, reader: Reader, tell: Callable[[Edge], None], until_s: float | None) -> None:
        while not self.stopping.is_set() and (until_s is None or time.monotonic() < until_s):
            began_s = time.monotonic()
            seen = await reader.images()
            what, new = whose(self.target, seen, is_appliance=reader.is_appliance), not self.connected
            self.state, self.connected, self.is_appliance = what, True, reader.is_appliance
            edges = self.observer.see(seen, f"connected to {what}" if new else "")
            for edge in edges:
                tell(edge)
            await asyncio.sleep(max(0.0, self._interval_s - (time.monotonic() - began_s)))

    @property
    def trouble(self) -> str:
        seen = self.observer.newest
        return signature_problem(self.target, seen) if seen is not None else ""

    def view(self) -> LinkView:
        seen, trouble = self.observer.newest, self.trouble
        if seen is not None and not self.connected:
            trouble = f"NOT CONNECTED: these are the last values, read at {self.clock.text(seen.at_s)}"
        return LinkView(f"{self.target} station {self.target.number}", self.state, trouble, self.rtt_s, self.connected)

    def edge_json(self, edge: Edge) -> dict[str, Any]:
        at = self.clock.at(edge.at_s).isoformat(timespec="milliseconds")
        values = {"before": edge.before, "after": edge.after}
        return {"kind": "edge", "at": at, "writer": edge.writer, "name": edge.name, **values, "text": edge.text}

    def images_json(self, seen: Seen) -> dict[str, Any]:
        """Both images and the state of the link, as --once --json prints them."""
        now_s = time.monotonic()
        p50, p99 = percentile_ms(self.rtt_s, 0.5), percentile_ms(self.rtt_s, 0.99)
        return {
            "kind": "images", "at": self.clock.at(seen.at_s).isoformat(timespec="milliseconds"),
            "target": str(self.target), "station": self.target.number,
            "is": whose(self.target, seen, is_appliance=self.is_appliance), "problem": self.trouble,
            "alarms": alarms(seen), "ctrl": as_json(seen.ctrl), "stat": as_json(seen.stat),
            "plc_heartbeat_moves": self.observer.moved("PLC_HEARTBEAT"),
            "appliance_heartbeat_moves": self.observer.moved("HEARTBEAT"),
            "plc_heartbeat_age_ms": round(1000 * self.observer.heartbeat_age_s("PLC_HEARTBEAT", now_s), 1),
            "appliance_heartbeat_age_ms": round(1000 * self.observer.heartbeat_age_s("HEARTBEAT", now_s), 1),
            "rtt_ms": {"p50": p50 and round(p50, 2), "p99": p99 and round(p99, 2)},
        }  # fmt: skip


async def _once(watch: Monitor, *, as_json: bool) -> bool:
    """Look for a moment, print, and say whether this station is there."""
    try:
        await watch.look(lambda edge: None, ONCE_S)
    except LinkFault as exc:
        if watch.observer.newest is None:
            typer.echo(f"nothing to see at {watch.target}: {exc}", err=True)
            return False
    seen = watch.observer.newest
    if seen is None:
        return False
    if as_json:
        typer.echo(json.dumps(watch.images_json(seen)))
    else:
        console = Console(highlight=False, height=200, width=None if sys.stdout.isatty() else 120)
        watch.observer.forget()
        console.print(screen(console, watch.view(), watch.observer, watch.clock, time.monotonic()))
    return shows_any_signature(watch.target, seen)


async def _follow(watch: Monitor, seconds: float | None, *, as_json: bool) -> bool:
    """Until it is ended. On a terminal the screen, else a line for each edge."""
    console = Console(highlight=False)
    live = Live(console=console, screen=True, auto_refresh=False) if console.is_terminal and not as_json else None
    told_images = False

    def tell(edge: Edge) -> None:
        nonlocal told_images
        if as_json:
            if not told_images and watch.observer.newest is not None:
                told_images = True
                typer.echo(json.dumps(watch.images_json(watch.observer.newest)))
            typer.echo(json.dumps(watch.edge_json(edge)))
        elif live is None:
            console.print(edge_line(edge, watch.clock), soft_wrap=True)

    looking = asyncio.create_task(watch.look_forever(tell), name="look")
    end_s = None if seconds is None else time.monotonic() + seconds
    told_state = ""
    try:
        with live or contextlib.nullcontext():
            while end_s is None or time.monotonic() < end_s:
                if live is not None:
                    shown = screen(console, watch.view(), watch.observer, watch.clock, time.monotonic())
                    live.update(shown, refresh=True)
                elif (trouble := watch.trouble or ("" if watch.connected else watch.state)) != told_state:
                    told_state = trouble
                    if trouble and trouble != "connecting":
                        typer.echo(trouble, err=True)
                await asyncio.sleep(REDRAW_S)
                if looking.done():  # a bug
                    break
    finally:
        watch.stopping.set()
        await looking
    seen = watch.observer.newest
    return seen is not None and shows_any_signature(watch.target, seen)

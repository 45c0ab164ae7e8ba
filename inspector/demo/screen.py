"""The demo's terminal: in one screen what runs, where to look, and what came of the parts so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from inspector.demo.count import is_escape, is_overkill, percentiles
from inspector.demo.parts import kind_of
from plc.registers import Reason, Verdict
from plc.sim import SimResult

EVERY = 50  # parts between two lines where nobody watches
WORDS = {Verdict.PASS: "PASS", Verdict.FAIL: "FAIL", Verdict.UNCERTAIN: "UNCERTAIN", Verdict.NOT_INSPECTED: "FAULT"}
STYLES = {Verdict.PASS: "green", Verdict.FAIL: "red", Verdict.UNCERTAIN: "yellow", Verdict.NOT_INSPECTED: "magenta"}


_WHY: dict[int, str] = {Reason.DEADLINE: "three parts in a row that took too long: this machine is busy"}


class View(Protocol):
    """What the demo tells of itself."""

    def started(self, plc_port: int, page_port: int | None, config: Path) -> None: ...
    def first_start(self, page: str, code: str) -> None: ...
    def waiting(self, status: Mapping[str, Any]) -> None: ...
    def ready(self, after_s: float) -> None: ...
    def part(self, results: Sequence[SimResult]) -> None: ...
    def changed_over(self, recipe: int, *, ok: bool) -> None: ...
    def acknowledged(self, error: int) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Silent:
    """Says nothing."""

    def started(self, plc_port: int, page_port: int | None, config: Path) -> None: ...
    def first_start(self, page: str, code: str) -> None: ...
    def waiting(self, status: Mapping[str, Any]) -> None: ...
    def ready(self, after_s: float) -> None: ...
    def part(self, results: Sequence[SimResult]) -> None: ...
    def changed_over(self, recipe: int, *, ok: bool) -> None: ...
    def acknowledged(self, error: int) -> None: ...
    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...


class Screen:
    """One screen that changes in place; where the output is no terminal, a line now and then."""

    def __init__(self, is_good: Callable[[int], bool], *, live: bool, console: Console | None = None) -> None:
        self._is_good, self._console = is_good, console or Console(highlight=False)
        self._live = Live(console=self._console, refresh_per_second=8, transient=False) if live else None
        self._places: list[tuple[str, str]] = []
        self._state, self._ready = "starting", ""
        self._codes: Counter[int] = Counter()
        self._escapes = self._overkills = self._parts = 0
        self._last: SimResult | None = None
        self._cycle = ""

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def started(self, plc_port: int, page_port: int | None, config: Path) -> None:
        self._places = [
            ("simulated PLC", f"Modbus TCP on 127.0.0.1:{plc_port}; PART_ID is the seed of the rendered part"),
            ("line daemon", f"inspector run {config}"),
            ("operator's page", f"http://127.0.0.1:{page_port}   <- open this in a browser"),
        ]
        for name, text in self._places if self._live is None else ():
            self._console.print(f"{name:>16}  {text}", soft_wrap=True)
        self._draw()

    def first_start(self, page: str, code: str) -> None:
        """Where and with which one-time code the first person makes their log-in."""
        log_in = ("first log-in", f"{page} with the one-time code {code}")
        self._places.append(log_in)
        if self._live is None:
            self._console.print(f"{log_in[0]:>16}  {log_in[1]}", soft_wrap=True)
        self._draw()

    def waiting(self, status: Mapping[str, Any]) -> None:
        self._state = "running, not ready yet"
        self._draw()

    def ready(self, after_s: float) -> None:
        self._state = self._ready = f"READY after {after_s:.1f} s"
        if self._live is None:
            self._console.print(f"{'':>16}  {self._state}")
        self._draw()

    def changed_over(self, recipe: int, *, ok: bool) -> None:
        text = f"recipe {recipe} since part {self._parts + 1}" if ok else f"change-over to recipe {recipe} failed"
        self._state = f"{self._ready}; {text}"
        self._draw()

    def acknowledged(self, error: int) -> None:
        """The PLC acknowledged an error that had stopped the line. error: its ERROR_CODE, a Reason."""
        why = _WHY.get(error, f"error {error}")
        self._state = f"{self._ready}; stopped by {why}, which the PLC acknowledged"
        if self._live is None:
            self._console.print(f"{'':>16}  part {self._parts}: {self._state}", soft_wrap=True)
        self._draw()

    def part(self, results: Sequence[SimResult]) -> None:
        self._last = results[-1]
        self._parts += 1
        self._codes[self._last.code] += 1
        self._escapes += is_escape(self._last, self._is_good)
        self._overkills += is_overkill(self._last, self._is_good)
        if self._parts % 10 == 0:
            p = percentiles(results[-1000:])
            self._cycle = f"trigger to result: p50 {p['p50']} ms, p99 {p['p99']} ms"
        if self._live is None and self._parts % EVERY == 0:
            self._console.print(f"{'':>16}  {self._numbers().plain}", soft_wrap=True)
        self._draw()

    def _draw(self) -> None:
        if self._live is not None:
            self._live.update(self._panel())

    def _panel(self) -> Panel:
        places = Table.grid(padding=(0, 2))
        for name, text in self._places:
            places.add_row(Text(name, style="bold"), Text(text))
        body = Text("\n").join([
            Text(""), Text(self._state, style="bold"), self._numbers(), self._truth(), self._newest(),
            Text(self._cycle, style="dim"), Text(""), Text("Ctrl-C ends it; nothing stays behind.", style="dim"),
        ])  # fmt: skip
        return Panel(Group(places, body), title="Inspector: a whole line on this machine", title_align="left")

    def _numbers(self) -> Text:
        text = Text(f"parts {self._parts}")
        for verdict, word in WORDS.items():
            text.append(f"   {word} ")
            text.append(str(self._codes[verdict]), style=STYLES[verdict])
        if self._codes[0]:
            text.append(f"   no result {self._codes[0]}", style="bold red")
        if self._live is None:
            text.append(f"   escapes {self._escapes}   overkills {self._overkills}")
        return text

    def _truth(self) -> Text:
        """The renderer knows what every part is, so the demo knows what a real line never does."""
        text = Text("escapes ")
        text.append(str(self._escapes), style="bold red" if self._escapes else "")
        text.append(" (bad parts that passed)   overkills ")
        return text.append(f"{self._overkills} (good parts that were rejected)")

    def _newest(self) -> Text:
        last = self._last
        if last is None:
            return Text("")
        word = WORDS[Verdict(last.code)] if last.code in set(Verdict) else "no result"
        return Text(f"part {last.part_id}: a {kind_of(last.part_id).replace('_', ' ')} part -> {word}")

"""inspector-plc conformance: section 8 of the contract, run against an appliance or a PLC's program."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from plc.conformance.bench import SEED
from plc.conformance.case import Case, Direction
from plc.conformance.elsewhere import HOOKS, ReportError
from plc.conformance.fake_appliance import ProgramSettings
from plc.conformance.report import heading, line, summary, write_reports
from plc.conformance.runner import Report
from plc.conformance.suite import ApplianceJob, ProgramJob, all_cases, judge_appliance, judge_program


class Sut(StrEnum):
    appliance = "appliance"
    plc = "plc"


class Mode(StrEnum):
    client = "client"
    server = "server"


class Depth(StrEnum):
    quick = "quick"
    full = "full"
    soak = "soak"


def conformance(
    sut: Annotated[Sut, typer.Option(help="what is judged: an appliance, or a PLC's own program")] = Sut.appliance,
    mode: Annotated[
        Mode, typer.Option(help="direction of the appliance: client (it polls the PLC) or server")
    ] = Mode.client,
    profile: Annotated[
        Depth, typer.Option(help="quick: minutes; full: the written lengths; soak: a day")
    ] = Depth.quick,
    report: Annotated[
        Path | None, typer.Option(help="folder for conformance.txt, .json, .xml (JUnit) and .html")
    ] = None,
    only: Annotated[str, typer.Option(help="numbers of tests, parted by commas: 12,47,53b")] = "",
    list_: Annotated[bool, typer.Option("--list", help="list the tests and end")] = False,
    start: Annotated[
        str, typer.Option(help="command that starts the appliance; {config} and {port} are filled in")
    ] = "",
    config: Annotated[
        Path | None, typer.Option(help="configuration for --start; {port} and {folder} are filled in")
    ] = None,
    address: Annotated[str, typer.Option(help="host:port of an appliance that serves, or of a PLC that serves")] = "",
    listen: Annotated[
        str, typer.Option(help="host:port where an appliance, or a PLC, that connects finds the suite")
    ] = "",
    number: Annotated[int, typer.Option(help="station number", min=1, max=8)] = 1,
    good_parts: Annotated[
        str, typer.Option(help="PART_IDs that pass, for an appliance whose pictures follow PART_ID")
    ] = "",
    bad_parts: Annotated[str, typer.Option(help="PART_IDs that fail")] = "",
    simulated: Annotated[bool, typer.Option(help="the appliance's camera is simulated (test 53d)")] = False,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="what the subject is configured to: deadline_s=0.15")
    ] = None,
    seed: Annotated[
        int, typer.Option(help="of the faults at random (test 63): the same faults in the same order", min=0)
    ] = SEED,
    hooks: Annotated[
        Path | None, typer.Option(help="JUnit file of the system tests, for the tests that live there")
    ] = None,
) -> None:
    """Run section 8 of the contract. Exit status 1: a test failed, 2: it could not be run.

    Without --start, --address or --listen the appliance is this package's own link before a judge that does nothing.

    Example: inspector-plc conformance --sut appliance --mode client --profile quick --report out
    Example: inspector-plc conformance --sut plc --mode client --address 192.168.10.5:502 --report out
    """
    wanted = frozenset(filter(None, only.replace(" ", "").split(",")))
    cases = all_cases(sut.value)
    _known(wanted, cases)
    if list_:
        _list(cases, mode.value, sut is Sut.appliance)
        return
    chosen = [case for case in cases if not wanted or case.number in wanted]
    common: dict[str, Any] = {
        "direction": mode.value, "profile": profile.value, "cases": chosen, "number": number,
        "address": _where(address), "listen": _where(listen),
    }  # fmt: skip
    try:
        if sut is Sut.appliance:
            job = ApplianceJob(
                **common, start=start, config=config, folder=report, good=_numbers(good_parts), bad=_numbers(bad_parts),
                simulated=simulated, settings=_settings(settings or []), hooks=hooks, only=wanted, seed=seed,
            )  # fmt: skip
            with _hushed():
                done = asyncio.run(judge_appliance(job, lambda outcome: typer.echo(line(outcome))))
        else:
            program = ProgramSettings(**_checked(_settings(settings or []), ProgramSettings))
            with _hushed():
                done = asyncio.run(judge_program(ProgramJob(**common, program=program), lambda o: typer.echo(line(o))))
    except (ReportError, OSError, ValueError) as exc:
        typer.echo(f"cannot run: {exc}", err=True)
        raise typer.Exit(2) from exc
    _finish(done, report)


@contextmanager
def _hushed() -> Iterator[None]:
    """The links tell of every connection that the suite breaks."""
    loggers = [logging.getLogger(name) for name in ("pymodbus", "plc")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _finish(done: Report, folder: Path | None) -> None:
    typer.echo(f"\n{heading(done)}\n{summary(done)} in {done.seconds:.0f} s")
    if folder is not None:
        for path in write_reports(done, folder):
            typer.echo(f"written: {path}")
    if not done.ok:
        raise typer.Exit(1)


def _list(cases: list[Case], direction: Direction, hooks: bool) -> None:
    for case in cases:
        note = "" if direction in case.directions else f" (only {case.directions[0]})"
        needs = f" (needs: {', '.join(sorted(case.needs))})" if case.needs else ""
        typer.echo(f"{case.number:>4}  {case.title}{note}{needs}")
    for hook in HOOKS if hooks else ():
        typer.echo(f"{hook.number:>4}  {hook.title} (elsewhere: {hook.why})")


def _known(wanted: frozenset[str], cases: list[Case]) -> None:
    known = {case.number for case in cases} | {hook.number for hook in HOOKS}
    if unknown := wanted - known:
        typer.echo(f"no test has the number {', '.join(sorted(unknown))}; see --list", err=True)
        raise typer.Exit(2)


def _where(text: str) -> tuple[str, int] | None:
    if not text:
        return None
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 <= int(port) <= 0xFFFF:
        raise typer.BadParameter(f"{text!r} is not host:port")
    return host, int(port)


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",") if part.strip()]
    except ValueError as exc:
        raise typer.BadParameter(f"{text!r} is no list of PART_IDs") from exc


def _settings(given: list[str]) -> dict[str, float]:
    found = {}
    for text in given:
        name, _, value = text.partition("=")
        try:
            found[name.strip()] = float(value)
        except ValueError as exc:
            raise typer.BadParameter(f"--set {text}: not name=number") from exc
    return found


def _checked(given: dict[str, float], kind: type[ProgramSettings]) -> dict[str, float]:
    known = {field.name for field in fields(kind)}
    if unknown := set(given) - known:
        raise typer.BadParameter(f"--set {', '.join(sorted(unknown))}: known are {', '.join(sorted(known))}")
    return given

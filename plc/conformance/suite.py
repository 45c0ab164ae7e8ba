"""Puts a run together: which subject, where it is, which tests. The command line and our own tests use it."""

from __future__ import annotations

import importlib
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path

from plc.client import ClientLink, LinkConfig
from plc.conformance.appliance import HERE, Appliance, ApplianceSettings, Here, MakeLink, Standing, Started
from plc.conformance.bench import SEED, Bench, Plan, bench_for, chosen, even_and_odd
from plc.conformance.case import APPLIANCE, PLC, Case, Direction, Profile, Subject
from plc.conformance.elsewhere import elsewhere, in_order
from plc.conformance.fake_appliance import Listening, Polling, ProgramSettings, Side, program_bench
from plc.conformance.fake_plc import PlcSettings
from plc.conformance.own_process import as_process
from plc.conformance.runner import Outcome, Report, run_all
from plc.fault_proxy import FaultProxy
from plc.free_port import free_port
from plc.server_link import ServerConfig, ServerLink

Told = Callable[[Outcome], None]
LOCAL = "127.0.0.1"
_MODULES = {
    "appliance": (
        "cases_cycle",
        "cases_ids",
        "cases_starts",
        "cases_link",
        "cases_connections",
        "cases_plc_faults",
        "cases_answers",
        "cases_server",
        "cases_recipes",
        "cases_stations",
        "cases_soak",
    ),
    "plc": ("cases_program",),
}


def all_cases(subject: Subject) -> list[Case]:
    """Every test of a subject, by number."""
    for module in _MODULES[subject]:
        importlib.import_module(f"plc.conformance.{module}")
    return list((APPLIANCE if subject == "appliance" else PLC).cases)


@dataclass(frozen=True, slots=True)
class ApplianceJob:
    """start, config: a command, and the file that its {config} stands for. folder: where both write; None: a fresh one.

    address: of an appliance that serves; listen: where one that connects finds us. settings: ApplianceSettings by name.
    """

    direction: Direction
    profile: Profile
    cases: list[Case]
    number: int = 1
    address: tuple[str, int] | None = None
    listen: tuple[str, int] | None = None
    start: str = ""
    config: Path | None = None
    folder: Path | None = None
    good: list[int] = field(default_factory=list)
    bad: list[int] = field(default_factory=list)
    simulated: bool = False
    settings: Mapping[str, float] = field(default_factory=dict)
    hooks: Path | None = None
    only: frozenset[str] = frozenset()
    seed: int = SEED


@dataclass(frozen=True, slots=True)
class ProgramJob:
    """address: of a PLC that serves; listen: where one that connects finds us."""

    direction: Direction
    profile: Profile
    cases: list[Case]
    number: int = 1
    address: tuple[str, int] | None = None
    listen: tuple[str, int] | None = None
    program: ProgramSettings = field(default_factory=ProgramSettings)


async def judge_appliance(job: ApplianceJob, told: Told) -> Report:
    """Raises ValueError: the job names nothing that can be judged; OSError: an address cannot be used."""
    others = elsewhere(job.only, job.direction, job.hooks)
    async with AsyncExitStack() as stack:
        plan, what = await stack.enter_async_context(_plan(job))
        report = Report("appliance", job.direction, job.profile, what, seed=job.seed)
        stopped, abilities = None, plan.appliance.abilities
        if isinstance(plan.appliance, Here):
            own = as_process(job.direction, _own_address(plan)[1], plan.appliance.settings, _log(job.folder))
            stopped, abilities = replace(plan, appliance=own), abilities | {"pause"}
        await run_all(job.cases, report, abilities, lambda case: _world(case, plan, stopped), told)
    for outcome in others:
        told(outcome)
    report.outcomes = in_order([*report.outcomes, *others])
    return report


async def judge_program(job: ProgramJob, told: Told) -> Report:
    """Raises ValueError, OSError."""
    report = Report("plc", job.direction, job.profile, "a PLC's program")
    async with _side(job) as side:
        report.what = f"a PLC's program, {_told_where(job)}"
        opened = partial(
            program_bench, side=side, direction=job.direction, profile=job.profile, program=job.program,
            number=job.number,
        )  # fmt: skip
        return await run_all(job.cases, report, frozenset(), opened, told)


def _told_where(job: ProgramJob) -> str:
    host, port = job.address or job.listen or (LOCAL, 0)
    return f"at {host}:{port}" if job.direction == "client" else f"which connects to {host}:{port}"


@asynccontextmanager
async def _side(job: ProgramJob) -> AsyncIterator[Side]:
    if job.direction == "client":
        if job.address is None:
            raise ValueError("--address: where does the PLC serve?")
        side: Side = Polling(*job.address, number=job.number)
    else:
        if job.listen is None:
            raise ValueError("--listen: where does the PLC find the appliance?")
        listening = Listening()
        await listening.start(*job.listen)
        side = listening
    try:
        yield side
    finally:
        await side.close()


@asynccontextmanager
async def _plan(job: ApplianceJob) -> AsyncIterator[tuple[Plan, str]]:
    async with AsyncExitStack() as stack:
        pieces = chosen(job.good, job.bad) if job.good else even_and_odd()
        plan = Plan(
            job.direction, job.profile, Standing(ApplianceSettings()), pieces, FaultProxy(seed=job.seed),
            plc=PlcSettings(number=job.number), seed=job.seed,
        )  # fmt: skip
        host, port = job.listen or (LOCAL, 0)
        await plan.proxy.start(port if job.direction == "client" else 0, host if job.direction == "client" else LOCAL)
        stack.push_async_callback(plan.proxy.close)
        if job.direction == "server":
            plan.address = job.address or (LOCAL, free_port())
        plan.appliance, what = _appliance(job, plan, stack)
        stack.push_async_callback(plan.appliance.stop)
        yield plan, what


def _appliance(job: ApplianceJob, plan: Plan, stack: AsyncExitStack) -> tuple[Appliance, str]:
    if job.start:
        folder = job.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        command = _command(job, plan, folder.absolute())
        settings = _settings(job, ApplianceSettings())
        return Started(command, folder / "appliance.log", settings, simulated=job.simulated), f"started by `{command}`"
    if job.address or job.listen:
        if job.direction == "server" and job.address is None:
            raise ValueError("--address: where does the appliance serve?")
        if job.direction == "client" and job.listen is None:
            raise ValueError("--listen: where does the appliance look for its PLC?")
        host, port = (job.address if job.direction == "server" else job.listen) or (LOCAL, 0)
        standing = Standing(_settings(job, ApplianceSettings()), simulated=job.simulated)
        return standing, f"a running appliance, {host}:{port}"
    return own_link(plan, _settings(job, HERE)), "the links of this package before a null judge"


def own_link(plan: Plan, settings: ApplianceSettings) -> Here:
    """Our own link of the plan's direction, in this process."""
    return Here(make_link(plan.direction, _own_address(plan), settings), settings)


def _own_address(plan: Plan) -> tuple[str, int]:
    """Client direction: where the link finds its PLC; server direction: where it listens."""
    return (LOCAL, plan.proxy.port) if plan.direction == "client" else plan.address or (LOCAL, 0)


def make_link(direction: str, address: tuple[str, int], settings: ApplianceSettings) -> MakeLink:
    """Our own link, around the one station that it will be given."""
    host, port = address
    if direction == "client":
        client = LinkConfig(
            host=host, port=port, request_timeout_s=settings.request_timeout_s,
            reconnect_max_s=settings.reconnect_max_s, two_phase=settings.two_phase,
        )  # fmt: skip
        return lambda place: ClientLink(client, [place])
    server = ServerConfig(
        host, port, (LOCAL,), max_connections=settings.max_connections, comm_timeout_s=settings.comm_timeout_s
    )
    return lambda place: ServerLink(server, [place])


def _log(folder: Path | None) -> Path:
    if folder is None:
        return Path(os.devnull)
    folder.mkdir(parents=True, exist_ok=True)
    return folder / "appliance.log"


@asynccontextmanager
async def _world(case: Case, plan: Plan, stopped: Plan | None) -> AsyncIterator[Bench]:
    """stopped: the same appliance as a process, for the tests that stop one."""
    if stopped is None or "pause" not in case.needs:
        async with bench_for(case, plan) as bench:
            yield bench
        return
    try:
        async with bench_for(case, stopped) as bench:
            yield bench
    finally:
        await stopped.appliance.stop()


def _settings(job: ApplianceJob, default: ApplianceSettings) -> ApplianceSettings:
    kinds = {f.name: type(getattr(default, f.name)) for f in fields(ApplianceSettings)}
    if unknown := set(job.settings) - set(kinds):
        raise ValueError(f"--set {', '.join(sorted(unknown))}: known are {', '.join(sorted(kinds))}")
    given = {name: kinds[name](value) if kinds[name] in (int, bool) else value for name, value in job.settings.items()}
    return replace(default, number=job.number, **given)  # type: ignore[arg-type]


def _command(job: ApplianceJob, plan: Plan, folder: Path) -> str:
    """The command with {config} and {port}; the configuration is written with its own {port} and {folder}."""
    port = plan.proxy.port if plan.address is None else plan.address[1]
    command = job.start.replace("{port}", str(port)).replace("{folder}", str(folder))
    if "{config}" not in command:
        return command
    if job.config is None:
        raise ValueError("--start names {config}: --config says which file")
    text = job.config.read_text(encoding="utf-8").replace("{port}", str(port)).replace("{folder}", str(folder))
    written = folder / job.config.name
    if written.absolute() == job.config.absolute():
        raise ValueError(f"--report {folder} would overwrite {job.config}")
    written.write_text(text, encoding="utf-8")
    return command.replace("{config}", str(written))

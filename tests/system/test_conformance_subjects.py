"""The conformance suite on the real daemon, on a PLC's program, and on appliances and PLCs that are wrong."""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from inspector.demo.parts import Kind
from plc.client import LinkConfig
from plc.conformance import suite
from plc.conformance.case import Direction
from plc.conformance.fake_appliance import ProgramSettings
from plc.conformance.runner import Report
from plc.conformance.suite import ApplianceJob, ProgramJob, all_cases, judge_appliance, judge_program
from plc.free_port import free_port
from plc.handshake import Handshake
from plc.session import Session
from plc.sim import SimConfig, SimPlc
from plc.sim_client import SimClientPlc
from tests.support.live_line import parts_of, signed_bundle

pytestmark = [pytest.mark.system, pytest.mark.slow]

BOTH = ("client", "server")

# -- the real daemon ---------------------------------------------------------------------------------------------------

STATION = """
[paths]
state = "{{folder}}/state"
run = "{{folder}}/run"

[[plc.links]]
host = "127.0.0.1"
port = {{port}}
mode = "{mode}"
request_timeout_ms = 500
heartbeat_timeout_ms = 1000

[[stations]]
id = "st1"
deadline_ms = 1500
max_trigger_age_ms = 300
ack_timeout_ms = 2000

[camera]
kind = "rendered"
grab_timeout_ms = 700

{bundle}
"""
DAEMON = {
    "deadline_s": 1.5, "max_trigger_age_s": 0.3, "ack_timeout_s": 2, "request_timeout_s": 0.5,
    "heartbeat_timeout_s": 1.0,
}  # fmt: skip
OF_A_PROCESS = {  # a choice: the others are run on the same links by the quick profile above
    "client": frozenset(["1", "7", "11", "15", "23", "24", "25", "27", "32", "34", "48", "53c", "53d", "54"]),
    "server": frozenset(
        ["1", "7", "11", "15", "23", "24", "27", "34", "36", "38", "42", "43", "48", "50", "53c", "53d", "54"]
    ),
}


@pytest.mark.timeout(240)
@pytest.mark.parametrize("direction", BOTH)
async def test_the_real_daemon_passes_what_needs_a_real_process(direction, tmp_path):
    config = tmp_path / "station.toml"
    config.write_text(STATION.format(mode=direction, bundle=signed_bundle(tmp_path / "tiny.bundle")))
    good, bad = (list(itertools.islice(parts_of(kind), 8)) for kind in (Kind.GOOD, Kind.STAIN))
    chosen = OF_A_PROCESS[direction]
    job = ApplianceJob(
        direction, "quick", [case for case in all_cases("appliance") if case.number in chosen],
        start=f"{sys.executable} -m inspector run {{config}}", config=config, folder=tmp_path / "out", good=good,
        bad=bad, simulated=True, settings=DAEMON, only=chosen,
    )  # fmt: skip
    report = await judge_appliance(job, lambda outcome: None)
    assert [f"{o.number} {o.title}: {o.why}" for o in report.outcomes if o.status == "failed"] == []
    assert {o.number for o in report.outcomes if o.status == "passed"} == chosen


# -- a PLC's program ---------------------------------------------------------------------------------------------------

SCANNED = SimConfig(ready_timeout_s=2.0)
WRONG = SimConfig(ready_timeout_s=2.0, claims_good=True)


@asynccontextmanager
async def playing(plc: SimPlc) -> AsyncIterator[None]:
    """Parts come past the camera, one after another, as long as the block runs."""
    task = asyncio.create_task(plc.play(itertools.count(1)))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await plc.close()


async def judged(direction: Direction, config: SimConfig, folder: Path) -> Report:
    cases = all_cases("plc")
    port = free_port()
    plc = SimPlc(config) if direction == "client" else SimClientPlc(config)
    await plc.start("127.0.0.1", port)
    where = {"address" if direction == "client" else "listen": ("127.0.0.1", port)}
    async with playing(plc):
        job = ProgramJob(direction, "quick", cases, program=ProgramSettings(part_s=6.0), **where)
        return await judge_program(job, lambda outcome: None)


@pytest.mark.parametrize("direction", BOTH)
async def test_the_simulated_plc_passes_every_test_of_a_plcs_program(direction, tmp_path):
    report = await judged(direction, SCANNED, tmp_path)
    assert [f"{o.number} {o.title}: {o.why}" for o in report.outcomes if o.status == "failed"] == []
    assert report.ok and report.count("passed") == len(report.outcomes)


@pytest.mark.parametrize("direction", BOTH)
async def test_a_plc_that_takes_every_part_as_good_fails_wherever_a_part_must_not_be(direction, tmp_path):
    report = await judged(direction, WRONG, tmp_path)
    failed = {o.number for o in report.outcomes if o.status == "failed"}
    assert {"1", "4", "18", "21", "34", "47", "49", "58"} <= failed
    assert not report.ok


# -- an appliance that is wrong must not pass --------------------------------------------------------------------------


def never_downgrades(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Handshake, "downgrade", lambda self, part, record, now_s: record)


def flags_with_the_record(monkeypatch: pytest.MonkeyPatch) -> None:
    def in_one_phase(**named: Any) -> LinkConfig:
        return LinkConfig(**{**named, "two_phase": False})

    monkeypatch.setattr(suite, "LinkConfig", in_one_phase)


def takes_any_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    def signed(self: Session, signature: int) -> bool:
        self.simulator = True
        return True

    monkeypatch.setattr(Session, "signed", signed)


@pytest.mark.parametrize(
    ("wrong", "number", "says"),
    [
        (never_downgrades, "18", "expected 4/100, came 1/0"),
        (never_downgrades, "53c", "expected RESULT_CODE 5"),
        (flags_with_the_record, "2", "P6: record before flags"),
        (takes_any_signature, "52", "write requests on the wire: expected 0"),
    ],
)
async def test_an_appliance_without_this_rule_fails_the_test_that_is_there_for_it(wrong, number, says, monkeypatch):
    wrong(monkeypatch)
    cases = [case for case in all_cases("appliance") if case.number == number]
    report = await judge_appliance(
        ApplianceJob("client", "quick", cases, only=frozenset({number})), lambda outcome: None
    )
    (outcome,) = [o for o in report.outcomes if o.status != "not applicable"]
    assert outcome.status == "failed" and says in outcome.why
    for violation, trace in zip(outcome.violations, outcome.traces, strict=False):
        at = [entry.told for entry in trace.entries].index(f"RULE BROKEN: {violation.rule}: {violation.told}")
        assert trace.entries[at - 1].said_by == "client", "the write that broke it"
    assert bool(outcome.traces) == bool(outcome.violations)

"""Tests of section 8 that need a hook inside the appliance, or are judged elsewhere: counted under their number.

Each names the tests that hold it, as pytest node ids of this repository. A JUnit file of a run of those (`--hooks`)
fills in what became of them; without one they are listed, never as passed.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from plc.conformance.case import BOTH, Direction
from plc.conformance.runner import Outcome


class ReportError(Exception):
    """A file that was named is none that can be used."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """tests: node ids (file::function); () = nothing judges it yet, and `why` says so."""

    number: str
    title: str
    tests: tuple[str, ...]
    why: str = "needs a hook inside the appliance"
    directions: tuple[Direction, ...] = BOTH


CAMERA, MODEL = "tests/fault/test_camera_faults.py", "tests/fault/test_model_faults.py"
CHANGE = "tests/fault/test_change_over_faults.py"
RTU, RULES = "tests/system/test_rtu.py", "tests/unit/plc/test_rule_ablations.py"
PROCESS, STORE = "tests/fault/test_process_faults.py", "tests/fault/test_store_faults.py"
HOOKS = (
    Elsewhere("16", "a burst beyond the buffer is an overrun", (), "pipelining is not part of map 1.0 yet"),
    Elsewhere("17", "verdicts of a burst come in trigger order", (), "pipelining is not part of map 1.0 yet"),
    Elsewhere("19", "a stale frame id of the camera is 4/101", (
        f"{CAMERA}::test_a_bad_frame_rejects_its_part_says_why_and_the_next_part_is_fine",
        f"{CAMERA}::test_a_camera_unplugged_after_its_trigger_gives_no_pass_and_no_older_picture",
    )),
    Elsewhere("20", "a score that is not a number is 4/109", (
        f"{MODEL}::test_a_score_that_is_no_judgement_is_4_109_and_three_in_a_row_stop_the_station_until_it_is_acknowledged",
    )),
    Elsewhere("22", "the daemon is killed at each of the twelve points of its pipeline", (
        f"{PROCESS}::test_a_daemon_killed_mid_cycle_never_passes_the_part_in_flight_and_is_ready_again",
        f"{PROCESS}::test_a_part_in_flight_when_the_daemon_is_killed_has_its_row_whatever_the_stage",
    )),
    Elsewhere("23", "SIGSTOP across a trigger", (
        f"{PROCESS}::test_a_trigger_that_came_while_the_daemon_was_stopped_is_stale",
        f"{PROCESS}::test_a_daemon_stopped_mid_cycle_is_a_reject_and_never_passes_that_part_late",
    )),
    Elsewhere("24", "SIGTERM of the daemon with a part in flight", (
        f"{PROCESS}::test_sigterm_answers_the_part_in_flight_with_4_110_before_it_ends",
    )),
    Elsewhere("53b", "two stations whose base addresses are swapped both refuse", (
        "tests/system/test_several_stations.py::test_two_stations_with_swapped_addresses_both_refuse",
    ), "needs two stations on one link", ("client",)),
    Elsewhere("54", "a change-over to a corrupt recipe, and a power cut in its load", (
        f"{CHANGE}::test_a_bundle_that_is_damaged_on_the_disk_is_never_judged_with",
        f"{CHANGE}::test_a_power_cut_during_a_change_over_comes_up_with_a_whole_recipe",
    )),
    Elsewhere("56", "a golden check that fails leaves the appliance not READY", (
        "tests/unit/inspector/test_judging.py::test_a_golden_flip_is_not_ready_and_the_new_bundle_is_not_active",
    )),
    Elsewhere("58", "a torn record is ignored by the PLC", (), "judges a PLC: --sut plc"),
    Elsewhere("59", "a clock that jumps by an hour changes nothing", (
        "tests/unit/plc/test_fault_rows.py::test_a_jump_of_the_wall_clock_changes_no_verdict",
    ), "the clock of the machine is a hook"),
    Elsewhere("60", "a full disk stops READY and never a verdict's latency", (
        f"{STORE}::test_a_commit_that_stalls_after_inference_is_a_reject_and_the_row_says_what_the_plc_was_told",
        f"{STORE}::test_a_disk_that_fails_while_idle_is_told_in_time_and_a_trigger_that_comes_all_the_same_is_no_pass",
    )),
    Elsewhere(
        "61", "serial line: lost byte, CRC error, late reply, wrong unit, unplugged", (
            f"{RTU}::test_an_answer_that_the_line_spoiled_is_a_fault_and_never_data",
            f"{RTU}::test_a_late_answer_is_never_taken_as_the_answer_to_the_next_request",
            f"{RTU}::test_a_request_to_another_unit_gets_silence_and_the_next_one_to_us_its_answer",
            f"{RTU}::test_an_unplugged_port_rejects_its_part_and_the_line_goes_on_when_it_is_back",
            f"{RTU}::test_a_line_with_every_kind_of_fault_passes_no_part_that_was_judged_bad_and_recovers",
        ),
        "needs a serial line",
    ),
    Elsewhere("64", "the rules, each ablated", (
        f"{RULES}::test_without_these_rules_a_part_goes_on_wrongly_and_with_all_of_them_none_does",
        f"{RULES}::test_without_this_rule_the_line_stands_still_and_with_all_of_them_it_goes_on",
        "tests/unit/plc/test_rule_simulation.py::test_no_part_goes_on_wrongly_whatever_happens_to_link_appliance_and_plc",
    ), "judges the rules, not an appliance"),
)  # fmt: skip


def elsewhere(only: Iterable[str], direction: Direction, results: Path | None) -> list[Outcome]:
    """The outcomes of the tests that live elsewhere. Raises ReportError."""
    wanted = set(only)
    ran = _ran(results) if results is not None else {}
    return [_outcome(hook, direction, ran) for hook in HOOKS if not wanted or hook.number in wanted]


def _outcome(hook: Elsewhere, direction: Direction, ran: dict[str, bool]) -> Outcome:
    if direction not in hook.directions:
        return Outcome(hook.number, hook.title, "not applicable", f"only in the {hook.directions[0]} direction")
    where = ", ".join(hook.tests)
    listed = Outcome(hook.number, hook.title, "elsewhere", f"{hook.why}: {where}" if where else hook.why)
    found = [passed for name, passed in ran.items() if any(_named(name, test) for test in hook.tests)]
    if not found:
        return listed
    if all(found):
        return replace(listed, status="passed", why=f"{len(found)} system tests: {where}")
    return replace(listed, status="failed", why=f"{found.count(False)} of {len(found)} system tests failed: {where}")


def _named(name: str, test: str) -> bool:
    file, function = test.split("::")
    module = file.removesuffix(".py").replace("/", ".")
    return name.startswith(f"{module}::") and name.split("::")[1].split("[")[0] == function


def _ran(results: Path) -> dict[str, bool]:
    """Of a JUnit file that pytest wrote: test -> passed; what was skipped is left out. Raises ReportError."""
    try:
        root = ET.parse(results).getroot()
    except (OSError, ET.ParseError) as exc:
        raise ReportError(f"{results} is no JUnit file: {exc}") from exc
    ran: dict[str, bool] = {}
    for test in root.iter("testcase"):
        if test.find("skipped") is None:
            failed = test.find("failure") is not None or test.find("error") is not None
            ran[f"{test.get('classname')}::{test.get('name')}"] = not failed
    return ran


def in_order(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """By number; 53b after 53."""
    return sorted(outcomes, key=lambda o: (int("".join(c for c in o.number if c.isdigit())), o.number))

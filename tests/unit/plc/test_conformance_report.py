"""What the conformance suite tells of a run: files that can be read back, and nothing in them passed unjudged."""

from __future__ import annotations

import asyncio
import json
import re
import xml.etree.ElementTree as ET
from contextlib import asynccontextmanager
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typer.testing import CliRunner

from plc.cli import app
from plc.conformance.case import Case, CaseFailed, Step, Steps
from plc.conformance.checker import Checker, Violation
from plc.conformance.elsewhere import HOOKS, ReportError, elsewhere, in_order
from plc.conformance.report import as_html, as_json, as_junit, as_text, write_reports
from plc.conformance.runner import Outcome, Report, run_all, run_case, why_not
from plc.conformance.suite import all_cases
from plc.conformance.tape import Entry, Tape, Trace

REPOSITORY = Path(__file__).parents[3]
STEPS = (
    Step(0.1, "TRIGGER with id 7", "1/0", "1/0", True),
    Step(0.2, "<b>id 7</b> again & again", "4/104", "no \x00 result", False),
)
TRACE = Trace("P9", "two", 0.21, "cut", (
    Entry(0.2, 3, "client", "passed", 0.15, "   17 write STAT: ONLINE", "0011"),
    Entry(0.21, 0, "", "", 0.0, "RULE BROKEN: P9: two", ""),
))  # fmt: skip


def report() -> Report:
    made = Report("appliance", "client", "quick", "a <test>", seed=63)
    made.outcomes = [
        Outcome("1", "a nominal cycle", "passed", "", 1.25, STEPS[:1]),
        Outcome(
            "11", "the same id twice", "failed", "expected 4/104\nmore", 2.0, STEPS, (Violation("P9", "two"),), (TRACE,)
        ),
        Outcome("22", "killed at each point", "elsewhere", "needs a hook: tests/fault/x.py::y"),
        Outcome("23", "stopped", "not run", "no process"),
        Outcome("36", "pipelined requests", "not applicable", "only in the server direction"),
    ]
    return made


def test_json_holds_every_outcome_with_what_was_sent_expected_and_came():
    read = json.loads(as_json(report()))
    assert [o["status"] for o in read["outcomes"]] == ["passed", "failed", "elsewhere", "not run", "not applicable"]
    assert read["ok"] is False and read["outcomes"][1]["violations"] == [{"rule": "P9", "told": "two"}]
    assert read["outcomes"][0]["steps"][0]["sent"] == "TRIGGER with id 7"


def test_every_report_holds_the_wire_around_a_broken_rule_and_the_seed():
    trace = json.loads(as_json(report()))["outcomes"][1]["traces"][0]
    assert (trace["rule"], trace["fault"], trace["entries"][0]["data"]) == ("P9", "cut", "0011")
    page = Page()
    page.feed(as_html(report()))
    junit = ET.fromstring(as_junit(report())).findall("testcase")[1].findtext("failure") or ""
    for text in (as_text(report()), page.text, junit):
        assert "0.2000 s  #3 ->    17 write STAT: ONLINE after 150 ms" in text
        assert "0.2100 s  ---- RULE BROKEN: P9: two" in text
    assert "seed 63" in as_text(report()) and "seed 63" in page.text


def test_junit_counts_failures_and_skips_what_was_not_judged():
    suite = ET.fromstring(as_junit(report()))
    assert {k: suite.get(k) for k in ("tests", "failures", "skipped")} == {
        "tests": "5",
        "failures": "1",
        "skipped": "3",
    }
    cases = suite.findall("testcase")
    assert cases[1].find("failure") is not None and cases[0].find("failure") is None
    assert [c.find("skipped") is not None for c in cases] == [False, False, True, True, True]
    assert "expected: 1/0" in (cases[0].findtext("system-out") or "")


class Page(HTMLParser):
    """Rows of the outer table, and everything that a browser would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.rows, self.fetched, self.text = 0, [], ""
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.rows += tag == "tr" and self.open.count("table") == 1
        self.fetched += [value for name, value in attrs if name in ("src", "href")]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_html_is_one_page_that_fetches_nothing_and_escapes_what_came():
    page = Page()
    page.feed(as_html(report()))
    assert page.open == [] and page.fetched == [] and page.rows == 6
    assert "<b>id 7</b> again & again" in page.text and "a <test>" in page.text


def test_text_names_each_test_once_with_its_outcome():
    lines = as_text(report()).splitlines()
    told = [line.split()[:2] for line in lines if re.match(r" *\d+ {2}", line)]
    assert told[:2] == [["1", "passed"], ["11", "failed"]]
    assert "1 failed, 1 passed, 1 not run, 1 elsewhere, 1 not applicable in 0 s" in lines


def test_four_files_are_written_into_a_folder_that_is_made(tmp_path):
    written = write_reports(report(), tmp_path / "new")
    assert [p.name for p in written] == [f"conformance.{kind}" for kind in ("txt", "json", "xml", "html")]
    assert all(p.stat().st_size > 0 for p in written)


def test_a_run_in_which_nothing_passed_is_not_ok():
    empty = Report("appliance", "client", "quick", "nothing")
    empty.outcomes = [Outcome("23", "stopped", "not run", "no process")]
    assert not empty.ok


# -- the runner --------------------------------------------------------------------------------------------------------


class Bare:
    def __init__(self) -> None:
        self.steps, self.checker, self.tape = Steps(), Checker(), Tape()


def made(run, **more) -> Case:
    return Case(
        "1", "a test", "appliance", more.get("directions", ("client",)), more.get("needs", frozenset()), True, run
    )


async def outcome(run, limit_s=60.0) -> Outcome:
    @asynccontextmanager
    async def world(case):
        yield Bare()

    return await run_case(made(run), world, limit_s)


async def test_a_case_without_evidence_is_no_pass():
    async def nothing(bench):
        return

    assert (await outcome(nothing)).status == "failed"


async def test_a_broken_rule_fails_a_case_whose_steps_are_right():
    async def right(bench):
        bench.steps.equal("1", 1, 1)
        bench.checker.broken("P9", "two verdicts")

    done = await outcome(right)
    assert (done.status, done.why) == ("failed", "P9: two verdicts")


@pytest.mark.parametrize("error", [CaseFailed("not this"), ValueError("a bug"), AssertionError("nor this")])
async def test_whatever_a_case_raises_is_its_failure(error):
    async def wrong(bench):
        bench.steps.equal("1", 1, 1)
        raise error

    assert str(error) in (await outcome(wrong)).why


async def test_a_case_that_does_not_end_fails_at_its_limit():
    async def endless(bench):
        bench.steps.equal("1", 1, 1)
        await asyncio.Event().wait()

    assert (await outcome(endless, 0.05)).status == "failed"


async def test_a_case_that_lacks_an_ability_or_a_direction_is_listed_and_never_passed():
    async def never(bench):
        raise AssertionError

    report = Report("appliance", "server", "quick", "x")
    cases = [made(never), made(never, directions=("server",), needs=frozenset({"pause"}))]
    await run_all(cases, report, frozenset(), lambda case: pytest.fail("opened"), lambda done: None)
    assert [o.status for o in report.outcomes] == ["not applicable", "not run"]
    assert why_not(made(never), "client", frozenset()) is None


# -- tests that live elsewhere -----------------------------------------------------------------------------------------


def test_every_test_that_is_named_elsewhere_is_there():
    for hook in HOOKS:
        for test in hook.tests:
            file, function = test.split("::")
            assert f"def {function}(" in (REPOSITORY / file).read_text(encoding="utf-8"), test


def test_every_number_of_section_8_is_judged_or_says_where():
    numbers = {case.number for case in all_cases("appliance")} | {hook.number for hook in HOOKS}
    assert numbers == {str(n) for n in range(1, 65)} | {"53b", "53c", "53d"}


def junit(tmp_path: Path, inner: str) -> Path:
    path = tmp_path / "hooks.xml"
    name = "test_a_daemon_killed_mid_cycle_never_passes_the_part_in_flight_and_is_ready_again[judged]"
    case = f'<testcase classname="tests.fault.test_process_faults" name="{name}">{inner}</testcase>'
    path.write_text(f"<testsuites><testsuite>{case}</testsuite></testsuites>")
    return path


@pytest.mark.parametrize(
    ("inner", "status"), [("", "passed"), ("<failure/>", "failed"), ("<error/>", "failed"), ("<skipped/>", "elsewhere")]
)
def test_a_junit_file_of_the_system_tests_fills_in_what_became_of_them(tmp_path, inner, status):
    (found,) = elsewhere(["22"], "client", junit(tmp_path, inner))
    assert found.status == status


def test_without_that_file_they_are_listed_and_never_passed():
    assert {o.status for o in elsewhere([], "client", None)} == {"elsewhere"}


def test_a_file_that_is_no_junit_is_an_error(tmp_path):
    (tmp_path / "x.xml").write_text("no xml")
    with pytest.raises(ReportError):
        elsewhere([], "client", tmp_path / "x.xml")


def test_53b_stands_between_53_and_54():
    outcomes = [Outcome(number, "", "passed") for number in ("54", "53d", "7", "53", "53b")]
    assert [o.number for o in in_order(outcomes)] == ["7", "53", "53b", "53d", "54"]


# -- the command -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--only", "12,99"], "no test has the number 99"),
        (["--sut", "plc"], "--address: where does the PLC serve?"),
        (["--sut", "plc", "--mode", "server"], "--listen: where does the PLC find the appliance?"),
        (["--start", "x {config}"], "--config says which file"),
        (["--set", "speed=3"], "--set speed: known are"),
        (["--only", "22", "--hooks", "/nowhere.xml"], "is no JUnit file"),
    ],
)
def test_what_cannot_be_run_says_why_and_ends_with_2(arguments, says):
    done = CliRunner().invoke(app, ["conformance", *arguments])
    assert done.exit_code == 2
    assert says in done.output


def test_list_names_every_test_with_its_number():
    done = CliRunner().invoke(app, ["conformance", "--list", "--mode", "server"])
    assert done.exit_code == 0
    assert " 36  requests that share a tcp segment are all answered in order" in done.output
    assert "(only client)" in done.output and "(elsewhere:" in done.output

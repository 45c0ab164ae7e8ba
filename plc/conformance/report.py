"""The report of a run: as text, JSON, JUnit XML and one self-contained HTML page."""

from __future__ import annotations

import json
import re
import time
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import asdict
from html import escape
from pathlib import Path

from plc.conformance.case import Step
from plc.conformance.runner import Outcome, Report

STATUSES = ("failed", "passed", "not run", "elsewhere", "not applicable")
NEW_LINE = "\n"
_NOT_XML = re.compile(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")


def write_reports(report: Report, folder: Path) -> list[Path]:
    """conformance.txt, .json, .xml and .html in `folder`, which is made where it is missing. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {"txt": as_text(report), "json": as_json(report), "xml": as_junit(report), "html": as_html(report)}
    written = []
    for kind, text in files.items():
        path = folder / f"conformance.{kind}"
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def summary(report: Report) -> str:
    counts: Counter[str] = Counter(outcome.status for outcome in report.outcomes)
    return ", ".join(f"{counts[status]} {status}" for status in STATUSES if counts[status])


def heading(report: Report) -> str:
    began = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(report.began_utc_s))
    ran = f"{report.subject}, {report.direction} direction, {report.profile} profile"
    seed = "" if report.seed is None else f"; seed {report.seed}"
    return f"PLC contract, section 8: {ran}; {report.what}{seed}; {began}"


def line(outcome: Outcome) -> str:
    """One outcome as a line of text."""
    told = f"{outcome.number:>4}  {outcome.status:<14} {outcome.seconds:6.1f} s  {outcome.title}"
    return f"{told}\n      {outcome.why.splitlines()[0]}" if outcome.why else told


def as_text(report: Report) -> str:
    lines = [heading(report), "", *map(line, report.outcomes), ""]
    for outcome in report.outcomes:
        if outcome.steps or outcome.violations:
            lines += [f"{outcome.number} {outcome.title}: {outcome.status}"]
            lines += [f"  {s.at_s:7.3f} s  {'ok ' if s.ok else 'NOT'}  {_told(s)}" for s in outcome.steps]
            lines += [f"  rule broken: {v.rule}: {v.told}" for v in outcome.violations]
            lines += [f"  {line}" for trace in outcome.traces for line in trace.lines()]
    return "\n".join([*lines, "", f"{summary(report)} in {report.seconds:.0f} s", ""])


def _told(step: Step) -> str:
    return f"sent: {step.sent} | expected: {step.expected} | came: {step.came}"


def as_json(report: Report) -> str:
    return json.dumps({**asdict(report), "ok": report.ok, "summary": summary(report)}, indent=1)


def as_junit(report: Report) -> str:
    """Tests that were not run are skipped there, with the reason: JUnit has no third way."""
    skipped = len(report.outcomes) - report.count("passed") - report.count("failed")
    suite = ET.Element(
        "testsuite", name=f"conformance.{report.subject}.{report.direction}", tests=str(len(report.outcomes)),
        failures=str(report.count("failed")), errors="0", skipped=str(skipped), time=f"{report.seconds:.3f}",
    )  # fmt: skip
    for outcome in report.outcomes:
        case = ET.SubElement(
            suite, "testcase", classname=f"conformance.{report.subject}.{report.direction}",
            name=f"{outcome.number} {outcome.title}", time=f"{outcome.seconds:.3f}",
        )  # fmt: skip
        if outcome.status == "failed":
            told = [outcome.why, *(line for trace in outcome.traces for line in trace.lines())]
            ET.SubElement(case, "failure", message=_xml(outcome.why.splitlines()[0])).text = _xml("\n".join(told))
        elif outcome.status != "passed":
            ET.SubElement(case, "skipped", message=_xml(f"{outcome.status}: {outcome.why}"))
        if outcome.steps:
            told = [_told(s) for s in outcome.steps]
            ET.SubElement(case, "system-out").text = _xml("\n".join(told))
    ET.indent(suite)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(suite, encoding="unicode") + "\n"


def _xml(text: str) -> str:
    return _NOT_XML.sub("?", text)


STYLE = """
:root { color-scheme: light dark; --line: #8884; --bad: #c62828; --good: #2e7d32; --dim: #777; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem; border-bottom: 1px solid var(--line); }
td.n, td.s { font-variant-numeric: tabular-nums; white-space: nowrap; }
.failed, .no { color: var(--bad); font-weight: 600; } .passed { color: var(--good); font-weight: 600; }
.elsewhere, .not { color: var(--dim); } .why { color: var(--dim); margin: .1rem 0; overflow-wrap: anywhere; }
details table { font-size: 13px; margin: .4rem 0 .8rem; } details td { overflow-wrap: anywhere; }
summary { cursor: pointer; } pre { font-size: 12px; overflow-x: auto; }
"""


def as_html(report: Report) -> str:
    """One page without anything from elsewhere: it may be mailed, and opened years later."""
    rows = "\n".join(map(_row, report.outcomes))
    verdict = "passed" if report.ok else "failed"
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>PLC conformance: {escape(report.subject)}, {escape(report.direction)}</title><style>{STYLE}</style></head><body>
<h1>PLC conformance: <span class="{verdict}">{verdict}</span></h1>
<p>{escape(heading(report))}</p>
<p><strong>{escape(summary(report))}</strong> in {report.seconds:.0f} s.
Open a test to see what was sent, expected and came.</p>
<table><thead><tr><th>No.</th><th>Test</th><th>Outcome</th><th>Time</th></tr></thead><tbody>
{rows}
</tbody></table></body></html>
"""


def _row(outcome: Outcome) -> str:
    kind = outcome.status.split()[0]
    body = escape(outcome.title)
    if outcome.steps or outcome.violations:
        opened = " open" if outcome.status == "failed" else ""
        body = f"<details{opened}><summary>{body}</summary>{_steps(outcome)}</details>"
    if outcome.why:
        body += f'<p class="why">{escape(outcome.why)}</p>'
    seconds = f"{outcome.seconds:.1f} s" if outcome.seconds else ""
    cells = f'<td class="n">{outcome.number}</td><td>{body}</td><td class="{kind}">{outcome.status}</td>'
    return f'<tr>{cells}<td class="s">{seconds}</td></tr>'


def _steps(outcome: Outcome) -> str:
    rows = "".join(
        f'<tr><td class="s">{s.at_s:.3f} s</td><td>{escape(s.sent)}</td><td>{escape(s.expected)}</td>'
        f'<td class="{"yes" if s.ok else "no"}">{escape(s.came)}</td></tr>'
        for s in outcome.steps
    )
    broken = "".join(
        f'<p class="failed">Rule broken: {escape(v.rule)}: {escape(v.told)}</p>' for v in outcome.violations
    )
    head = "<th>At</th><th>Sent</th><th>Expected</th><th>Came</th>"
    wire = "".join(f"<pre>{escape(NEW_LINE.join(trace.lines()))}</pre>" for trace in outcome.traces)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{broken}{wire}"

"""The first thing on the page: may this bundle be approved, what must a person accept, what is not covered at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from edge_deploy.calibrate import default_limits
from edge_deploy.hidden import FALL, HiddenTrial
from edge_deploy.promises import Promise, promise
from edge_deploy.report.parts import Finding, Report
from inspector.core.decide import decide
from inspector.core.manifest import Manifest
from inspector.core.stats import clopper_pearson
from inspector.core.types import Limits
from plc.registers import Verdict
from training.pages.page import count, percent

NO_TEST = Finding("stop", "There is no test split.", "All figures are from the pictures that the limits were set on.")
SAME_PICTURES = Finding(
    "look",
    "The pictures that measure also set the limits.",
    "The promise that was asked for allows for that; other figures may flatter. All of them hold only if nothing was "
    "trained on any of these pictures, which a bundle cannot tell.",
)
Worst = Literal["stop", "look", "good"]
FEW = 30  # pictures of one kind; below, even a kind that never escapes is shown to about 10 % only
MOST_ESCAPES = 0.2  # the coarsest promise; what surely escapes more often is no inspection, whatever was asked for
FEWEST_LOTS = 5  # for a promise between lots
FEWEST_NEGATIVES = 10  # of a kind: what the build asks for


@dataclass(frozen=True, slots=True)
class Summary:
    """level: the worst of the findings; `good` where nothing is open."""

    level: Worst
    word: str
    why: str
    findings: tuple[Finding, ...]
    promises: tuple[Promise, ...]
    uncovered: tuple[tuple[str, str], ...]  # in a few words; what to do about it

    def promise(self, key: str) -> Promise | None:
        return next((p for p in self.promises if p.key == key), None)


def summarise(report: Report) -> Summary:
    """All that the top of the page says. The page never approves: a person does, with a key."""
    aims = _aims(report.manifest)
    grouped = report.qualification.groups is not None
    promises = tuple(
        promise(s, report.targets.get(s.name), aims.get(s.name), grouped) for s in report.qualification.promises
    )
    found = [*_found(report, promises), *map(_hidden, report.hidden), *report.findings]
    findings = sorted(found, key=lambda f: ("stop", "look", "note").index(f.level))
    stops, looks = (sum(f.level == level for f in findings) for level in ("stop", "look"))
    level, word = _worst(stops, looks)
    return Summary(
        level=level,
        word=word,
        why=(f"{_points(stops).capitalize()} below {'stands' if stops == 1 else 'stand'} against it. " if stops else "")
        + _why(promises, report),
        findings=tuple(findings),
        promises=promises,
        uncovered=_uncovered(report),
    )


def _aims(m: Manifest) -> dict[str, float]:
    chosen = m.limits.promise
    return {"overkill": chosen.value} if chosen is not None and chosen.rule == "aim" else {}


def _worst(stops: int, looks: int) -> tuple[Worst, str]:
    if stops:
        return "stop", "Not to be approved as it stands"
    if looks:
        return "look", f"May be approved by a person who accepts {_points(looks)}"
    return "good", "May be approved"


def good_labels(m: Manifest) -> frozenset[str]:
    return frozenset(entry.name for entry in m.classes if entry.acceptable)


def limits_of(m: Manifest) -> Limits:
    return default_limits(m.limits, good_labels(m))


def kinds_shown(report: Report) -> list[str]:
    """Kinds of bad part among the test pictures, by name."""
    return sorted(set(report.qualification.truths) - good_labels(report.manifest))


def _points(number: int) -> str:
    words = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    return f"{words[number] if number < len(words) else number} point{'s' if number > 1 else ''}"


def _why(promises: Sequence[Promise], report: Report) -> str:
    told, grouped = {p.key: p for p in promises}, report.qualification.groups is not None
    parts = []
    if (overkill := told.get("overkill")) and overkill.of:
        rejected = "good groups (part or lot) have a picture rejected" if grouped else "good parts are rejected"
        parts.append(f"at most {percent(overkill.upper)} of {rejected}")
    if (escape := told.get("escape")) and escape.of:
        kinds = kinds_shown(report)
        shown = f"the {len(kinds)} kinds" if len(kinds) > 1 else "the one kind"
        passes = f"bad groups of {shown} shown have one that passes" if grouped else f"bad parts of {shown} shown pass"
        parts.append(f"at most {percent(escape.upper)} of {passes}")
    if not parts:
        return "No test picture says what this bundle does to good or bad parts."
    return f"With 95 % confidence {' and '.join(parts)}. For kinds never shown there is no promise."


def _found(report: Report, promises: Sequence[Promise]) -> list[Finding]:
    m, q = report.manifest, report.qualification
    found = [Finding("stop", f"Parity: {row.name}.", f"{row.value} against {row.limit}") for row in report.parity
             if not row.ok]  # fmt: skip
    if report.parent:
        found.append(SAME_PICTURES)
    elif not report.independent:
        found.append(NO_TEST)
    found += _of_promises(promises)
    found += _of_negatives(report)
    found += [Finding("look", "", f"{note[0].upper()}{note[1:]}.") for note in report.notes if note]
    flips = sum(q.flips.values())
    if flips and not report.parity:
        pair, most = max(q.flips.items(), key=lambda item: item[1])
        text = f"{most} of {len(q.truths)} test pictures get another verdict from {pair.replace('_', ' to ')}."
        found.append(Finding("look", "INT8 judges otherwise than FP32.", text))
    groups = m.calibration.groups
    if groups is None:
        found.append(Finding("look", "No lots or parts named.", "Pictures of one part may stand on both sides of a "
                             "split, and the bounds count pictures, not parts: train with --group-by."))  # fmt: skip
    elif groups < FEWEST_LOTS:
        text = f"The limits come from {groups} groups of pictures; a promise between lots needs {FEWEST_LOTS}."
        found.append(Finding("look", "Few lots.", text))
    few = {p.key.removeprefix("escape:"): p.of for p in promises if p.of_kind and p.of < FEW}
    if few:
        told = ", ".join(
            f"{kind} ({n}: at best {percent(clopper_pearson(0, n, side='upper').high)})" for kind, n in few.items()
        )
        found.append(Finding("note", f"Few {report.shown} pictures of a kind.", f"{told}."))
    waiting = len(report.isolated) + len(report.highest)
    if waiting:
        text = f"{count(waiting)} pictures below count as normal and lie furthest out: a defect among them teaches "
        found.append(Finding("look", "Pictures to confirm.", text + "the model to pass its like."))
    return found


def _of_promises(promises: Sequence[Promise]) -> list[Finding]:
    found = []
    for p in promises:
        if p.level == "stop" or (p.level == "look" and p.key != "negatives"):
            text = f"{p.seen}; at most {percent(p.upper)} with 95 % confidence ({p.state})."
            found.append(Finding("stop" if p.level == "stop" else "look", f"{p.name}:", text))
        elif p.key == "escape" and p.failures:
            text = f"{p.failures} of {p.of} {p.unit} would pass; they are shown below."
            most = clopper_pearson(p.failures, p.of, side="lower").low > MOST_ESCAPES
            if most:
                text += (
                    f" With 95 % confidence that is above {percent(MOST_ESCAPES)}: it does not see these defects. Look "
                    "at them; more pictures, a larger --size or more epochs may help."
                )
            found.append(Finding("stop" if most else "look", "Escapes seen.", text))
    return found


def _of_negatives(report: Report) -> list[Finding]:
    if report.manifest.training.no_negatives:
        text = "Built without negatives: nothing shows that an empty station or a wrong part is refused."
        return [Finding("look", "No negatives.", text)]
    limits = limits_of(report.manifest)
    judged = [decide(p, limits).verdict for of_kind in report.negatives.values() for p in of_kind]
    passed, refused = judged.count(Verdict.PASS), judged.count(Verdict.NOT_INSPECTED)
    if passed:
        text = f"{passed} of {len(judged)} pictures without a whole, right part would PASS."
        return [Finding("stop", "Negatives pass.", text)]
    found = []
    if refused < len(judged):
        text = f"{len(judged) - refused} of {len(judged)} get a verdict as if a part were there; none passes."
        found.append(Finding("look", "Negatives are judged instead of refused.", text))
    few = {kind: len(of_kind) for kind, of_kind in report.negatives.items() if len(of_kind) < FEWEST_NEGATIVES}
    if few:
        told = ", ".join(f"{kind} ({number})" for kind, number in sorted(few.items()))
        text = f"{told}: {FEWEST_NEGATIVES} or more of each show how much they differ from one another."
        found.append(Finding("look", "Few negatives of a kind.", text))
    return found


def _hidden(trial: HiddenTrial) -> Finding:
    if trial.met:
        return Finding("note", "Defects hidden among the good pictures are kept out.", trial.text)
    return Finding(
        "stop",
        "Defects hidden among the good pictures blind the detector.",
        f"{trial.text} At most {100 * FALL:.0f} points may be lost. Look through all good pictures for this kind.",
    )


def _uncovered(report: Report) -> tuple[tuple[str, str], ...]:
    kinds = kinds_shown(report)
    shown = f"Only {', '.join(kinds)} {'was' if len(kinds) == 1 else 'were'} shown." if kinds else "None was shown."
    listed = [
        ("Kinds of defect that nobody has shown.", f"{shown} Another kind may be caught, and no share is promised."),
        (
            "Logical anomalies:",
            "a part that is missing, doubled or in the wrong place and leaves normal surface. A class of its own or a "
            "region of its own covers them.",
        ),
        (
            "Another camera, lens, light or focus.",
            "A view of another size is refused; light and focus outside their zones are not inspected.",
        ),
    ]
    smallest = min((size for size in report.sizes or () if size), default=None)
    if smallest is not None:
        listed.append(
            (f"Defects below {smallest:.3g} camera pixels.", "The smallest shown; detection against size is below.")
        )
    groups = report.manifest.calibration.groups
    if groups is None or groups < FEWEST_LOTS:
        listed.append(("What changes from lot to lot.", f"That needs pictures of {FEWEST_LOTS} or more lots, named."))
    if not report.hidden and not report.parent:
        listed.append(
            (
                "Defects hidden among the good training pictures.",
                "A detector that learned them as normal lets their kind pass. Not tried; build with --hide KIND.",
            )
        )
    if report.manifest.limits.max_anomaly_score is None:
        listed.append(("Small spots of a kind never shown.", "This bundle judges whole pictures: it has no heat map."))
    return tuple(listed)

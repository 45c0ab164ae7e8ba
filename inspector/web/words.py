"""Every word that a person reads on the page, in one place and keyed, so that a second language is a second table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from plc.registers import OfflineReason, Reason


@dataclass(frozen=True, slots=True)
class Explained:
    """What happened, and what that means or what to do about it."""

    text: str
    hint: str


REASONS: Mapping[Reason, Explained] = {
    Reason.NONE: Explained("No defect found", "Everything that was checked is within its limits."),
    Reason.CLASS: Explained("Defect found: {label}", "The part shows a defect that the model knows."),
    Reason.ANOMALY: Explained("Unusual spot on the part", "Something that good parts do not show."),
    Reason.CLASS_AND_ANOMALY: Explained(
        "Defect found: {label}", "A known defect, and a spot that good parts do not show."
    ),
    Reason.LOW_CONFIDENCE: Explained("Not sure enough to pass it", "Most like: {label}. A doubtful part is rejected."),
    Reason.RECHECK_LIMIT: Explained("Looked at too often", "The part was presented again more often than allowed."),
    Reason.DEADLINE: Explained("Took too long", "The result was not there in time, so the part is rejected."),
    Reason.CAMERA: Explained("No usable picture", "The camera gave no picture of this part."),
    Reason.IMAGE_QUALITY: Explained("Picture too dark, too bright or blurred", "Check lamps, lens and focus."),
    Reason.STALE_TRIGGER: Explained("Trigger was too old", "The part may have moved on before the picture."),
    Reason.DUPLICATE_ID: Explained("Same trigger number twice", "The PLC repeated a number; check the PLC program."),
    Reason.OVERRUN: Explained("Trigger came too early", "The part before it was still being inspected."),
    Reason.RECIPE_MISMATCH: Explained("PLC expects another recipe", "Finish the change-over on the PLC or here."),
    Reason.LINK_LOST: Explained("Connection to the PLC was lost", "Check the network cable and the PLC."),
    Reason.RESTARTED: Explained("Inspection was restarted", "The part was in the station during a restart."),
    Reason.INFERENCE: Explained("Picture could not be judged", "The model gave no usable answer."),
    Reason.OFFLINE: Explained("Station was offline", "The part came while the station was not ready."),
    Reason.PLC_HEARTBEAT: Explained("PLC program stands still", "Its heartbeat stopped; check that the PLC is in RUN."),
    Reason.STORAGE: Explained(
        "Result could not be saved in time", "Without a record there is no pass; check the disk."
    ),
    Reason.NO_PART: Explained("No part, or not this product", "Nothing the model knows is in the picture."),
    Reason.COLLECTING: Explained("Recorded, not judged", "This station gives no pass in its present mode."),
    Reason.RESYNC: Explained("Parts and pictures out of step", "The station finds its place again by itself."),
    Reason.NO_PROOF: Explained(
        "Picture may be an old one", "This camera cannot show when it exposed; it never gives a pass."
    ),
    Reason.SIMULATED: Explained("Simulated picture", "It shows no real part, so a real PLC gets no pass."),
}

OFFLINE: Mapping[OfflineReason, Explained] = {
    OfflineReason.NONE: Explained("The reason is not known", "Wait a moment; if it stays, restart the service."),
    OfflineReason.STARTING: Explained("Starting", "Wait a few seconds."),
    OfflineReason.SET_OFFLINE: Explained("Set offline by the PLC", "Put the station online at the PLC."),
    OfflineReason.NO_RECIPE: Explained("No recipe is chosen", "Choose a recipe at the PLC."),
    OfflineReason.CAMERA: Explained("Camera does not answer", "Check the camera's cable and power."),
    OfflineReason.MODEL: Explained(
        "Model is not usable", "Restart the service; if it stays, install the former model."
    ),
    OfflineReason.STORAGE: Explained("Records cannot be saved", "Make room on the disk or replace it."),
    OfflineReason.PLC_HEARTBEAT: Explained(
        "PLC gives no sign of life", "Check the network cable, and that the PLC is in RUN."
    ),
    OfflineReason.CHECK_DUE: Explained(
        "A check runs or has failed", "Wait for a self test; else hold the parts since the last good check."
    ),
    OfflineReason.LATCHED_ERROR: Explained(
        "Stopped by an error", "Find the cause below, then acknowledge the error at the PLC."
    ),
    OfflineReason.CHANGE_OVER: Explained("Change-over is running", "Wait until the new recipe is loaded."),
    OfflineReason.CONFIGURATION: Explained(
        "Configuration is wrong", "See the alarm below; maintenance must correct it."
    ),
    OfflineReason.NO_LINK_BASELINE: Explained("Waiting for the PLC", "It must show its trigger at rest once."),
}

_EN: Mapping[str, str] = {
    # the big word
    "sign.pass": "PASS",
    "sign.fail": "FAIL",
    "sign.fault": "FAULT",
    "sign.test": "TEST",
    "sign.collect": "COLLECT",
    "sign.monitor": "MONITOR",
    "sign.notready": "NOT READY",
    "sign.waiting": "READY",
    "sign.stale": "STALE",
    "sign.offline": "OFFLINE",
    "waiting.text": "Waiting for the next part",
    "waiting.hint": "The first result appears here by itself.",
    "stale.text": "No news from the inspection",
    "stale.hint": "What is shown below is old. Treat parts as not inspected until this clears.",
    "offline.text": "The inspection is not running",
    "offline.hint": "No part passes now. This page comes back by itself when the service is up again.",
    "test.as_expected": "Test part found, as it should be",
    "test.as_expected.hint": "The challenge part was rejected. It is not counted as product.",
    "test.not_as_expected": "Test part was NOT found",
    "test.not_as_expected.hint": "A known-bad part was missed. Hold the parts since the last good test; call quality.",
    "reason.unknown": "Reason number {number}",
    "reason.unknown.hint": "This page does not know the number; see the PLC contract.",
    "refused": "Trigger refused",
    # modes
    "mode.inspect": "Inspecting",
    "mode.monitor": "Monitoring: judges, but passes nothing",
    "mode.collect": "Collecting pictures: passes nothing",
    "simulated": "Simulated pictures",
    "simulated.hint": "These are not real parts.",
    # line screen
    "title.line": "Line",
    "title.history": "History",
    "title.part": "Part",
    "nav.label": "Pages",
    "part.id": "Part",
    "part.trigger": "Trigger",
    "part.no": "Record",
    "part.none": "No part yet",
    "part.confidence": "Confidence",
    "part.class": "Seen as",
    "part.time": "Time",
    "part.elapsed": "Took",
    "picture.alt": "Last picture",
    "picture.alt.part": "Picture of part {part}",
    "picture.none": "No picture of this part",
    "heat.toggle": "Heat map",
    "heat.alt": "Heat map: where the part looks strange",
    "heat.scale": "By the limit, the same for every part: nothing is coloured that is well below it",
    "strip.title": "Last parts",
    "strip.pinned": "Last FAIL",
    "strip.nofail": "No FAIL yet",
    "strip.empty": "No parts yet",
    "counts.title": "Counts",
    "counts.since": "since {time}",
    "counts.total": "Total",
    "counts.pass": "Pass",
    "counts.fail": "Fail",
    "counts.uncertain": "Uncertain",
    "counts.not_inspected": "Not inspected",
    "counts.test": "Test",
    "counts.yield": "Yield",
    "counts.yield.hint": "passed, of all parts but test parts",
    "counts.reasons": "Most frequent reasons",
    "counts.noreasons": "No rejects",
    "states.title": "Station",
    "states.camera": "Camera",
    "states.plc": "PLC",
    "states.model": "Model",
    "states.store": "Records",
    "states.disk": "Disk",
    "states.ok": "OK",
    "states.bad": "Check",
    "states.unknown": "No data",
    "states.recipe": "Recipe",
    "states.bundle": "Model version",
    "states.cycle": "Cycle time",
    "states.cycle.text": "{p50} ms, slowest 1 %: {p99} ms",
    "states.uptime": "Running for",
    "alarms.title": "Alarms",
    "alarms.none": "No alarms",
    "alarms.cause": "Cause",
    "alarms.consequence": "Consequence",
    "alarms.action": "What to do",
    "alarms.since": "since {time}",
    "priority.critical": "Critical",
    "priority.high": "High",
    "priority.medium": "Medium",
    "priority.low": "Low",
    "noscript": "This page needs JavaScript to show live results. The history works without it.",
    # history
    "history.intro": "Every part and every refused trigger, newest first. Station time, {zone}.",
    "history.from": "From",
    "history.to": "To",
    "history.verdict": "Result",
    "history.reason": "Reason",
    "history.label": "Seen as",
    "history.part": "Part",
    "history.trigger": "Trigger",
    "history.any": "Any",
    "history.filter": "Show",
    "history.clear": "Clear",
    "history.time": "Time",
    "history.no": "Record",
    "history.result": "Result",
    "history.told": "PLC was told",
    "history.score": "Confidence",
    "history.elapsed": "Took",
    "history.picture": "Picture",
    "history.haspicture": "Yes",
    "history.older": "Older parts",
    "history.newest": "Newest parts",
    "history.empty": "No part matches.",
    "history.open": "not decided",
    "history.badfilter": "This filter cannot be read: {what}.",
    "history.unreadable": "The records cannot be read now",
    "history.unreadable.hint": "The inspection may be starting or not running. Try again in a moment.",
    "verdict.1": "Pass",
    "verdict.2": "Fail",
    "verdict.3": "Uncertain",
    "verdict.4": "Not inspected",
    "verdict.5": "Test, as expected",
    "verdict.6": "Test, NOT as expected",
    "verdict.none": "Open",
    "delivery.confirmed": "Confirmed",
    "delivery.unknown": "Not confirmed",
    "delivery.none": "Not sent",
    "delivery.pending": "Not sent yet",
    # part page
    "detail.decided": "Decided",
    "detail.published": "PLC was told",
    "detail.downgraded": "The PLC was told less than what was decided.",
    "detail.delivery": "Delivery",
    "detail.kind": "Kind",
    "detail.kind.accepted": "Accepted trigger",
    "detail.kind.refused": "Refused trigger",
    "detail.encoder": "Encoder",
    "detail.lot": "Lot",
    "detail.serial": "Serial",
    "detail.test_part": "Test part",
    "detail.boot": "Start of the service",
    "detail.scores": "Scores and limits",
    "detail.measure": "Measure",
    "detail.value": "Value",
    "detail.limit": "Limit",
    "detail.scores.none": "No model judged this part.",
    "detail.limits.unknown": "The limits of this model and recipe revision are not at hand any more.",
    "detail.confidence": "Confidence",
    "detail.novelty": "Strangeness of the whole picture",
    "detail.anomaly": "Strangest spot",
    "limit.min": "at least {low}",
    "limit.max": "at most {high}",
    "limit.range": "{low} to {high}",
    "detail.judged": "Judged by",
    "detail.bundle": "Model",
    "detail.recipe": "Recipe",
    "detail.recipe.text": "{recipe}, revision {revision}",
    "detail.model_rev": "Model revision at the PLC",
    "detail.timing": "Where the time went",
    "detail.timing.none": "No stage times were recorded.",
    "detail.timing.sum": "{ms} ms from trigger to decision on record",
    "detail.back": "Back to history",
    "detail.older": "Part before",
    "detail.newer": "Part after",
    "stage.accepted": "Accepted",
    "stage.opening": "Record begun",
    "stage.opened": "Record opened, meanwhile",
    "stage.grabbed": "Picture taken",
    "stage.checked": "Picture checked",
    "stage.predicted": "Judged by the model",
    "stage.judged": "Rule applied",
    "stage.decided": "Decision saved",
    "stage.publishing": "Told to the PLC",
    "stage.published": "PLC confirmed",
    "stage.stamped": "Delivery noted",
    # prediction service
    "serve.title": "Try a picture",
    "serve.drop": "Drop a picture here, or choose one",
    "serve.takes": "JPEG or PNG: {wanted}; at most {max_mb} MB.",
    "serve.waiting": "Waiting for a picture",
    "serve.judging": "Looking at it",
    "serve.judging.hint": "The picture is on its way to the model.",
    "serve.picture": "The picture that was judged",
    "serve.unreadable": "This browser cannot show the picture",
    "serve.lost": "No answer from the service",
    "serve.lost.hint": "It may be stopped. Start it again, then send the picture once more.",
    "serve.loading": "Loading the model; this page is ready in a moment.",
    "serve.classes": "Classes",
    "serve.mayPass": "may pass",
    "serve.timing": "Time",
    "serve.timing.decode": "Decode",
    "serve.timing.infer": "Model",
    "serve.timing.total": "In all",
    "serve.note": "A trial: nothing is recorded, and no PLC hears of it.",
    "serve.noscript": "This page needs JavaScript. Programs send pictures to /predict.",
    # errors
    "error.404": "There is no such page or part",
    "error.405": "This page can only be read",
    "error.400": "This request cannot be read",
    "error.403": "This page is not served under this name",
    "error.500": "The page failed",
    "error.503": "Not available now",
    "error.back": "Back to the line",
    "error.clients": "Too many screens are open; close one and try again",
    "yes": "Yes",
    "no": "No",
}  # fmt: skip


def word(key: str, **values: object) -> str:
    """The text for `key`. Raises KeyError for a key that has none: a missing text is a bug."""
    return _EN[key].format(**values) if values else _EN[key]


def has_word(key: str) -> bool:
    return key in _EN


def readable(name: str) -> str:
    """A class or stage name as people write it: missing_hole -> missing hole."""
    return name.replace("_", " ").strip()


def reason_words(number: int, label: str | None = None) -> Explained:
    """The plain words for a REASON number; an unknown one is named by its number, never hidden."""
    try:
        found = REASONS[Reason(number)]
    except ValueError:
        return Explained(word("reason.unknown", number=number), word("reason.unknown.hint"))
    what = readable(label or "")
    return Explained(*(_without_gap(text.format(label=what)) for text in (found.text, found.hint)))


def _without_gap(text: str) -> str:
    """Where no label is known: "Defect found: " -> "Defect found"; "Most like: . A doubtful" -> "A doubtful"."""
    return text.replace("Most like: . ", "").removesuffix(": ")


def offline_words(number: int) -> Explained:
    """The plain words for an OFFLINE_REASON number."""
    try:
        return OFFLINE[OfflineReason(number)]
    except ValueError:
        return OFFLINE[OfflineReason.NONE]

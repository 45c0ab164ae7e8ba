"""The report of a bundle: what its first lines say, that it loads nothing, and that what is missing is said."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_deploy.choose import Rule, Target
from edge_deploy.hidden import HiddenTrial
from edge_deploy.pictures import Picture, Pictures
from edge_deploy.qualify import share
from edge_deploy.report import Finding, ParityRow, Report, gather, write_report
from edge_deploy.report.summary import summarise
from inspector.core.manifest import BoundSpec, ClassEntry, PromiseSpec
from inspector.core.types import Image, Outcome
from plc.registers import Reason, Verdict
from tests.support.sample_report import sample_history, sample_manifest, sample_qualification, sample_report, say, spot
from training.pages.confusion import cell_kind
from training.runs import SplitRow


@pytest.fixture(scope="module")
def whole() -> Report:
    return sample_report()


@pytest.fixture(scope="module")
def faultless() -> Report:
    return sample_report(qualification=sample_qualification(sample_manifest(), 700, 0, 0), highest=(), isolated=())


def titles(report: Report, level: str) -> list[str]:
    return [f"{f.title} {f.text}" for f in summarise(report).findings if f.level == level]


def test_a_bundle_without_open_points_may_be_approved_and_says_what_it_promises(faultless: Report) -> None:
    s = summarise(faultless)
    assert (s.level, s.word) == ("good", "May be approved")
    assert "at most 0.43\u00a0% of good parts are rejected" in s.why
    assert "at most 1.50\u00a0% of bad parts of the 3 kinds shown pass" in s.why
    assert s.why.endswith("For kinds never shown there is no promise.")


def test_open_points_are_counted_and_the_worst_decides(whole: Report) -> None:
    s = summarise(whole)
    assert (s.level, s.word) == ("look", "May be approved by a person who accepts three points")
    assert [f.title for f in s.findings] == [
        "Overkill (false reject):",
        "Escapes seen.",
        "Pictures to confirm.",
        "Few test pictures of a kind.",
    ]
    broken = replace(whole, parity=(*whole.parity, ParityRow("flips outside the guard band", 2, 0, False)))
    s = summarise(broken)
    assert (s.level, s.word) == ("stop", "Not to be approved as it stands")
    assert s.findings[0].title == "Parity: flips outside the guard band."
    assert s.why.startswith("One point below stands against it.")


def test_more_overkill_than_asked_for_stands_against_a_bundle(faultless: Report) -> None:
    q = sample_qualification(faultless.manifest, 700, 20, 0)
    assert any("missed" in line for line in titles(replace(faultless, qualification=q), "stop"))


def test_the_test_pictures_are_held_against_what_was_asked_for(faultless: Report) -> None:
    """20 of 700 good parts and 3 of 198 bad ones fail."""
    m = faultless.manifest
    q = sample_qualification(m, 700, 20, 3)

    def told(target: Target | None) -> dict[str, tuple[str, str]]:
        report = replace(faultless, qualification=q, targets=gather.targets_of(target))
        return {p.key: (p.level, p.state) for p in summarise(report).promises if not p.of_kind}

    kept = told(Target(Rule.OVERKILL, 0.05))
    assert kept["overkill"] == ("good", "asked for: at most 5\u00a0%, shown") and kept["escape"] == ("good", "")
    assert told(Target(Rule.OVERKILL, 0.005))["overkill"][0] == "stop"
    escape = told(Target(Rule.ESCAPE, 0.01))
    assert escape["overkill"] == ("good", "")
    assert escape["escape"] == ("look", "asked for: at most 1\u00a0%; more were seen, which may be chance")
    for nothing_asked in (None, Target(Rule.AIM, 0.005), Target(Rule.COST, 50)):
        assert told(nothing_asked)["overkill"] == told(nothing_asked)["escape"] == ("good", "")


def test_an_aim_is_shown_as_an_aim_and_nothing_is_held_against_it(faultless: Report) -> None:
    m = faultless.manifest
    chosen = PromiseSpec("aim", 0.005, "picture", (), None, None, None)
    aimed = replace(m, limits=replace(m.limits, promise=chosen))
    report = replace(faultless, manifest=aimed, qualification=sample_qualification(m, 700, 20, 0), targets={})
    overkill = summarise(report).promise("overkill")
    assert overkill is not None
    assert (overkill.level, overkill.state) == ("good", "aimed at: 0.5\u00a0% on average, not promised")


def test_a_bundle_that_lets_most_of_the_shown_defects_pass_is_not_to_be_approved(faultless: Report) -> None:
    def seen(escaped: int) -> Report:
        promises = (share("overkill", 0, 700), share("escape", escaped, 9))
        return replace(faultless, qualification=replace(faultless.qualification, promises=promises), targets={})

    s = summarise(seen(5))
    assert (s.level, s.findings[0].level, s.findings[0].title) == ("stop", "stop", "Escapes seen.")
    assert "above 20.0\u00a0%: it does not see these defects" in s.findings[0].text
    assert summarise(seen(3)).level == "look"  # a third, of nine: may be chance


def test_a_missed_picture_is_named_for_a_person_to_find_it(whole: Report, tmp_path: Path) -> None:
    missed = replace(whole.heat_maps[0], file="dent/0007.png")
    write_report(replace(whole, heat_maps=(missed, *whole.heat_maps[1:])), tmp_path / "a.html")
    assert "<br>dent/0007.png</span>" in (tmp_path / "a.html").read_text()


def test_what_the_limits_were_set_on_is_told_in_words_and_a_class_keeps_its_name(
    faultless: Report, tmp_path: Path
) -> None:
    bounds = tuple(BoundSpec(name, 0, 60, 0.0487) for name in ("overkill", "not_inspected", "escape:deep_scratch"))
    chosen = PromiseSpec("aim", 0.005, "picture", bounds, None, None, None)
    m = faultless.manifest
    write_report(replace(faultless, manifest=replace(m, limits=replace(m.limits, promise=chosen))), tmp_path / "a.html")
    page = (tmp_path / "a.html").read_text()
    assert '"row">not inspected<' in page and '"row">escape, deep_scratch<' in page


def test_where_groups_are_counted_the_page_says_so(faultless: Report, tmp_path: Path) -> None:
    q = faultless.qualification
    grouped = replace(q, groups=120, promises=(share("overkill", 0, 60), share("escape", 1, 60)))
    report = replace(faultless, qualification=grouped)
    s = summarise(report)
    assert "at most 4.87\u00a0% of good groups (part or lot) have a picture rejected" in s.why
    assert any("1 of 60 bad groups would pass" in f.text for f in s.findings)
    write_report(report, tmp_path / "a.html")
    page = (tmp_path / "a.html").read_text()
    assert "898 pictures show 120 groups" in page and "counted picture by picture" not in page


def test_a_negative_that_would_pass_stands_against_a_bundle(faultless: Report) -> None:
    inside = {"empty": [say("good", 0.99, 2.0)], "half_part": [say("good", 0.99, 14.0)]}
    assert titles(replace(faultless, negatives=inside), "stop") == [
        "Negatives pass. 1 of 2 pictures without a whole, right part would PASS."
    ]
    judged = {"empty": [say("stain", 0.99, 2.0), *[say("good", 0.99, 14.0)] * 9]}
    assert titles(replace(faultless, negatives=judged), "look") == [
        "Negatives are judged instead of refused. 1 of 10 get a verdict as if a part were there; none passes."
    ]


def test_negatives_that_set_the_limits_bound_nothing_and_few_of_a_kind_are_named(
    faultless: Report, tmp_path: Path
) -> None:
    few = {"empty": [say("good", 0.99, 14.0)] * 9, "half_part": [say("good", 0.99, 14.0)] * 10}
    report = replace(faultless, negatives=few)
    assert titles(report, "look") == [
        "Few negatives of a kind. empty (9): 10 or more of each show how much they differ from one another."
    ]
    write_report(report, tmp_path / "a.html")
    page = (tmp_path / "a.html").read_text()
    assert "set so that all 19 negatives given lie outside" in page
    assert "Negatives let in" not in page


def test_figures_from_the_calibrations_own_pictures_stand_against_a_bundle(faultless: Report, tmp_path: Path) -> None:
    flattering = replace(faultless, independent=False)
    assert titles(flattering, "stop")[0].startswith("There is no test split.")
    write_report(flattering, tmp_path / "a.html")
    assert "nothing was fitted or tuned on" not in (tmp_path / "a.html").read_text()


def test_what_a_person_must_accept_is_listed(faultless: Report) -> None:
    m = faultless.manifest
    bare = replace(
        m,
        training=replace(m.training, no_negatives=True),
        calibration=replace(m.calibration, groups=None),
    )
    told = " ".join(titles(replace(faultless, manifest=bare, notes=("the limits lie at the worst",)), "look"))
    for words in ("No negatives.", "No lots or parts named.", "The limits lie at the worst."):
        assert words in told
    few = replace(m, calibration=replace(m.calibration, groups=3))
    assert "needs 5" in titles(replace(faultless, manifest=few), "look")[0]
    own = Finding("stop", "Contamination.", "Recall on scratches falls by 9 points.")
    assert summarise(replace(faultless, findings=(own,))).level == "stop"


def test_hidden_defects_that_blind_the_detector_stand_against_a_bundle(faultless: Report) -> None:
    kept_out = HiddenTrial("scratch", 3, 100, 40, 0.95, 0.93)
    tried = replace(faultless, hidden=(kept_out, replace(kept_out, hidden=9, recall=0.80)))
    assert titles(tried, "stop") == [
        "Defects hidden among the good pictures blind the detector. With 9 of 100 good training pictures replaced by "
        "scratch, recall on 40 others of that kind goes from 95.0 to 80.0 % (at 5 % overkill). At most 5 points may be "
        "lost. Look through all good pictures for this kind."
    ]
    words = "Defects hidden among the good training pictures."
    assert words not in dict(summarise(tried).uncovered) and words in dict(summarise(faultless).uncovered)


def test_what_is_not_covered_names_logical_anomalies_and_the_kinds_that_were_shown(whole: Report) -> None:
    told = " ".join(f"{what} {text}" for what, text in summarise(whole).uncovered)
    assert "Only dent, scratch, stain were shown" in told
    assert "Logical anomalies" in told
    assert "Defects below 4 camera pixels" in told
    assert "lot to lot" not in told


def test_the_page_is_one_file_that_loads_and_runs_nothing(whole: Report, tmp_path: Path) -> None:
    write_report(whole, tmp_path / "a.html")
    page = (tmp_path / "a.html").read_text()
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert "<script" not in page
    assert "url(" not in page and "@import" not in page
    assert len(page) < 600_000


def test_every_section_is_there(whole: Report, tmp_path: Path) -> None:
    write_report(whole, tmp_path / "a.html")
    page = (tmp_path / "a.html").read_text()
    for needed in (
        "disc-3-",
        "Escape, dent",
        "1,800 of 900 parts",
        "the epoch that was kept",
        "Detection against defect size",
        "Misses (escapes)",
        "Isolated landmarks",
        "Highest calibration pictures",
        "Golden samples",
        "macro-F1",
        "largest drift of the anomaly score",
        "OpenVINO INT8 (the bundle)",
        "inspector-deploy approve",
    ):
        assert needed in page, needed
    anchors = set(re.findall(r'href="#(?!sign)([a-z]+)"', page))
    assert anchors == set(re.findall(r'<section class="card" id="([a-z]+)"', page))


def test_what_a_build_does_not_have_is_said_and_breaks_nothing(whole: Report, tmp_path: Path) -> None:
    bare = replace(
        whole, targets={}, data=(), history=(), heat_maps=(), isolated=(), highest=(), parity=(), timings=(), sizes=None
    )
    write_report(bare, tmp_path / "a.html")
    page = (tmp_path / "a.html").read_text()
    for said in ("not trained epoch by epoch", "Not recorded by this build", "Not measured by this build"):
        assert said in page


def test_a_bundle_without_heat_map_or_good_pictures_has_a_report(whole: Report, tmp_path: Path) -> None:
    m = whole.manifest
    m = replace(m, limits=replace(m.limits, max_anomaly_score=None, anomaly_median=None))
    shown = tuple(replace(h, anomaly_map=None) for h in whole.heat_maps)
    q = sample_qualification(m, 0, 0, 0)
    write_report(replace(whole, manifest=m, qualification=q, heat_maps=shown, sizes=None), tmp_path / "a.html")
    page = (tmp_path / "a.html").read_text()
    assert "Is any spot strange" not in page
    assert "it has no heat map" in page
    assert "not measured: no such part" in page


def test_names_from_outside_are_text_on_the_page(whole: Report, tmp_path: Path) -> None:
    nasty = '<img src="http://x">'
    m = replace(whole.manifest, product=nasty, classes=(ClassEntry(0, "good", True), ClassEntry(1, "scratch", False),
                                                        ClassEntry(2, nasty, False)))  # fmt: skip
    isolated = (replace(whole.highest[0], caption=nasty),)
    write_report(replace(whole, manifest=m, isolated=isolated, calibration_truths=(nasty,) * 600), tmp_path / "a.html")
    page = (tmp_path / "a.html").read_text()
    assert "<img src=" not in page
    assert "&lt;img src=" in page


@pytest.mark.parametrize(
    ("n", "truth", "said", "kind"),
    [(5, 0, 0, "right"), (0, 0, 1, "zero"), (2, 1, 0, "escape"), (2, 0, 1, "overkill"), (2, 1, 2, "other")],
)
def test_a_cell_of_the_confusion_says_what_it_means_for_the_line(n: int, truth: int, said: int, kind: str) -> None:
    assert cell_kind(n, truth, said, (True, False, False)) == kind


def test_rows_are_counted_by_class_split_and_part() -> None:
    rows = [
        SplitRow(f"{label}{i}.png", label, split, f"part{i // 2}", "0" * 64)  # type: ignore[arg-type]
        for label, split, count in (("dent", "test", 3), ("good", "train", 6), ("good", "test", 4))
        for i in range(count)
    ]
    good, dent = gather.data_rows(rows, frozenset({"good"}))
    assert (good.label, good.pictures, good.groups) == ("good", {"train": 6, "test": 4}, {"train": 3, "test": 2})
    assert (dent.acceptable, dent.pictures, dent.groups) == (False, {"test": 3}, {"test": 2})


class _Drawn(Pictures):
    """Pictures that are drawn instead of read."""

    def view(self, picture: Picture) -> Image:
        return np.full((8, 8, 3), len(picture.truth), np.uint8)


def _pictures(truths: list[str]) -> Pictures:
    made = tuple(Picture(Path(f"{i}.png"), truth) for i, truth in enumerate(truths))
    return _Drawn((), made, made, (), (8, 8), (0, 0, 8, 8), None)


def test_the_gallery_shows_misses_and_false_alarms_first_and_hits_of_every_kind() -> None:
    truths = ["dent"] * 20 + ["stain", "good", "good", "dent"]
    verdicts = [Verdict.FAIL] * 21 + [Verdict.UNCERTAIN, Verdict.PASS, Verdict.PASS]
    outcomes = [Outcome(v, Reason.NONE) for v in verdicts]
    predictions = [say("good", anomaly=float(i)) for i in range(len(truths))]
    pictures = _pictures(truths)
    found = gather.heat_maps(pictures, pictures.test, predictions, outcomes, frozenset({"good"}))
    assert [(h.kind, h.truth, h.score) for h in found[:4]] == [
        ("miss", "dent", 23.0),
        ("false alarm", "good", 21.0),
        ("hit", "dent", 0.0),
        ("hit", "stain", 20.0),
    ]
    assert [h.kind for h in found[2:]] == ["hit"] * gather.MOST_OF_A_KIND + ["pass"]


def test_good_parts_that_pass_are_shown_from_the_least_to_the_most_strange() -> None:
    scores = [3.0, 0.0, 9.0, 6.0, 1.0, 2.0, 4.0]
    pictures = _pictures(["good"] * len(scores))
    predictions = [say("good", anomaly=score) for score in scores]
    passes = [Outcome(Verdict.PASS, Reason.NONE)] * len(scores)
    found = gather.heat_maps(pictures, pictures.test, predictions, passes, frozenset({"good"}))
    assert [(h.kind, h.score) for h in found] == [("pass", 0.0), ("pass", 2.0), ("pass", 4.0), ("pass", 9.0)]


def test_all_heat_maps_have_one_scale_by_the_signed_limit_and_a_legend_says_so(whole: Report, tmp_path: Path) -> None:
    maps = [np.full((28, 28), score, np.float32) for score in (2.2, 6.0)]  # the limit is 3, the median 1.6
    maps[0][0, 0] = 2.29  # its own hottest spot
    shown = tuple(replace(whole.heat_maps[0], anomaly_map=each) for each in maps)
    write_report(replace(whole, heat_maps=shown), tmp_path / "a.html")
    page = (tmp_path / "a.html").read_text()
    for said in ("up to 2.3: none", "3: the limit", "from 6 on", "The same for all heat maps"):
        assert said in page
    inline = re.findall(r'alt="heat map, dent"[^>]* src="data:image/jpeg;base64,([^"]+)"', page)
    calm, hot = (cv2.imdecode(np.frombuffer(base64.b64decode(text), np.uint8), 1).astype(int) for text in inline)
    assert np.ptp(calm, axis=2).max() <= 3  # grey, but for what JPEG does
    assert (hot[..., 2] - hot[..., 1]).min() > 80


def test_the_strangest_good_calibration_pictures_come_first() -> None:
    pictures = _pictures(["good", "dent", "good", "good"])
    held_out = [say("good", anomaly=a) for a in (1.0, 9.0, 3.0, 2.0)]
    shown = gather.highest_of(pictures, held_out, frozenset({"good"}), most=2)
    assert [s.caption for s in shown] == ["2.png, 3", "3.png, 2"]


def test_a_timing_leaves_the_warm_up_out() -> None:
    now, took = [0.0], iter([5.0, *([0.010] * 9), 0.030])

    def predict(view: Image) -> None:
        now[0] += next(took)

    timing = gather.timing_of("INT8", predict, [np.zeros((2, 2, 3), np.uint8)] * 10, clock=lambda: now[0])
    assert (timing.p50_ms, timing.pictures) == (pytest.approx(10.0), 10)
    assert 28 < timing.p99_ms <= 30
    with pytest.raises(ValueError, match="no picture"):
        gather.timing_of("INT8", predict, [])


def test_the_sample_is_what_the_other_tests_think() -> None:
    assert len(sample_history()) == 14
    assert spot(1, 3.0).max() > 3.0

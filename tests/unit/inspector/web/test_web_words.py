from __future__ import annotations

import re
from itertools import product
from typing import Any

import pytest

from inspector.web import words
from inspector.web.control_views import GROUPS, group_view, value_text
from inspector.web.detail import detail_view
from inspector.web.export import cells, keys
from inspector.web.present import (
    counts_view,
    explain,
    part_view,
    percent,
    result_text,
    sign_of,
    state_view,
    status_view,
)
from inspector.web.review_views import verdict_view as said_verdict
from inspector.web.rows import row_view
from inspector.web.traces import Told, Trace
from inspector.web.words import LANGUAGES, speaking, word
from plc.registers import CTRL, STAT, OfflineReason, Reason, Verdict
from plc.values import CODES

WEB = words.FOLDER.parent
PAGES = (WEB, WEB.parent / "serve")
PART = {
    "no": 7, "trigger_id": 7, "part_id": 4711, "utc_ms": 1_790_000_000_000, "code": 1, "reason": 0, "label": "good",
    "confidence": 0.97, "novelty_score": 1.0, "anomaly_score": None, "elapsed_ms": 31.0, "preview": "7.jpg",
    "test_part": False, "refused": False,
}  # fmt: skip


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_of_the_contract_has_plain_words(reason: Reason) -> None:
    found = words.reason_words(reason, "missing_hole")
    assert found.text and found.hint
    assert "{" not in found.text + found.hint and "_" not in found.text


@pytest.mark.parametrize("reason", list(OfflineReason))
def test_every_offline_reason_says_what_to_do(reason: OfflineReason) -> None:
    assert words.offline_words(reason).hint


def test_a_number_that_the_page_does_not_know_is_shown_and_not_hidden() -> None:
    assert "999" in words.reason_words(999).text
    assert words.offline_words(999) == words.offline_words(OfflineReason.NONE)


def test_a_reason_without_a_class_leaves_no_gap() -> None:
    assert words.reason_words(Reason.CLASS).text == "Defect found"
    assert words.reason_words(Reason.LOW_CONFIDENCE).hint == "A doubtful part is rejected."


def test_every_key_that_a_template_or_module_uses_has_a_word() -> None:
    used = set()
    for path in (p for folder in PAGES for p in [*folder.glob("templates/*.html"), *folder.glob("*.py")]):
        used |= set(re.findall(r"\b(?:w|word|Text)\([\"']([a-z0-9_.]+)[\"']", path.read_text()))
    assert len(used) > 60
    assert {key for key in used if not key.endswith(".") and not words.has_word(key)} == set()


def test_everything_that_the_prediction_service_declines_has_words_and_says_what_to_do() -> None:
    code = "".join(path.read_text() for path in (WEB.parent / "serve").glob("*.py"))
    said = re.findall(r"(?:Declined\(\d+, |_no_file\()\"(\w+)\"(?:, todo=\"(\w+)\")?", code)
    assert len(said) > 12
    for key, todo in said:
        shared = "form" if key.endswith(("form", "field")) else key
        assert words.has_word(f"declined.{key}") and words.has_word(f"declined.{todo or shared}.todo"), key


def test_the_scripts_hold_no_sentence_of_their_own() -> None:
    for path in (p for folder in PAGES for p in folder.glob("static/*.js")):
        code = re.sub(r"(?:^|\s)//.*", "", path.read_text())
        strings = re.findall(r"\"([^\"\n]*)\"|'([^'\n]*)'", code)
        assert [s for pair in strings for s in pair if re.search(r"[A-Za-z]+ [A-Za-z]+ ", s)] == []


@pytest.mark.parametrize(
    ("code", "reason", "sign"),
    [
        (Verdict.PASS, 0, "pass"), (Verdict.FAIL, 10, "fail"), (Verdict.UNCERTAIN, 20, "fail"),
        (Verdict.NOT_INSPECTED, 101, "fault"), (5, 0, "test"), (6, 0, "test"), (0, 0, "fault"), (77, 0, "fault"),
    ],
)  # fmt: skip
def test_each_result_code_has_its_sign_and_an_unknown_one_is_a_fault(code: int, reason: int, sign: str) -> None:
    assert sign_of(code, reason) == sign


def test_only_result_code_one_shows_the_pass_sign() -> None:
    for code in range(-1, 300):
        for reason in (0, 10, 114):
            assert (sign_of(code, reason) == "pass") is (code == 1)


def test_a_station_that_collects_is_no_fault() -> None:
    assert sign_of(4, Reason.COLLECTING, "collect") == "collect"
    assert sign_of(4, Reason.COLLECTING, "monitor") == "monitor"


@pytest.mark.parametrize("language", LANGUAGES)
def test_one_word_for_a_result_on_every_screen_and_it_is_that_of_the_contract(language: str) -> None:
    """The contract, section 3: 1 PASS, 2 and 3 FAIL, 4 FAULT, 5 and 6 TEST; what else is told of it comes behind."""
    signs = {1: "pass", 2: "fail", 3: "fail", 4: "fault", 5: "test", 6: "test"}
    reasons = (Reason.NONE, Reason.CLASS, Reason.LOW_CONFIDENCE, Reason.NO_PART, Reason.COLLECTING)
    with speaking(language):
        for code, reason in product(signs, reasons):
            wanted = word("sign.collect" if (code, reason) == (4, Reason.COLLECTING) else f"sign.{signs[code]}")
            row = row_of(code, reason)
            page = detail_view(row, Trace((Told(code, reason, 1, "confirmed"),)), None)
            assert {part_view({**row, "code": code, "reason": reason})["word"], row_view(row)["word"], page["word"],
                    said_verdict({**row, "code": code, "reason": reason})["word"]} == {wanted}  # fmt: skip
            longer = [page["decided"], page["told"][0]["text"], dict(zip(keys(), cells(row), strict=True))["result"]]
            assert all(str(text).startswith(wanted) for text in longer), longer
        assert len({result_text(code) for code in signs}) == len(signs), "the filter tells all six apart"


def row_of(code: int, reason: int) -> dict[str, Any]:
    """A row of the record of which nothing else is known."""
    text = ("station", "kind", "lot", "serial", "label", "bundle_id", "image", "stages")
    scores = ("confidence", "novelty_score", "anomaly_score")
    numbers = ("part_id", "trigger_id", "encoder", "recipe", "recipe_revision", "model_rev", "class_id", "boot")
    return {
        **dict.fromkeys(text, ""), **dict.fromkeys(numbers, 1), **dict.fromkeys(scores), "kind": "accepted", "no": 7,
        "opened_utc_ms": 1, "published_utc_ms": 1, "elapsed_ms": 3.0, "delivery": "confirmed", "test_part": 0,
        "decided_code": code, "decided_reason": reason, "published_code": code, "published_reason": reason,
    }  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_head_says_what_the_station_does_and_that_it_does_not_while_it_is_not_ready(language: str) -> None:
    with speaking(language):
        for mode in ("inspect", "monitor", "collect", "of-another-version"):
            does, not_now = [status_view({"mode": mode, "ready": ready})["mode_text"] for ready in (True, False)]
            assert word("sign.notready") in not_now and word("sign.notready") not in does
            assert not_now != word("mode.other.not", word=word("sign.notready")) or mode == "of-another-version"


def test_a_missed_challenge_part_is_urgent() -> None:
    assert part_view({**PART, "code": 6})["urgent"]
    assert not part_view({**PART, "code": 5})["urgent"]
    assert "NOT" in explain(6, 0, "scratch").text


def test_a_picture_that_was_not_fit_says_what_was_measured_in_it_and_another_fault_does_not() -> None:
    unfit = {**PART, "code": 4, "reason": 102, "measured": "zone top_left: brightness 12.3 is outside 40.0 to 90.0"}
    said = part_view(unfit)
    assert said["text"] == "Light or sharpness of the picture out of limits"
    assert "top left: brightness 12.3 is outside 40.0 to 90.0" in said["hint"] and "whole part" in said["hint"]
    with words.speaking("zh"):
        assert "实测左上：亮度 12.3 超出 40.0 至 90.0" in part_view(unfit)["hint"]
    for other in (
        {"code": 1},
        {"reason": 101},
        {"measured": ""},
        {"code": 5},
    ):
        assert "brightness 12.3" not in part_view({**unfit, **other})["hint"]
    assert part_view({k: v for k, v in unfit.items() if k != "measured"})["hint"], "of an older daemon, or the record"


def test_a_station_that_does_not_say_ready_is_not_ready() -> None:
    for said in (False, None, "yes", 1):
        view = status_view({"ready": said, "offline_reason": 4})
        assert not view["ready"] and view["word"] == "NOT READY" and view["text"] == "Camera does not answer"


def test_pictures_count_as_simulated_until_the_daemon_says_that_they_are_real() -> None:
    assert status_view({})["simulated"]
    assert not status_view({"simulated": False})["simulated"]


def test_a_part_of_the_station_that_nobody_speaks_of_is_not_ok() -> None:
    assert state_view("disk", None)["state"] == "unknown"
    assert state_view("camera", {"ok": None, "text": ""})["state"] == "bad"


def test_yield_leaves_out_test_parts_and_never_rounds_up_to_a_hundred() -> None:
    counts = {"triggers": 1011, "pass": 9999, "fail": 1, "uncertain": 0, "not_inspected": 0, "test": 500}
    assert counts_view(counts)["yield"] == "99.9 %"
    assert counts_view({})["yield"] == percent(None)


def test_a_score_that_is_no_number_shows_none() -> None:
    assert part_view({**PART, "confidence": float("nan")})["confidence"] == percent(None)


def test_every_register_that_the_page_shows_is_said_in_each_language_and_in_english_as_the_one_table_has_it() -> None:
    for register in (*CTRL.registers, *STAT.registers):
        found = [words.read_catalog(language)[f"register.{register.name}"] for language in words.LANGUAGES]
        assert found[0] == register.meaning != found[1]
    with words.speaking("zh"):
        views = [view for group in GROUPS for view in group_view(group)["registers"]]
    assert len(views) == len(CTRL.registers) + len(STAT.registers)
    assert not [view["name"] for view in views if not re.search("[\u4e00-\u9fff]", view["meaning"])]


def test_the_numbers_of_registers_have_their_words_in_each_language_and_in_english_those_of_the_table() -> None:
    for name, codes in CODES.items():
        for number, said in codes.items():
            assert value_text(name, f"{number} {said}") == f"{number} {said}"
            with words.speaking("zh"):
                assert re.fullmatch(f"{number} [^a-z]+", value_text(f"STAT.{name}", f"{number} {said}"))
    assert value_text("TRIGGER_ID", "17") == "17" and value_text("LOT", "4 none") == "4 none"

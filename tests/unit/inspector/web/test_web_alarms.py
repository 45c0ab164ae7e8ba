"""What the page says of alarms, and who may act on them; the daemon's side is real, and so is the socket between."""

from __future__ import annotations

import re
from pathlib import Path
from string import Formatter
from typing import Any

import pytest

from inspector.core.alarm_kinds import KINDS, Kind
from inspector.core.alarms import Change, Event, Phase
from inspector.health import WATCHED
from inspector.office.person import Role
from inspector.store.alarm_history import DAY_MS, RATE_MS, read_record
from inspector.web import words
from inspector.web.alarm_views import alarm_view, alarms_view, record_view
from inspector.web.site import Site
from tests.support.alarms import alarming
from tests.support.visitors import HTML, Browser, browser_of, people_of

PARTS = ("", ".cause", ".consequence", ".action")
NOW_MS = 1_790_000_000_000


def message(kind: Kind, **changes: Any) -> dict[str, Any]:
    """As the status has it."""
    params = dict.fromkeys(kind.params, "x")
    return {
        "id": kind.place, "key": kind.key, "params": params, "cause": str(kind.of(**params)), "phase": "unacknowledged",
        "event": "raised", "priority": kind.priority, "since_utc_ms": NOW_MS, "changed_utc_ms": NOW_MS,
        "actor": "inspector", "shelved_until_utc_ms": None, "shelved_by": "", "shelved_why": "", **changes,
    }  # fmt: skip


def gaps(catalog: dict[str, str]) -> list[str]:
    """What people would miss of the alarms that the code can raise."""
    found = []
    for kind in Kind:
        for part in PARTS:
            text = catalog.get(f"alarm.{kind.key}{part}", "")
            names = {name for _, name, _, _ in Formatter().parse(text) if name is not None}
            if not text.strip() or not names <= kind.params:
                found.append(f"alarm.{kind.key}{part}")
        told = "".join(catalog.get(f"alarm.{kind.key}{part}", "") for part in PARTS)
        found += [f"alarm.{kind.key} does not tell {name}" for name in kind.params if f"{{{name}}}" not in told]
    return found


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_every_alarm_that_the_code_can_raise_has_name_cause_consequence_and_action(language: str) -> None:
    catalog = dict(words.read_catalog(language))
    assert len(KINDS) > 30 and gaps(catalog) == []
    about = {key.split(".")[1] for key in catalog if key.startswith("alarm.")}
    assert about == {*KINDS, "unknown"}, "no texts of alarms that nobody raises"


def test_a_text_of_an_alarm_that_is_missing_or_leaves_its_cause_out_is_found() -> None:
    whole = dict(words.read_catalog("zh"))
    without = {key: text for key, text in whole.items() if key != "alarm.gap.action"}
    assert gaps(without) == ["alarm.gap.action"]
    assert gaps({**whole, "alarm.gap.cause": "触发丢失"}) == ["alarm.gap does not tell count"]
    assert gaps({**whole, "alarm.gap.cause": "触发丢失 {count} {nobody}"}) == ["alarm.gap.cause"]


def test_every_kind_of_alarm_is_raised_somewhere_and_none_in_free_text() -> None:
    code = "".join(path.read_text() for path in words.FOLDER.parents[1].rglob("*.py"))
    raised = set(re.findall(r"\b(?:Kind|Alarm)\.([A-Z_]+)", code))
    unraised = {kind for kind in Kind if kind.name not in raised and kind.key not in WATCHED}
    assert not unraised


def test_an_alarm_that_the_page_does_not_know_is_shown_with_what_the_log_says() -> None:
    for damage in ({"key": "martian"}, {"params": {"other": 1}}):
        view = alarm_view({**message(Kind.GAP), **damage})
        assert (
            "triggers never arrived" in view["cause"] and "different versions" in view["consequence"] and view["action"]
        )


def test_what_is_shelved_is_off_the_list_with_its_end_and_critical_alarms_offer_no_shelf() -> None:
    shelved = message(Kind.CAMERA, shelved_until_utc_ms=NOW_MS, shelved_by="ben", shelved_why="cable on order")
    view = alarms_view({"alarm_list": [message(Kind.PLC_VERDICT), message(Kind.GAP, phase="acknowledged"), shelved]})
    assert [a["id"] for a in view["alarms"]] == ["plc_verdict", "gap"] and view["unheeded"] == 1
    assert [a["may_shelve"] for a in view["alarms"]] == [False, True]
    (aside,) = view["shelved"]
    assert aside["until"].startswith("until ") and aside["why"] == "ben: cable on order" and not aside["may_shelve"]


def test_what_is_wrong_now_stands_before_what_is_over_and_what_is_urgent_before_the_rest() -> None:
    told = [
        message(Kind.CAMERA, phase="acknowledged"), message(Kind.FORCED, phase="cleared"), message(Kind.GAP),
        message(Kind.OFFLINE), message(Kind.PLC_VERDICT, phase="cleared"), message(Kind.STORE),
    ]  # fmt: skip
    shown = [a["id"] for a in alarms_view({"alarm_list": told})["alarms"]]
    assert shown == ["offline", "store", "gap", "plc_verdict", "forced", "camera"]


def test_an_alarm_of_another_station_says_of_which() -> None:
    assert alarm_view(message(Kind.CAMERA, id="st2.camera"))["station"] == "Station st2"
    assert alarm_view(message(Kind.CAMERA))["station"] == ""


# -- with the daemon's side behind a real socket -----------------------------------------------------------------------


IN_PLACE = {"hx-request": "true", "hx-target": "alarms-told", "hx-current-url": "http://127.0.0.1:8080/alarms"}


async def said(browser: Browser, what: str, sent: dict[str, Any]) -> tuple[int, str]:
    """Status, and what an open page shows."""
    token = await browser.token("/alarms")
    answer = await browser.post(f"/alarms/{what}", data=sent, headers={"x-csrf-token": token, **IN_PLACE})
    assert answer.headers["x-piece"] == "1"
    return answer.status_code, re.sub("<[^>]*>", "", answer.text).strip()


async def test_an_operator_acknowledges_and_shelves_in_their_name_and_the_station_is_no_readier_for_it(
    site: Site, tmp_path: Path
) -> None:
    async with alarming(tmp_path) as daemon, people_of(site, [{Role.OPERATOR}]) as (operator,):
        daemon.look(Kind.GAP)
        assert await said(operator, "ack", daemon.seen("camera")) == (200, "")
        assert daemon.alarm("camera")["phase"] == "acknowledged" and daemon.alarm("camera")["actor"] == "p0"
        shelf = {"id": "gap", "minutes": 60, "why": "PLC is being changed"}
        assert await said(operator, "shelve", shelf) == (200, "")
        assert daemon.alarm("gap")["shelved_why"] == "PLC is being changed"
        assert not daemon.status()["ready"] and len(daemon.health.state().alarms) == 2
        shown = (await operator.get("/alarms", headers=HTML)).text
        assert "PLC is being changed" in shown and "p0" in shown and "Shelved until" in shown
        assert (await said(operator, "unshelve", {"id": "gap"}))[0] == 200
        assert daemon.alarm("gap")["shelved_until_utc_ms"] is None


async def test_without_javascript_the_same_forms_lead_back_to_the_page_and_say_what_went_wrong(
    site: Site, tmp_path: Path
) -> None:
    async with alarming(tmp_path) as daemon, people_of(site, [{Role.OPERATOR}]) as (operator,):
        daemon.look()
        old = daemon.seen("camera")
        done = await operator.submit("/alarms/ack", old, page="/alarms")
        assert (done.status_code, done.headers["location"]) == (303, "/alarms")
        assert daemon.alarm("camera")["phase"] == "acknowledged"
        refused = await operator.submit("/alarms/ack", old, page="/alarms", headers=HTML)
        assert refused.status_code == 409 and words.word("alarms.changed") in refused.text
        assert refused.text.startswith("<!doctype html>")


async def test_who_is_not_logged_in_or_not_of_the_line_acts_on_no_alarm(site: Site, tmp_path: Path) -> None:
    async with alarming(tmp_path) as daemon, people_of(site, [{Role.ML}]) as (engineer,):
        daemon.look()
        visitor = browser_of(site)
        for what, more in (("ack", {}), ("shelve", {"minutes": 15, "why": "x"}), ("unshelve", {})):
            sent = {**(daemon.seen("camera") if what == "ack" else {"id": "camera"}), **more}
            assert (await visitor.post(f"/alarms/{what}", data=sent)).status_code == 401
            assert (await said(engineer, what, sent))[0] == 403
        assert "data-do" not in (await visitor.get("/alarms", headers=HTML)).text
        await visitor.aclose()
        assert daemon.alarm("camera")["phase"] == "unacknowledged"


@pytest.mark.parametrize(
    ("what", "sent", "status"),
    [
        ("ack", {"id": "camera", "changed_utc_ms": 1}, 409),
        ("ack", {"id": "nothing", "changed_utc_ms": 1}, 409),
        ("ack", {"id": "camera", "changed_utc_ms": "-1"}, 400),
        ("ack", {"id": "camera", "changed_utc_ms": "9" * 400}, 400),
        ("ack", {"id": "camera"}, 400),
        ("shelve", {"id": "camera", "minutes": 481, "why": "x"}, 400),
        ("shelve", {"id": "camera", "minutes": 10_000_000, "why": "x"}, 400),
        ("shelve", {"id": "camera", "minutes": 60, "why": " "}, 400),
        ("shelve", {"id": "camera", "minutes": 60, "why": "a\nb"}, 400),
        ("shelve", {"id": "", "minutes": 60, "why": "x"}, 400),
        ("unshelve", {"id": "camera"}, 409),
        ("unshelve", {}, 400),
    ],
)
async def test_what_cannot_be_meant_or_came_too_late_changes_nothing(
    site: Site, tmp_path: Path, what: str, sent: dict[str, Any], status: int
) -> None:
    async with alarming(tmp_path) as daemon, people_of(site, [{Role.OPERATOR}]) as (operator,):
        daemon.look()
        before = daemon.keeper.told()
        got, body = await said(operator, what, sent)
        assert got == status and body in {words.word("alarms.bad"), words.word("alarms.changed")}
        assert daemon.keeper.told() == before


async def test_without_a_daemon_nothing_is_done_and_the_person_is_told(site: Site, tmp_path: Path) -> None:
    async with people_of(site, [{Role.OPERATOR}]) as (operator,):
        status, body = await said(operator, "ack", {"id": "camera", "changed_utc_ms": 1})
        assert status == 503 and body == words.word("alarms.unreached")
        page = await operator.get("/alarms", headers=HTML)
        assert page.status_code == 503 and words.word("alarms.journal.unreadable") in page.text


def raised(utc_ms: int, kind: Kind, event: Event = Event.RAISED, until: int | None = None) -> Change:
    params = dict.fromkeys(kind.params, "x")
    return Change(
        kind.place, event, Phase.UNACKNOWLEDGED, kind.key, params, str(kind.of(**params)), kind.priority, utc_ms, until,
        utc_ms,
    )  # fmt: skip


async def test_rates_and_shares_are_those_of_what_was_raised_and_shown(site: Site, tmp_path: Path) -> None:
    start = NOW_MS // RATE_MS * RATE_MS
    flood = [raised(start - 5 * RATE_MS + n, Kind.GAP) for n in range(12)]
    changes = [
        raised(start - 40 * DAY_MS, Kind.CAMERA), raised(start - 2 * DAY_MS, Kind.LIGHT), *flood,
        raised(start - 1000, Kind.CAMERA), raised(start - 900, Kind.PLC_VERDICT),
        raised(start - 800, Kind.CAMERA, Event.CLEARED), raised(start - 700, Kind.LIGHT, until=start + 1),
    ]  # fmt: skip
    async with alarming(tmp_path) as daemon:
        daemon.hang()
        await daemon.thread.call(daemon.journal.alarms.note, changes)
        record = await site.records.ask(lambda db: read_record(db, start))
    assert (record.now, record.day, record.most) == (2, 14, 12)
    assert record.by_priority == {"critical": 1, "high": 1, "medium": 12, "low": 1}
    assert record.often[0] == ("gap", 12) and record.journal[0].utc_ms == start - 700
    view = record_view(record)
    assert [rate["state"] for rate in view["rates"]] == ["calm", "calm", "flood"]
    assert [(share["count"], share["share"], share["aim"]) for share in view["shares"]] == [
        (2, "13 %", "5 %"), (12, "80 %", "15 %"), (1, "6 %", "80 %"),
    ]  # fmt: skip


async def test_the_journal_is_bounded_and_never_forgets_how_an_alarm_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inspector.store.alarm_book.KEPT", 50)
    monkeypatch.setattr("inspector.store.alarm_book.TIDIED_EVERY", 10)
    async with alarming(tmp_path) as daemon:
        daemon.hang()
        book = daemon.journal.alarms
        await daemon.thread.call(book.note, [raised(1, Kind.CAMERA)])
        for n in range(40):
            await daemon.thread.call(book.note, [raised(n + 2, Kind.GAP)] * 5)
        lasts = await daemon.thread.call(book.lasts)
        with daemon.journal._database.reading() as db:
            lines = db.execute("SELECT count(*) FROM alarm_changes").get
    assert {change.id for change in lasts} == {"camera", "gap"} and 50 <= lines <= 65


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_what_followed_from_an_alarm_is_not_said_once_it_is_over(language: str) -> None:
    with words.speaking(language):
        stands, ends = (alarm_view(message(Kind.STORE, ending=over)) for over in (False, True))
        over = alarm_view(message(Kind.STORE, phase=Phase.CLEARED))  # and nobody took note of it
    assert stands["consequence"] and ends["consequence"] == over["consequence"] == ""
    assert over["cause"] and over["action"], "what it was, and what to do about it, stays"
    assert ends["phase_text"] == words.read_catalog(language)["alarms.phase.ending"] != stands["phase_text"]

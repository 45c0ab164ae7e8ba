"""The line's audit on the page, and its newest entry as the page notes it."""

from __future__ import annotations

import re
from pathlib import Path

import apsw
import pytest

from inspector.core.chain import Entry, Flaw
from inspector.office.people import RESERVED
from inspector.office.person import Role
from inspector.store import audit
from inspector.store.database import Database
from inspector.store.line_audit import LineAudit, noted_heads
from inspector.web.audits import _entry_view, note_line_head
from inspector.web.present import date_time
from inspector.web.said import actor_in_words
from inspector.web.site import Site
from inspector.web.words import read_catalog, speaking
from tests.support.visitors import HTML, people_of

UTC_MS = 1_790_000_000_000


@pytest.fixture
def record(tmp_path: Path) -> Path:
    return tmp_path / "results.db"


def did(record: Path, *deeds: tuple[str, str, str]) -> None:
    """As the daemon puts them on record."""
    database = Database(record)
    database.open()
    for actor, action, what in deeds:
        LineAudit(database).note(actor, action, what, UTC_MS)
    database.close()


def tamper(record: Path, statement: str) -> None:
    db = apsw.Connection(str(record))
    db.execute("DROP TRIGGER IF EXISTS audit_stays; DROP TRIGGER IF EXISTS audit_remains")
    db.execute(statement)
    db.close()


async def test_an_admin_sees_who_did_what_on_the_line_and_a_deed_without_a_word_is_shown_by_its_name(
    site: Site, record: Path
) -> None:
    did(
        record, ("plc", "plc.self_test", "st1: command 7"), ("Anna", "new.thing", '{"a": "<b>"}'),
        ("Anna", "new.thing.refused", "not now"),
    )  # fmt: skip
    async with people_of(site, [[Role.ADMIN]]) as (browser,):
        text = (await browser.get("/admin/audit?of=line", headers=HTML)).text
        assert "command: self test" in text and "new.thing: refused" in text and "&lt;b&gt;" in text
        assert "logged in" not in text and "logged in" in (await browser.get("/admin/audit", headers=HTML)).text


async def test_the_check_on_the_page_names_the_entry_of_the_line_that_was_changed(site: Site, record: Path) -> None:
    did(record, ("Anna", "force", "1"), ("Anna", "force", "2"))
    async with people_of(site, [[Role.ADMIN]]) as (browser,):
        assert "whole: 2 entries" in (await browser.get("/admin/audit?of=line&check=1", headers=HTML)).text
        tamper(record, "UPDATE audit SET what = '3' WHERE number = 1")
        assert "Entry 1 was changed" in (await browser.get("/admin/audit?of=line&check=1", headers=HTML)).text


async def test_a_line_that_never_ran_has_no_audit_and_the_page_says_so(site: Site) -> None:
    async with people_of(site, [[Role.ADMIN]]) as (browser,):
        answer = await browser.get("/admin/audit?of=line&check=1", headers=HTML)
        assert answer.status_code == 200 and "has not run yet" in answer.text


async def test_the_pages_turn_goes_back_to_the_first_entry(site: Site, record: Path) -> None:
    did(record, *(("Anna", "force", f"deed {n}.") for n in range(1, 250)))
    async with people_of(site, [[Role.ADMIN]]) as (browser,):
        path, seen = "/admin/audit?of=line", list[str]()
        while path:
            text = (await browser.get(path, headers=HTML)).text
            seen += re.findall(r"deed (\d+)\.", text)
            older = re.search(r'href="(/admin/audit\?of=line&amp;before=\d+)"', text)
            path = older[1].replace("&amp;", "&") if older else ""
    assert [int(n) for n in seen] == list(range(249, 0, -1))


async def test_the_page_notes_the_newest_entry_once_and_a_cut_end_is_found_by_it(site: Site, record: Path) -> None:
    did(record, ("Anna", "force", "1"), ("Anna", "force", "2"))
    for _ in range(2):
        await note_line_head(site)
    did(record, ("Anna", "force", "3"))
    await note_line_head(site)
    heads = await site.office.read(noted_heads)
    assert [head.number for head in heads] == [2, 3]
    assert audit.check_file(record, heads)[1] == []
    tamper(record, "DELETE FROM audit WHERE number > 1; UPDATE sqlite_sequence SET seq = 1 WHERE name = 'audit'")
    async with people_of(site, [[Role.ADMIN]]) as (browser,):
        assert "Entries 2 to 3 were removed" in (await browser.get("/admin/audit?of=line&check=1", headers=HTML)).text
    did(record, ("eve", "force", "another"), ("eve", "force", "end"))
    assert audit.check_file(record, heads)[1] == [Flaw("other", 2, 2), Flaw("other", 3, 3)]
    assert (await site.office.read(audit.check))[1] == [], "the page's own audit is whole"


async def test_a_changed_end_is_told_in_the_log_of_the_page(
    site: Site, record: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    did(record, ("Anna", "force", "1"))
    await note_line_head(site)
    tamper(record, "DELETE FROM audit")
    await note_line_head(site)
    assert "the line's audit was changed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("action", "actor", "what", "shown"),
    [
        ("person.roles", "anna", "ben: operator -> ml, quality", ("anna", "ben：操作员 -> 模型, 质量")),
        ("person.disabled", "anna", "quality", ("anna", "quality")),
        ("station.mode", "config", "st1: collect", ("配置", "st1：采集图像：不放行任何零件")),
        ("plc.prepare_recipe", "plc", "st1: command 7, argument 2", ("PLC", "st1：命令 7，参数 2")),
        ("recipe.changeover", "plc", "st1: recipe 2, revision 1, result 1: command 7",
         ("PLC", "st1：配方 2，版本 1，结果 1：命令 7")),
        ("counts.reset", "anna", "st1: from row 12 on: ", ("anna", "st1：从记录 12 起：")),
        ("force.refused", "anna",
         'the station is not Offline: values are forced only while it is {"name": "PASS"}',
         ("anna", "工位不处于离线：只有离线时才能强制数值（数值名称：PASS）")),
        ("reviewed", "page", '{"open": [], "reviewed": [7, 8], "station": "st1"}',
         ("页面", "重新待复核：–，已复核：7，8，工位：st1")),
        ("alarm_shelve", "anna", '{"id": "camera.st1", "minutes": 30, "odd": {"a": [1]}, "sure": true, "why": "{"}',
         ("anna", '报警：camera.st1，分钟：30，odd：{"a": [1]}，sure：是，原因：{')),
        ("hold_lot", "anna", '{"lot": "L-1", "reason": "xx… SHA-256 of all ab12',
         ("anna", '{"lot": "L-1", "reason": "xx… SHA-256 of all ab12')),
    ],
)  # fmt: skip
def test_what_the_line_noted_is_told_in_the_language_of_who_reads(
    action: str, actor: str, what: str, shown: tuple[str, str]
) -> None:
    with speaking("zh"):
        view = _entry_view(Entry(1, 1_790_000_000_000, actor, action, what, "", ""))
    assert (view["actor"], view["what"]) == shown


def test_what_was_sent_with_a_command_is_told_by_name_and_value() -> None:
    sent = '{"changed_utc_ms": 1790000000000, "id": "camera.st1", "lot": "L-2026-47", "accept": false}'
    with speaking("en"):
        told = _entry_view(Entry(1, UTC_MS, "anna", "alarm_ack", sent, "", ""))["what"]
    when = date_time(UTC_MS)
    assert told == f"as it stood at: {when}, alarm: camera.st1, lot: L-2026-47, however many: No"


def test_what_acts_by_itself_has_a_word_and_no_person_may_bear_its_name() -> None:
    keys = {key.removeprefix("audit.by.") for key in read_catalog("en") if key.startswith("audit.by.")}
    assert keys == RESERVED
    with speaking("zh"):
        assert actor_in_words("config") == "配置" and actor_in_words("anna") == "anna"

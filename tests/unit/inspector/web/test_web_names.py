"""Who did something: people by name for who is logged in, and what kind of person it was for everybody else."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from inspector.core.alarm_kinds import Kind as AlarmKind
from inspector.core.alarms import BOX
from inspector.demo.parts import Kind
from inspector.office.person import Role
from inspector.office.settling import NewTruth, Source
from inspector.store.database import Database
from inspector.store.holds import Holds
from inspector.web import who
from inspector.web.alarm_views import alarm_view
from inspector.web.roles import ROUTES, Open
from inspector.web.site import Site
from inspector.web.who import Who
from inspector.web.words import LANGUAGES, speaking, word
from tests.support.alarms import AlarmingDaemon, alarming
from tests.support.labels import undo_last
from tests.support.office import first_admin, make_hashes_cheap, someone
from tests.support.page import page_process, site_in, until
from tests.support.record import Entry, write_record, write_settings
from tests.support.reviewing import said
from tests.support.visitors import HTML, Browser, browser_of

QUALITY, OPERATOR, LEFT = "Wilhelmina", "Zacharias", "Quentin"  # the last one has no account here
NAMES = re.compile(f"{QUALITY}|{OPERATOR}|{LEFT}", re.IGNORECASE)
SCREENS = ("/", "/alarms", "/alarms/list", "/alarms/shelved", "/alarms/record")


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is, roles are read."""
    monkeypatch.setattr(who, "LONGEST_S", 600.0)


@asynccontextmanager
async def two_of(site: Site) -> AsyncIterator[tuple[Browser, Browser]]:
    """A browser that nobody is logged in at, and one of an operator; quality has an account too."""
    await first_admin(site.office)
    await someone(site.office, QUALITY, [Role.QUALITY])
    _, token = await someone(site.office, OPERATOR, [Role.OPERATOR, Role.MAINTENANCE])
    async with browser_of(site) as stranger, browser_of(site) as known:
        known.cookies.set("inspector-local", token)
        yield stranger, known


def hold(run: Path, actor: str) -> None:
    database = Database(run / "results.db")
    database.open()
    Holds(database).enter("L-1", True, actor, "a customer complained", int(time.time() * 1000))
    database.close()


async def reviewed(site: Site, run: Path) -> None:
    """A part that was labelled, labelled otherwise, told of by a complaint, and held."""
    await write_record(run, [Entry(101, Kind.SCRATCH, lot="L-1", serial="S-1")])
    write_settings(run)
    assert site.desk is not None
    labels = site.desk.labels
    await labels.add(said(1, "dent", QUALITY))
    await undo_last(labels, QUALITY)
    await labels.add(said(1, "scratch", LEFT))
    await labels.add_truth(NewTruth("S-1", Source.COMPLAINT, False, QUALITY))
    hold(run, QUALITY)


async def test_the_part_page_says_who_reviewed_and_holds_to_people_who_are_logged_in_alone(
    site: Site, tmp_path: Path
) -> None:
    async with two_of(site) as (stranger, known):
        await reviewed(site, tmp_path)
        whole, bare = [(await browser.get("/part/1", headers=HTML)).text for browser in (known, stranger)]
    assert whole.count(QUALITY) == 5, "label, undo, truth, hold, and who was there"
    assert LEFT in whole and ">anna<" in whole, "who is gone, and who made the recipe"
    assert NAMES.search(bare) is None and "anna" not in bare
    for told in ("scratch", "taken back by quality engineer", "by quality engineer: a customer complained"):
        assert told in bare, "that it was done, and why"
    assert "somebody with an account" in bare, "who is not among the accounts any more"
    assert bare.count('<td class="time">') == whole.count('<td class="time">') == 3, "and when"


async def test_history_and_its_files_hold_no_names(site: Site, tmp_path: Path) -> None:
    async with two_of(site) as (stranger, known):
        await reviewed(site, tmp_path)
        for path in ("/history", "/history?lot=L-1", "/history.csv"):
            for browser in (stranger, known):
                shown = (await browser.get(path)).text
                assert "L-1" in shown and re.search(f"{QUALITY}|{LEFT}", shown) is None, path
        assert NAMES.search((await stranger.get("/history")).text) is None


async def test_storage_with_its_holds_is_for_people_who_are_logged_in(site: Site, tmp_path: Path) -> None:
    assert {rule for (_, path), rule in ROUTES.items() if path.startswith("/storage")}.isdisjoint({Open.LOOK})
    async with two_of(site) as (stranger, known):
        await reviewed(site, tmp_path)
        for path in ("/storage", "/storage/room"):
            assert (await stranger.get(path)).status_code == 401
        assert QUALITY in (await known.get("/storage")).text


async def with_alarms(site: Site, daemon: AlarmingDaemon) -> None:
    """One acknowledged, one shelved, one that itself is what a person did; the page has heard of it."""
    keeper = daemon.keeper
    daemon.look(AlarmKind.GAP)
    daemon.health.warn(AlarmKind.OFFLINE, {"actor": QUALITY})
    keeper.look()
    for method, actor, params in (
        ("alarm_ack", OPERATOR, daemon.seen("camera")),
        ("alarm_shelve", LEFT, {"id": "gap", "minutes": 60, "why": "cable on order"}),
        ("alarm_ack", QUALITY, daemon.seen("offline")),
    ):
        assert (await keeper.handlers()[method](params, actor))["recorded"]  # type: ignore[misc]
    heard = lambda: {a["id"]: a["event"] for a in site.feed.status.get("alarm_list") or []}  # noqa: E731
    await until(lambda: heard() == {"camera": "acknowledged", "gap": "shelved", "offline": "acknowledged"})


@asynccontextmanager
async def alarmed(run: Path) -> AsyncIterator[tuple[Site, str]]:
    """The page, fed by a daemon with such alarms, and its address."""
    site = site_in(run)
    async with alarming(run) as daemon, page_process(site) as origin:
        await with_alarms(site, daemon)
        yield site, origin


async def test_alarms_and_the_line_screen_say_who_acknowledged_and_shelved_to_people_who_are_logged_in_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_hashes_cheap(monkeypatch)
    async with alarmed(tmp_path) as (site, _), two_of(site) as (stranger, known):
        whole, bare = [
            {path: (await browser.get(path, headers=HTML)).text for path in SCREENS} for browser in (known, stranger)
        ]
    assert f"Acknowledged by {OPERATOR}" in whole["/"] and f"offline by {QUALITY}" in whole["/"]
    assert f"{LEFT}: cable on order" in whole["/alarms/shelved"] and LEFT in whole["/alarms/record"]
    for path, text in bare.items():
        assert NAMES.search(text) is None, path
    assert "Acknowledged by operator / maintenance" in bare["/"] and "offline by quality engineer" in bare["/"]
    assert "somebody with an account: cable on order" in bare["/alarms/shelved"]
    record = bare["/alarms/record"]
    assert "<td>operator / maintenance</td>" in record and f"<td>{word('alarms.box')}</td>" in record
    marks = [re.findall(r'data-mark="(\w+)"', text["/"]) for text in (whole, bare)]
    assert marks[0] == marks[1] and len(marks[0]) == 1, "by it a screen knows what it shows, and one stream serves all"


async def test_the_stream_to_every_screen_names_nobody(tmp_path: Path) -> None:
    async with (
        alarmed(tmp_path) as (_, origin),
        Browser(base_url=origin) as stranger,
        stranger.stream("GET", "/events") as stream,
    ):
        seen = ""
        async for text in stream.aiter_text():
            seen += text
            if "event: status" in seen and seen.endswith("\n\n"):
                break
    assert '"camera"' in seen and '"shelved": ["gap"]' in seen and NAMES.search(seen) is None


async def test_an_alarm_of_another_version_keeps_its_log_text_from_strangers() -> None:
    told = {"id": "martian", "key": "martian", "params": {"actor": LEFT}, "cause": f"landed, by {LEFT}"}
    assert LEFT in alarm_view(told)["cause"]
    assert "martian" in alarm_view(told, who=Who({}))["cause"] and LEFT not in str(alarm_view(told, who=Who({})))


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_acts_by_itself_is_told_to_everybody_and_every_role_has_a_word(language: str) -> None:
    with speaking(language):
        assert Who({})("root") == Who()("root") != word("who.somebody")
        assert Who({})(BOX) == word("audit.by.inspector")
        kinds = {Who({LEFT: frozenset({role})})(LEFT) for role in Role}
        assert len(kinds) == len(Role) and word("who.somebody") not in kinds
        assert Who({LEFT: frozenset()})(LEFT) == word("who.somebody")


@pytest.mark.parametrize("hangs", [False, True])
async def test_the_line_screen_comes_without_the_accounts_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hangs: bool
) -> None:
    monkeypatch.setattr(who, "LONGEST_S", 0.05)
    site, let_go = site_in(tmp_path, office=tmp_path / "office"), threading.Event()
    try:
        async with alarming(tmp_path) as daemon, followed(site):
            await with_alarms(site, daemon)
            if hangs:
                site.office.thread.submit(let_go.wait, 600)
            else:
                site.office.path.mkdir(parents=True)  # no file that can be opened
            async with browser_of(site) as stranger:
                shown = await stranger.get("/", headers=HTML)
    finally:
        let_go.set()
        site.close()
    assert shown.status_code == 200 and "Acknowledged by somebody with an account" in shown.text


@asynccontextmanager
async def followed(site: Site) -> AsyncIterator[None]:
    """The feed alone, without the tasks of the page that read accounts too."""
    task = asyncio.create_task(site.feed.run(), name="feed")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

"""The audit of the line: what acts is on record before it is done, and what is done to that record is found."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import apsw
import pytest

from inspector.asking import NoDaemon, ask_daemon
from inspector.bundle import activate
from inspector.changeover import obey, obey_forever
from inspector.compose import Box, open_box
from inspector.config import AppConfig
from inspector.control import QUESTIONS, ControlError, connect_control
from inspector.core.chain import Entry, Flaw
from inspector.core.errors import StoreError
from inspector.store import audit
from inspector.store.database import Database
from inspector.store.line_audit import LONGEST, LineAudit, head_of, head_text, told
from inspector.web.words import LANGUAGES, read_catalog
from plc.commands import CommandRequest
from plc.images import Image
from plc.registers import CTRL, Command, Control
from tests.support.patience import LONG_S
from tests.support.store import store
from tests.support.tiny_bundle import make_bundle, make_key, trusted_key

KEY = make_key()
OUTCOMES = {
    Command.PREPARE_RECIPE: "recipe.changeover",
    Command.UNPREPARE_RECIPE: "recipe.changeover",
    Command.RESET_COUNTERS: "counts.reset",
}


@asynccontextmanager
async def box_in(folder: Path, mode: str = "inspect") -> AsyncIterator[Box]:
    cfg = AppConfig.model_validate(
        {
            "paths": {"state": folder / "state", "run": folder / "run"},
            "plc": {"links": [{"host": "127.0.0.1"}]},
            "stations": [{"id": "st1", "recipes": {1: "a", 2: "b"}, "mode": mode}],
            "camera": {"kind": "rendered"},
            "bundle": {"file": str(folder / "tiny.bundle"), "trusted_keys": [trusted_key(KEY).raw.hex()]},
            "recipes": [{"name": "a"}, {"name": "b", "limits": {"min_confidence": 0.85}}],
        }
    )
    async with open_box(cfg) as box:
        yield box


@pytest.fixture
async def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Box]:
    monkeypatch.setattr(activate, "first_opening", lambda *_: None)
    make_bundle(tmp_path / "tiny.bundle", KEY)
    async with box_in(tmp_path) as made:
        yield made


def entries(folder: Path) -> list[Entry]:
    """Oldest first, as another process reads them from the disk."""
    with audit.reading(folder / "state" / "results.db") as db:
        return audit.newest(db, None, 1000)[::-1]


def told_of(folder: Path, actor: str) -> list[str]:
    return [entry.action for entry in entries(folder) if entry.actor == actor]


def record_of(folder: Path, deeds: int) -> Path:
    """A record with so many deeds in its audit."""
    database = Database(folder / "results.db")
    database.open()
    for n in range(deeds):
        LineAudit(database).note("Anna", "force", str(n), 1000 + n)
    database.close()
    return database.path


async def ask(folder: Path, actor: str, method: str, **params: Any) -> Any:
    async with connect_control(folder / "run" / "control.sock", actor) as control:
        return await control.call(method, params)


async def test_a_start_puts_mode_recipe_and_bundle_on_record_and_the_next_one_only_what_is_another(
    box: Box, tmp_path: Path
) -> None:
    begun = [(e.action, e.what) for e in entries(tmp_path) if e.actor == "config"]
    assert [action for action, _ in begun] == ["recipe.revision", "bundle.active", "recipe.changeover", "station.mode"]
    assert begun[-1] == ("station.mode", "st1: inspect") and "recipe 1, revision 1" in begun[0][1]


async def test_a_mode_that_is_another_after_a_restart_is_on_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activate, "first_opening", lambda *_: None)
    make_bundle(tmp_path / "tiny.bundle", KEY)
    for mode in ("inspect", "inspect", "monitor", "inspect"):
        async with box_in(tmp_path, mode):
            pass
    modes = [e.what for e in entries(tmp_path) if e.action == "station.mode"]
    assert modes == ["st1: inspect", "st1: monitor", "st1: inspect"]
    assert [e.action for e in entries(tmp_path)].count("bundle.active") == 1


async def test_every_command_over_the_control_socket_is_on_record_before_it_is_done(box: Box, tmp_path: Path) -> None:
    seen: dict[str, tuple[str, str, str]] = {}

    def probe(method: str) -> Callable[..., None]:
        def done(*_: object) -> None:
            last = entries(tmp_path)[-1]
            seen[method] = (last.actor, last.action, last.what)

        return done

    commands = {*box.control.commands, "one.that.comes.tomorrow"}
    box.control._handlers = {method: probe(method) for method in commands}
    for method in commands:
        await ask(tmp_path, "Anna", method, part=7)
    assert seen == {method: ("Anna", method, '{"part": 7}') for method in commands}
    assert not any(action.endswith(".refused") for action in told_of(tmp_path, "Anna"))


async def test_every_command_and_every_command_of_the_plc_has_words_on_the_page_of_the_audit(box: Box) -> None:
    actions = box.control.commands | {f"plc.{command.name.lower()}" for command in Command} | {"plc.clear_error"}
    for language in LANGUAGES:
        assert {a for a in actions if f"audit.{a}" not in read_catalog(language)} == set()


async def test_a_question_leaves_nothing_on_record(box: Box, tmp_path: Path) -> None:
    before = entries(tmp_path)
    for method in (*QUESTIONS & frozenset(box.control._handlers), "subscribe"):
        await ask(tmp_path, "web", method)
    assert entries(tmp_path) == before


async def test_a_review_leaves_no_line_in_the_audit_however_often_the_daemon_is_told_of_it(
    box: Box, tmp_path: Path
) -> None:
    before = entries(tmp_path)
    for _ in range(3):
        await ask(tmp_path, "web", "reviewed", reviewed=[1, 2], open=[3])
    with pytest.raises(ControlError):
        await ask(tmp_path, "web", "reviewed", reviewed="all", open=[])
    assert entries(tmp_path) == before


async def test_a_command_that_is_refused_is_on_record_with_the_reason_and_a_bug_without_its_secrets(
    box: Box, tmp_path: Path
) -> None:
    async def not_now(*_: object) -> None:
        raise ControlError("a part is in flight")

    def bug(*_: object) -> None:
        raise ValueError("a secret of ours")

    box.control._handlers = {"force": not_now, "break": bug}
    for method in ("force", "break"):
        with pytest.raises(ControlError):
            await ask(tmp_path, "Anna", method, on=1)
    found = [(e.action, e.what) for e in entries(tmp_path) if e.actor == "Anna"]
    assert found == [
        ("force", '{"on": 1}'), ("force.refused", 'a part is in flight {"on": 1}'),
        ("break", '{"on": 1}'), ("break.refused", 'the daemon failed at it {"on": 1}'),
    ]  # fmt: skip


async def test_what_cannot_be_put_on_record_is_not_done(
    box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StoreError("the disk is full")

    done: list[object] = []
    box.control._handlers = {"force": lambda *_: done.append(1)}
    monkeypatch.setattr(box.shared.journal.audit, "note", full)
    with pytest.raises(ControlError, match="the disk is full"):
        await ask(tmp_path, "Anna", "force")
    (running,) = box.stations
    await obey(CommandRequest(Command.SELF_TEST, 0, 7, 0.0), running)
    await obey(CommandRequest(Command.RESET_COUNTERS, 0, 8, 0.0), running)
    assert done == [] and told_of(tmp_path, "plc") == []


async def test_every_command_of_the_plc_is_on_record(box: Box, tmp_path: Path) -> None:
    (running,) = box.stations
    handshake, ctrl = running.port.handshake, Image(CTRL)

    def told() -> list[tuple[str, str]]:
        return [(e.action, e.what) for e in entries(tmp_path)]

    tasks = [asyncio.create_task(each) for each in (obey_forever(running), running.tell_health_forever())]
    try:
        for id_, command in enumerate((c for c in Command if c is not Command.DEQUEUE_RESULT), 1):
            ctrl["CONTROL"], ctrl["COMMAND"] = int(Control.EXECUTE_COMMAND), int(command)
            ctrl["COMMAND_ARG"], ctrl["COMMAND_ID"] = 1, id_
            handshake._commands.forget_image()
            handshake._commands.see(ctrl, running.shared.clock.monotonic_s(), idle=True)
            running.port.queue_events()
            action, what = f"plc.{command.name.lower()}", f"st1: command {id_}, argument 1"
            async with asyncio.timeout(60):
                while handshake._commands.running is not None or (action, what) not in told():  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            outcome = OUTCOMES.get(command)
            assert outcome is None or outcome in told_of(tmp_path, "plc")
    finally:
        for task in tasks:
            task.cancel()


async def test_an_acknowledgement_by_the_plc_is_on_record(box: Box, tmp_path: Path) -> None:
    (running,) = box.stations
    running.acknowledged()
    await box.shared.journal.alive()
    assert told_of(tmp_path, "plc") == ["plc.clear_error"]


@pytest.mark.parametrize(
    ("statement", "flaw"),
    [
        ("UPDATE audit SET actor = 'eve' WHERE number = 2", Flaw("changed", 2, 2)),
        ("DELETE FROM audit WHERE number = 2", Flaw("removed", 2, 2)),
        ("DELETE FROM audit WHERE number > 3", Flaw("removed", 4, 4)),
        (
            "INSERT INTO audit SELECT number + 1, utc_ms, actor, action, what, before, hash FROM audit"
            " ORDER BY number DESC LIMIT 1",
            Flaw("changed", 5, 5),
        ),
    ],
)
def test_what_is_done_to_the_lines_audit_is_found(tmp_path: Path, statement: str, flaw: Flaw) -> None:
    record = record_of(tmp_path, 4)
    assert audit.check_file(record)[:2] == (4, [])
    db = apsw.Connection(str(record))
    db.execute("DROP TRIGGER audit_stays; DROP TRIGGER audit_remains")
    db.execute(statement)
    db.close()
    assert flaw in audit.check_file(record)[1]


def test_an_end_that_was_cut_off_with_its_counter_is_found_by_a_head_that_was_noted(tmp_path: Path) -> None:
    record = record_of(tmp_path, 4)
    noted = audit.check_file(record)[2]
    db = apsw.Connection(str(record))
    db.execute("DROP TRIGGER audit_remains; DELETE FROM audit WHERE number > 2")
    db.execute("UPDATE sqlite_sequence SET seq = 2 WHERE name = 'audit'")
    db.close()
    assert audit.check_file(record)[1] == []
    assert head_of(head_text(noted)) == noted
    assert audit.check_file(record, [noted])[1] == [Flaw("removed", 3, 4)]


def test_the_parameters_of_a_command_are_kept_bounded_and_told_apart() -> None:
    assert told({}) == "" and told({"b": 1, "a": "ä"}) == '{"a": "ä", "b": 1}'
    one, other = told({"a": "x" * 60_000 + "1"}), told({"a": "x" * 60_000 + "2"})
    assert len(one) < LONGEST + 100 and one != other


@pytest.mark.parametrize("begun", [False, True])
async def test_a_command_that_is_too_late_on_record_is_not_done_and_no_entry_says_that_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: bool
) -> None:
    """begun: its entry is on its way to the disk, and cannot be taken back."""
    stalls, begins = threading.Event(), threading.Event()
    async with store(tmp_path / "results.db") as results:
        journal = results._journal
        monkeypatch.setattr("inspector.store.journal.BEHIND_S", 0.05)
        if begun:
            note, wait = journal.audit.note, journal.until

            def slow(actor: str, action: str, *rest: Any) -> None:
                if not action.endswith("refused"):
                    begins.set()
                    stalls.wait(LONG_S)
                note(actor, action, *rest)

            async def once_it_has_begun(writing: Any, not_after_s: float) -> Any:
                await asyncio.to_thread(begins.wait, LONG_S)
                return await wait(writing, not_after_s)

            monkeypatch.setattr(journal.audit, "note", slow)
            monkeypatch.setattr(journal, "until", once_it_has_begun)
        else:
            journal.submit(stalls.wait, LONG_S)
        with pytest.raises(StoreError, match="so not done"):
            await journal.command("Anna", "hold_lot", {"lot": "A"}, "")
        stalls.set()
        monkeypatch.undo()
        await results.alive()
        with audit.reading(journal.path) as db:
            found = [(entry.action, entry.what) for entry in audit.newest(db, None, 10)][::-1]
    refused = ("hold_lot.refused", 'not on record within 0.05 s, so not done {"lot": "A"}')
    assert found == ([("hold_lot", '{"lot": "A"}'), refused] if begun else [])


async def test_who_had_no_answer_in_time_hears_that_it_may_be_done_all_the_same(
    box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And so it is: the daemon goes on with what it was asked, and a second hold would be refused."""
    socket, over, done = tmp_path / "run" / "control.sock", asyncio.Event(), asyncio.Event()
    hold, patience = box.control._handlers["hold_lot"], asyncio.timeout(None)
    monkeypatch.setattr("inspector.asking.asyncio", SimpleNamespace(timeout=lambda _: patience))

    async def slow(params: Any, actor: str) -> Any:
        patience.reschedule(asyncio.get_running_loop().time())  # it is asked, and whoever asked waits no longer
        await over.wait()
        found = await hold(params, actor)
        done.set()
        return found

    box.control._handlers = {"hold_lot": slow}
    with pytest.raises(NoDaemon, match="not known whether it does what was asked"):
        await ask_daemon(socket, "Anna", "hold_lot", {"lot": "A", "reason": "complaint"})
    monkeypatch.undo()
    over.set()
    await done.wait()
    assert box.shared.journal.holds.lots == {"A"}
    with pytest.raises(NoDaemon) as nobody:
        await ask_daemon(tmp_path / "nobody.sock", "Anna", "hold_lot", {})
    assert "not known" not in str(nobody.value)

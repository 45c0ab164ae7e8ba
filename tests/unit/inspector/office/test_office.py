"""People, their passwords and their sessions, on a real database."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import apsw
import pytest

from inspector.core.errors import StoreError
from inspector.office import passwords, people, sessions
from inspector.office.office import Office
from inspector.office.person import Role
from inspector.office.refused import Refused
from inspector.store import audit
from tests.support.office import PASSWORD, Clock, OfficeInTest, first_admin, someone
from tests.support.patience import LONG_S

HERE = "10.0.0.1"


async def refusal(doing: object) -> str:
    with pytest.raises(Refused) as caught:
        await doing  # type: ignore[misc]
    return caught.value.key


def content_of(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir())


async def test_a_new_box_has_no_password_and_the_code_of_its_log_makes_one_admin(office: OfficeInTest) -> None:
    code = await office.first_code()
    assert code is not None and code == await office.first_code()
    for name in ("admin", "Anna", "root"):
        assert await refusal(office.log_in(name, name, f"of {name}")) == "login.wrong"
    assert await refusal(office.begin_first("AAAA-AAAA-AAAA-AAAA", "Anna", PASSWORD, HERE)) == "first.badcode"
    token = await office.begin_first(code.lower().replace("-", " "), "Anna", PASSWORD, HERE)
    person = await office.visitor(token)
    assert person is not None and person.roles == {Role.ADMIN}
    assert await office.first_code() is None
    assert await refusal(office.begin_first(code, "Eve", PASSWORD, HERE)) == "first.over"


async def test_of_two_first_admins_at_once_one_is_made(office: OfficeInTest) -> None:
    code = await office.first_code() or ""
    both = [office.begin_first(code, name, PASSWORD, HERE) for name in ("Anna", "Eve")]
    results = await asyncio.gather(*both, return_exceptions=True)
    assert sorted(type(r).__name__ for r in results) == ["Refused", "str"]
    assert len(await office.read(people.everyone)) == 1


async def test_of_two_who_use_a_one_time_code_at_once_one_chooses_the_password(office: OfficeInTest) -> None:
    await first_admin(office)
    _, code = await office.add("Anna", "otto", [])
    both = [office.choose_password("otto", code, f"{who} {PASSWORD}", f"of {who}") for who in ("otto", "eve")]
    results = await asyncio.gather(*both, return_exceptions=True)
    assert sorted(type(r).__name__ for r in results) == ["Refused", "str"]


@pytest.mark.parametrize(
    ("password", "key"),
    [
        ("", "password.short"), ("elevenchars", "password.short"), ("anna", "password.short"),
        ("annaannaanna", "password.name"), ("ANNA12345678", "password.name"), ("x" * 257, "password.long"),
    ],
)  # fmt: skip
async def test_a_password_is_long_and_is_not_the_name(office: OfficeInTest, password: str, key: str) -> None:
    code = await office.first_code() or ""
    assert await refusal(office.begin_first(code, "Anna", password, HERE)) == key
    assert await office.first_code() == code


@pytest.mark.parametrize("name", ["", " ", "plc", "Web", "a b", "a\nb", "<b>", "x" * 33, ".hidden", "../x"])
async def test_a_name_that_could_mislead_is_refused(office: OfficeInTest, name: str) -> None:
    assert await refusal(office.begin_first(await office.first_code() or "", name, PASSWORD, HERE)) == "people.badname"


async def test_a_log_in_is_a_new_session_each_time_and_log_out_ends_only_it(office: OfficeInTest) -> None:
    first = await first_admin(office)
    second = await office.log_in("ANNA", PASSWORD, HERE)
    assert first != second and len(second) >= 43
    await office.log_out(second, "Anna")
    assert await office.visitor(second) is None and await office.visitor(first) is not None


async def test_the_database_holds_neither_password_nor_token_nor_code(office: OfficeInTest, tmp_path: Path) -> None:
    token = await first_admin(office)
    _, code = await office.add("Anna", "Boris", [])
    content = content_of(tmp_path)
    assert b"Boris" in content
    for secret in (PASSWORD, token, code):
        assert secret.encode() not in content


async def test_a_wrong_password_and_a_name_that_is_not_there_look_the_same(
    office: OfficeInTest, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await first_admin(office)
    seen: list[str] = []
    monkeypatch.setattr("inspector.office.office.is_password", lambda _, hashed: bool(seen.append(hashed)))
    for name in ("Anna", "Nobody"):
        assert await refusal(office.log_in(name, "wrong wrong wrong", f"of {name}")) == "login.wrong"
    assert len(seen) == 2 and all(hashed.startswith("$argon2id$") for hashed in seen)


async def test_a_name_that_is_not_there_takes_the_same_writes_to_the_disk_as_one_that_is(
    office: OfficeInTest,
) -> None:
    """An entry in the audit waits for the disk: where only known names got one, the time told who is known."""
    await first_admin(office)
    for n, failing in enumerate([office.log_in, partial(office.choose_password, code="AAAA")]):
        grown: list[int] = []
        for name in ("Anna", "Nobody"):
            before, _ = await office.read(audit.check)
            await refusal(failing(name, password="wrong wrong wrong", address=f"of {name} {n}"))
            grown.append((await office.read(audit.check))[0] - before)
        assert grown == [1, 1]
    assert "Nobody" not in {entry.actor for entry in await office.read(audit.newest, None, 50)}


async def test_wrong_passwords_wait_longer_each_time_and_a_right_one_gets_in_after_the_wait(
    office: OfficeInTest, clock: Clock
) -> None:
    await first_admin(office)
    for _ in range(3):
        assert await refusal(office.log_in("Anna", "wrong", HERE)) == "login.wrong"
    assert await refusal(office.log_in("Anna", PASSWORD, HERE)) == "login.wait"
    assert await refusal(office.log_in("Anna", PASSWORD, "10.9.9.9")) == "login.wait", "per account"
    clock.pass_s(1.0)
    assert await office.visitor(await office.log_in("Anna", PASSWORD, HERE)) is not None


@pytest.mark.parametrize("door", ["first start", "one-time code", "own password"])
async def test_whoever_guesses_at_another_door_waits_there_too(office: OfficeInTest, clock: Clock, door: str) -> None:
    right = await office.first_code() or ""
    if door == "first start":
        tried: Any = partial(office.begin_first, name="Anna", password=PASSWORD, address=HERE)
    else:
        await first_admin(office)
        if door == "one-time code":
            _, right = await office.add("Anna", "Boris", [])
            tried = partial(office.choose_password, "Boris", password=PASSWORD, address=HERE)
        else:
            anna, right = await office.visitor(await office.log_in("Anna", PASSWORD, "of Anna")), PASSWORD
            assert anna is not None
            tried = partial(office.change_password, anna, new="another good password", address=HERE)
    guessed = "old" if door == "own password" else "code"
    for _ in range(3):
        assert await refusal(tried(**{guessed: "wrong"})) != "login.wait"
    assert await refusal(tried(**{guessed: right})) == "login.wait"
    clock.pass_s(1.0)
    assert await office.visitor(await tried(**{guessed: right})) is not None


@pytest.mark.parametrize("change", ["roles", "disabled", "password", "code"])
async def test_a_session_ends_at_once_when_what_it_stood_on_changes(office: OfficeInTest, change: str) -> None:
    await first_admin(office)
    no, token = await someone(office, "Boris", [Role.OPERATOR])
    person = await office.visitor(token)
    assert person is not None
    other = await office.log_in("Boris", PASSWORD, HERE)
    match change:
        case "roles":
            await office.set_roles("Anna", no, [Role.QUALITY])
        case "disabled":
            await office.set_disabled("Anna", no, True)
        case "password":
            newest = await office.change_password(person, PASSWORD, "another good password", HERE)
            assert await office.visitor(newest) is not None
        case "code":
            await office.reset_password("Anna", no)
    assert await office.visitor(token) is None and await office.visitor(other) is None


async def test_who_is_disabled_cannot_log_in_until_enabled(office: OfficeInTest) -> None:
    await first_admin(office)
    no, _ = await someone(office, "Boris", [])
    await office.set_disabled("Anna", no, True)
    assert await refusal(office.log_in("Boris", PASSWORD, HERE)) == "login.wrong"
    await office.set_disabled("Anna", no, False)
    assert await office.visitor(await office.log_in("Boris", PASSWORD, HERE)) is not None


async def test_roles_that_change_while_a_password_is_checked_give_no_session_to_who_was_disabled(
    office: OfficeInTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    await first_admin(office)
    no, _ = await someone(office, "Boris", [])
    real = office._hashing.call

    async def slow(*arguments: object) -> object:
        found = await real(*arguments)  # type: ignore[arg-type]
        await office.set_disabled("Anna", no, True)
        return found

    monkeypatch.setattr(office._hashing, "call", slow)
    assert await refusal(office.log_in("Boris", PASSWORD, HERE)) == "login.wrong"


async def test_a_one_time_code_works_once_and_for_a_day(office: OfficeInTest, clock: Clock) -> None:
    await first_admin(office)
    _, code = await office.add("Anna", "Boris", [Role.ML])
    assert await refusal(office.log_in("Boris", code, HERE)) == "login.wrong", "a code is no password"
    assert await refusal(office.choose_password("Boris", code, "short", HERE)) == "password.short"
    await office.choose_password("boris", code.lower(), PASSWORD, HERE)
    assert await refusal(office.choose_password("Boris", code, "yet another password", HERE)) == "login.badcode"
    _, late = await office.add("Anna", "Cleo", [])
    clock.pass_s(24 * 3600)
    assert await refusal(office.choose_password("Cleo", late, PASSWORD, HERE)) == "login.badcode"
    clock.pass_s(-25 * 3600)
    clock.mono_s += 25 * 3600 + 60  # of the delay's own clock, which is never set
    assert await refusal(office.choose_password("Cleo", late, PASSWORD, HERE)) == "login.badcode", "nor set back"


async def test_the_last_admin_stays_and_a_second_one_frees_the_first(office: OfficeInTest) -> None:
    await first_admin(office)
    assert await refusal(office.set_roles("Anna", 1, [Role.QUALITY])) == "people.lastadmin"
    assert await refusal(office.set_disabled("Anna", 1, True)) == "people.lastadmin"
    assert await refusal(office.reset_password("Anna", 1)) == "people.lastadmin"
    _, code = await office.add("Anna", "Boris", [Role.ADMIN])
    assert await refusal(office.set_disabled("Anna", 1, True)) == "people.lastadmin", "Boris has no password yet"
    await office.choose_password("Boris", code, PASSWORD, HERE)
    await office.set_disabled("Boris", 1, True)
    assert await refusal(office.add("Boris", "BORIS", [])) == "people.taken"
    assert await refusal(office.set_roles("Boris", 99, [])) == "people.unknown"


async def test_every_deed_is_on_record_and_what_was_refused_is_not(office: OfficeInTest) -> None:
    await first_admin(office)
    no, _ = await someone(office, "Boris", [Role.OPERATOR])
    await office.set_roles("Anna", no, [Role.OPERATOR, Role.ML])
    await office.set_roles("Anna", no, [Role.OPERATOR, Role.ML])
    token = await office.log_in("Boris", PASSWORD, HERE)
    await refusal(office.set_disabled("Anna", 1, True))
    await refusal(office.log_in("Boris", "wrong", HERE))
    await refusal(office.log_in("Nobody", "wrong", HERE))
    boris = await office.visitor(token)
    assert boris is not None
    await refusal(office.change_password(boris, "wrong", "another good password", HERE))
    entries = [(e.actor, e.action, e.what) for e in reversed(await office.read(audit.newest, None, 50))]
    assert entries == [
        ("page", "person.first", "Anna: admin"),
        ("Anna", "person.added", "Boris: operator"),
        ("Boris", "password.chosen", "Boris"),
        ("Anna", "person.roles", "Boris: operator -> ml, operator"),
        ("Boris", "login", HERE),
        ("Boris", "login.failed", HERE),
        ("page", "login.failed", HERE),
        ("Boris", "login.failed", HERE),
    ]
    assert await office.read(audit.check) == (8, [])


async def test_a_subject_with_tables_of_its_own_reads_and_writes_beside(office: OfficeInTest) -> None:
    def on_the_thread() -> None:
        with office.transaction() as db:
            db.execute("CREATE TABLE notes (text TEXT)")

    await office.thread.call(on_the_thread)

    def write_and_fail(db: object) -> None:
        db.execute("INSERT INTO notes VALUES ('lost')")  # type: ignore[attr-defined]
        raise Refused("people.unknown")

    assert await refusal(office.write(write_and_fail)) == "people.unknown"
    assert await office.read(lambda db: list(db.execute("SELECT * FROM notes"))) == []


async def test_a_full_disk_throws_nobody_out(
    office: OfficeInTest, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is to make room there needs the page."""
    token = await first_admin(office)

    def full(*_: object) -> None:
        raise apsw.FullError("database or disk is full")

    monkeypatch.setattr(sessions, "touch", full)
    clock.pass_s(120)
    person = await office.visitor(token)
    assert person is not None and person.name == "Anna"
    clock.pass_s(1800)
    assert await office.visitor(token) is None, "their session ends of idleness, as nothing could be written down"


async def test_a_folder_that_cannot_be_written_is_an_error_now_and_works_when_it_can_be(tmp_path: Path) -> None:
    blocked = tmp_path / "place"
    blocked.write_text("a file where the folder should be")
    office = Office(blocked / "office.db")
    with pytest.raises(StoreError):
        await office.first_code()
    blocked.unlink()
    assert await office.first_code() is not None
    office.close()


async def test_at_most_two_hashes_run_at_once_and_who_comes_when_many_wait_is_told() -> None:
    import threading
    import time

    hashing, running, begun, most, lock = passwords.Hashing(), 0, 0, 0, threading.Lock()
    together = threading.Barrier(passwords.AT_ONCE)

    def hash_() -> None:
        nonlocal running, begun, most
        with lock:
            running, begun = running + 1, begun + 1
            most, first = max(most, running), begun <= passwords.AT_ONCE
        if first:
            together.wait(LONG_S)
        time.sleep(0.01)
        with lock:
            running -= 1

    calls = [hashing.call(hash_) for _ in range(passwords.AT_ONCE + passwords.MOST_WAITING + 5)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    hashing.close()
    assert most == passwords.AT_ONCE
    assert [r.key for r in results if isinstance(r, Refused)] == ["login.busy"] * 5


def test_the_hash_is_argon2id_at_the_cost_that_owasp_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    hashed = passwords.hash_password(PASSWORD)
    assert hashed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert passwords.is_password(PASSWORD, hashed) and not passwords.is_password(PASSWORD + "x", hashed)
    assert not passwords.is_password("", "nonsense")
    endless = "x" * (4 * passwords.MAX_LENGTH + 1)
    assert not passwords.is_password(endless, passwords.hash_password(endless)), "refused before it is looked at"


def test_the_token_of_forms_does_not_tell_that_of_the_session() -> None:
    token = sessions.new_token()
    assert sessions.is_csrf(token, sessions.csrf_of(token)) and token not in sessions.csrf_of(token)
    for wrong in ("", "ü", sessions.csrf_of(sessions.new_token())):
        assert not sessions.is_csrf(token, wrong)

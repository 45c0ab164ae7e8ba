"""The audit's chain: whatever is done to it later is found, and named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.core.chain import NO_HEAD, Entry, Flaw, Head, flaws, following, hash_of
from inspector.core.errors import StoreError
from inspector.office.schema import STEPS
from inspector.store import audit
from inspector.store.database import Database


def chain_of(length: int) -> list[Entry]:
    entries, head = [], NO_HEAD
    for n in range(length):
        entries.append(following(head, 1000 * n, "anna", "person.added", f"person {n}"))
        head = Head(entries[-1].number, entries[-1].hash)
    return entries


def rewritten(entry: Entry, **changes: object) -> Entry:
    """As someone would who knows how the hash is made."""
    made = replace(entry, **changes)  # type: ignore[arg-type]
    own = hash_of(made.number, made.utc_ms, made.actor, made.action, made.what, made.before)
    return replace(made, hash=own)


def found(entries: list[Entry], written: int, noted: Head | None = None) -> list[Flaw]:
    return list(flaws(entries, written, () if noted is None else (noted,)))


@given(st.integers(0, 12))
def test_a_chain_that_nobody_touched_is_whole(length: int) -> None:
    entries = chain_of(length)
    assert found(entries, length) == []
    for entry in entries:
        assert found(entries, length, Head(entry.number, entry.hash)) == []


@given(st.integers(1, 10).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n - 1))), st.data())
def test_a_changed_field_of_any_entry_is_found_and_its_number_told(at: tuple[int, int], data: st.DataObject) -> None:
    length, index = at
    entries = chain_of(length)
    field = data.draw(st.sampled_from(["utc_ms", "actor", "action", "what", "before", "hash"]))
    was = getattr(entries[index], field)
    entries[index] = replace(entries[index], **{field: was + 1 if field == "utc_ms" else was[1:] + "0x"})
    assert Flaw("changed", index + 1, index + 1) in found(entries, length)


@given(st.integers(2, 10).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n - 2))))
def test_an_entry_rewritten_with_its_own_hash_is_found_by_the_one_after_it(at: tuple[int, int]) -> None:
    length, index = at
    entries = chain_of(length)
    entries[index] = rewritten(entries[index], what="somebody else")
    assert found(entries, length) == [Flaw("replaced", index + 1, index + 1)]


@given(st.integers(1, 12).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(1, n), min_size=1))))
def test_whatever_is_removed_is_told_by_number_also_from_the_end(at: tuple[int, set[int]]) -> None:
    length, gone = at
    told = found([e for e in chain_of(length) if e.number not in gone], length)
    assert {n for flaw in told for n in range(flaw.first, flaw.last + 1) if flaw.kind == "removed"} == gone


def test_an_inserted_entry_is_found() -> None:
    entries = chain_of(3)
    extra = rewritten(entries[1], what="never happened")
    later = [rewritten(e, number=e.number + 1) for e in entries[1:]]
    assert found([entries[0], extra, *later], 4)[0] == Flaw("replaced", 2, 2)


def test_a_chain_written_anew_from_some_entry_on_is_found_by_a_head_that_was_noted() -> None:
    honest, entries, head = chain_of(5), chain_of(2), NO_HEAD
    for _ in range(3):
        head = Head(entries[-1].number, entries[-1].hash)
        entries.append(following(head, 9, "mallory", "person.added", "himself"))
    assert found(entries, 5) == []
    noted = Head(honest[3].number, honest[3].hash)
    assert found(entries, 5, noted) == [Flaw("other", 4, 4)]
    assert found(honest[:2], 2, noted) == [Flaw("removed", 3, 4)]


@contextmanager
def written(path: Path, entries: int) -> Iterator[Database]:
    database = Database(path, steps=STEPS)
    database.open()
    try:
        for n in range(entries):
            with database.transaction() as db:
                audit.append(db, 1000 + n, "anna", "person.added", f"person {n}")
        yield database
    finally:
        database.close()


def tampered(path: Path, *statements: str) -> list[Flaw]:
    with written(path, 5):
        pass
    db = apsw.Connection(str(path))
    db.execute("DROP TRIGGER audit_stays; DROP TRIGGER audit_remains")
    for statement in statements:
        db.execute(statement)
    db.close()
    return audit.check_file(path)[1]


@pytest.mark.parametrize(
    ("statement", "flaw"),
    [
        ("UPDATE audit SET actor = 'eve' WHERE number = 3", Flaw("changed", 3, 3)),
        ("UPDATE audit SET utc_ms = utc_ms - 1 WHERE number = 1", Flaw("changed", 1, 1)),
        ("DELETE FROM audit WHERE number = 2", Flaw("removed", 2, 2)),
        ("DELETE FROM audit WHERE number > 3", Flaw("removed", 4, 5)),
        ("DELETE FROM audit", Flaw("removed", 1, 5)),
    ],
)
def test_what_is_done_to_the_table_itself_is_found(tmp_path: Path, statement: str, flaw: Flaw) -> None:
    assert tampered(tmp_path / "office.db", statement) == [flaw]


def test_the_database_refuses_to_change_or_remove_an_entry(tmp_path: Path) -> None:
    with written(tmp_path / "office.db", 2) as database:
        for statement in ("UPDATE audit SET what = ''", "DELETE FROM audit"):
            with pytest.raises(StoreError, match="audit"):
                _execute(database, lambda db, statement=statement: db.execute(statement))


def _execute(database: Database, do: Callable[[apsw.Connection], object]) -> None:
    with database.transaction() as db:
        do(db)


def test_the_check_reads_beside_the_page_that_writes_and_tells_the_head(tmp_path: Path) -> None:
    with written(tmp_path / "office.db", 3) as database:
        counted, flaws_found, head = audit.check_file(tmp_path / "office.db")
        with database.reading() as db:
            assert (counted, flaws_found, head) == (3, [], audit.head(db))
    with pytest.raises(StoreError):
        audit.check_file(tmp_path / "none.db")

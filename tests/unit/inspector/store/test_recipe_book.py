"""Recipe revisions only grow and never change, whatever interrupts; MODEL_REV counts what has judged."""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inspector.core.errors import RecipeError, StoreBroken, StoreError
from inspector.recipes import Recipe, RecipeContent, Revision, recipe_of
from inspector.store import recipe_book
from inspector.store.database import Database
from inspector.store.migrations import STEPS
from inspector.store.recipe_book import RecipeBook
from tests.support.disks import LossyDisk, Op, mounted, quick_folder
from tests.support.recipes import contents

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[4]
ONE, OTHER = RecipeContent("one"), RecipeContent("other", camera={"gain": 2.0})


@contextmanager
def book(path: Path, vfs: str | None = None) -> Iterator[RecipeBook]:
    database = Database(path, vfs=vfs)
    database.open()
    try:
        yield RecipeBook(database)
    finally:
        database.close()


def take(recipes: RecipeBook, content: RecipeContent, number: int = 1, utc_ms: int = 5) -> Revision:
    return recipes.take(number, content, actor="config", reason="test", utc_ms=utc_ms)


def count(recipes: RecipeBook, revision: Revision, bundle_id: str = "disc-1-ab", text: str = "{}") -> int:
    return recipes.model_rev(bundle_id, recipe_of(revision, None), text, 5)


def test_the_same_content_is_the_same_revision_and_a_difference_makes_the_next(path):
    with book(path) as recipes:
        first = take(recipes, ONE, utc_ms=1)
        assert (first.revision, first.actor, first.reason, first.created_utc_ms) == (1, "config", "test", 1)
        assert take(recipes, ONE, utc_ms=2) == first
        assert take(recipes, OTHER).revision == 2
        assert take(recipes, ONE).revision == 3, "what was before is a new decision too"
    with book(path) as recipes:
        assert take(recipes, ONE).revision == 3, "a restart changes nothing"
        assert [r.content for r in recipes.revisions(1)] == [ONE, OTHER, ONE]


def test_each_recipe_number_counts_for_itself(path):
    with book(path) as recipes:
        assert [take(recipes, ONE, number=n).revision for n in (1, 2, 65_535)] == [1, 1, 1]
        assert take(recipes, OTHER, number=2).revision == 2
        assert len(recipes.revisions(1)) == 1


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(1, 3), contents(), st.booleans()), max_size=12))
def test_whatever_is_taken_revisions_only_grow_and_never_change(steps):
    """Against a model of one list a number; now and then the process ends and another begins."""
    model: dict[int, list[Revision]] = {1: [], 2: [], 3: []}
    with quick_folder() as folder, contextlib.ExitStack() as life:
        recipes = life.enter_context(book(folder / "results.db"))
        for number, content, ends in steps:
            if ends:
                life.close()
                recipes = life.enter_context(book(folder / "results.db"))
            taken = take(recipes, content, number, utc_ms=len(model[number]))
            if not model[number] or model[number][-1].content != content:
                model[number].append(taken)
            assert taken == model[number][-1]
            assert {n: list(recipes.revisions(n)) for n in model} == model
            for revisions in model.values():
                assert [r.revision for r in revisions] == list(range(1, len(revisions) + 1))


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 3), st.sampled_from("xy"), st.booleans()), max_size=20)
)
def test_model_rev_counts_pairs_from_one_and_gives_a_known_pair_its_own_number(steps):
    known: dict[tuple[str, int, str], int] = {}
    with quick_folder() as folder, contextlib.ExitStack() as life:
        recipes = life.enter_context(book(folder / "results.db"))
        revisions = [take(recipes, RecipeContent(str(n))) for n in range(3)]
        for bundle_id, revision, text, ends in steps:
            if ends:
                life.close()
                recipes = life.enter_context(book(folder / "results.db"))
            got = count(recipes, revisions[revision - 1], bundle_id, text)
            assert got == known.setdefault((bundle_id, revision, text), len(known) + 1)


def test_model_rev_never_wraps_and_says_so(path, monkeypatch):
    monkeypatch.setattr(recipe_book, "MAX_MODEL_REV", 2)
    with book(path) as recipes:
        revision = take(recipes, ONE)
        assert [count(recipes, revision, b) for b in "abab"] == [1, 2, 1, 2]
        with pytest.raises(RecipeError, match="no number left"):
            count(recipes, revision, "c")
        assert count(recipes, revision, "b") == 2


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE recipe_revisions SET content = '{}'",
        "UPDATE recipe_revisions SET revision = 9",
        "DELETE FROM recipe_revisions",
        "INSERT INTO recipe_revisions VALUES (1, 4, '{}', 0, 'a', 'r')",
        "INSERT OR REPLACE INTO recipe_revisions VALUES (1, 1, '{}', 0, 'a', 'r')",
        "UPDATE model_revs SET bundle_id = 'x'",
        "DELETE FROM model_revs",
        "INSERT INTO model_revs VALUES (7, 'b', 1, 1, '{}', 0)",
        "INSERT OR REPLACE INTO model_revs VALUES (1, 'b', 1, 1, '{}', 0)",
    ],
)
def test_the_database_itself_keeps_what_is_written(path, statement):
    with book(path) as recipes:
        count(recipes, take(recipes, ONE))
        with pytest.raises(StoreBroken), recipes._database.transaction() as db:
            db.execute(statement)
    with book(path) as recipes:
        assert [r.content for r in recipes.revisions(1)] == [ONE]
        assert count(recipes, recipes.revisions(1)[0]) == 1


def test_a_revision_that_this_version_cannot_read_is_an_error_and_not_a_guess(path):
    with book(path) as recipes, recipes._database.transaction() as db:
        db.execute("INSERT INTO recipe_revisions VALUES (1, 1, '{\"name\": \"a\", \"later\": 1}', 0, 'a', 'r')")
    with book(path) as recipes, pytest.raises(StoreError, match="recipe 1, revision 1"):
        take(recipes, ONE)


def test_a_record_of_the_version_before_gets_the_book_and_keeps_its_rows(path):
    old = apsw.Connection(str(path))
    with old:
        old.execute(STEPS[0])
        old.pragma("user_version", 1)
        old.execute("INSERT INTO boots (started_utc_ms) VALUES (77)")
    old.close()
    with book(path) as recipes:
        assert take(recipes, ONE).revision == 1
        with recipes._database.reading() as db:
            assert db.execute("SELECT started_utc_ms FROM boots").get == 77


def test_a_power_cut_at_any_write_leaves_the_old_revision_or_the_new(path):
    """Every operation of the disk is cut once, between the first revision and the next, and again for MODEL_REV."""
    disk = LossyDisk()
    with mounted(disk), book(path, disk.name) as recipes:
        first = take(recipes, ONE)
        assert count(recipes, first) == 1
        begin = len(disk.ops)
        second = take(recipes, OTHER)
        disk.ops.append(Op("acknowledged"))
        taken = len(disk.ops)
        assert count(recipes, second) == 2
        disk.ops.append(Op("acknowledged"))
    luck = random.Random(2)
    seen = set()
    for cut in range(begin, len(disk.ops) + 1):
        with quick_folder() as folder:
            disk.cut(cut, folder, luck)
            with book(folder / "results.db") as recipes:
                found = recipes.revisions(1)
                assert found in ((first,), (first, second))
                assert len(found) == 2 or cut < taken, "an acknowledged revision is there"
                assert count(recipes, first) == 1
                if cut == len(disk.ops):
                    assert count(recipes, second) == 2, "an acknowledged number is there"
                seen.add(len(found))
    assert seen == {1, 2}, "the cuts met both"


_WRITER = """
import sys
from pathlib import Path
from tests.unit.inspector.store.test_recipe_book import book, count, take
from inspector.logs import log_json
from inspector.recipes import RecipeContent
log_json()  # the log of the audit is not what it says
with book(Path(sys.argv[1])) as recipes:
    for n in range(60_000):
        revision = take(recipes, RecipeContent("disc", camera={"gain": float(n), "life": float(sys.argv[2])}))
        print(revision.revision, count(recipes, revision), flush=True)
"""


def test_every_acknowledged_revision_survives_kill_9_at_any_moment(tmp_path):
    path, luck = tmp_path / "results.db", random.Random()  # any moment
    acknowledged: list[tuple[int, int]] = []
    for life in range(3):
        command = [sys.executable, "-c", _WRITER, str(path), str(life)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert child.stdout is not None
        lines = [child.stdout.readline()]
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=luck.uniform(0.02, 0.3))
        child.send_signal(signal.SIGKILL)
        lines += child.stdout.read().split("\n")[:-1]
        child.wait()
        child.stdout.close()
        acknowledged += [(int(a), int(b)) for a, b in (line.split() for line in lines)]
        with book(path) as recipes:
            found = recipes.revisions(1)
            assert [r.revision for r in found] == list(range(1, len(found) + 1))
            numbers = [a for a, _ in acknowledged]
            assert numbers == sorted(set(numbers)) and numbers[-1] <= len(found)
            assert [count(recipes, found[a - 1]) for a, _ in acknowledged] == [b for _, b in acknowledged]


def test_two_bundles_with_one_id_that_differ_in_anything_have_two_numbers(path):
    with book(path) as recipes:
        revision = take(recipes, ONE)
        recipe: Recipe = replace(recipe_of(revision, None), name="x")
        assert [recipes.model_rev("disc-1-ab", recipe, t, 1) for t in ("one", "two", "one")] == [1, 2, 1]

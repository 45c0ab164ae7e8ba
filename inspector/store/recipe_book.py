"""The recipes as they were and are: revisions only grow and never change; MODEL_REV counts what has judged."""

from __future__ import annotations

from collections.abc import Iterator

import apsw

from inspector.core.errors import RecipeError, StoreError
from inspector.recipes import Recipe, RecipeContent, Revision
from inspector.store import audit
from inspector.store.database import Database

MAX_MODEL_REV = 0xFFFF  # a register


class RecipeBook:
    """Blocking; every call on the store's thread. Every method raises StoreError; nothing is there that no commit took.

    Tables of results.db, beside the rows that name them; the database itself refuses to change or skip a revision.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def revisions(self, number: int) -> tuple[Revision, ...]:
        """All of one recipe, oldest first."""
        with self._database.reading() as db:
            return tuple(_read(db, "WHERE number = ? ORDER BY revision", (number,)))

    def take(self, number: int, content: RecipeContent, *, actor: str, reason: str, utc_ms: int) -> Revision:
        """The newest revision where it says the same as `content`; else a new one that does."""
        with self._database.transaction() as db:
            newest = next(_read(db, "WHERE number = ? ORDER BY revision DESC LIMIT 1", (number,)), None)
            if newest is not None and newest.content == content:
                return newest
            revision = 1 if newest is None else newest.revision + 1
            db.execute(
                "INSERT INTO recipe_revisions (number, revision, content, created_utc_ms, actor, reason)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (number, revision, content.to_json(), utc_ms, actor, reason),
            )
            audit.append(db, utc_ms, actor, "recipe.revision", f"recipe {number}, revision {revision}: {reason}")
        return Revision(number, revision, content, utc_ms, actor, reason)

    def model_rev(self, bundle_id: str, recipe: Recipe, settings: str, utc_ms: int) -> int:
        """MODEL_REV of this bundle with this recipe revision: the number it has, or the next one, from 1.

        settings: recipes.settings_of; kept, so that what judged a row can be looked up. Two bundles that share an id
        and differ in anything get two numbers. Raises RecipeError: the register's 65535 numbers are used up.
        """
        key = (bundle_id, recipe.number, recipe.revision, settings)
        with self._database.transaction() as db:
            known = db.execute(
                "SELECT model_rev FROM model_revs WHERE (bundle_id, recipe, recipe_revision, settings) = (?, ?, ?, ?)",
                key,
            ).get
            if known is not None:
                return int(known)
            number = 1 + int(db.execute("SELECT coalesce(max(model_rev), 0) FROM model_revs").get)
            if number > MAX_MODEL_REV:
                raise RecipeError(f"{MAX_MODEL_REV} models and recipes have judged here: MODEL_REV has no number left")
            db.execute(
                "INSERT INTO model_revs (model_rev, bundle_id, recipe, recipe_revision, settings, since_utc_ms)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (number, *key, utc_ms),
            )
        return number

    def changed_over(
        self, station: str, recipe: int, revision: int, result: int, *, actor: str, reason: str, utc_ms: int
    ) -> None:
        """A change-over came to its end; with result 1 `recipe` is the active one from now on, 0: none is."""
        with self._database.transaction() as db:
            db.execute(
                "INSERT INTO change_overs (station, recipe, recipe_revision, result, actor, reason, utc_ms)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (station, recipe, revision, result, actor, reason, utc_ms),
            )
            what = f"{station}: recipe {recipe}, revision {revision}, result {result}: {reason}"
            audit.append(db, utc_ms, actor, "recipe.changeover", what)

    def bundle_chosen(self, bundle_id: str, *, actor: str, utc_ms: int) -> None:
        """On record before it becomes the active one."""
        with self._database.transaction() as db:
            audit.append(db, utc_ms, actor, "bundle.active", bundle_id)

    def last_active(self, station: str) -> tuple[int, int] | None:
        """(recipe, revision) that was last made active, (0, 0): none on purpose; None: none ever was."""
        with self._database.reading() as db:
            found = db.execute(
                "SELECT recipe, recipe_revision FROM change_overs WHERE station = ? AND result = 1"
                " ORDER BY n DESC LIMIT 1",
                (station,),
            ).get
        return None if found is None else (int(found[0]), int(found[1]))

    def change_overs(self, station: str) -> list[tuple[int, int, int, str, str]]:
        """(recipe, revision, result, actor, reason) of each, oldest first."""
        with self._database.reading() as db:
            return list(db.execute(
                "SELECT recipe, recipe_revision, result, actor, reason FROM change_overs WHERE station = ? ORDER BY n",
                (station,),
            ))  # fmt: skip


def _read(db: apsw.Connection, which: str, values: tuple[int, ...]) -> Iterator[Revision]:
    columns = "number, revision, content, created_utc_ms, actor, reason"
    for number, revision, content, utc_ms, actor, reason in db.execute(
        f"SELECT {columns} FROM recipe_revisions {which}", values
    ):
        try:
            parsed = RecipeContent.from_json(content)
        except RecipeError as exc:
            raise StoreError(f"recipe {number}, revision {revision}: {exc}") from exc
        yield Revision(number, revision, parsed, utc_ms, actor, reason)

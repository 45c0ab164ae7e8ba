"""What a person wants to collect, in office.db: how many pictures of which class and lot, and of which region.

Both are histories that only grow: the newest entry of a class and lot, or of a station, is what holds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import apsw

from inspector.office.refused import Refused
from inspector.office.settling import GOOD, UNSURE, Label, State, check_label, settle

MOST_WANTED = 100_000  # pictures
MOST_TARGETS = 200  # classes and lots together
MAX_LOT = 64  # characters
STEP = """
    CREATE TABLE collect_targets (  -- the newest of a label and lot holds
        n INTEGER PRIMARY KEY AUTOINCREMENT,
        label TEXT NOT NULL, lot TEXT NOT NULL,  -- lot '': all lots together
        wanted INTEGER NOT NULL,  -- 0: not wanted any more
        person TEXT NOT NULL, utc_ms INTEGER NOT NULL
    );
    CREATE TABLE collect_regions (  -- the newest of a station holds
        n INTEGER PRIMARY KEY AUTOINCREMENT,
        station TEXT NOT NULL,
        x INTEGER, y INTEGER, w INTEGER, h INTEGER,  -- in pixels of the camera's picture; NULL: all of it
        person TEXT NOT NULL, utc_ms INTEGER NOT NULL
    );
"""
Region = tuple[int, int, int, int]  # x, y, width, height in pixels of the camera's picture
LARGEST = 100_000  # pixels


@dataclass(frozen=True, slots=True)
class Target:
    """So many pictures of a class, of a lot; lot "": of all lots together."""

    label: str
    lot: str
    wanted: int

    def __post_init__(self) -> None:
        """Raises ValueError: no class that could be labelled, or no number that could be reached."""
        check_label(self.label)
        if self.label == UNSURE or len(self.lot) > MAX_LOT or not self.lot.isprintable():
            raise ValueError(f"nobody collects {self.label!r} of lot {self.lot!r:.80}")
        if not 0 <= self.wanted <= MOST_WANTED:
            raise ValueError(f"a target is 0 to {MOST_WANTED} pictures")


@dataclass(frozen=True, slots=True)
class Counted:
    """A target, and how far it is."""

    target: Target
    done: int

    @property
    def share(self) -> float:
        """0..1."""
        return min(1.0, self.done / self.target.wanted) if self.target.wanted else 1.0


def add_target(db: apsw.Connection, target: Target, person: str, utc_ms: int) -> None:
    """In a transaction. Raises Refused: there are too many."""
    known = {(one.label, one.lot) for one in targets(db)}
    if len(known) >= MOST_TARGETS and (target.label, target.lot) not in known:
        raise Refused("collect.manytargets", most=MOST_TARGETS)
    db.execute(
        "INSERT INTO collect_targets (label, lot, wanted, person, utc_ms) VALUES (?, ?, ?, ?, ?)",
        (target.label, target.lot, target.wanted, person, utc_ms),
    )


def targets(db: apsw.Connection) -> list[Target]:
    """Those that hold, in the order in which their class and lot came up; one of 0 pictures is none."""
    sql = (
        "SELECT label, lot, wanted FROM collect_targets AS t JOIN"
        " (SELECT min(n) AS first, max(n) AS last FROM collect_targets GROUP BY label, lot) ON n = last"
        " WHERE wanted > 0 ORDER BY first"
    )
    return [Target(*row) for row in db.execute(sql)]


def named(db: apsw.Connection) -> list[str]:
    """Every class that was ever wanted, in the order in which they came up: the order of their keys."""
    return [name for (name,) in db.execute("SELECT label FROM collect_targets GROUP BY label ORDER BY min(n)")]


def set_region(db: apsw.Connection, station: str, region: Region | None, person: str, utc_ms: int) -> None:
    """In a transaction. Raises ValueError: not four sides of a region."""
    if region is not None:
        x, y, width, height = region
        if not (min(x, y) >= 0 and min(width, height) >= 1 and max(region) <= LARGEST):
            raise ValueError("a region is x and y from 0 and a width and height from 1, in pixels")
    db.execute(
        "INSERT INTO collect_regions (station, x, y, w, h, person, utc_ms) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (station, *(region or (None,) * 4), person, utc_ms),
    )


def regions(db: apsw.Connection) -> dict[str, Region]:
    """By station; one that takes the whole picture is not among them."""
    sql = (
        "SELECT station, x, y, w, h FROM collect_regions WHERE x IS NOT NULL"
        " AND n IN (SELECT max(n) FROM collect_regions GROUP BY station)"
    )
    return {station: (x, y, w, h) for station, x, y, w, h in db.execute(sql)}


def settled_labels(labels: Mapping[int, Sequence[Label]], two_people: bool) -> dict[int, str]:
    """What each picture was settled to be, by number; those that are open, disputed or unsure are left out."""
    found = ((no, settle(said, two_people)) for no, said in labels.items())
    return {no: settled.label for no, settled in found if settled.state is State.SETTLED and settled.label}


def counted(
    wanted: Iterable[Target], settled: Mapping[int, str], lots: Mapping[int, str]
) -> tuple[list[Counted], Mapping[tuple[str, str], int]]:
    """How far each target is, and pictures by (label, lot). lots: of the pictures, by number; "" where not known."""
    by_lot = Counter((label, lots.get(no, "")) for no, label in settled.items())
    by_label = Counter(settled.values())
    done = [Counted(t, by_lot[t.label, t.lot] if t.lot else by_label[t.label]) for t in wanted]
    return done, by_lot


def in_order(names: Iterable[str]) -> list[str]:
    """Names of classes as keys show them: each once, good first."""
    return [GOOD, *(name for name in dict.fromkeys(names) if name not in (GOOD, UNSURE))]

"""The schema of results.db, as numbered steps that only ever grow."""

from __future__ import annotations

import apsw

STEPS = (
    """
    CREATE TABLE boots (boot INTEGER PRIMARY KEY AUTOINCREMENT, started_utc_ms INTEGER NOT NULL);
    CREATE TABLE alive (id INTEGER PRIMARY KEY CHECK (id = 1), utc_ms INTEGER NOT NULL);
    CREATE TABLE inspections (
        no INTEGER PRIMARY KEY AUTOINCREMENT,
        station TEXT NOT NULL,
        boot INTEGER NOT NULL REFERENCES boots (boot),
        kind TEXT NOT NULL CHECK (kind IN ('accepted', 'refused')),
        trigger_id INTEGER NOT NULL, part_id INTEGER NOT NULL, encoder INTEGER NOT NULL DEFAULT 0,
        lot TEXT NOT NULL DEFAULT '', serial TEXT NOT NULL DEFAULT '', test_part INTEGER NOT NULL DEFAULT 0,
        opened_utc_ms INTEGER NOT NULL,
        decided_code INTEGER, decided_reason INTEGER,
        label TEXT, class_id INTEGER, confidence REAL, novelty_score REAL, anomaly_score REAL,
        bundle_id TEXT, recipe INTEGER, recipe_revision INTEGER, model_rev INTEGER,
        elapsed_ms REAL, stages TEXT,
        published_code INTEGER, published_reason INTEGER, published_utc_ms INTEGER,
        delivery TEXT CHECK (delivery IN ('confirmed', 'unknown', 'none')),
        image TEXT
    );
    CREATE INDEX inspections_by_part ON inspections (part_id);
    CREATE INDEX inspections_by_trigger ON inspections (trigger_id, no);
    CREATE INDEX inspections_by_time ON inspections (opened_utc_ms);
    """,
)


def migrate(db: apsw.Connection) -> None:
    """Bring the schema up to date, one transaction a step. Raises RuntimeError: written by a newer version."""
    have = int(db.pragma("user_version") or 0)
    if have > len(STEPS):
        raise RuntimeError(f"results.db has schema {have}, this version knows {len(STEPS)}: install the newer version")
    for number, step in enumerate(STEPS[have:], have + 1):
        with db:
            db.execute(step)
            db.pragma("user_version", number)

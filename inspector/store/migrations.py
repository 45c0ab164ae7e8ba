"""The schema of results.db, as numbered steps that only ever grow."""

from __future__ import annotations

from collections.abc import Sequence

import apsw

from inspector.core.errors import StoreError
from inspector.store import audit

# What a row counts as, once what happened to it is known: what the PLC was told, else what was decided. A test part
# whose delivery is unknown is counted as one, and not as the product that it is not.
_CODE = "coalesce({row}.published_code, iif({row}.test_part, 6, {row}.decided_code))"
_REASON = "iif({row}.published_code IS NULL, {row}.decided_reason, {row}.published_reason)"
_PERIOD = "(SELECT max(period) FROM periods WHERE from_no <= {row}.no)"
_COUNTED = "decided_code, decided_reason, published_code, published_reason, delivery"
_KEY = f"{_PERIOD}, {_CODE}, {_REASON}"


def _count(row: str) -> str:
    return (
        f"INSERT INTO counts (period, code, reason, n) VALUES ({_KEY.format(row=row)}, 1)"
        " ON CONFLICT DO UPDATE SET n = n + 1;"
    )


def _uncount(row: str) -> str:
    return f"UPDATE counts SET n = n - 1 WHERE (period, code, reason) = ({_KEY.format(row=row)});"


def _periods_of(row: str) -> str:
    """The period of each kind that a row counts in; NULL where its station has none of that kind."""
    newest = (
        "(SELECT period FROM spans WHERE station = {row}.station AND kind = '{kind}' AND from_no <= {row}.no"
        " ORDER BY from_no DESC LIMIT 1)"
    )
    return ", ".join(newest.format(row=row, kind=kind) for kind in ("reset", "shift", "lot"))


def _count_in_spans(row: str) -> str:
    return (
        f"INSERT INTO counts (period, code, reason, n) SELECT period, {_CODE}, {_REASON}, 1 FROM periods"
        f" WHERE period IN ({_periods_of(row)}) ON CONFLICT DO UPDATE SET n = n + 1;"
    ).format(row=row)


def _uncount_in_spans(row: str) -> str:
    return (
        f"UPDATE counts SET n = n - 1 WHERE period IN ({_periods_of(row)}) AND (code, reason) = ({_CODE}, {_REASON});"
    ).format(row=row)


# The PLC says that it did with a part something else than it was told: only a PASS is to go on as good.
DISAGREES = (
    "plc_verdict IS NOT NULL"
    " AND iif(coalesce(published_code, decided_code) = 1, plc_verdict <> 1, plc_verdict NOT IN (2, 3))"
)

STEPS = (
    f"""
    CREATE TABLE boots (
        boot INTEGER PRIMARY KEY AUTOINCREMENT,
        started_utc_ms INTEGER NOT NULL,
        ended_utc_ms INTEGER  -- NULL: still running, or it ended without saying so
    );
    CREATE TABLE heartbeat (id INTEGER PRIMARY KEY CHECK (id = 1), utc_ms INTEGER NOT NULL);
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
        elapsed_ms REAL,
        stages TEXT,  -- JSON: stage -> ms since accept at its end
        published_code INTEGER, published_reason INTEGER, published_utc_ms INTEGER,
        delivery TEXT CHECK (delivery IN ('confirmed', 'unknown', 'none')),
        image TEXT,  -- path below the archive's folder
        CHECK (published_code IS NULL OR decided_code IS NOT NULL)
    );
    CREATE INDEX inspections_by_part ON inspections (part_id, no);
    CREATE INDEX inspections_by_trigger ON inspections (trigger_id, no);
    CREATE INDEX inspections_by_time ON inspections (opened_utc_ms);
    CREATE INDEX inspections_by_code ON inspections (coalesce(published_code, decided_code), no);
    CREATE INDEX inspections_by_label ON inspections (label, no) WHERE label IS NOT NULL;
    CREATE INDEX inspections_unsettled ON inspections (no) WHERE decided_code IS NULL OR delivery IS NULL;

    CREATE TABLE earlier_deliveries (  -- a standing id may be told 4/107 or 4/108 after its verdict: both are kept
        no INTEGER NOT NULL REFERENCES inspections (no),
        code INTEGER NOT NULL, reason INTEGER NOT NULL, utc_ms INTEGER, delivery TEXT
    );
    CREATE INDEX earlier_deliveries_by_no ON earlier_deliveries (no);
    CREATE TRIGGER keep_earlier_delivery BEFORE UPDATE OF published_code ON inspections
    WHEN OLD.published_code IS NOT NULL BEGIN
        INSERT INTO earlier_deliveries
        VALUES (OLD.no, OLD.published_code, OLD.published_reason, OLD.published_utc_ms, OLD.delivery);
    END;

    CREATE TABLE periods (  -- counting begins anew with each; rows stay
        period INTEGER PRIMARY KEY,
        from_no INTEGER NOT NULL, since_utc_ms INTEGER NOT NULL, actor TEXT NOT NULL, why TEXT NOT NULL
    );
    CREATE TABLE counts (  -- kept by the triggers below, so it is always what the rows say
        period INTEGER NOT NULL, code INTEGER NOT NULL, reason INTEGER NOT NULL, n INTEGER NOT NULL,
        PRIMARY KEY (period, code, reason)
    ) WITHOUT ROWID;
    CREATE TRIGGER count_new AFTER INSERT ON inspections WHEN NEW.delivery IS NOT NULL BEGIN {_count("NEW")} END;
    CREATE TRIGGER uncount_old BEFORE UPDATE OF {_COUNTED}
    ON inspections WHEN OLD.delivery IS NOT NULL BEGIN {_uncount("OLD")} END;
    CREATE TRIGGER count_changed AFTER UPDATE OF {_COUNTED}
    ON inspections WHEN NEW.delivery IS NOT NULL BEGIN {_count("NEW")} END;
    """,
    """
    CREATE TABLE recipe_revisions (
        number INTEGER NOT NULL CHECK (number BETWEEN 1 AND 65535),
        revision INTEGER NOT NULL,
        content TEXT NOT NULL,  -- JSON: recipes.RecipeContent
        created_utc_ms INTEGER NOT NULL, actor TEXT NOT NULL, reason TEXT NOT NULL,
        PRIMARY KEY (number, revision)
    ) WITHOUT ROWID;
    CREATE TRIGGER revisions_count BEFORE INSERT ON recipe_revisions
    WHEN NEW.revision <> 1 + coalesce((SELECT max(revision) FROM recipe_revisions WHERE number = NEW.number), 0)
    BEGIN SELECT RAISE(ABORT, 'revisions of a recipe count from 1, one by one'); END;
    CREATE TRIGGER revisions_stay BEFORE UPDATE ON recipe_revisions
    BEGIN SELECT RAISE(ABORT, 'a recipe revision never changes'); END;
    CREATE TRIGGER revisions_remain BEFORE DELETE ON recipe_revisions
    BEGIN SELECT RAISE(ABORT, 'a recipe revision is kept for good'); END;
    CREATE TABLE model_revs (  -- MODEL_REV: a bundle with a recipe revision
        model_rev INTEGER PRIMARY KEY CHECK (model_rev BETWEEN 1 AND 65535),
        bundle_id TEXT NOT NULL, recipe INTEGER NOT NULL, recipe_revision INTEGER NOT NULL,
        settings TEXT NOT NULL,  -- JSON: recipes.settings_of
        since_utc_ms INTEGER NOT NULL,
        FOREIGN KEY (recipe, recipe_revision) REFERENCES recipe_revisions (number, revision)
    );
    CREATE UNIQUE INDEX model_revs_by_pair ON model_revs (bundle_id, recipe, recipe_revision, settings);
    CREATE TRIGGER model_revs_count BEFORE INSERT ON model_revs
    WHEN NEW.model_rev <> 1 + coalesce((SELECT max(model_rev) FROM model_revs), 0)
    BEGIN SELECT RAISE(ABORT, 'MODEL_REV counts one by one'); END;
    CREATE TRIGGER model_revs_stay BEFORE UPDATE ON model_revs
    BEGIN SELECT RAISE(ABORT, 'a MODEL_REV never changes'); END;
    CREATE TRIGGER model_revs_remain BEFORE DELETE ON model_revs
    BEGIN SELECT RAISE(ABORT, 'a MODEL_REV is kept for good'); END;
    """,
    """
    CREATE TABLE change_overs (  -- which recipe each station was told to judge with, by whom, and what came of it
        n INTEGER PRIMARY KEY AUTOINCREMENT,
        station TEXT NOT NULL, recipe INTEGER NOT NULL, recipe_revision INTEGER NOT NULL,
        result INTEGER NOT NULL,  -- COMMAND_RESULT of the contract; 1: from then on the active one; recipe 0: none
        actor TEXT NOT NULL, reason TEXT NOT NULL, utc_ms INTEGER NOT NULL
    );
    CREATE INDEX change_overs_by_station ON change_overs (station, n);
    CREATE TRIGGER change_overs_stay BEFORE UPDATE ON change_overs
    BEGIN SELECT RAISE(ABORT, 'a change-over is kept as it was'); END;
    CREATE TRIGGER change_overs_remain BEFORE DELETE ON change_overs
    BEGIN SELECT RAISE(ABORT, 'a change-over is kept for good'); END;
    CREATE TABLE wrong_accepts (  -- parts that the PLC took as good and that were not passed, until a person took note
        n INTEGER PRIMARY KEY AUTOINCREMENT,
        station TEXT NOT NULL, trigger_id INTEGER NOT NULL, part_id INTEGER NOT NULL,
        utc_ms INTEGER NOT NULL, acknowledged_utc_ms INTEGER
    );
    """,
    """
    CREATE INDEX inspections_by_reason
    ON inspections (iif(published_code IS NULL, decided_reason, published_reason), no);
    CREATE INDEX inspections_by_station ON inspections (station, no);
    CREATE INDEX inspections_by_serial ON inspections (serial, no) WHERE serial <> '';
    CREATE INDEX inspections_by_lot ON inspections (lot, no) WHERE lot <> '';
    CREATE INDEX inspections_by_recipe ON inspections (recipe, no) WHERE recipe IS NOT NULL;
    CREATE INDEX inspections_by_bundle ON inspections (bundle_id, no) WHERE bundle_id IS NOT NULL;
    CREATE INDEX inspections_of_test_parts ON inspections (no) WHERE test_part = 1;
    CREATE INDEX inspections_with_picture ON inspections (no) WHERE image IS NOT NULL;
    CREATE TABLE late_images (  -- noted on rows that lie in a month's file by now; the filing takes them there
        no INTEGER PRIMARY KEY, image TEXT
    );
    """,
    """
    CREATE TABLE alarm_changes (  -- the last line of an alarm is its state
        n INTEGER PRIMARY KEY AUTOINCREMENT,
        alarm TEXT NOT NULL, event TEXT NOT NULL, phase TEXT NOT NULL,
        key TEXT NOT NULL, params TEXT NOT NULL, cause TEXT NOT NULL, priority TEXT NOT NULL,  -- params: JSON
        since_utc_ms INTEGER NOT NULL, shelved_until_utc_ms INTEGER, utc_ms INTEGER NOT NULL,
        actor TEXT NOT NULL, shelved_by TEXT NOT NULL, shelved_why TEXT NOT NULL
    );
    CREATE INDEX alarm_changes_by_alarm ON alarm_changes (alarm, n);
    CREATE INDEX alarm_changes_by_raising
    ON alarm_changes (utc_ms, priority, key) WHERE event = 'raised' AND shelved_until_utc_ms IS NULL;
    CREATE TRIGGER alarm_changes_stay BEFORE UPDATE ON alarm_changes
    BEGIN SELECT RAISE(ABORT, 'a change of an alarm is kept as it was'); END;
    """,
    f"""
    DROP TRIGGER count_new; DROP TRIGGER uncount_old; DROP TRIGGER count_changed;
    ALTER TABLE periods RENAME TO former_periods;
    ALTER TABLE counts RENAME TO former_counts;
    CREATE TABLE periods (  -- what a station's rows are counted for: since a reset, a shift, a lot; rows stay
        period INTEGER PRIMARY KEY,
        station TEXT NOT NULL, kind TEXT NOT NULL CHECK (kind IN ('reset', 'shift', 'lot')),
        key TEXT NOT NULL,  -- resets: counted; shifts: their begin in ms UTC; lots: their name
        since_utc_ms INTEGER NOT NULL, actor TEXT NOT NULL, why TEXT NOT NULL,
        plc_parts INTEGER NOT NULL DEFAULT 0,  -- by how much PLC_PART_COUNT grew in it
        UNIQUE (station, kind, key)
    );
    CREATE TABLE spans (  -- from this row of the station on, each counts in that period of this kind
        station TEXT NOT NULL, kind TEXT NOT NULL, from_no INTEGER NOT NULL,
        period INTEGER NOT NULL REFERENCES periods (period),
        PRIMARY KEY (station, kind, from_no)
    ) WITHOUT ROWID;
    CREATE TABLE counts (  -- kept by the triggers below, so it is always what the rows say
        period INTEGER NOT NULL, code INTEGER NOT NULL, reason INTEGER NOT NULL, n INTEGER NOT NULL,
        PRIMARY KEY (period, code, reason)
    ) WITHOUT ROWID;
    CREATE TABLE plc_parts (  -- PLC_PART_COUNT as it was last seen
        station TEXT PRIMARY KEY, raw INTEGER NOT NULL
    ) WITHOUT ROWID;
    INSERT INTO periods (period, station, kind, key, since_utc_ms, actor, why)
    SELECT period, (SELECT min(station) FROM inspections), 'reset', period, since_utc_ms, actor, why
    FROM former_periods WHERE (SELECT count(DISTINCT station) FROM inspections) = 1;
    INSERT OR REPLACE INTO spans
    SELECT station, kind, from_no, period FROM periods JOIN former_periods USING (period) ORDER BY period;
    INSERT INTO counts SELECT * FROM former_counts WHERE period IN (SELECT period FROM periods);
    DROP TABLE former_counts; DROP TABLE former_periods;
    CREATE TRIGGER count_new AFTER INSERT
    ON inspections WHEN NEW.delivery IS NOT NULL BEGIN {_count_in_spans("NEW")} END;
    CREATE TRIGGER uncount_old BEFORE UPDATE OF {_COUNTED}
    ON inspections WHEN OLD.delivery IS NOT NULL BEGIN {_uncount_in_spans("OLD")} END;
    CREATE TRIGGER count_changed AFTER UPDATE OF {_COUNTED}
    ON inspections WHEN NEW.delivery IS NOT NULL BEGIN {_count_in_spans("NEW")} END;
    """,
    """
    CREATE TABLE lot_holds (  -- a lot is on hold where its newest entry says so
        n INTEGER PRIMARY KEY AUTOINCREMENT,
        lot TEXT NOT NULL CHECK (lot <> ''), held INTEGER NOT NULL CHECK (held IN (0, 1)),
        actor TEXT NOT NULL, reason TEXT NOT NULL, utc_ms INTEGER NOT NULL
    );
    CREATE INDEX lot_holds_by_lot ON lot_holds (lot, n);
    CREATE TRIGGER lot_holds_stay BEFORE UPDATE ON lot_holds
    BEGIN SELECT RAISE(ABORT, 'a hold is kept as it was'); END;
    CREATE TRIGGER lot_holds_remain BEFORE DELETE ON lot_holds
    BEGIN SELECT RAISE(ABORT, 'a hold is kept for good'); END;
    CREATE TABLE reviewed (no INTEGER PRIMARY KEY);  -- pictures that people have settled; told by the page
    ALTER TABLE inspections ADD COLUMN picture_gone_utc_ms INTEGER;  -- when the kept picture was removed, or missed
    ALTER TABLE inspections ADD COLUMN picture_gone_why TEXT;  -- 'room' or 'missing'
    ALTER TABLE late_images ADD COLUMN gone_utc_ms INTEGER;
    ALTER TABLE late_images ADD COLUMN gone_why TEXT;
    CREATE TABLE months_gone (  -- months of the record that were exported, and then let go
        n INTEGER PRIMARY KEY AUTOINCREMENT,
        month TEXT NOT NULL, sha256 TEXT NOT NULL, rows INTEGER NOT NULL, bytes INTEGER NOT NULL,
        actor TEXT NOT NULL, reason TEXT NOT NULL, utc_ms INTEGER NOT NULL
    );
    CREATE TRIGGER months_gone_stay BEFORE UPDATE ON months_gone
    BEGIN SELECT RAISE(ABORT, 'what went is kept as it was'); END;
    CREATE TRIGGER months_gone_remain BEFORE DELETE ON months_gone
    BEGIN SELECT RAISE(ABORT, 'what went is kept for good'); END;
    """,
    audit.STEP,
    """
    CREATE TABLE set_offline (  -- by a person, until a person sets it Online; the PLC's own say is in its registers
        station TEXT PRIMARY KEY, actor TEXT NOT NULL, utc_ms INTEGER NOT NULL
    ) WITHOUT ROWID;
    """,
    f"""
    ALTER TABLE inspections ADD COLUMN ack TEXT CHECK (ack IN ('acknowledged', 'timeout'));  -- NULL: not known
    ALTER TABLE inspections ADD COLUMN ack_ms REAL;  -- since the first publishing write
    ALTER TABLE inspections ADD COLUMN plc_verdict INTEGER;  -- PLC_VERDICT; NULL: the PLC has reported none
    ALTER TABLE inspections ADD COLUMN plc_verdict_utc_ms INTEGER;
    ALTER TABLE inspections ADD COLUMN plc_verdict_ms REAL;  -- since it was told; NULL: not told, or in a former life
    CREATE INDEX inspections_plc_disagrees ON inspections (no) WHERE {DISAGREES};
    """,
)


def migrate(db: apsw.Connection, steps: Sequence[str]) -> None:
    """Bring the schema up to date, one transaction a step. Raises StoreError: written by a newer version."""
    have = int(db.pragma("user_version") or 0)
    if have > len(steps):
        raise StoreError(f"it has schema {have}, this version knows {len(steps)}: install the newer version")
    for number, step in enumerate(steps[have:], have + 1):
        with db:
            db.execute(step)
            db.pragma("user_version", number)

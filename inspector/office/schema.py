"""The schema of office.db: numbered steps that only ever grow, each with its subject. A new one comes last."""

from __future__ import annotations

from inspector.office import collecting, labels, people, sessions
from inspector.store import audit

STEPS = (people.STEP, sessions.STEP, audit.STEP, labels.STEP, collecting.STEP, labels.UNDO_STEP)

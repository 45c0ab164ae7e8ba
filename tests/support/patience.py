"""The product's own patience, without an end: on cores that others use as well, a limit that a test is not about must
not end it. A test that is about one sets it itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module

import pytest

LONG_S = 240.0  # so that a test that hangs is still told as one

LIMITS = (
    "inspector.alarm_keeper.WRITTEN_WITHIN_S",
    "inspector.changeover.BEHIND_S",
    "inspector.check_ports.ANSWER_S",
    "inspector.office.mending.CHECK_S",
    "inspector.office.office.END_S",
    "inspector.retention.END_S",
    "inspector.serve.decoder.START_S",
    "inspector.serve.judge.HANG_AFTER_S",
    "inspector.serve.upload.BODY_S",
    "inspector.serve.upload.DRAIN_S",
    "inspector.serve.upload.SILENCE_S",
    "inspector.store.claims.LONGEST_S",
    "inspector.store.filing.END_S",
    "inspector.store.history.LONGEST_S",
    "inspector.store.history.SEARCH_S",
    "inspector.store.images.CLOSE_S",
    "inspector.store.journal.BEHIND_S",
    "inspector.store.reconcile.LONGEST_S",
    "inspector.store.rescue.CHECK_S",
    "inspector.store.reserve.LONGEST_S",
    "inspector.store.results.BEHIND_S",
    "inspector.store.results.GRACE_S",
    "inspector.support.bundle.DAEMON_S",
    "inspector.upkeep.watch.END_S",
    "inspector.upkeep.watch.MOMENT_S",
    "inspector.web.acting.ANSWER_S",
    "inspector.web.feed.FRESH_S",
    "inspector.web.feed.SILENT_S",
    "inspector.web.look.ANSWER_S",
    "inspector.web.maintenance.FOLDER_S",
)


def be_patient(put: Callable[[object, str, float], None] = setattr, *, within: str = "inspector.") -> None:
    """In this process; put: a monkeypatch's, where that is to end; within: the package that is all a child needs."""
    for limit in LIMITS:
        module, name = limit.rsplit(".", 1)
        if limit.startswith(within):
            put(import_module(module), name, LONG_S)


@contextmanager
def patient(within: str = "inspector.") -> Iterator[None]:
    """The same for a while."""
    with pytest.MonkeyPatch.context() as patches:
        be_patient(patches.setattr, within=within)
        yield

"""The time that a bound of the contract is held against is not that in which somebody waited for a core."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.support.fair import FairTime

ENOUGH_S = 0.1


@pytest.fixture
def crowd() -> Iterator[int]:
    """Another process on the core that this one is kept to, which both want."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield busy.pid
    finally:
        busy.kill()
        busy.wait()
        os.sched_setaffinity(0, before)


def test_what_this_process_waited_for_a_core_is_taken_off(crowd: int) -> None:
    began_s, taken = time.monotonic(), FairTime()
    while taken.waited_s < ENOUGH_S:
        taken.s()  # it wants the core all the time
    assert taken.s() <= time.monotonic() - began_s - ENOUGH_S


def test_what_another_process_waited_for_a_core_is_taken_off_only_where_it_matters(crowd: int) -> None:
    of_both, of_this = FairTime(lambda: [crowd]), FairTime()
    while of_both.waited_s < of_this.waited_s + ENOUGH_S:
        of_both.s()
        of_this.s()
    assert of_both.s() < of_this.s()


def test_a_process_that_is_gone_counts_no_more() -> None:
    taken = FairTime(lambda: [2**22 + 1])
    assert taken.s() >= 0.0

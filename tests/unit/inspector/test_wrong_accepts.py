"""An alarm of a wrong accept is shown once it is on the disk, or once the disk has had its time."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from inspector.core.errors import StoreError
from inspector.wrong_accepts import PATIENCE_S, RETRY_S, Part, WrongAcceptNotes
from tests.support.clock import SimClock

BOLT, NUT = (17, 4711), (19, 4713)


class Disk:
    """Commits when the test says so."""

    def __init__(self) -> None:
        self.asked: list[tuple[Part, Future[None]]] = []

    def note(self, part: Part) -> Future[None]:
        self.asked.append((part, Future()))
        return self.asked[-1][1]


@pytest.fixture
def clock() -> SimClock:
    return SimClock()


@pytest.fixture
def disk() -> Disk:
    return Disk()


def test_a_wrong_accept_is_shown_only_after_its_commit(clock, disk):
    notes = WrongAcceptNotes(clock, disk.note)
    assert notes.to_show([BOLT]) == notes.to_show([BOLT]) == [] and notes
    disk.asked[0][1].set_result(None)
    assert notes.to_show([BOLT]) == [BOLT]
    assert notes.to_show([BOLT, NUT]) == [BOLT]
    assert [part for part, _ in disk.asked] == [BOLT, NUT], "each is noted once"


def test_a_disk_that_hangs_withholds_no_alarm_for_longer_than_a_second(clock, disk):
    notes = WrongAcceptNotes(clock, disk.note)
    notes.to_show([BOLT])
    clock.now_s += PATIENCE_S
    assert notes.to_show([BOLT]) == [BOLT] and len(disk.asked) == 1


def test_what_the_disk_did_not_take_is_shown_and_noted_again_until_it_does(clock, disk):
    notes = WrongAcceptNotes(clock, disk.note)
    notes.to_show([BOLT])
    disk.asked[0][1].set_exception(StoreError("full"))
    assert notes.to_show([BOLT]) == [BOLT] and len(disk.asked) == 1
    clock.now_s += RETRY_S
    assert notes.to_show([BOLT]) == [BOLT] and len(disk.asked) == 2, "shown meanwhile"
    disk.asked[1][1].cancel()
    clock.now_s += RETRY_S
    notes.to_show([BOLT])
    disk.asked[2][1].set_result(None)
    clock.now_s += RETRY_S
    assert notes.to_show([BOLT]) == [BOLT] and len(disk.asked) == 3


def test_what_a_former_life_noted_is_shown_at_once_and_not_noted_twice(clock, disk):
    notes = WrongAcceptNotes(clock, disk.note, [BOLT])
    assert notes.to_show([BOLT]) == [BOLT] and disk.asked == []


def test_what_a_person_took_note_of_is_new_again_if_it_comes_again(clock, disk):
    notes = WrongAcceptNotes(clock, disk.note, [BOLT])
    notes.to_show([BOLT, NUT])
    notes.forget()
    assert not notes and notes.to_show([]) == []
    notes.to_show([BOLT])
    assert [part for part, _ in disk.asked] == [NUT, BOLT]

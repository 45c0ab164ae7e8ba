"""Sessions against a plain model: alive exactly while all that they stand on holds."""

from __future__ import annotations

from dataclasses import dataclass

import apsw
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, rule

from inspector.office import sessions
from inspector.office.people import STEP as PEOPLE
from inspector.office.sessions import CLOCK_MS, STEP, Lifetime, Session

LIFE = Lifetime(idle_ms=30 * 60_000, whole_ms=2 * 3_600_000)
START = 1_790_000_000_000


def test_a_session_ends_when_idle_and_in_any_case_later() -> None:
    session = Session(1, START, START + 1000)
    assert session.is_alive(START + 1000 + LIFE.idle_ms - 1, LIFE)
    assert not session.is_alive(START + 1000 + LIFE.idle_ms, LIFE)
    busy = Session(1, START, START + LIFE.whole_ms - 1)
    assert busy.is_alive(START + LIFE.whole_ms - 1, LIFE) and not busy.is_alive(START + LIFE.whole_ms, LIFE)


def test_a_clock_that_was_set_back_ends_a_session_instead_of_prolonging_it() -> None:
    session = Session(1, START, START)
    assert session.is_alive(START - CLOCK_MS, LIFE)
    assert not session.is_alive(START - CLOCK_MS - 1, LIFE)


@dataclass
class Model:
    person: int
    opened: int
    seen: int
    ended: bool = False


class Sessions(RuleBasedStateMachine):
    tokens = Bundle("tokens")

    def __init__(self) -> None:
        super().__init__()
        self.db = apsw.Connection(":memory:")
        self.db.execute(PEOPLE + STEP)
        self.now, self.known = START, dict[str, Model]()

    def teardown(self) -> None:
        self.db.close()

    @rule(target=tokens, person=st.integers(1, 3))
    def logs_in(self, person: int) -> str:
        token = sessions.begin(self.db, person, self.now)
        assert token not in self.known
        self.known[token] = Model(person, self.now, self.now)
        return token

    @rule(minutes=st.integers(-10, 90))
    def time_passes(self, minutes: int) -> None:
        self.now += minutes * 60_000

    @rule(token=tokens)
    def asks(self, token: str) -> None:
        """As the page does with each request."""
        model = self.known[token]
        age, idle = self.now - model.opened, self.now - model.seen
        alive = not model.ended and -CLOCK_MS <= age < LIFE.whole_ms and -CLOCK_MS <= idle < LIFE.idle_ms
        found = sessions.find(self.db, token, self.now, LIFE)
        assert (found is not None) is alive
        if found is not None and sessions.needs_touch(found, self.now):
            sessions.touch(self.db, token, self.now)
            model.seen = self.now

    @rule(token=tokens)
    def logs_out(self, token: str) -> None:
        sessions.end(self.db, token)
        self.known[token].ended = True

    @rule(person=st.integers(1, 3))
    def roles_change(self, person: int) -> None:
        sessions.end_all_of(self.db, person)
        for model in self.known.values():
            model.ended = model.ended or model.person == person

    @rule()
    def is_swept(self) -> None:
        sessions.sweep(self.db, self.now, LIFE)
        for token, model in self.known.items():
            model.ended = model.ended or sessions.find(self.db, token, self.now, LIFE) is None

    @rule(token=st.text(max_size=60))
    def a_stranger_makes_one_up(self, token: str) -> None:
        assert sessions.find(self.db, token, self.now, LIFE) is None


TestSessions = Sessions.TestCase
TestSessions.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)

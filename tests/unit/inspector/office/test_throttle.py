from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from inspector.office import throttle
from inspector.office.throttle import FORGET_S, LONGEST_S, Throttle, account_key, address_key, delay_s

NAMES, ADDRESSES = ["anna", "boris", "admin"], ["10.0.0.1", "10.0.0.2"]


def test_a_few_typing_errors_wait_for_nothing_and_then_it_grows_to_a_minute() -> None:
    assert [delay_s(n) for n in range(10)] == [0, 0, 0, 1, 2, 4, 8, 16, 32, 60]
    assert delay_s(10_000) == LONGEST_S


def test_nobody_is_shut_out_who_waits_a_minute() -> None:
    tries, now_s = Throttle(), 0.0
    for _ in range(1000):
        assert tries.begin(now_s, ["name anna"]) == 0.0
        now_s += LONGEST_S


def test_tries_side_by_side_gain_nothing() -> None:
    tries = Throttle()
    begun = sum(tries.begin(5.0, ["name anna"]) == 0.0 for _ in range(100))
    assert begun == throttle.FREE_TRIES


def test_one_address_that_tries_many_names_waits_and_another_does_not() -> None:
    tries = Throttle()
    for n in range(3):
        assert tries.begin(0.0, [account_key(f"p{n}"), address_key("10.0.0.1")]) == 0.0
    assert tries.begin(0.0, [account_key("p9"), address_key("10.0.0.1")]) > 0.0
    assert tries.begin(0.0, [account_key("p9"), address_key("10.0.0.2")]) == 0.0


def test_an_own_account_does_not_buy_an_address_more_tries_at_others() -> None:
    tries, begun = Throttle(), 0
    for _ in range(50):
        if tries.begin(0.0, ["name victim", "address a"]) == 0.0:
            begun += 1
        if tries.begin(0.0, ["name mallory", "address a"]) == 0.0:
            tries.passed("name mallory", "address a")
    assert begun == throttle.FREE_TRIES


def test_one_machine_with_many_ipv6_addresses_is_one() -> None:
    assert address_key("2001:db8::1") == address_key("2001:db8::ffff:2") != address_key("2001:db8:0:1::1")
    assert address_key("::ffff:10.0.0.1") == address_key("10.0.0.1")
    assert address_key("fe80::1%eth0") == address_key("fe80::1")
    assert account_key("Anna") == account_key("anna")


def test_what_is_remembered_is_bounded(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(throttle, "MOST_KEYS", 20)
    tries = Throttle()
    for n in range(500):
        tries.begin(float(n), [f"name {n}"])
    assert len(tries._tries) == 20


class Tries(RuleBasedStateMachine):
    """Against a plain model: per key the times of what failed since it was last right or forgotten."""

    def __init__(self) -> None:
        super().__init__()
        self.throttle, self.now_s = Throttle(), 0.0
        self.failed: dict[str, tuple[int, float]] = {}

    def wait_s(self, key: str) -> float:
        count, last_s = self.failed.get(key, (0, 0.0))
        return 0.0 if self.now_s - last_s > FORGET_S else max(0.0, last_s + delay_s(count) - self.now_s)

    @rule(seconds=st.floats(0, 2 * FORGET_S))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds

    @rule(name=st.sampled_from(NAMES), address=st.sampled_from(ADDRESSES), right=st.booleans())
    def someone_tries(self, name: str, address: str, right: bool) -> None:
        keys = account_key(name), address_key(address)
        expected = max(self.wait_s(key) for key in keys)
        got = self.throttle.begin(self.now_s, keys)
        assert abs(got - expected) < 1e-6
        if got:
            return
        for key in keys:
            count, last_s = self.failed.get(key, (0, 0.0))
            self.failed[key] = (1 if self.now_s - last_s > FORGET_S else count + 1, self.now_s)
        if right:
            self.throttle.passed(*keys)
            self.failed.pop(keys[0])
            count, last_s = self.failed[keys[1]]
            self.failed[keys[1]] = count - 1, last_s

    @invariant()
    def nobody_waits_for_ever(self) -> None:
        for name in NAMES:
            assert self.wait_s(account_key(name)) <= LONGEST_S


TestTries = Tries.TestCase
TestTries.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)


@given(st.text(max_size=80))
def test_any_text_for_an_address_has_a_key(text: str) -> None:
    assert address_key(text).startswith("address ")

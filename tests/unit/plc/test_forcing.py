"""Values that a person forces while the station is Offline: none of them can let a part pass, and all of them end."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plc.conformance.p2 import why_not_good
from plc.forcing import ALIVE, FORCEABLE, FORCED_FOR_S, ForceRefused, Forcing, why_never
from plc.images import Image
from plc.registers import STAT, Control, OfflineReason, Reason, Status
from plc.values import BITS, find, parse_assignment
from tests.unit.plc.test_handshake import PASS, Bench

EVERYTHING = [f"{name}=1" for name in FORCEABLE if name != "RESULT_CODE"]


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.connect()
    return bench


@pytest.fixture
def forced(bench: Bench) -> Bench:
    """Set Offline by a person, with all that can be forced."""
    bench.hs.hold_offline(True, bench.now)
    for text in (*EVERYTHING, "RESULT_CODE=2", "CONFIDENCE=4711"):
        bench.hs.force(parse_assignment(text), bench.now)
    return bench


def shown(bench: Bench) -> Image:
    return Image(STAT, bench.hs.outgoing)


def test_while_offline_the_plc_reads_what_is_forced_and_after_the_release_the_truth(bench: Bench) -> None:
    bench.hs.hold_offline(True, bench.now)
    truth = list(bench.hs.outgoing)
    bench.hs.force(parse_assignment("STATUS.ERROR=1"), bench.now)
    bench.hs.force(parse_assignment("PART_ID_ECHO=0x12345678"), bench.now)
    assert shown(bench)["STATUS"] & Status.ERROR and shown(bench)["PART_ID_ECHO"] == 0x12345678
    bench.hs.forcing.release("STAT.STATUS.ERROR")
    assert not shown(bench)["STATUS"] & Status.ERROR and shown(bench)["PART_ID_ECHO"] == 0x12345678
    bench.hs.forcing.end()
    assert bench.hs.outgoing == truth


def test_online_nothing_is_forced(bench: Bench) -> None:
    with pytest.raises(ForceRefused, match="not Offline"):
        bench.hs.force(parse_assignment("STATUS.ERROR=1"), bench.now)
    assert not bench.hs.forcing


def test_a_station_without_a_plc_is_not_offline_before_it_was_set_so() -> None:
    bench = Bench()
    with pytest.raises(ForceRefused, match="not Offline"):
        bench.hs.force(parse_assignment("STATUS.ERROR=1"), bench.now)
    bench.hs.hold_offline(True, bench.now)
    bench.hs.force(parse_assignment("STATUS.ERROR=1"), bench.now)


def test_the_plc_s_own_set_offline_counts_and_its_end_ends_the_forcing(bench: Bench) -> None:
    bench.set(Control.SET_OFFLINE, True)
    bench.sample()
    bench.hs.force(parse_assignment("STATUS.ERROR=1"), bench.now)
    bench.set(Control.SET_OFFLINE, False)
    assert bench.sample() & Status.ONLINE
    assert not bench.hs.forcing and not shown(bench)["STATUS"] & Status.ERROR


def go_online(bench: Bench) -> None:
    bench.hs.hold_offline(False, bench.now)


def lose_the_link(bench: Bench) -> None:
    bench.hs.link_down(bench.now)


def wait(bench: Bench) -> None:
    bench.hs.tick(bench.now + FORCED_FOR_S)


def end_the_daemon(bench: Bench) -> None:
    bench.hs.stop(bench.now)


def trigger(bench: Bench) -> None:
    bench.trigger(17)


@pytest.mark.parametrize("what", [go_online, lose_the_link, wait, end_the_daemon, trigger])
def test_forced_values_end_by_themselves(forced: Bench, what: Callable[[Bench], None]) -> None:
    assert forced.hs.outgoing != forced.hs.stat.words
    what(forced)
    assert not forced.hs.forcing and forced.hs.outgoing == forced.hs.stat.words


def test_just_before_their_time_they_still_stand(forced: Bench) -> None:
    forced.hs.tick(forced.now + FORCED_FOR_S - 0.1)
    assert forced.hs.forcing


def test_going_offline_makes_the_part_in_flight_not_inspected_and_nothing_is_forced_beside_its_result(
    bench: Bench,
) -> None:
    bench.trigger(17)
    bench.hs.hold_offline(True, bench.now)
    with pytest.raises(ForceRefused, match="on its way"):
        bench.hs.force(parse_assignment("STATUS.ERROR=1"), bench.now)
    again = bench.hs.load(bench.parts[0], PASS, bench.now)
    assert again is not None and again.reason is Reason.OFFLINE
    assert bench.hs.raise_flags(bench.parts[0], again, bench.now)
    with pytest.raises(ForceRefused, match="on its way"):
        bench.hs.force(parse_assignment("STATUS.ERROR=1"), bench.now)
    bench.acknowledge()
    bench.hs.force(parse_assignment("STATUS.ERROR=1"), bench.now)


def test_a_trigger_while_offline_is_refused_and_its_result_carries_no_forced_value(forced: Bench) -> None:
    forced.trigger(17)
    (part,) = forced.parts
    assert part.refused is Reason.OFFLINE
    assert forced.hs.load(part, PASS, forced.now) is not None
    assert forced.hs.outgoing == forced.hs.stat.words


def test_online_again_a_part_passes_as_ever(forced: Bench) -> None:
    go_online(forced)
    assert forced.sample() & Status.TRIGGER_READY
    forced.trigger(18)
    assert forced.publish(forced.parts[-1]) is not None
    assert why_not_good(shown(forced), 18, 0, 1) == []


@pytest.mark.parametrize(
    "name",
    [
        "STATUS.TRIGGER_READY", "STATUS.TRIGGER_ACK", "STATUS.EXPOSURE_COMPLETE", "STATUS.RESULTS_VALID", "STATUS.PASS",
        "STATUS.FAIL", "STATUS.ONLINE", "STATUS.COMMAND_COMPLETED", "STATUS2.PLC_HB_OK", "STATUS", "STATUS2",
        "HEARTBEAT", "TRIGGER_ID_ACK", "STATE", "ACTIVE_RECIPE", "COMMAND_ID_ACK", "RES_SEQ", "RES_TRIGGER_ID",
        "RECIPE_USED", "RES_XOR", "RES_SEQ_TAIL", "OFFLINE_REASON", "STAT_SIGNATURE", "SETTINGS_CHECKSUM",
        "CONTROL.TRIGGER", "TRIGGER_ID", "PASS", "DIAG.TRIGGERS", "LOT",
    ],
)  # fmt: skip
def test_what_triggers_moves_or_passes_is_never_forced(name: str) -> None:
    text = "=x" if name == "LOT" else "=1"
    assert "never forced" in why_never(parse_assignment(name + text))


@pytest.mark.parametrize("text", ["STATUS.ERROR=0", "STATUS2.DEGRADED=0", "RESULT_CODE=1", "RESULT_FLAGS.BUFFERED=0"])
def test_a_forced_value_never_makes_things_look_better(text: str) -> None:
    assert why_never(parse_assignment(text))


def _stat_that_passes() -> Image:
    bench = Bench()
    bench.connect()
    bench.trigger(17)
    bench.publish(bench.parts[0])
    assert why_not_good(bench.hs.stat, 17, 0, 1) == []
    return bench.hs.stat


PASSES = _stat_that_passes()
POSSIBLE = [register.name for register in STAT.registers if register.length <= 2]
POSSIBLE += [f"{name}.{bit.name}" for name in POSSIBLE for bit in BITS.get(name, ())]


@given(
    st.dictionaries(st.sampled_from(POSSIBLE), st.integers(0, 0xFFFF)),
    st.integers(0, 0xFFFF).filter(lambda status: not status & Status.ONLINE),
)
def test_whatever_is_forced_an_image_never_turns_good_and_one_that_is_alive_is_as_it_was(
    wanted: dict[str, int], status: int
) -> None:
    forcing = Forcing()
    for name, value in wanted.items():
        text = f"{name}={value if find(name).bit is None else value & 1}"
        assignment = parse_assignment(text)
        if not why_never(assignment):
            forcing.set(assignment, 0.0)
    assert forcing.over(PASSES) is PASSES.words
    offline = PASSES.copy()
    offline["STATUS"] = status
    words = forcing.over(offline)
    assert why_not_good(Image(STAT, words), 17, 0, 1) != []
    assert not status & ALIVE or words == offline.words
    assert Image(STAT, words)["STATUS"] & ALIVE == status & ALIVE


def test_offline_is_shown_to_the_plc_as_the_contract_names_it(bench: Bench) -> None:
    bench.hs.hold_offline(True, bench.now)
    assert bench.hs.stat["OFFLINE_REASON"] == OfflineReason.SET_OFFLINE and not bench.status & Status.ONLINE
    assert not bench.status & Status.TRIGGER_READY

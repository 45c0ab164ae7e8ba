"""What goes on a part's record of what the PLC did after it was told: only what it was seen to do, of its own row."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plc.reactions import MAX_REACTIONS, Acknowledged, Reaction, Reported
from plc.registers import Control, Reason, Status
from tests.unit.plc.test_handshake import PASS, Bench

GOOD, REJECT = 1, 2


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.connect()
    return bench


def taken(bench: Bench) -> list[Reaction]:
    found = list(bench.hs.reactions)
    bench.hs.reactions.clear()
    return found


def told(bench: Bench, id_: int, no: int) -> float:
    """One part up to its result; returns when it was told."""
    bench.trigger(id_)
    assert bench.publish(bench.parts[-1], replace(PASS, inspection_no=no)) is not None
    return bench.now


def says(bench: Bench, id_: int, verdict: int, images: int = 2) -> float:
    """PLC_VERDICT in so many images; returns the time of the first."""
    bench.ctrl["PLC_VERDICT_ID"], bench.ctrl["PLC_VERDICT"] = id_, verdict
    first_s = bench.now + 0.002
    for _ in range(images):
        bench.sample()
    return first_s


def test_an_acknowledge_is_counted_from_the_publishing_write(bench: Bench) -> None:
    told_s = told(bench, 17, 170)
    bench.sample(0.03)
    bench.acknowledge()
    (ack,) = taken(bench)
    assert ack == Acknowledged(170, True, pytest.approx(0.032))  # type: ignore[arg-type]
    assert bench.now > told_s


def test_an_acknowledge_by_id_counts_as_well(bench: Bench) -> None:
    told(bench, 17, 170)
    bench.ctrl["RESULT_ACK_ID"] = 17
    bench.sample()
    assert [(type(r), r.inspection_no) for r in taken(bench)] == [(Acknowledged, 170)]


def test_a_result_that_was_not_acknowledged_in_time_says_so_and_how_long_it_stood(bench: Bench) -> None:
    told(bench, 17, 170)
    bench.hs.tick(bench.now + 10.1)
    assert taken(bench) == [Acknowledged(170, False, pytest.approx(10.1))]  # type: ignore[arg-type]


@pytest.mark.parametrize("ending", ["link", "disable"])
def test_a_result_that_ends_without_an_answer_leaves_it_unknown(bench: Bench, ending: str) -> None:
    told(bench, 17, 170)
    if ending == "link":
        bench.hs.link_down(bench.now)
    else:
        bench.set(Control.TRIGGER_ENABLE, False)
        bench.sample()
    assert not bench.status & Status.RESULTS_VALID
    bench.acknowledge()
    assert taken(bench) == [], "whatever the PLC acknowledges now, it is not this result"


def test_an_id_that_is_told_anew_keeps_what_is_known_of_its_first_result() -> None:
    bench = Bench(frozenset({17}))
    bench.ctrl["TRIGGER_ID"] = 17
    bench.set(Control.TRIGGER, True)
    bench.hs.link_up(bench.now, id_ack_in_plc=17)
    bench.sample()
    (part,) = bench.parts
    assert part.has_row
    bench.publish(part, replace(PASS, code=4, reason=Reason.RESTARTED, inspection_no=170))
    bench.acknowledge()
    assert taken(bench) == []


def test_the_plcs_own_verdict_is_of_the_parts_row_with_its_time(bench: Bench) -> None:
    told_s = told(bench, 17, 170)
    bench.acknowledge()
    taken(bench)
    seen_s = says(bench, 17, REJECT)
    assert taken(bench) == [Reported(170, REJECT, seen_s, pytest.approx(seen_s - told_s))]  # type: ignore[arg-type]
    says(bench, 17, REJECT, images=5)
    assert taken(bench) == [], "once"
    says(bench, 17, GOOD)
    assert [r.verdict for r in taken(bench) if isinstance(r, Reported)] == [GOOD], "it changed its mind"


def test_one_image_alone_may_be_torn_and_is_no_report(bench: Bench) -> None:
    told(bench, 17, 170)
    bench.acknowledge()
    taken(bench)
    says(bench, 17, GOOD, images=1)
    says(bench, 17, REJECT)
    assert [r.verdict for r in taken(bench) if isinstance(r, Reported)] == [REJECT]


def test_a_verdict_before_the_result_is_noted_once_the_row_is_known(bench: Bench) -> None:
    bench.trigger(17)
    seen_s = says(bench, 17, REJECT)
    assert taken(bench) == []
    bench.publish(bench.parts[-1], replace(PASS, inspection_no=170))
    (report,) = taken(bench)
    assert isinstance(report, Reported) and (report.inspection_no, report.verdict) == (170, REJECT)
    assert report.after_s is not None and report.after_s == pytest.approx(seen_s - bench.now) and report.after_s < 0


def test_a_part_that_was_never_told_has_a_report_without_a_distance(bench: Bench) -> None:
    bench.trigger(17)
    bench.hs.link_down(bench.now)
    bench.hs.give_up(bench.parts[-1], replace(PASS, inspection_no=170), bench.now)
    bench.set(Control.TRIGGER, False)
    bench.connect()
    seen_s = says(bench, 17, REJECT)
    assert taken(bench) == [Reported(170, REJECT, seen_s, None)]


def test_a_report_on_a_part_of_a_former_life_finds_its_row_and_what_stood_before_is_none() -> None:
    bench = Bench()
    bench.hs.recall_told([(17, 1017, 1, 170), (18, 1018, 2, 180)])
    bench.ctrl["PLC_VERDICT_ID"], bench.ctrl["PLC_VERDICT"] = 17, GOOD
    bench.connect()
    assert taken(bench) == [], "of which part 17 is not known: the first image is a reference"
    seen_s = says(bench, 18, REJECT)
    assert taken(bench) == [Reported(180, REJECT, seen_s, None)]


@pytest.mark.parametrize(("id_", "verdict"), [(0, GOOD), (17, 0), (999, REJECT)])
def test_what_is_of_no_part_of_ours_is_no_report(bench: Bench, id_: int, verdict: int) -> None:
    told(bench, 17, 170)
    bench.acknowledge()
    taken(bench)
    says(bench, id_, verdict)
    assert taken(bench) == []


PARTS = st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.booleans()), min_size=1, max_size=12)


@given(PARTS)
def test_every_row_has_exactly_what_the_plc_was_seen_to_do(parts: list[tuple[bool, int, bool]]) -> None:
    """(acknowledged or left to time out, PLC_VERDICT or 0 for none, said before the acknowledge)."""
    bench = Bench()
    bench.connect()
    expected: set[tuple[str, int, int]] = set()
    for n, (acks, verdict, early) in enumerate(parts, 1):
        told(bench, n, 100 * n)
        if verdict and early:
            says(bench, n, verdict)
        if acks:
            bench.acknowledge()
        else:
            bench.hs.tick(bench.now + 10.1)
            bench.set(Control.TRIGGER, False)
            bench.sample()
        if verdict and not early:
            says(bench, n, verdict)
        expected.add(("ack", 100 * n, int(acks)))
        expected |= {("verdict", 100 * n, verdict)} if verdict else set()
    reactions = taken(bench)
    found = [
        ("ack", r.inspection_no, int(r.by_plc)) if isinstance(r, Acknowledged) else
        ("verdict", r.inspection_no, r.verdict) for r in reactions
    ]  # fmt: skip
    assert len(found) == len(set(found)) and set(found) == expected
    assert all(r.after_s is not None and r.after_s >= 0 for r in reactions)


def test_of_what_nobody_takes_the_oldest_is_forgotten(bench: Bench) -> None:
    for n in range(1, MAX_REACTIONS + 4):
        told(bench, n, n)
        bench.acknowledge()
    assert [one.inspection_no for one in taken(bench)] == list(range(4, MAX_REACTIONS + 4))

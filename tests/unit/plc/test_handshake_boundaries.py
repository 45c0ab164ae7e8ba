"""What the handshake may not carry over from one session to the next, nor take for an event when it begins."""

from __future__ import annotations

from dataclasses import replace

from plc.registers import SIMULATOR_SIGNATURE, Control, OfflineReason, Reason, Status, Status2, Verdict
from tests.unit.plc.test_handshake import PASS, Bench


def test_a_standing_id_is_answered_restarted_even_if_the_first_connection_ended_before_an_image_was_seen():
    bench = Bench(frozenset({17}))
    bench.ctrl["TRIGGER_ID"] = 17
    bench.set(Control.TRIGGER, True)
    bench.hs.link_up(bench.now, id_ack_in_plc=17)
    bench.hs.link_down(bench.now)
    bench.hs.link_up(bench.now, id_ack_in_plc=17)
    bench.sample()
    assert [(p.refused, p.has_row) for p in bench.parts] == [(Reason.RESTARTED, True)]


def test_a_standing_clear_error_clears_nothing_when_the_link_comes_back():
    """An operator's word is an edge: a bit that hangs at 1 must not clear each error by itself at each reconnect."""
    bench = Bench()
    bench.connect()
    bench.set(Control.CLEAR_ERROR, True)
    bench.sample()
    bench.hs.owner_conflict(bench.now)
    bench.hs.link_down(bench.now)
    bench.connect()
    assert bench.hs.stat["STATUS2"] & Status2.OWNER_CONFLICT
    bench.set(Control.CLEAR_ERROR, False)
    bench.sample()
    bench.set(Control.CLEAR_ERROR, True)
    bench.sample()
    assert not bench.hs.stat["STATUS2"] & Status2.OWNER_CONFLICT


def test_a_plc_that_takes_a_part_as_good_before_it_was_told_is_found_out():
    """Its program lets silence pass: PLC_VERDICT = 1 comes while the part is still being judged."""
    bench = Bench()
    bench.connect()
    bench.trigger(17)
    bench.ctrl["PLC_VERDICT_ID"], bench.ctrl["PLC_VERDICT"] = 17, 1
    bench.sample()
    bench.sample()
    assert list(bench.hs.wrong_accepts) == [17]
    bench.publish(bench.parts[0])
    bench.acknowledge()
    assert bench.hs.stat["OFFLINE_REASON"] == OfflineReason.LATCHED_ERROR


def test_a_part_taken_as_good_unasked_while_the_link_was_down_is_found_out_when_it_is_back():
    """The first image of a connection is a reference for edges; what the PLC says it did is no edge."""
    bench = Bench()
    bench.connect()
    bench.hs.link_down(bench.now)
    bench.ctrl["PLC_VERDICT_ID"], bench.ctrl["PLC_VERDICT"] = 17, 1
    bench.connect()
    assert list(bench.hs.wrong_accepts) == [17]


def test_an_id_that_was_left_out_is_told_and_takes_neither_ready_nor_a_verdict():
    """A part without READY gets an id and no trigger: the next id jumps, and nothing is wrong."""
    bench = Bench()
    bench.connect()
    for id_ in (17, 19):
        bench.trigger(id_)
        bench.publish(bench.parts[-1])
        assert bench.status & Status.PASS and not bench.status & Status.ERROR
        bench.acknowledge()
    assert bench.hs.stat["STATUS2"] & Status2.ID_GAP and bench.status & Status.TRIGGER_READY


def test_a_torn_read_of_the_plcs_verdict_is_no_wrong_accept():
    """The id is of the rejected part already, the verdict still of the good one before it; the next image is whole."""
    bench = Bench()
    bench.connect()
    for id_, record in ((17, PASS), (18, replace(PASS, code=2))):
        bench.trigger(id_)
        bench.publish(bench.parts[-1], record)
        bench.acknowledge()
        for pair in ((id_, 1), (id_, record.code)):
            bench.ctrl["PLC_VERDICT_ID"], bench.ctrl["PLC_VERDICT"] = pair
            bench.sample()
    assert not bench.hs.wrong_accepts and bench.status & Status.TRIGGER_READY


def test_a_good_that_still_stands_from_the_same_id_long_ago_is_no_wrong_accept():
    bench = Bench()
    bench.connect()
    bench.trigger(17)
    bench.publish(bench.parts[0])
    bench.acknowledge()
    bench.ctrl["PLC_VERDICT_ID"], bench.ctrl["PLC_VERDICT"] = 17, 1
    for id_ in (18, 17):
        bench.trigger(id_)
        bench.publish(bench.parts[-1])
        bench.acknowledge()
    assert not bench.hs.wrong_accepts


def test_a_plc_that_cleared_its_memory_with_a_part_in_flight_gets_a_reject_for_it():
    """Its area reads zero for one image, and its program runs again before the deadline: another run of the PLC."""
    bench = Bench()
    bench.connect()
    bench.trigger(17)
    for name in ("SIGNATURE", "CONTROL", "TRIGGER_ID", "PLC_HEARTBEAT"):
        bench.ctrl[name] = 0
    bench.sample()
    bench.ctrl["SIGNATURE"], bench.ctrl["CONTROL"] = SIMULATOR_SIGNATURE + 1, Control.TRIGGER_ENABLE
    for _ in range(4):
        bench.sample()
    told = bench.publish(bench.parts[0])
    assert told is not None and (told.code, told.reason) == (Verdict.NOT_INSPECTED, Reason.LINK_LOST)


def test_triggers_that_are_not_even_answered_are_counted_nowhere():
    """MISSED, DUPLICATES and STALE say how many of TRIGGERS; behind sixteen that wait nothing more is answered."""
    bench = Bench()
    bench.connect()
    for id_ in range(1, 25):
        bench.set(Control.TRIGGER, False)
        bench.sample()
        bench.trigger(id_)
    assert (bench.hs.counts["TRIGGERS"], bench.hs.counts["MISSED"]) == (17, 16)
    assert bench.status & Status.RESULTS_BUFFER_OVERRUN


def test_a_plc_that_started_anew_between_two_connections_may_begin_its_ids_anywhere():
    bench = Bench()
    bench.ctrl["PLC_SESSION"] = 4
    bench.connect()
    bench.trigger(64)
    bench.publish(bench.parts[0])
    bench.acknowledge()
    bench.hs.link_down(bench.now)
    bench.ctrl["PLC_SESSION"], bench.ctrl["TRIGGER_ID"] = 5, 0
    bench.connect()
    bench.trigger(300)
    assert bench.parts[-1].refused is None and bench.hs.counts["ID_GAPS"] == 0
    bench.publish(bench.parts[-1])
    bench.acknowledge()
    bench.trigger(305)
    assert bench.hs.counts["ID_GAPS"] == 4, "from there on they are counted"

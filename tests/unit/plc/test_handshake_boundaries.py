"""What the handshake may not carry over from one session to the next, nor take for an event when it begins."""

from __future__ import annotations

from plc.registers import Control, Reason, Status2
from tests.unit.plc.test_handshake import Bench


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

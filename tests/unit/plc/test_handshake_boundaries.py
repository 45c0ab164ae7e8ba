"""What the handshake may not carry over from one session to the next, nor take for an event when it begins."""

from __future__ import annotations

from plc.registers import Control, Reason
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

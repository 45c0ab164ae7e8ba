"""P2 of the contract: what must hold, together, before a PLC may take a part as good. Written afresh for the suite."""

from __future__ import annotations

from plc.images import Image, record_xor
from plc.registers import SIGNATURE, Status, Verdict


def why_not_good(stat: Image, trigger_id: int, recipe_expected: int, number: int) -> list[str]:
    """The terms of P2 that do not hold, but for ACK and heartbeat, which need time; [] = good."""
    status = Status(stat["STATUS"])
    terms = {
        "RESULTS_VALID = 1": bool(status & Status.RESULTS_VALID),
        "PASS = 1": bool(status & Status.PASS),
        "FAIL = 0": not status & Status.FAIL,
        "RESULT_CODE = 1": stat["RESULT_CODE"] == Verdict.PASS,
        "RES_TRIGGER_ID = id": stat["RES_TRIGGER_ID"] == trigger_id,
        "RES_SEQ = RES_SEQ_TAIL": stat["RES_SEQ"] == stat["RES_SEQ_TAIL"],
        "RES_XOR": stat["RES_XOR"] == record_xor(stat),
        "RECIPE_USED = RECIPE_EXPECTED": recipe_expected in (0, stat["RECIPE_USED"]),
        "RESULT_FLAGS b0, b1 = 0": stat["RESULT_FLAGS"] & 3 == 0,
        "ONLINE = 1": bool(status & Status.ONLINE),
        "ERROR = 0": not status & Status.ERROR,
        "STAT_SIGNATURE": stat["STAT_SIGNATURE"] == SIGNATURE + number,
    }
    return [name for name, holds in terms.items() if not holds]

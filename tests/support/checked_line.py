"""A line as the conformance suite's checker sees it: both images, and what a right appliance does with them."""

from __future__ import annotations

from plc.conformance.checker import Checker
from plc.images import Image, seal_record
from plc.registers import CTRL, SIGNATURE, STAT, Control, Status, Verdict

READY = Status.ONLINE | Status.TRIGGER_READY
ACKED = Status.ONLINE | Status.TRIGGER_ACK
VALID = ACKED | Status.RESULTS_VALID


class Line:
    """A checker, and both images as a right appliance and a right PLC would show them."""

    def __init__(self, *, complete: bool = True) -> None:
        self.checker = Checker(complete=complete, two_phase=True)
        self.stat, self.control, self.seq = Image(STAT), Image(CTRL), 0
        self.by = 1  # the connection that images come and go by
        self.stat["STAT_SIGNATURE"] = SIGNATURE + 1
        self.control["CONTROL"] = Control.TRIGGER_ENABLE
        self.ctrl()
        self.show(READY)

    def ctrl(self) -> None:
        self.checker.ctrl(list(self.control.words), self.by)

    def show(self, status: Status, **registers: int) -> None:
        self.stat["STATUS"] = status
        self.stat["HEARTBEAT"] += 1
        for name, value in registers.items():
            self.stat[name] = value
        self.checker.stat(list(self.stat.words), self.by)

    def trigger(self, id_: int, *, good: bool = True, test_part: bool = False) -> None:
        self.control["CONTROL"] = Control.TRIGGER_ENABLE | Control.TRIGGER
        self.control["TRIGGER_ID"] = id_
        self.checker.trigger(id_, good=good, test_part=test_part)
        self.ctrl()

    def acknowledge(self, id_: int) -> None:
        self.show(ACKED, TRIGGER_ID_ACK=id_)

    def load(self, id_: int, code: int = 1, reason: int = 0, **more: int) -> None:
        self.seq += 1
        for name, value in {"RES_TRIGGER_ID": id_, "RESULT_CODE": code, "REASON": reason, **more}.items():
            self.stat[name] = value
        seal_record(self.stat, self.seq)

    def publish(self, id_: int, code: int = 1, reason: int = 0, **more: int) -> None:
        self.load(id_, code, reason, **more)
        self.show(ACKED)
        self.show(VALID | (Status.PASS if code == Verdict.PASS else Status.FAIL))

    def release(self) -> None:
        self.control["CONTROL"] = Control.TRIGGER_ENABLE
        self.ctrl()
        self.show(Status.ONLINE)
        self.show(READY)

    def decide(self, id_: int, verdict: int) -> None:
        self.control["PLC_VERDICT_ID"], self.control["PLC_VERDICT"] = id_, verdict
        self.ctrl()

    def cycle(self, id_: int, code: int = 1, reason: int = 0) -> None:
        self.trigger(id_, good=code == Verdict.PASS)
        self.acknowledge(id_)
        self.publish(id_, code, reason)
        self.release()
        self.decide(id_, 1 if code == Verdict.PASS else 2)


def heartbeat_backwards(line: Line) -> None:
    line.stat["HEARTBEAT"] -= 10
    line.show(ACKED)

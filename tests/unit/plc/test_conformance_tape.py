"""The wire around a broken rule: what a trace holds, how much of it, and that a seed brings the same faults again."""

from __future__ import annotations

import asyncio
import random
from types import SimpleNamespace

import pytest

from plc.conformance import cases_soak
from plc.conformance.checker import Checker, Violation
from plc.conformance.ports import MemoryPort
from plc.conformance.raw import frame, read_pdu, write_pdu
from plc.conformance.tape import AFTER, BEFORE, MAX_TRACES, Tape, frame_text
from plc.fault_lane import Passage, Side
from plc.fault_proxy import FaultProxy
from plc.images import Image, seal_record
from plc.registers import CTRL, SIGNATURE, STAT, Control, Status
from plc.server import Memory, RegisterServer
from tests.support.links import PatientModbus, until

RULE = Violation("P6", "flags first")


def passage(number: int, side: Side = Side.CLIENT, data: bytes | None = None) -> Passage:
    return Passage(1, side, "passed", number - 0.1, number, frame(number, read_pdu(0, 20)) if data is None else data)


def test_a_trace_holds_the_newest_frames_before_the_broken_rule_and_some_after_it():
    tape = Tape(begun_s=0.0, now=lambda: 99.5)
    for number in range(1, 100):
        tape.passed(passage(number))
    tape.broken(RULE)
    for number in range(100, 200):
        tape.passed(passage(number))
    (trace,) = tape.traces()
    assert len(trace.entries) == BEFORE + AFTER
    assert [e.at_s for e in trace.entries[:BEFORE]] == [*range(100 - BEFORE + 1, 100), 99.5]
    assert trace.entries[BEFORE - 1].told == "RULE BROKEN: P6: flags first"
    assert trace.entries[-1].at_s == 99 + AFTER


def test_a_test_that_breaks_rules_without_end_has_a_bounded_report():
    tape = Tape(begun_s=0.0)
    for number in range(1, 1000):
        tape.passed(passage(number))
        tape.broken(Violation("P6", str(number)))
    assert len(tape.traces()) == MAX_TRACES
    assert max(len(trace.entries) for trace in tape.traces()) <= BEFORE + AFTER


def test_a_trace_says_which_fault_was_active_and_what_the_proxy_did_just_then():
    proxy = FaultProxy()
    proxy.replies.delay_s, proxy.refuse = 0.15, True
    tape = Tape(lanes=proxy.wrong)
    tape.begin("slow")
    tape.broken(RULE)
    tape.over()
    tape.broken(Violation("P9", "later"))
    during, after = tape.traces()
    assert during.fault == "slow; replies: delay_s 0.15; new connections: refused"
    assert after.fault == "replies: delay_s 0.15; new connections: refused"
    assert [e.told for e in during.entries] == ["fault: slow", "RULE BROKEN: P6: flags first", "over: slow",
                                                "RULE BROKEN: P9: later"]  # fmt: skip


def test_frames_are_told_in_the_words_of_the_map():
    ctrl, stat = Image(CTRL), Image(STAT)
    ctrl["CONTROL"], ctrl["TRIGGER_ID"] = Control.TRIGGER_ENABLE | Control.TRIGGER, 17
    stat["STATUS"], stat["RES_TRIGGER_ID"], stat["RESULT_CODE"] = Status.RESULTS_VALID | Status.PASS, 17, 1
    asked = read_pdu(CTRL.base, CTRL.size)
    reply = bytes([3, 2 * CTRL.size]) + b"".join(w.to_bytes(2, "big") for w in ctrl.words)
    assert frame_text(frame(9, asked), b"", reply=False) == "    9 read CTRL"
    assert "CTRL: TRIGGER_ENABLE TRIGGER, id 17" in frame_text(frame(9, reply), asked, reply=True)
    written = frame_text(frame(10, write_pdu(STAT.base, stat.words)), b"", reply=False)
    assert "write STAT: RESULTS_VALID PASS" in written and "id 17 1/0" in written
    assert frame_text(frame(10, bytes([16, 0, 20, 0, 44])), b"", reply=True) == "   10 written"
    assert frame_text(frame(10, bytes([0x90, 2])), b"", reply=True) == "   10 exception 2"


@pytest.mark.parametrize(
    "data", [b"", b"\0", b"\0\1\0\0\0\2\1", bytes(7) + b"\3", bytes(7) + b"\x90", bytes(40), b"\xff" * 300]
)
@pytest.mark.parametrize("reply", [False, True])
def test_bytes_that_are_no_modbus_are_told_as_bytes(data, reply):
    assert frame_text(data, b"", reply=reply)
    assert frame_text(data, b"\3\0", reply=reply)


async def test_both_sides_and_every_fate_at_the_proxy_are_on_the_tape():
    server = RegisterServer(Memory(words=list(range(2100))))
    await server.start()
    proxy, tape = FaultProxy(("127.0.0.1", server.port)), Tape()
    proxy.watch = tape
    await proxy.start()
    try:
        raw = await PatientModbus.connect("127.0.0.1", proxy.port)
        await raw.read(0, 20)
        proxy.replies.delay_s = 0.05
        await raw.read(20, 44)
        proxy.replies.delay_s, proxy.requests.duplicate = 0.0, 1
        await raw.read(0, 20)
        await until(lambda: proxy.counts["vanished"])  # the second answer to the doubled request
        proxy.requests.hold = True
        await raw.send(frame(77, read_pdu(100, 40)))
        await until(lambda: proxy.counts["held"])
        proxy.reset()
        await until(lambda: not proxy.live)
        tape.broken(RULE)
        raw.reset()
    finally:
        await proxy.close()
        await server.close()
    (trace,) = tape.traces()
    seen = [(e.said_by, e.fate) for e in trace.entries if e.said_by]
    passed = [("client", "passed"), ("server", "passed")]
    assert seen[:4] == passed * 2
    assert sorted(seen[4:]) == sorted([*passed, ("client", "passed"), ("server", "unwanted"), ("client", "held")])
    assert trace.entries[4].late_s >= 0.05
    marks = [e.told for e in trace.entries if not e.said_by]
    assert marks == ["connection 1 begins", "reset", "connection 1 is over", "RULE BROKEN: P6: flags first"]


async def test_the_checker_learns_by_which_connection_an_image_came_and_which_is_the_older():
    """Flags of an ended connection, after its successor's first image: right if their record came before them there."""
    checker = Checker(complete=True, two_phase=True)
    port = MemoryPort(checker)
    await port.start()
    record, flagged, other = (Image(STAT) for _ in range(3))
    for image in (record, flagged, other):
        image["STAT_SIGNATURE"], image["STATUS"] = SIGNATURE + 1, Status.ONLINE | Status.TRIGGER_ACK
        image["TRIGGER_ID_ACK"] = 5
    for image in (record, flagged):
        image["RES_TRIGGER_ID"], image["RESULT_CODE"] = 5, 1
        seal_record(image, 1)
    flagged["STATUS"] |= Status.RESULTS_VALID | Status.PASS
    checker.trigger(5, good=True).ready = True
    old, new = [await PatientModbus.connect("127.0.0.1", port.server.port) for _ in range(2)]
    try:
        await old.write(STAT.base, record.words)
        await new.write(STAT.base, other.words)
        await old.write(STAT.base, flagged.words)
        assert checker.violations == []
        await new.write(STAT.base, flagged.words)
        assert [v.rule.split(":")[0] for v in checker.violations] == ["P6", "P9", "P8"]
    finally:
        await old.close()
        await new.close()
        await port.close()


async def test_a_seed_brings_the_same_faults_in_the_same_order_and_another_seed_others(monkeypatch):
    async def faults(seed: int) -> list[tuple[str, float]]:
        made: list[tuple[str, float]] = []

        def fault(name: str):
            async def happen(bench, dice):
                made.append((name, dice.random()))
                await asyncio.sleep(0)
                if len(made) == 20:
                    raise asyncio.CancelledError

            return happen

        monkeypatch.setattr(cases_soak, "FAULTS", tuple(map(fault, "abcdefg")))
        monkeypatch.setattr(cases_soak, "PAUSE_S", (0.0, 0.0))
        bench = SimpleNamespace(tape=Tape(), proxy=FaultProxy(), plc=SimpleNamespace())
        with pytest.raises(asyncio.CancelledError):
            await cases_soak.break_at_random(bench, random.Random(seed))
        return made

    assert await faults(7) == await faults(7) != await faults(8)

"""One nominal cycle, played by the real handshake with fixed inputs: the documents print its bytes."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from plc.handshake import Handshake
from plc.images import Image
from plc.parts import HandshakeConfig, HealthInput, Record
from plc.registers import CTRL, SIGNATURE, STAT, Control, OfflineReason, Reason, Verdict

ID, PART_ID, ENCODER, UNIT = 17, 70001, 123456, 1
SETTINGS_CHECKSUM = 0x5EED1234
RECORD = Record(
    code=int(Verdict.PASS), reason=Reason.NONE, inspection_no=4711, class_id=3, confidence=9876, anomaly=1500,
    recipe_used=1, model_rev=4, utc_ms=1_700_000_000_250,
)  # fmt: skip
READ, WRITE = 3, 16
RECORD_ALONE = "the record is written and confirmed first; no flag yet"


@dataclass(frozen=True, slots=True)
class Moment:
    """What both images show from `at_ms` on. who: the side that has just changed its image."""

    at_ms: int
    who: str  # plc or appliance
    what: str
    ctrl: Image
    stat: Image


@dataclass(frozen=True, slots=True)
class Frame:
    """One Modbus TCP frame."""

    sender: str  # plc or appliance
    data: bytes


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and its reply, and the moment that they show; step: its number in `cycle`, from 1."""

    step: int
    moment: Moment
    frames: tuple[Frame, Frame]


class _Play:
    """The PLC's image, the handshake, and what both showed."""

    def __init__(self) -> None:
        self.hs = Handshake(
            HandshakeConfig(active_recipe=1, settings_checksum=SETTINGS_CHECKSUM), known=lambda id_: False
        )
        self.ctrl, self.moments = Image(CTRL), list[Moment]()
        self.ctrl["SIGNATURE"], self.ctrl["CONTROL"] = SIGNATURE + 1, Control.TRIGGER_ENABLE
        self.ctrl["PLC_PART_COUNT"], self.ctrl["PLC_VERDICT_ID"], self.ctrl["PLC_VERDICT"] = 16, 16, 1
        self.ctrl["TRIGGER_ID"], self.ctrl["TRIGGER_ID_INV"] = 16, 16 ^ 0xFFFF
        self.hs.health(HealthInput(True, OfflineReason.NONE), 0.0)
        self.hs.link_up(0.0)
        for at_ms in range(-320, 1, 40):  # two heartbeats of each side, and TRIGGER seen 0
            self.hs.beat(at_ms / 1000)
            self.ctrl["PLC_HEARTBEAT"] += 1
            self.ctrl["HB_ECHO"] = self.hs.stat["HEARTBEAT"]
            self._sample(at_ms)

    def _sample(self, at_ms: int) -> None:
        self.hs.sample(self.ctrl.copy(), at_ms / 1000, at_ms / 1000)

    def show(self, at_ms: int, who: str, what: str) -> None:
        self.moments.append(Moment(at_ms, who, what, self.ctrl.copy(), self.hs.stat.copy()))

    def plc(self, at_ms: int, control: Control, what: str) -> None:
        """The program writes CTRL; the appliance sees it a millisecond later."""
        self.ctrl["CONTROL"] = control
        self.show(at_ms, "plc", what)
        self._sample(at_ms + 1)


def cycle() -> list[Moment]:
    """READY, trigger, picture, record, verdict, acknowledge, READY again."""
    play, enable = _Play(), Control.TRIGGER_ENABLE
    play.show(0, "appliance", "READY; the program may trigger")
    play.ctrl["TRIGGER_ID"], play.ctrl["TRIGGER_ID_INV"] = ID, ID ^ 0xFFFF
    play.ctrl["PART_ID"], play.ctrl["ENCODER"], play.ctrl["PLC_PART_COUNT"] = PART_ID, ENCODER, ID
    play.plc(5, enable | Control.TRIGGER, "a part came: its id, then TRIGGER")
    part = play.hs.events.popleft()
    play.show(7, "appliance", "accepted: the id is acknowledged, READY falls, the camera exposes")
    play.plc(12, enable, "ACK with this id was seen: TRIGGER falls")
    play.show(14, "appliance", "ACK falls")
    play.hs.exposed(part, 0.008, 0.018)
    play.show(18, "appliance", "the exposure ended: the part may move")
    loaded = play.hs.load(part, RECORD, 0.040)
    play.show(40, "appliance", RECORD_ALONE)
    if loaded is None or not play.hs.raise_flags(part, loaded, 0.042):
        raise RuntimeError("the nominal cycle was refused")
    play.show(42, "appliance", "then the flags: VALID and PASS")
    play.plc(47, enable | Control.RESULTS_ACK, "the record was read: RESULTS_ACK")
    play.show(49, "appliance", "VALID and PASS fall; the record may stand")
    play.plc(54, enable, "VALID is gone: RESULTS_ACK falls")
    play.show(56, "appliance", "READY for the next part")
    return play.moments


def frames_client() -> list[Exchange]:
    """The appliance is the Modbus client: it polls CTRL, and writes the whole STAT when it changed."""
    out = []
    for step, moment in enumerate(cycle(), 1):
        if moment.who == "plc":
            pair = _read(step, CTRL.base, moment.ctrl.words)
        else:
            pair = _write(step, STAT.base, moment.stat.words)
        out.append(Exchange(step, moment, (Frame("appliance", pair[0]), Frame("plc", pair[1]))))
    return out


def frames_server() -> list[Exchange]:
    """The appliance is the Modbus server: the PLC writes the whole CTRL, and reads STAT, both in every cycle.

    Record and flags show in one moment there, so the record alone is never read.
    """
    out = []
    seen = [(step, moment) for step, moment in enumerate(cycle(), 1) if moment.what != RECORD_ALONE]
    for transaction, (step, moment) in enumerate(seen, 1):
        if moment.who == "plc":
            pair = _write(transaction, CTRL.base, moment.ctrl.words)
        else:
            pair = _read(transaction, STAT.base, moment.stat.words)
        out.append(Exchange(step, moment, (Frame("plc", pair[0]), Frame("appliance", pair[1]))))
    return out


def _framed(transaction: int, pdu: bytes) -> bytes:
    return struct.pack(">HHHB", transaction, 0, len(pdu) + 1, UNIT) + pdu


def _read(transaction: int, address: int, words: list[int]) -> tuple[bytes, bytes]:
    """FC03: request and reply."""
    data = struct.pack(f">{len(words)}H", *words)
    request = struct.pack(">BHH", READ, address, len(words))
    return _framed(transaction, request), _framed(transaction, struct.pack(">BB", READ, len(data)) + data)


def _write(transaction: int, address: int, words: list[int]) -> tuple[bytes, bytes]:
    """FC16: request and reply."""
    head, data = struct.pack(">BHH", WRITE, address, len(words)), struct.pack(f">{len(words)}H", *words)
    return _framed(transaction, head + len(data).to_bytes(1, "big") + data), _framed(transaction, head)

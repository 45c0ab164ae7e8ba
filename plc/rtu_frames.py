"""Frames of Modbus RTU without I/O: the checksum, and finding the requests to one unit in what a line delivers.

A serial line has no frame marks but silence (Modbus over serial line 1.02, section 2.5.1), and an operating system
hands bytes over in pieces of its own. So a request counts only if it is whole by its own length, right by its checksum,
and alone between two silences; whatever else was on the line is dropped up to the next silence.
"""

from __future__ import annotations

from pymodbus.framer.rtu import FramerRTU

MIN_FRAME, MAX_FRAME = 4, 256
FAST_BAUD, FAST_GAP_S = 19_200, 0.001_75  # above this speed the gap is fixed (section 2.5.1.1)
FIXED_LENGTH = (1, 2, 3, 4, 5, 6)  # functions whose requests are 8 bytes long
COUNTED = (15, 16)  # functions whose requests tell their length in byte 6


def char_s(baud: int, stop_bits: int, parity: bool) -> float:
    """Seconds that one character takes on the line: start bit, 8 bits, parity, stop bits."""
    return (9 + parity + stop_bits) / baud


def gap_s(baud: int, one_char_s: float) -> float:
    """Seconds of silence between two frames: 3.5 characters."""
    return FAST_GAP_S if baud > FAST_BAUD else 3.5 * one_char_s


def sealed(unit_id: int, pdu: bytes) -> bytes:
    """A frame: unit, PDU, checksum."""
    frame = bytes((unit_id,)) + pdu
    return frame + FramerRTU.compute_CRC(frame).to_bytes(2, "big")


def is_intact(frame: bytes) -> bool:
    """True if the checksum of a whole frame is right."""
    return len(frame) >= MIN_FRAME and FramerRTU.compute_CRC(frame[:-2]).to_bytes(2, "big") == frame[-2:]


class RequestFinder:
    """Finds the requests to `unit_id`. Times are seconds of the caller's monotonic clock.

    gap_s: silence that ends a frame. hold_s: silence after which the rest of a request to us is no longer waited for;
    longer, because adapters deliver one frame in several pieces.
    """

    def __init__(self, unit_id: int, gap_s: float, hold_s: float) -> None:
        self._unit, self._gap_s, self._hold_s = unit_id, gap_s, max(gap_s, hold_s)
        self._bytes, self._last_s = bytearray(), 0.0
        self._foreign = False  # what is on the line is not for us, or broken: not before the next silence

    @property
    def begun(self) -> bool:
        """Bytes of a request to us are here."""
        return bool(self._bytes)

    def feed(self, data: bytes, now_s: float) -> None:
        """Bytes that came just now."""
        if now_s - self._last_s > (self._hold_s if self._unfinished() else self._gap_s):
            self._bytes.clear()  # also a request that nobody took in time: its sender asks something else by now
            self._foreign = False
        self._bytes += data
        self._last_s = now_s
        whole = self._whole()
        if self._bytes[:1] != bytes((self._unit,)) or len(self._bytes) > (whole or MAX_FRAME):
            self._foreign = True
        if self._foreign:
            self._bytes.clear()

    def request(self, now_s: float) -> bytes | None:
        """The PDU of a request to us that is over since a gap; None: there is none (yet). Each is given once."""
        if not self._bytes or self._unfinished() or now_s - self._last_s < self._gap_s:
            return None
        frame = bytes(self._bytes)
        self._bytes.clear()
        return frame[1:-2] if is_intact(frame) else None

    def wait_s(self, now_s: float) -> float | None:
        """Seconds until `request` may give one without further bytes; None: only further bytes can."""
        if not self._bytes or self._unfinished():
            return None
        return max(0.0, self._last_s + self._gap_s - now_s)

    def _whole(self) -> int | None:
        """Length of the frame that has begun; None: not known yet, or only its checksum can tell."""
        if len(self._bytes) < 2:
            return None
        function = self._bytes[1]
        if function in FIXED_LENGTH:
            return 8
        if function in COUNTED:
            return 9 + self._bytes[6] if len(self._bytes) > 6 else None
        return None

    def _unfinished(self) -> bool:
        """More bytes of a request to us are to come."""
        if not self._bytes:
            return False
        whole = self._whole()
        if whole is not None:
            return len(self._bytes) < whole
        known = len(self._bytes) > 1 and self._bytes[1] not in COUNTED
        return not (known and is_intact(bytes(self._bytes)))

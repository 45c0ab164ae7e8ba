"""The same exchange on a bare socket: no state machine, no checks, no library. What any client costs here at least.

python -m tests.bench.raw_client PORT POLL_MS
"""

from __future__ import annotations

import socket
import struct
import sys
import time

from plc.images import Image, seal_record
from plc.registers import CTRL, IDENT, SIGNATURE, STAT, Control, Status, Verdict

BEAT_S = 0.1


class Raw:
    """One request at a time, as bytes."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._id = 0

    def read(self, address: int, count: int) -> list[int]:
        reply = self._ask(struct.pack(">BHH", 3, address, count))
        return list(struct.unpack(f">{count}H", reply[2:]))

    def write(self, address: int, words: list[int]) -> None:
        body = struct.pack(f">BHHB{len(words)}H", 16, address, len(words), 2 * len(words), *words)
        self._ask(body)

    def _ask(self, body: bytes) -> bytes:
        self._id = self._id % 0xFFFF + 1
        self._socket.sendall(struct.pack(">HHHB", self._id, 0, len(body) + 1, 1) + body)
        head = self._take(7)
        return self._take(int.from_bytes(head[4:6], "big") - 1)

    def _take(self, count: int) -> bytes:
        got = b""
        while len(got) < count:
            more = self._socket.recv(count - len(got))
            if not more:
                raise SystemExit(0)  # the PLC is gone
            got += more
        return got


def serve(port: int, poll_s: float) -> None:
    """Until the PLC closes."""
    raw, stat, seq, beat_s = Raw(port), Image(STAT), 0, 0.0
    stat["STAT_SIGNATURE"] = SIGNATURE + 1
    ready = Status.ONLINE | Status.TRIGGER_READY
    written: list[int] = []
    judged = 0
    while True:
        begun = time.monotonic()
        ctrl = Image(CTRL, raw.read(CTRL.base, CTRL.size))
        control = Control(ctrl["CONTROL"])
        status = Status(stat["STATUS"])
        if control & Control.TRIGGER and ctrl["TRIGGER_ID"] != judged:
            judged = ctrl["TRIGGER_ID"]
            raw.read(IDENT.base, IDENT.size)
            stat["TRIGGER_ID_ACK"], stat["STATUS"] = judged, Status.ONLINE | Status.TRIGGER_ACK | Status.ACQUIRING
            raw.write(STAT.base, stat.words)
            bad, seq = ctrl["PART_ID"] % 2, seq % 0xFFFF + 1
            stat["RES_TRIGGER_ID"], stat["RESULT_CODE"] = judged, Verdict.FAIL if bad else Verdict.PASS
            seal_record(stat, seq)
            raw.write(STAT.base, stat.words)
            flags = Status.ONLINE | Status.TRIGGER_ACK | Status.RESULTS_VALID
            stat["STATUS"] = flags | (Status.FAIL if bad else Status.PASS)
        elif status & Status.RESULTS_VALID:
            if control & Control.RESULTS_ACK:
                stat["STATUS"] = Status.ONLINE
        elif not control & (Control.TRIGGER | Control.RESULTS_ACK):
            stat["STATUS"] = ready
        if begun - beat_s >= BEAT_S:
            beat_s = begun
            stat["HEARTBEAT"] += 1
        if stat.words != written:
            raw.write(STAT.base, stat.words)
            written = list(stat.words)
        time.sleep(max(0.0, poll_s - (time.monotonic() - begun)))


if __name__ == "__main__":
    serve(int(sys.argv[1]), float(sys.argv[2]) / 1000)

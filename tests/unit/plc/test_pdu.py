"""What a server answers to any bytes, and that its log stays short."""

from __future__ import annotations

import logging
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plc.pdu import MAX_PDU, answer
from plc.server import Memory
from plc.sparse_log import SparseLog

IDENTITY = {n: b"x" * 20 for n in range(7)}
U16 = st.integers(0, 0xFFFF)


def encoded(body: bytes, memory: Memory) -> bytes:
    response = answer(body, memory.read, memory.write, IDENTITY)
    return response.function_code.to_bytes(1, "big") + response.encode()


@given(st.binary(min_size=1, max_size=MAX_PDU))
def test_any_bytes_get_an_answer_that_fits_a_frame(body: bytes) -> None:
    found = encoded(body, Memory())
    assert 1 <= len(found) <= MAX_PDU
    assert found[0] & 0x7F == body[0] & 0x7F
    if found[0] & 0x80:
        assert found[1] in (1, 2, 3)


@given(st.sampled_from((3, 4, 6, 16, 43)), st.binary(max_size=20))
def test_any_bytes_behind_a_known_function_get_an_answer(function: int, rest: bytes) -> None:
    assert encoded(bytes([function]) + rest, Memory())


@given(U16, st.lists(U16, min_size=1, max_size=123))
def test_what_is_written_is_read_again_and_nothing_else_changes(address: int, words: list[int]) -> None:
    memory = Memory(writable=lambda at: 100 <= at < 300)
    body = struct.pack(f">BHHB{len(words)}H", 16, address, len(words), 2 * len(words), *words)
    accepted = address >= 100 and address + len(words) <= 300
    assert encoded(body, memory) == (struct.pack(">BHH", 16, address, len(words)) if accepted else b"\x90\2")
    expected = [0] * memory.size
    if accepted:
        expected[address : address + len(words)] = words
        read = encoded(struct.pack(">BHH", 3, address, len(words)), memory)
        assert read == struct.pack(f">BB{len(words)}H", 3, 2 * len(words), *words)
    assert memory.words == expected


@pytest.mark.parametrize(("code", "numbers"), [(1, range(3)), (2, range(7)), (3, range(7))])
def test_the_identification_has_the_objects_of_its_category(code: int, numbers: range) -> None:
    found = encoded(bytes([43, 14, code, 0]), Memory())
    assert found[:6] == bytes([43, 14, min(code, 2), 0x82, 0, 0])
    assert found[6] == len(numbers)
    assert [found[7 + 22 * n] for n in numbers] == list(numbers)


def test_a_log_of_what_peers_send_has_a_line_of_each_kind_every_ten_seconds(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    log = SparseLog(logging.getLogger("plc.test"), lambda: now)
    with caplog.at_level(logging.WARNING):
        for _ in range(1000):
            log.warn("malformed", "bad frame")
            log.warn("peer", "not allowed")
        now = 10.0
        log.warn("malformed", "bad frame")
    assert [r.message for r in caplog.records] == [
        "bad frame", "not allowed", "bad frame (999 more of this kind since the last line)"
    ]  # fmt: skip

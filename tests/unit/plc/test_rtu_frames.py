"""Finding requests on a serial line: what is for us, whole and alone is taken; everything else is silence."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.framer.rtu import FramerRTU
from pymodbus.pdu import DecodePDU

from plc.rtu_frames import RequestFinder, char_s, gap_s, is_intact, sealed

GAP_S, HOLD_S = 0.002, 0.05
READ = struct.pack(">BHH", 3, 0, 20)
WRITE = struct.pack(">BHHB3H", 16, 20, 3, 6, 1, 2, 3)
requests = st.one_of(
    st.builds(lambda a, c: struct.pack(">BHH", 3, a, c), st.integers(0, 0xFFFF), st.integers(0, 0xFFFF)),
    st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=100).map(
        lambda words: struct.pack(f">BHHB{len(words)}H", 16, 20, len(words), 2 * len(words), *words)
    ),
)
units = st.integers(1, 247)


def finder(unit: int = 7) -> RequestFinder:
    return RequestFinder(unit, GAP_S, HOLD_S)


def heard(found: RequestFinder, pieces: list[tuple[float, bytes]]) -> list[bytes]:
    """What a server with a perfect clock takes out of pieces (seconds, bytes), silence at the end."""
    taken = []
    for now_s, data in pieces:
        taken.append(found.request(now_s - 1e-9))  # just before the piece: the gap may be over
        found.feed(data, now_s)
    taken.append(found.request(pieces[-1][0] + 1.0))
    return [request for request in taken if request is not None]


@given(units, requests)
def test_a_frame_is_the_one_that_pymodbus_reads(unit, pdu):
    _, found_unit, _, found = FramerRTU(DecodePDU(True)).decode(sealed(unit, pdu))
    assert (found_unit, found) == (unit, pdu)
    assert is_intact(sealed(unit, pdu))


def test_the_bytes_of_a_frame_are_those_of_the_specification():
    assert sealed(0x02, bytes((0x07,))).hex() == "02074112"  # Modbus over serial line 1.02, section 6.2.2


@pytest.mark.parametrize(
    ("baud", "stop_bits", "parity", "expected_ms"), [(9600, 1, True, 4.01), (115200, 1, False, 1.75)]
)
def test_the_gap_between_frames_is_three_and_a_half_characters_or_fixed_on_fast_lines(
    baud, stop_bits, parity, expected_ms
):
    assert gap_s(baud, char_s(baud, stop_bits, parity)) * 1000 == pytest.approx(expected_ms, abs=0.01)


@given(requests, st.data())
def test_a_request_in_pieces_is_found_once_and_only_after_the_gap(pdu, data):
    frame = sealed(7, pdu)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(frame) - 1), max_size=4)))
    found, now = finder(), 100.0
    for begin, end in zip([0, *cuts], [*cuts, len(frame)], strict=True):
        now += 0.01  # longer than the gap: adapters do that
        found.feed(frame[begin:end], now)
        assert found.request(now) is None
    assert found.wait_s(now) == pytest.approx(GAP_S)
    assert found.request(now + GAP_S + 1e-6) == pdu
    assert found.request(now + 1.0) is None


@given(requests, units.filter(lambda unit: unit != 7))
def test_a_request_to_another_unit_is_silence_and_so_is_its_answer(pdu, other):
    found = finder()
    assert heard(found, [(1.0, sealed(other, pdu)), (1.01, sealed(other, b"\x03\x04\x07\x03\x00\x00"))]) == []
    assert heard(found, [(1.02, sealed(7, READ))]) == [READ]  # and the next one is for us


def test_a_broadcast_is_not_answered():
    assert heard(finder(), [(1.0, sealed(0, WRITE))]) == []


@given(requests, st.data())
def test_a_request_with_a_wrong_bit_is_never_taken(pdu, data):
    frame = bytearray(sealed(7, pdu))
    frame[data.draw(st.integers(0, len(frame) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert heard(finder(), [(1.0, bytes(frame))]) == []


@given(requests, st.data())
def test_after_a_lost_byte_the_next_request_is_found(pdu, data):
    frame = sealed(7, pdu)
    at = data.draw(st.integers(0, len(frame) - 1))
    found = finder()
    heard(found, [(1.0, frame[:at] + frame[at + 1 :])])
    assert heard(found, [(1.3, sealed(7, READ))]) == [READ]


@given(requests, requests)
def test_two_requests_without_a_silence_between_them_are_both_dropped(one, two):
    """Read in one go after a pause: the first one's sender has given up, and the second was sent to nobody in time."""
    assert heard(finder(), [(1.0, sealed(7, one) + sealed(7, two))]) == []


def test_a_request_that_nobody_took_in_time_is_replaced_by_the_next():
    found = finder()
    found.feed(sealed(7, WRITE), 1.0)
    found.feed(sealed(7, READ), 1.5)
    assert found.request(1.6) == READ


def test_a_function_of_unknown_length_ends_with_the_silence():
    assert heard(finder(), [(1.0, sealed(7, b"\x2b\x0e\x01\x00"))]) == [b"\x2b\x0e\x01\x00"]


@given(st.lists(st.tuples(st.floats(0, 0.1), st.binary(max_size=300)), max_size=20))
def test_noise_is_never_a_request_and_never_fills_memory(noise):
    found, now = finder(), 1.0
    for pause_s, data in noise:
        now += pause_s
        found.feed(data, now)
        request = found.request(now + GAP_S)
        assert request is None or sealed(7, request) in b"".join(piece for _, piece in noise)
        assert len(found._bytes) <= 264
    assert heard(found, [(now + 1.0, sealed(7, READ))]) == [READ]


def test_a_babbling_line_that_begins_as_a_request_to_us_fills_no_memory():
    found = finder()
    for piece in range(50):
        found.feed(b"\x07\x2b" + bytes(100), 1.0 + piece / 10_000)
        assert len(found._bytes) <= 264
    assert heard(found, [(2.0, sealed(7, READ))]) == [READ]

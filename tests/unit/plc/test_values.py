"""Registers in a person's words, and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plc.images import Image
from plc.registers import CTRL, DIAG, IDENT, STAT, Control
from plc.values import BITS, NameProblem, as_json, assign, find, parse_assignment, set_bits, spelled


def test_every_register_and_bit_is_found_by_its_name_and_by_its_block_s() -> None:
    for block in (CTRL, STAT, DIAG, IDENT):
        for register in block.registers:
            assert find(f"{block.name}.{register.name}").register is register
            assert find(register.name.lower()).register.name == register.name
            for bit in BITS.get(register.name, ()):
                place = find(f"{register.name}.{bit.name}")
                assert (place.register, place.bit) == (register, bit)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("TRIGER_ID=1", "did you mean TRIGGER_ID"),
        ("TRIGGER=1", "did you mean CONTROL.TRIGGER?"),
        ("CONTROL.TRIGER=1", "CONTROL.TRIGGER"),
        ("ZZZ=1", "`inspector-plc docs` lists them"),
        ("TRIGGER_ID", "no NAME=VALUE"),
        ("TRIGGER_ID=65536", "takes 0 to 65535, not 65536"),
        ("TRIGGER_ID=-1", 'not "-1"'),
        ("TRIGGER_ID=0xZZ", 'not "0xZZ"'),
        ("CONTROL.TRIGGER=2", "takes 0 to 1, not 2"),
        ("PART_ID=4294967296", "takes 0 to 4294967295"),
        ("LOT=12345678901234567", "at most 16 ASCII"),
        ("USER=1", "7 registers"),
    ],
)
def test_what_is_no_name_or_no_value_is_said_with_what_would_do(text: str, says: str) -> None:
    with pytest.raises(NameProblem) as caught:
        parse_assignment(text)
    assert says in str(caught.value)


def test_hexadecimal_and_texts_are_values_too() -> None:
    assert parse_assignment("SIGNATURE=0xa101").value == 0xA101
    assert parse_assignment("LOT=A=7").value == "A=7"


@given(st.sampled_from([*CTRL.registers]), st.integers(0, 0xFFFFFFFF), st.sampled_from(["big", "little"]))
def test_what_is_assigned_is_read_back(register: object, value: int, order: str) -> None:
    image = Image(CTRL, word_order=order)  # type: ignore[arg-type]
    value &= (1 << 16 * register.length) - 1  # type: ignore[attr-defined]
    assign(image, parse_assignment(f"{register.name}={value}"))  # type: ignore[attr-defined]
    assert image[register.name] == value  # type: ignore[attr-defined]


@given(st.integers(0, 0xFFFF), st.sampled_from(list(Control)), st.booleans())
def test_a_bit_changes_no_other_bit(before: int, bit: Control, on: bool) -> None:
    image = Image(CTRL)
    image["CONTROL"] = before
    assign(image, parse_assignment(f"CONTROL.{bit.name}={int(on)}"))
    assert image["CONTROL"] & ~bit == before & ~bit
    assert bool(image["CONTROL"] & bit) is on


@given(st.integers(0, 0xFFFF))
def test_bits_without_a_name_are_told_by_their_number(value: int) -> None:
    names = set_bits("CONTROL", value)
    assert len(names) == value.bit_count()
    assert ("b15" in names) == bool(value & 0x8000)


def test_codes_are_told_with_their_words() -> None:
    image = Image(STAT)
    image["REASON"], image["RESULT_CODE"], image["STAT_SIGNATURE"] = 101, 4, 0xA101
    assert spelled(image, STAT["REASON"]) == "101 camera"
    assert spelled(image, STAT["RESULT_CODE"]) == "4 NOT_INSPECTED"
    assert spelled(image, STAT["STAT_SIGNATURE"]) == "0xA101"
    image["REASON"] = 99
    assert spelled(image, STAT["REASON"]) == "99"


def test_json_holds_every_register() -> None:
    ident = Image(IDENT)
    ident.set_text("LOT", "A7")
    assert as_json(ident) == {"IDENT_ID": 0, "LOT": "A7", "SERIAL": "", "IDENT_ID_TAIL": 0}
    stat = Image(STAT)
    stat["STATUS"] = 0x8001
    found = as_json(stat)
    assert found["STATUS"] == ["TRIGGER_READY", "ONLINE"] and found["USER"] == [0] * 7
    assert set(found) == {r.name for r in STAT.registers}

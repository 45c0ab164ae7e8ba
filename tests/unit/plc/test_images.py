"""Registers behind names, at random: what is written is read back, and nothing else changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plc.images import Image, clear_record, record_xor, seal_record
from plc.registers import BLOCKS, IDENT, RECORD, STAT, Block

words = st.integers(0, 0xFFFF)
orders = st.sampled_from(["big", "little"])
NUMBERS = [(block, r.name) for block in BLOCKS for r in block.registers if r.kind != "string"]
TEXTS = [(block, r.name) for block in BLOCKS for r in block.registers if r.kind == "string"]


def filled(block: Block, data: st.DataObject, order: str) -> Image:
    return Image(block, data.draw(st.lists(words, min_size=block.size, max_size=block.size)), order)


@given(st.data(), st.sampled_from(NUMBERS), orders)
def test_a_number_is_read_back_and_no_other_register_changes(data, place, order):
    block, name = place
    image, register = filled(block, data, order), block[name]
    before = list(image.words)
    value = data.draw(st.integers(0, 0xFFFFFFFF if register.kind == "u32" else 0xFFFF))
    image[name] = value
    width = 2 if register.kind == "u32" else 1
    own = range(register.offset, register.offset + width)
    assert image[name] == value
    assert [w for i, w in enumerate(image.words) if i not in own] == [w for i, w in enumerate(before) if i not in own]


@given(words, words)
def test_a_long_number_is_high_word_first_unless_the_word_order_is_little(high, low):
    pair = [high, low, *[0] * (IDENT.size - 2)]
    stat = [0] * STAT.size
    at = STAT["PART_ID_ECHO"].offset
    stat[at : at + 2] = pair[:2]
    assert Image(STAT, stat)["PART_ID_ECHO"] == high << 16 | low
    assert Image(STAT, stat, "little")["PART_ID_ECHO"] == low << 16 | high


@given(st.data(), st.sampled_from(TEXTS), st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_a_text_is_read_back_as_far_as_it_fits(data, place, text):
    block, name = place
    image = filled(block, data, "big")
    image.set_text(name, text)
    assert image.text(name) == text[: 2 * block[name].length]


@given(st.data(), st.sampled_from(TEXTS))
def test_any_words_give_a_text_of_printable_characters(data, place):
    block, name = place
    text = filled(block, data, "big").text(name)
    assert len(text) <= 2 * block[name].length and ((text.isascii() and text.isprintable()) or not text)


@given(st.data(), st.integers(1, 0xFFFF), st.sampled_from([*RECORD, STAT["RES_XOR"].offset]), st.integers(0, 15))
def test_a_bit_that_flips_in_a_sealed_record_shows(data, seq, at, bit):
    stat = filled(STAT, data, "big")
    seal_record(stat, seq)
    assert stat["RES_SEQ"] == stat["RES_SEQ_TAIL"] == seq and stat["RES_XOR"] == record_xor(stat)
    stat.words[at] ^= 1 << bit
    assert stat["RES_XOR"] != record_xor(stat)


@given(st.data())
def test_a_cleared_record_is_all_zero_and_the_rest_stands(data):
    stat = filled(STAT, data, "big")
    before = list(stat.words)
    clear_record(stat)
    record = range(STAT["RES_SEQ"].offset, STAT["RES_SEQ_TAIL"].offset + 1)
    assert all(stat.words[i] == (0 if i in record else before[i]) for i in range(STAT.size))


@pytest.mark.parametrize("count", [0, STAT.size - 1, STAT.size + 1])
def test_a_block_of_another_size_is_refused(count):
    with pytest.raises(ValueError, match="44 registers"):
        Image(STAT, [0] * count)

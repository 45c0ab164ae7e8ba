"""The texts themselves: one logic for both dialects, generated where they repeat the map, strict enough for all."""

from __future__ import annotations

import re

import pytest

from plc.images import Image, record_xor
from plc.registers import CTRL, DIAG, IDENT, STAT, Control, Status, Status2
from plc.st.generate import source, texts, write_st
from plc.st.scl import from_scl, to_scl
from tests.support.st.compile import load, parse, run
from tests.support.st.types import Instance, StError

TEXTS = texts()
BLOCKS = load(TEXTS)


def lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize("name", TEXTS)
def test_scl_is_the_same_text_in_another_spelling(name):
    assert lines(from_scl(to_scl(TEXTS[name]))) == lines(TEXTS[name])


@pytest.mark.parametrize("name", [n for n in TEXTS if n.startswith("FB_")])
def test_every_name_that_a_block_declares_is_marked_in_scl_and_no_other(name):
    body = re.sub(r"//[^\n]*", "", to_scl(TEXTS[name]).partition("\nBEGIN\n")[2])
    declared = {n.lower() for n in BLOCKS[name].fields}
    for mark, word, rest in re.findall(r"([#.\"]?)\b([A-Za-z_]\w*)\b(\s*:=)?", body):
        if word.lower() in declared and mark != ".":
            assert mark == "#" or rest, f"{word} stands without # in {name}"
    assert set(re.findall(r"(?<!\w)#(\w+)", body)) <= {n for n in re.findall(r"\w+", TEXTS[name])}


def test_the_text_stays_inside_the_line_and_ascii():
    for name, text in (source("codesys") | source("scl")).items():
        assert text.isascii(), name
        if not name.endswith(".md") and not name.startswith("ST_"):
            assert all(len(line) <= 140 for line in text.splitlines()), name


def test_write_st_writes_every_type_and_block_and_how_to_wire_them(tmp_path):
    for dialect in ("codesys", "scl"):
        written = write_st(tmp_path / dialect, dialect)
        assert len(written) == len(TEXTS) + 1 and all(p.read_text().strip() for p in written)


@pytest.mark.parametrize("little", [False, True])
def test_the_read_blocks_find_every_register_and_bit(little):
    order = "little" if little else "big"
    for block, name in ((STAT, "FB_ReadStat"), (DIAG, "FB_ReadDiag")):
        image = Image(block, [(i * 977 + 12345) & 0xFFFF for i in range(block.size)], order)
        regs, struct = [0] * 170, Instance(BLOCKS[f"ST_{block.name}"])
        regs[block.base : block.base + block.size] = image.words
        run(Instance(BLOCKS[name]), littleWords=little, regs=regs, **{block.name: struct})
        for r in block.registers:
            if r.name in ("STATUS", "STATUS2"):
                for bit in Status if r.name == "STATUS" else Status2:
                    field = "pass_" if bit.name == "PASS" else bit.name.lower()
                    assert getattr(struct, field) == bool(image[r.name] & bit), bit
            elif r.name == "USER":
                assert struct.user == image.words[r.offset : r.offset + r.length]
            else:
                assert getattr(struct, "pass_" if r.name == "PASS" else r.name.lower()) == image[r.name], r


def test_the_check_word_is_that_of_the_contract():
    stat = Image(STAT)
    stat["RES_TRIGGER_ID"], stat["RESULT_CODE"], stat["USER"] = 17, 1, 5
    regs, struct = [0] * 170, Instance(BLOCKS["ST_STAT"])
    for wrong in (0, 1):
        stat["RES_XOR"] = record_xor(stat) ^ wrong
        regs[20:64] = stat.words
        run(Instance(BLOCKS["FB_ReadStat"]), littleWords=False, regs=regs, stat=struct)
        assert struct.res_xor_ok == (not wrong)


@pytest.mark.parametrize("little", [False, True])
def test_the_write_blocks_write_every_register_and_bit(little):
    regs, struct = [0] * 170, Instance(BLOCKS["ST_CTRL"])
    image = Image(CTRL, word_order="little" if little else "big")
    for n, r in enumerate(CTRL.registers):
        if r.name != "CONTROL":
            value = n * 7919 + (n << 24 if r.kind == "u32" else 0)
            image[r.name] = value
            setattr(struct, r.name.lower(), value & (0xFFFFFFFF if r.kind == "u32" else 0xFFFF))
    for bit in list(Control)[::2]:
        image["CONTROL"] |= bit
        setattr(struct, bit.name.lower(), True)
    run(Instance(BLOCKS["FB_WriteCtrl"]), littleWords=little, regs=regs, ctrl=struct)
    assert regs[:20] == image.words and not any(regs[20:])


def test_lot_and_serial_arrive_as_text_with_the_id_at_both_ends():
    regs, struct, image = [0] * 170, Instance(BLOCKS["ST_IDENT"]), Image(IDENT)
    for name, text in (("LOT", "L-2026-11"), ("SERIAL", "SN 0042/7")):
        image.set_text(name, text)
        getattr(struct, name.lower())[: len(text)] = text.encode()
    struct.ident_id = struct.ident_id_tail = 17
    image["IDENT_ID"] = image["IDENT_ID_TAIL"] = 17
    run(Instance(BLOCKS["FB_WriteIdent"]), regs=regs, ident=struct)
    assert regs[140:] == image.words


@pytest.mark.parametrize(("broken", "why"), [
    ("x := 1", "not ST"),
    ("x := TRUE;", "BOOL"),
    ("y := w;", "UINT|WORD"),
    ("w := 3;", "a literal"),
    ("b := x AND b;", "UINT AND BOOL"),
    ("b := w = 3;", "bare number"),
    ("unknown := 1;", "does not declare"),
    ("a[x] := 1;", "INT"),
    ("b := NOT w;", "BOOL"),
    ("x := 70000;", "no UINT"),
])  # fmt: skip
def test_what_a_strict_compiler_refuses_is_refused_here(broken, why):
    text = (
        "FUNCTION_BLOCK X\nVAR\n x : UINT;\n y : UINT;\n w : WORD;\n b : BOOL;\n i : INT;\n"
        f" a : ARRAY[0..3] OF UINT;\nEND_VAR\n{broken}\nEND_FUNCTION_BLOCK\n"
    )
    with pytest.raises(StError, match=why):
        load({"X": text})


@pytest.mark.parametrize("body", ["x := x + 1;", "x := y - 1;", "a[i] := 1;"])
def test_a_value_outside_its_type_and_an_index_outside_its_array_end_the_run(body):
    text = (
        "FUNCTION_BLOCK X\nVAR\n x : UINT := 65535;\n y : UINT;\n i : INT := -1;\n"
        f" a : ARRAY[0..3] OF UINT;\nEND_VAR\n{body}\nEND_FUNCTION_BLOCK\n"
    )
    with pytest.raises(StError):
        run(Instance(load({"X": text})["X"]))


def test_every_text_parses_without_an_error():
    for text in TEXTS.values():
        parse(text)

"""One source, many faces: page, symbols, timing; and the example's bytes against pymodbus and the handshake."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from xml.etree import ElementTree

import pytest
from pymodbus.pdu import DecodePDU, ModbusPDU
from typer.testing import CliRunner

from plc import code_lists
from plc.cli import app
from plc.document import write_documents
from plc.handshake import Handshake, HandshakeConfig, HealthInput, Record
from plc.images import Image, record_xor
from plc.registers import (
    BLOCKS,
    CTRL,
    STAT,
    Command,
    CommandResult,
    Control,
    OfflineReason,
    Reason,
    Status,
    Status2,
    VisionState,
)
from plc.st.generate import texts
from plc.st.scl import to_scl

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "registers.md").read_text()
RECORD_ALONE_MS = 40  # of the example: the record stands, its flags do not


@pytest.mark.parametrize("name", ["registers.md", "symbols.csv", "timing.svg"])
def test_no_face_of_the_register_map_is_stale(name, tmp_path):
    write_documents(tmp_path)
    assert (DOCS / name).read_text() == (tmp_path / name).read_text(), "make it anew: inspector-plc docs --to docs"


def test_every_register_stands_on_the_page_with_both_addresses_and_in_the_symbols():
    symbols = (DOCS / "symbols.csv").read_text()
    for block in BLOCKS:
        for r in block.registers:
            first, last = block.base + r.offset, block.base + r.offset + r.length - 1
            where = f"| {first} | {first + 40001} |" if r.length == 1 else f"| {first}..{last} | {first + 40001}.."
            assert any(line.startswith(where) and f" {r.name} " in line for line in PAGE.splitlines()), r.name
            assert f"\n{block.name}.{r.name},{first},{first + 40001}," in symbols


@pytest.mark.parametrize(("codes", "texts"), [
    (Control, code_lists.CONTROL), (Status, code_lists.STATUS), (Status2, code_lists.STATUS2),
    (Command, code_lists.COMMAND), (CommandResult, code_lists.COMMAND_RESULT), (VisionState, code_lists.STATE),
    (Reason, code_lists.REASON), (OfflineReason, code_lists.OFFLINE_REASON),
])  # fmt: skip
def test_no_code_is_without_a_line_that_says_what_it_means(codes, texts):
    assert list(texts) == list(codes)
    assert all(text for code, text in texts.items() if code)


def test_every_code_that_the_map_names_has_its_line():
    assert {int(n) for n in re.findall(r"\b(\d+) ", CTRL["COMMAND"].meaning)} <= set(code_lists.COMMAND)
    assert {int(n) for n in re.findall(r"\b(\d) ", STAT["COMMAND_RESULT"].meaning)} == set(code_lists.COMMAND_RESULT)
    assert {int(n) for n in re.findall(r"\b(\d) ", STAT["RESULT_CODE"].meaning)} == set(code_lists.RESULT_CODE)


def test_no_mark_of_the_template_is_left_and_every_link_inside_the_page_leads_somewhere():
    assert "{{" not in PAGE and "}}" not in PAGE
    anchors = {re.sub(r"[^\w -]", "", t.lower()).replace(" ", "-") for t in re.findall(r"^#+ (.*)$", PAGE, re.M)}
    assert {a for a in re.findall(r"\]\(#([^)]+)\)", PAGE)} <= anchors


def test_the_timing_diagram_is_a_picture():
    root = ElementTree.fromstring((DOCS / "timing.svg").read_text())
    assert root.tag.endswith("svg") and "TRIGGER_READY" in (DOCS / "timing.svg").read_text()


# -- the bytes ---------------------------------------------------------------------------------------------------------


def exchanges(section: str) -> list[tuple[int, ModbusPDU, ModbusPDU]]:
    """(ms, request, reply) of each step as printed, taken apart by pymodbus."""
    text = PAGE.split(f"### {section}")[1].split("\n##")[0]
    found = []
    for at_ms, block in re.findall(r"^Step \d+, (\d+) ms:.*?```text\n(.*?)```", text, flags=re.M | re.S):
        frames = []
        for size, lines in re.findall(r"^\w+, (\d+) bytes\n((?:  .*\n)+)", block, flags=re.M):
            data = bytes.fromhex(re.sub(r"[^0-9A-F]", "", lines))
            assert len(data) == int(size)
            frames.append(data)
        transactions = [struct.unpack(">HHHB", data[:7]) for data in frames]
        assert len({t[0] for t in transactions}) == 1
        assert [t[1:] for t in transactions] == [(0, len(d) - 6, 1) for d in frames]
        request, reply = (DecodePDU(is_server=s).decode(d[7:]) for s, d in zip((True, False), frames, strict=True))
        assert request is not None and reply is not None
        found.append((int(at_ms), request, reply))
    return found


def words_of(section: str) -> list[tuple[int, str, list[int]]]:
    """(ms, whose image, its registers) of each step, whoever wrote or read them."""
    found = []
    for at_ms, request, reply in exchanges(section):
        if request.function_code == 16:
            assert (reply.address, reply.count) == (request.address, len(request.registers))
            words = list(request.registers)
        else:
            words = list(reply.registers)
            assert request.function_code == 3 and request.count == len(words)
        block = {0: "CTRL", 20: "STAT"}[request.address]
        assert len(words) == {"CTRL": 20, "STAT": 44}[block]
        found.append((at_ms, block, words))
    return found


def test_both_directions_print_the_same_images_and_each_side_writes_only_its_own():
    client, server = words_of("12.2"), words_of("12.1")
    assert server == [step for step in client if step[0] != RECORD_ALONE_MS], "it is never read without its flags"
    assert len(client) == len(server) + 1
    for _, request, _ in exchanges("12.2"):
        assert (request.function_code, request.address) in ((3, 0), (16, 20))
    for _, request, _ in exchanges("12.1"):
        assert (request.function_code, request.address) in ((16, 0), (3, 20))


def test_the_printed_cycle_is_what_the_handshake_answers_to_the_printed_bytes_byte_by_byte():
    """A handshake that has never seen the example gets the CTRL images as printed; its STAT must be the printed one."""
    hs = Handshake(HandshakeConfig(active_recipe=1, settings_checksum=0x5EED1234), lambda id_: False)
    hs.health(HealthInput(True, OfflineReason.NONE), 0.0)
    hs.link_up(0.0)
    steps = words_of("12.2")
    first = Image(CTRL, next(words for _, block, words in steps if block == "CTRL"))
    idle = first.copy()  # before the part came: the same program, one id back
    for name, value in (("CONTROL", 1), ("TRIGGER_ID", 16), ("TRIGGER_ID_INV", 65519), ("PLC_PART_COUNT", 16)):
        idle[name] = value
    for n, at_ms in enumerate(range(-320, 1, 40)):
        hs.beat(at_ms / 1000)
        idle["PLC_HEARTBEAT"], idle["HB_ECHO"] = first["PLC_HEARTBEAT"] - 8 + n, hs.stat["HEARTBEAT"]
        hs.sample(idle.copy(), at_ms / 1000, at_ms / 1000)
    part = loaded = None
    record = Record(1, Reason.NONE, inspection_no=4711, class_id=3, confidence=9876, anomaly=1500, recipe_used=1,
                    model_rev=4, utc_ms=1_700_000_000_250)  # fmt: skip
    for at_ms, block, words in steps:
        if block == "CTRL":
            hs.sample(Image(CTRL, words), (at_ms + 1) / 1000, (at_ms + 1) / 1000)
            part = hs.events.popleft() if hs.events else part
            continue
        if at_ms == 18:
            assert part is not None
            hs.exposed(part, 0.008, 0.018)
        elif at_ms == RECORD_ALONE_MS:
            assert part is not None
            loaded = hs.load(part, record, 0.040)
        elif at_ms == 42:
            assert part is not None and loaded is not None and hs.raise_flags(part, loaded, 0.042)
        assert words == hs.stat.words, f"STAT at {at_ms} ms"


def test_the_example_of_the_check_word_is_right():
    printed = re.search(r"29\.\.57 are\s+`([0-9A-F ]+)`, and their exclusive or is `([0-9A-F]{4})`", PAGE)
    assert printed is not None
    total = 0
    for word in printed[1].split():
        total ^= int(word, 16)
    assert total == int(printed[2], 16) and len(printed[1].split()) == 29
    last = Image(STAT, words_of("12.1")[-1][2])
    assert record_xor(last) == last["RES_XOR"] == total


def test_the_command_writes_page_symbols_timing_and_blocks_or_prints_the_page(tmp_path):
    run = CliRunner().invoke(app, ["docs", "--to", str(tmp_path), "--st", str(tmp_path / "st"), "--dialect", "scl"])
    assert run.exit_code == 0
    assert {p.name for p in tmp_path.iterdir()} == {"registers.md", "symbols.csv", "timing.svg", "st"}
    assert (tmp_path / "st" / "FB_Station.scl").read_text() == to_scl(texts()["FB_Station"])
    assert CliRunner().invoke(app, ["docs"]).output == PAGE


def test_every_signal_of_the_station_says_what_it_means():
    table = PAGE.split("**FB_Station**")[1].split("**FB_Inspect**")[0]
    rows = [line.split("|")[1:-1] for line in table.splitlines() if line.startswith(("| in ", "| out "))]
    assert len(rows) > 40 and all(cell.strip() for row in rows for cell in (row[1], row[2], row[4]))

"""Register images: lists of 16-bit words behind names, so that nobody else counts addresses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import IntFlag
from functools import reduce
from operator import xor
from typing import Literal

from plc.registers import RECORD, STAT, Block, Register

WordOrder = Literal["big", "little"]


class Image:
    """The words of one block, read and written by register name.

    u32 is high word first ("ABCD") unless `word_order` is "little" (CDAB). Strings: first character in the high byte,
    zero padded.
    """

    def __init__(self, block: Block, words: Sequence[int] | None = None, word_order: WordOrder = "big") -> None:
        self.block, self.word_order, self._places = block, word_order, block.places
        self.words = [0] * block.size if words is None else list(words)
        if len(self.words) != block.size:
            raise ValueError(f"{block.name} has {block.size} registers, got {len(self.words)}")

    def __getitem__(self, name: str) -> int:
        offset, wide = self._places[name]
        if wide:
            high, low = self.words[offset : offset + 2]
            return (high << 16 | low) if self.word_order == "big" else (low << 16 | high)
        return self.words[offset]

    def __setitem__(self, name: str, value: int) -> None:
        offset, wide = self._places[name]
        if wide:
            high, low = value >> 16 & 0xFFFF, value & 0xFFFF
            self.words[offset : offset + 2] = [high, low] if self.word_order == "big" else [low, high]
        else:
            self.words[offset] = value & 0xFFFF

    def any_set(self, name: str, bits: IntFlag) -> bool:
        """Is one of `bits` set? For code that asks in every scan: an IntFlag's own operators are slow."""
        return bool(self[name] & bits.value)

    def text(self, name: str) -> str:
        """A string register, up to its first zero; bytes that are not printable ASCII become `?`."""
        reg = self._string(name)
        raw = b"".join(w.to_bytes(2, "big") for w in self.words[reg.offset : reg.offset + reg.length])
        raw = raw.split(b"\0", 1)[0]
        return "".join(chr(b) if 32 <= b < 127 else "?" for b in raw)

    def set_text(self, name: str, text: str) -> None:
        reg = self._string(name)
        raw = text.encode("ascii", "replace")[: 2 * reg.length].ljust(2 * reg.length, b"\0")
        words = [int.from_bytes(raw[i : i + 2], "big") for i in range(0, len(raw), 2)]
        self.words[reg.offset : reg.offset + reg.length] = words

    def _string(self, name: str) -> Register:
        reg = self.block[name]
        if reg.kind != "string":
            raise TypeError(f"{name} is no string")
        return reg

    def copy(self) -> Image:
        return Image(self.block, self.words, self.word_order)


def changed(old: Image, new: Image) -> Iterator[Register]:
    """The registers of a block whose words differ."""
    for register in new.block.registers:
        words = slice(register.offset, register.offset + register.length)
        if old.words[words] != new.words[words]:
            yield register


def record_xor(stat: Image) -> int:
    """RES_XOR: XOR of registers 9..37 of STAT."""
    return reduce(xor, (stat.words[i] for i in RECORD))


def seal_record(stat: Image, seq: int) -> None:
    """Give the record its sequence number at both ends and its check word (contract, P6)."""
    stat["RES_SEQ"] = seq
    stat["RES_SEQ_TAIL"] = seq
    stat["RES_XOR"] = record_xor(stat)


def clear_record(stat: Image) -> None:
    """All-zero is safe: no record at all (contract, P1)."""
    for i in (*RECORD, STAT["RES_XOR"].offset, STAT["RES_SEQ_TAIL"].offset):
        stat.words[i] = 0

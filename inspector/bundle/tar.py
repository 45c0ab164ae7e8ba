"""A strict reader of the bundle's tar: plain files with flat names, nothing else.

A bundle has one spelling: its headers hold a name and a size and are otherwise constant, padding is zero, and it ends
where its last record ends. So there is no bit in it that could be changed without a refusal.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from inspector.core.errors import BundleError

BLOCK, RECORD = 512, 10240  # bytes; POSIX ustar pads the whole to records
MAX_MEMBERS = 256
FLAT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,98}")


@dataclass(frozen=True, slots=True)
class Member:
    name: str
    size: int  # bytes
    offset: int  # of its first byte in the tar


def read_members(source: int, max_total: int) -> list[Member]:
    """The members in order. source: an open file descriptor. Raises BundleError, OSError."""
    members: list[Member] = []
    offset = total = 0
    end = os.fstat(source).st_size
    while (header := _read(source, offset, BLOCK)) != bytes(BLOCK):
        member = _member(header, offset + BLOCK)
        total += member.size
        if len(members) == MAX_MEMBERS or total > max_total:
            raise BundleError("the bundle holds too many or too large files")
        offset = member.offset + -(-member.size // BLOCK) * BLOCK
        if offset > end:
            raise BundleError(f"the bundle is cut short within {member.name}")
        padding = offset - member.offset - member.size
        if _read(source, offset - padding, padding).strip(b"\0"):
            raise BundleError(f"the bundle is damaged: there is more behind {member.name}")
        members.append(member)
    if end != -(-(offset + 2 * BLOCK) // RECORD) * RECORD or _read(source, offset, end - offset).strip(b"\0"):
        raise BundleError("the bundle is cut short, or there is more behind its end")
    if len({m.name for m in members}) != len(members):
        raise BundleError("two files in the bundle have one name")
    return members


def header_of(name: str, size: int) -> bytes:
    """The one ustar header of a file in a bundle: mode 644, owner 0, time 0."""
    start = name.encode().ljust(100, b"\0") + b"0000644\x000000000\x000000000\0" + b"%011o\x0000000000000\0" % size
    # a plain file, the magic, and then no names, no device, no prefix
    rest = b"0".ljust(101, b"\0") + b"ustar\x0000" + bytes(247)
    checksum = sum(start) + 8 * ord(" ") + sum(rest)  # its own field counts as spaces
    return start + b"%06o\0 " % checksum + rest


def _member(header: bytes, offset: int) -> Member:
    name = header[:100].rstrip(b"\0").decode("ascii", "replace")
    if header[156:157] != b"0":
        raise BundleError(f"{name!r} in the bundle is no plain file")
    if not FLAT_NAME.fullmatch(name):
        raise BundleError(f"{name!r} in the bundle is no flat file name")
    digits = header[124:135]
    if not re.fullmatch(rb"[0-7]{11}", digits):
        raise BundleError(f"the size of {name} in the bundle is no octal number")
    member = Member(name, int(digits, 8), offset)
    if header != header_of(name, member.size):
        raise BundleError(f"the bundle is damaged, or not written by inspector-deploy: the header of {name} is off")
    return member


def _read(source: int, offset: int, size: int) -> bytes:
    content = os.pread(source, size, offset)
    if len(content) != size:
        raise BundleError("the bundle is cut short: it has no end mark")
    return content

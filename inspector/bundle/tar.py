"""A strict reader of the bundle's tar: plain files with flat names, nothing else. It trusts no header it need not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from inspector.core.errors import BundleError

BLOCK = 512
MAX_MEMBERS = 256
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,98}")


@dataclass(frozen=True, slots=True)
class Member:
    name: str
    size: int  # bytes
    offset: int  # of its first byte in the tar


def read_members(path: Path, max_total: int) -> list[Member]:
    """The members in order (POSIX ustar headers). Raises BundleError for anything but flat, plain, unique files."""
    end = path.stat().st_size
    members: list[Member] = []
    offset = 0
    with path.open("rb") as file:
        while True:
            file.seek(offset)
            header = file.read(BLOCK)
            if len(header) != BLOCK:
                raise BundleError("the bundle is cut short: it has no end mark")
            if header == bytes(BLOCK):
                break
            member = _member(header, offset + BLOCK)
            if member.offset + member.size > end:
                raise BundleError(f"the bundle is cut short within {member.name}")
            members.append(member)
            if len(members) > MAX_MEMBERS or sum(m.size for m in members) > max_total:
                raise BundleError("the bundle holds too many or too large files")
            offset = member.offset + -(-member.size // BLOCK) * BLOCK
    if len({m.name for m in members}) != len(members):
        raise BundleError("two files in the bundle have one name")
    return members


def _member(header: bytes, offset: int) -> Member:
    checksum = _octal(header[148:156])
    if checksum != sum(header[:148]) + 8 * 32 + sum(header[156:]):
        raise BundleError("the bundle is damaged: a header's checksum is wrong")
    name = header[:100].rstrip(b"\0").decode("ascii", "replace")
    if header[156:157] not in (b"0", b"\0"):
        raise BundleError(f"{name!r} is no plain file")
    if header[345:500].strip(b"\0") or not _NAME.fullmatch(name):
        raise BundleError(f"{name!r} is no flat file name")
    return Member(name, _octal(header[124:136]), offset)


def _octal(field: bytes) -> int:
    text = field.strip(b" \0")
    if not re.fullmatch(rb"[0-7]{1,12}", text):
        raise BundleError("the bundle is damaged: a header's number is not octal")
    return int(text, 8)

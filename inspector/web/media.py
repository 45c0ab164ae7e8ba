"""Pictures from two folders, by bare name only: what is asked for is a file right in the folder, or it is not there."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

MAX_BYTES = 64 * 1024 * 1024  # a lossless picture of a 20 megapixel camera
TYPES = {".jpg": "image/jpeg", ".png": "image/png"}
_PART = r"[A-Za-z0-9](?:[A-Za-z0-9_-]|\.(?!\.)){0,99}"  # no leading dot, no two dots in a row
_NAME = re.compile(_PART + r"\.(?:jpg|png)", re.ASCII)
_PATH = re.compile(rf"(?:{_PART}/){{0,4}}{_PART}\.(?:jpg|png)", re.ASCII)


class NoPicture(Exception):
    """No such picture, or a name that is none of ours."""


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """A picture that is open. kind: its media type."""

    file: BinaryIO
    size: int
    kind: str


def read_named(folder: Path, name: str) -> tuple[bytes, str]:
    """Bytes and media type of the picture `name` in `folder`. Blocking. Raises NoPicture."""
    if not _NAME.fullmatch(name):
        raise NoPicture(f"not a picture's name: {name[:120]!r}")
    return _read(_opened(folder, name))


def read_below(folder: Path, path: str) -> tuple[bytes, str]:
    """The same for a path of plain names below `folder`, as the record keeps it. Blocking. Raises NoPicture."""
    return _read(open_below(folder, path))


def open_below(folder: Path, path: str) -> Opened:
    """The same, open, for the caller to read and close. Blocking. Raises NoPicture."""
    if not _PATH.fullmatch(path):
        raise NoPicture(f"not a picture's path: {path[:120]!r}")
    return _opened(folder, path)


def first_there(places: Sequence[tuple[Path, str]]) -> int | None:
    """Which of the pictures (folder, path below it) is the first that is there; None: none is. Blocking."""
    for n, (folder, path) in enumerate(places):
        try:
            if _PATH.fullmatch(path):
                os.close(_open(folder, path))
                return n
        except NoPicture:
            continue
    return None


def _read(opened: Opened) -> tuple[bytes, str]:
    with opened.file as file:
        return file.read(MAX_BYTES), opened.kind


def _opened(folder: Path, path: str) -> Opened:
    """Raises NoPicture: also where it is no plain file, or too large."""
    fd = _open(folder, path)
    info = os.fstat(fd)
    if not stat.S_ISREG(info.st_mode) or info.st_size > MAX_BYTES:
        os.close(fd)
        raise NoPicture("not a plain file of a picture's size")
    return Opened(open(fd, "rb"), info.st_size, TYPES[Path(path).suffix])  # closed by the caller


def _open(folder: Path, path: str) -> int:
    """Walk down by file descriptors, following no link on the way: nothing outside `folder` can be reached."""
    *folders, name = path.split("/")
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # a FIFO must not hold us
    try:
        at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for step in folders:
                below = os.open(step, flags | os.O_DIRECTORY, dir_fd=at)
                os.close(at)
                at = below
            return os.open(name, flags, dir_fd=at)
        finally:
            os.close(at)
    except OSError as exc:
        raise NoPicture(f"{path}: {exc.strerror}") from exc

"""Reading, as root, what lies in the folders of others: no link that they made there is followed.

The page's and the daemon's users own their folders. Through a link a backup would take files that neither may read.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

import apsw

IS_A_LINK = "is a link, which is not followed"


def open_within(folder: Path, path: Path) -> BinaryIO:
    """A plain file below `folder`. Links on the way to the folder itself are the administrator's.

    Raises OSError: not there, a link, or no file.
    """
    at, rest = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), path.relative_to(folder).parts
    try:
        for name in rest[:-1]:
            below = _open(name, os.O_DIRECTORY, at, path)
            os.close(at)
            at = below
        fd = _open(rest[-1], os.O_NONBLOCK, at, path)  # a pipe that nobody writes to would never be open
    finally:
        os.close(at)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "is no file", str(path))
    return open(fd, "rb")


def _open(name: str, flags: int, at: int, path: Path) -> int:
    try:
        return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | flags, dir_fd=at)
    except OSError as exc:
        if exc.errno in (errno.ELOOP, errno.ENOTDIR):
            raise OSError(exc.errno, IS_A_LINK, str(path)) from exc
        raise OSError(exc.errno, exc.strerror, str(path)) from exc


def open_database(path: Path) -> apsw.Connection:
    """Read-only, and no link in its last place. Raises OSError: it is one; apsw.Error."""
    if path.is_symlink():  # for the words; SQLite looks itself
        raise OSError(errno.ELOOP, IS_A_LINK, str(path))
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_NOFOLLOW
    return apsw.Connection(str(path.parent.resolve() / path.name), flags=flags)

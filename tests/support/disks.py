"""Disks that fail on demand, as SQLite's file layer: one stalls, one loses what no fsync kept."""

from __future__ import annotations

import random
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import apsw

SECTOR = 512
SHM = Path("/dev/shm")
HANGS_S = 600.0
Name = apsw.URIFilename | str | None  # the journal's is a str, a temporary file has none


class _StallingFile(apsw.VFSFile):
    def __init__(self, disk: StallingDisk, name: Name, flags: list[int]) -> None:
        self._disk = disk
        super().__init__("", name, flags)

    def xSync(self, flags: int) -> None:
        if not self._disk.goes_on.wait(HANGS_S):
            raise AssertionError("the test has forgotten the disk that it held up")
        if self._disk.error is not None:
            raise self._disk.error
        super().xSync(flags)


class StallingDisk(apsw.VFS):
    """Every fsync waits while `stalled`, or fails with `error`."""

    def __init__(self, name: str = "stalling") -> None:
        self.name, self.error, self.goes_on = name, None, threading.Event()
        self.goes_on.set()
        super().__init__(name, "")

    @contextmanager
    def stalled(self) -> Iterator[None]:
        """No fsync ends in here: who comes back has not waited for one."""
        self.goes_on.clear()
        try:
            yield
        finally:
            self.goes_on.set()

    def xOpen(self, name: Name, flags: list[int]) -> apsw.VFSFile:
        return _StallingFile(self, name, flags)


@dataclass
class Op:
    """One thing that was done to a file: what = write, truncate, sync or delete; or a mark of whoever tests."""

    what: str
    file: str = ""
    offset: int = 0
    data: bytes = b""


class _RecordedFile(apsw.VFSFile):
    def __init__(self, ops: list[Op], name: Name, flags: list[int]) -> None:
        plain = name if isinstance(name, str) else name.filename() if name is not None else ""
        self._ops, self._file = ops, Path(plain).name
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        self._ops.append(Op("write", self._file, offset, bytes(data)))
        super().xWrite(data, offset)

    def xTruncate(self, size: int) -> None:
        self._ops.append(Op("truncate", self._file, size))
        super().xTruncate(size)

    def xSync(self, flags: int) -> None:
        super().xSync(flags)
        self._ops.append(Op("sync", self._file))


@dataclass
class _Image:
    """What of one file is on the platter, and what is only on its way."""

    kept: bytearray = field(default_factory=bytearray)
    pending: list[Op] = field(default_factory=list)

    def settle(self, ops: list[Op]) -> None:
        for op in ops:
            if op.what == "truncate":
                del self.kept[op.offset :]
            else:
                self.kept.extend(bytes(max(0, op.offset + len(op.data) - len(self.kept))))
                self.kept[op.offset : op.offset + len(op.data)] = op.data


class LossyDisk(apsw.VFS):
    """Records every write, so that a power cut can be played at any point: what no fsync kept is lost, kept or torn."""

    def __init__(self, name: str = "lossy") -> None:
        self.name, self.ops = name, []
        super().__init__(name, "")

    def xOpen(self, name: Name, flags: list[int]) -> apsw.VFSFile:
        return _RecordedFile(self.ops, name, flags)

    def xDelete(self, name: str, syncdir: bool) -> None:
        super().xDelete(name, syncdir)
        self.ops.append(Op("delete", Path(name).name))

    def cut(self, at: int, folder: Path, luck: random.Random) -> None:
        """Lay into `folder` what a power cut after `at` operations may leave."""
        files: dict[str, _Image] = {}
        for op in self.ops[:at]:
            if op.what == "delete":
                files.pop(op.file, None)
                continue
            image = files.setdefault(op.file, _Image())
            if op.what == "sync":
                image.settle(image.pending)
                image.pending = []
            else:
                image.pending.append(op)
        for name, image in files.items():
            if name:
                image.settle(list(_survivors(image.pending, luck)))
                (folder / name).write_bytes(image.kept)


def _survivors(pending: list[Op], luck: random.Random) -> Iterator[Op]:
    """A disk writes in any order, sector by sector."""
    for op in pending:
        if op.what == "truncate":
            if luck.random() < 0.5:
                yield op
            continue
        for start in range(0, len(op.data), SECTOR):
            if luck.random() < 0.5:
                yield Op("write", op.file, op.offset + start, op.data[start : start + SECTOR])


@contextmanager
def mounted(vfs: apsw.VFS) -> Iterator[str]:
    """The file layer's name while it may be used."""
    try:
        yield vfs.name
    finally:
        vfs.unregister()


@contextmanager
def quick_folder() -> Iterator[Path]:
    """A folder for real files without the disk's delay, where the system has one."""
    with tempfile.TemporaryDirectory(dir=SHM if SHM.is_dir() else None) as folder:
        yield Path(folder)

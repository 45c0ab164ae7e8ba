"""Writing a backup: one file, whole or not at all."""

from __future__ import annotations

import contextlib
import grp
import gzip
import hashlib
import io
import json
import os
import pwd
import stat
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from inspector.backup.crypt import Encrypting
from inspector.backup.errors import BackupError
from inspector.backup.opening import open_within
from inspector.backup.pace import Pace
from inspector.backup.places import MANIFEST
from inspector.store.database import sync_directory

LEVEL = 1  # of gzip: half the size already, for a tenth of the time
BLOCK = 256 * 1024
Entry = Mapping[str, Any]


class _Seen:
    """A source that is hashed as it is read."""

    def __init__(self, source: BinaryIO, pace: Pace) -> None:
        self._source, self._pace = source, pace
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        piece = self._source.read(min(size, BLOCK) if size >= 0 else BLOCK)
        self.digest.update(piece)
        self._pace.took(len(piece))
        return piece


class Pack:
    """The file at `path` while it is written; it is there once the body of `with` ended well. Raises BackupError."""

    def __init__(self, path: Path, key: bytes | None, pace: Pace) -> None:
        self.path, self._key, self._pace = path, key, pace
        self._staged = path.with_name(f".{path.name}.new")
        self._entries: dict[str, Entry] = {}
        self.size = 0  # bytes, once it is whole

    def __enter__(self) -> Pack:
        try:
            self._staged.unlink(missing_ok=True)  # of a run that was ended
            fd = os.open(self._staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise BackupError(f"{self.path.parent} cannot be written: {exc.strerror}") from exc
        self._file = open(fd, "wb")
        self._sealed = Encrypting(self._file, self._key) if self._key is not None else None
        self._gzip = gzip.GzipFile("", "wb", LEVEL, self._sealed or self._file, mtime=0)
        self._tar = tarfile.open(fileobj=self._gzip, mode="w|", format=tarfile.PAX_FORMAT)
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, _: object) -> None:
        try:
            if kind is None:
                self._finish()
            elif isinstance(exc, OSError):
                raise BackupError(f"{self.path} could not be written: {exc.strerror or exc}") from exc
        except OSError as failed:
            raise BackupError(f"{self.path} could not be written: {failed.strerror or failed}") from failed
        finally:
            for each in (self._tar, self._gzip, self._file):
                with contextlib.suppress(OSError):  # what was wrong is told already
                    each.close()
            with contextlib.suppress(OSError):
                self._staged.unlink(missing_ok=True)

    def add_bytes(self, name: str, content: bytes, owner: Entry | None = None) -> None:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        self._tar.addfile(info, io.BytesIO(content))
        self._pace.took(len(content))
        self._note(name, len(content), hashlib.sha256(content).hexdigest(), owner or {})

    def add_file(self, name: str, path: Path, owner: Entry | None = None, *, within: Path | None = None) -> None:
        """As long as it is now; what grows meanwhile is not read on.

        within: a folder of another user, whose links are not followed. Raises OSError: gone, cut short, or a link.
        """
        with path.open("rb") if within is None else open_within(within, path) as source:
            found = os.fstat(source.fileno())
            info = tarfile.TarInfo(name)
            info.size = found.st_size
            seen = _Seen(source, self._pace)
            self._tar.addfile(info, seen)  # reads alone
        self._note(name, info.size, seen.digest.hexdigest(), owner or _owner(found))

    def _note(self, name: str, size: int, sha256: str, owner: Entry) -> None:
        self._entries[name] = {"size": size, "sha256": sha256, **owner}

    def _finish(self) -> None:
        manifest = json.dumps({"files": self._entries}, indent=1).encode()
        info = tarfile.TarInfo(MANIFEST)
        info.size = len(manifest)
        self._tar.addfile(info, io.BytesIO(manifest))
        self._tar.close()
        self._gzip.close()
        if self._sealed is not None:
            self._sealed.finish()
        self._file.flush()
        os.fsync(self._file.fileno())
        self.size = os.fstat(self._file.fileno()).st_size
        os.replace(self._staged, self.path)
        with contextlib.suppress(OSError):  # some network file systems know no such thing
            sync_directory(self.path.parent)


def owner_of(path: Path) -> Entry:
    """Who owns a file and who may use it, by name: numbers differ from box to box."""
    return _owner(path.stat())


def _owner(found: os.stat_result) -> Entry:
    names: dict[str, Any] = {"mode": stat.S_IMODE(found.st_mode)}
    with contextlib.suppress(KeyError):  # a number without a name
        names["user"] = pwd.getpwuid(found.st_uid).pw_name
    with contextlib.suppress(KeyError):
        names["group"] = grp.getgrgid(found.st_gid).gr_name
    return names

"""Reading a backup: every name, size and hash is checked, and a newer one is refused before anything is written."""

from __future__ import annotations

import gzip
import hashlib
import json
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO, cast

from inspector.backup.crypt import MAGIC, Decrypting, read_key
from inspector.backup.errors import BackupError
from inspector.backup.places import FORMAT, HEAD, MANIFEST, MEMBER
from inspector.office.schema import STEPS as OFFICE_STEPS
from inspector.store.migrations import STEPS as RESULTS_STEPS

PACKAGE = "part-inspector"
BLOCK = 256 * 1024
MOST_JSON = 16 << 20  # bytes of head or manifest
Put = Callable[[str, "Member"], None]


@dataclass(frozen=True, slots=True)
class Head:
    """What a backup says of itself. schemas: database -> number of its newest step."""

    version: str
    utc_ms: int
    box: str
    config: str  # where the configuration lay
    schemas: Mapping[str, int]
    left_out: tuple[str, ...] = ()

    def as_json(self) -> bytes:
        told = {
            "format": FORMAT, "version": self.version, "utc_ms": self.utc_ms, "box": self.box, "config": self.config,
            "schemas": dict(self.schemas), "left_out": list(self.left_out),
        }  # fmt: skip
        return json.dumps(told, indent=1).encode()


@dataclass(frozen=True, slots=True)
class Whole:
    """A backup that was read to its end and is what its manifest says. files: name -> size, sha256, owner."""

    head: Head
    files: Mapping[str, Mapping[str, Any]]


class Member:
    """A file in it; read it once."""

    def __init__(self, size: int, source: Any) -> None:
        self.size, self._source, self._left = size, source, size
        self.digest = hashlib.sha256()

    def pieces(self) -> Iterator[bytes]:
        while self._left:
            piece = self._source.read(min(BLOCK, self._left))
            if not piece:
                raise BackupError("the backup is cut short")
            self._left -= len(piece)
            self.digest.update(piece)
            yield piece


def read(file: Path, key: Path | None, put: Put | None = None) -> Whole:
    """Read all of it; `put` takes each member (head and manifest excepted) in its order.

    Raises BackupError: damaged, cut short, encrypted with another key, of a newer version. What `put` took is to be
    believed only after the return.
    """
    seen: dict[str, tuple[int, str]] = {}
    head: Head | None = None
    manifest: Mapping[str, Mapping[str, Any]] | None = None
    with _opened(file, key) as tar:
        for info in tar:
            if manifest is not None:
                raise BackupError("the backup is damaged: there is more behind its manifest")
            if not info.isreg() or not MEMBER.fullmatch(info.name) or info.name in seen:
                raise BackupError(f"the backup is damaged, or not one of ours: {info.name!r:.80}")
            member = Member(info.size, tar.extractfile(info))
            if head is None:
                head = _head(info.name, member)
            elif info.name == MANIFEST:
                manifest = _manifest(member)
                continue
            elif put is not None:
                put(info.name, member)
            for _ in member.pieces():
                pass  # what nobody took is read for its hash
            seen[info.name] = info.size, member.digest.hexdigest()
    if head is None or manifest is None:
        raise BackupError("the backup is cut short: it has no manifest")
    if {name: (one.get("size"), one.get("sha256")) for name, one in manifest.items()} != seen:
        raise BackupError("the backup is damaged: its files are not those of its manifest")
    return Whole(head, manifest)


@contextmanager
def _opened(file: Path, key: Path | None) -> Iterator[tarfile.TarFile]:
    try:
        with file.open("rb") as source, tarfile.open(fileobj=_plain(source, key), mode="r|") as tar:
            yield tar
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as exc:
        raise BackupError(f"{file}: no backup of ours, or it is damaged or cut short: {exc}") from exc
    except OSError as exc:
        raise BackupError(f"{file}: cannot be read: {exc.strerror or exc}") from exc


def _plain(source: BinaryIO, key: Path | None) -> BinaryIO:
    begin = source.read(len(MAGIC))
    if begin == MAGIC:
        if key is None:
            raise BackupError("the backup is encrypted: name its key with --key")
        return cast(BinaryIO, gzip.GzipFile(fileobj=cast(BinaryIO, Decrypting(source, read_key(key))), mode="rb"))
    source.seek(0)
    return cast(BinaryIO, gzip.GzipFile(fileobj=source, mode="rb"))


def _json_of(member: Member) -> Any:
    if member.size > MOST_JSON:
        raise BackupError("the backup is damaged, or not one of ours: its head or manifest is too large")
    try:
        return json.loads(b"".join(member.pieces()))
    except (ValueError, RecursionError) as exc:
        raise BackupError("the backup is damaged, or not one of ours: its head or manifest cannot be read") from exc


def _head(name: str, member: Member) -> Head:
    """Raises BackupError: not ours, or of a newer version."""
    if name != HEAD:
        raise BackupError("this is no backup of ours: it does not begin with a head")
    found = _json_of(member)
    try:
        form, made_by = int(found["format"]), str(found["version"])
        if form <= FORMAT:
            schemas = {str(k): int(v) for k, v in dict(found["schemas"]).items()}
            head = Head(
                made_by, int(found["utc_ms"]), str(found["box"]), str(found["config"]), schemas,
                tuple(map(str, found.get("left_out", ()))),
            )  # fmt: skip
    except (KeyError, TypeError, ValueError) as exc:
        raise BackupError("the backup is damaged, or not one of ours: its head cannot be read") from exc
    ours = version(PACKAGE)
    newer = form > FORMAT or _parts(made_by) > _parts(ours)
    if newer or any(head.schemas.get(db, 0) > n for db, n in known_schemas().items()):
        raise BackupError(
            f"the backup was made by version {made_by}, which is newer than this one ({ours}): "
            "install that version or a newer one, then restore"
        )
    return head


def known_schemas() -> dict[str, int]:
    """The newest step of each database that this version knows."""
    return {"results": len(RESULTS_STEPS), "office": len(OFFICE_STEPS)}


def _parts(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:3] if part.isdecimal())


def _manifest(member: Member) -> Mapping[str, Mapping[str, Any]]:
    found = _json_of(member)
    files = found.get("files") if isinstance(found, dict) else None
    if not isinstance(files, dict) or not all(isinstance(one, dict) for one in files.values()):
        raise BackupError("the backup is damaged: its manifest cannot be read")
    return files

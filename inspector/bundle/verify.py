"""Only what is verified may run: first the signature, then the manifest is parsed, then every byte is checked by it."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from inspector.bundle.checks import MANIFEST, MAX_TOTAL, SIGNATURE, check_manifest
from inspector.bundle.ir_xml import check_xml
from inspector.bundle.keys import TrustedKey, check_signature
from inspector.bundle.tar import Member, read_members
from inspector.core.errors import BundleError
from inspector.core.manifest import BundleFile, Manifest

MAX_MANIFEST = 1 << 20  # bytes
SIGNATURE_SIZE = 64
_MANIFEST: TypeAdapter[Manifest] = TypeAdapter(Manifest)
_MADE_HERE = object()


@dataclass(frozen=True, slots=True)
class VerifiedBundle:
    """A bundle on disk whose signature and hashes were checked; made by verify() and reopen() only."""

    directory: Path
    manifest: Manifest
    _proof: object = None

    def __post_init__(self) -> None:
        if self._proof is not _MADE_HERE:
            raise TypeError("a VerifiedBundle is made by verify() or reopen() only")


def verify(bundle: Path, trusted: Sequence[TrustedKey], destination: Path) -> VerifiedBundle:
    """Check the tar `bundle` and unpack it to the new directory `destination`.

    Nothing is parsed before the signature holds, and nothing is written outside a staging directory beside
    `destination`, which is renamed in one step. Raises BundleError.
    """
    if destination.exists() or destination.is_symlink():
        raise BundleError(f"{destination} exists already")
    staging = destination.with_name(destination.name + ".staging")
    try:
        with _opened(bundle) as source:
            members = read_members(source, MAX_TOTAL + MAX_MANIFEST)
            raw, signature = _head(source, members)
            manifest = parse_manifest(raw, check_signature(signature, raw, trusted))
            _require_files([m.name for m in members[2:]], manifest)
            shutil.rmtree(staging, ignore_errors=True)
            staging.mkdir(parents=True)
            try:
                _unpack(source, members[2:], manifest, staging)
                _write(staging / MANIFEST, raw)
                _write(staging / SIGNATURE, signature)
                fsync_directory(staging)
                os.rename(staging, destination)
            finally:
                shutil.rmtree(staging, ignore_errors=True)
            fsync_directory(destination.parent)
    except OSError as exc:
        raise BundleError(f"{bundle} cannot be read or unpacked: {exc.strerror or exc}") from exc
    return VerifiedBundle(destination, manifest, _MADE_HERE)


def peek(bundle: Path, trusted: Sequence[TrustedKey]) -> tuple[Manifest, str]:
    """What the tar `bundle` says it is, and the SHA-256 of its manifest; nothing is unpacked, no other byte is checked.

    Raises BundleError: it cannot be read, or no trusted key signed that manifest.
    """
    try:
        with _opened(bundle) as source:
            raw, signature = _head(source, read_members(source, MAX_TOTAL + MAX_MANIFEST))
    except OSError as exc:
        raise BundleError(f"{bundle} cannot be read: {exc.strerror}") from exc
    return parse_manifest(raw, check_signature(signature, raw, trusted)), hashlib.sha256(raw).hexdigest()


def reopen(directory: Path, trusted: Sequence[TrustedKey]) -> VerifiedBundle:
    """Check an unpacked bundle again, as at every start: a bit may have flipped on disk. Raises BundleError."""
    try:
        raw, signature = (_read_small(directory / name) for name in (MANIFEST, SIGNATURE))
        manifest = parse_manifest(raw, check_signature(signature, raw, trusted))
        _require_files(sorted(set(os.listdir(directory)) - {MANIFEST, SIGNATURE}), manifest)
        for entry in manifest.files:
            with _opened(directory / entry.name, follow=False) as source:
                if os.fstat(source).st_size != entry.size:
                    raise BundleError(f"{entry.name} is not of the signed size")
                with os.fdopen(os.dup(source), "rb") as file:
                    _require_hash(entry, hashlib.file_digest(file, "sha256").hexdigest())
        _check_model(directory)
    except OSError as exc:
        raise BundleError(f"{directory} cannot be read: {exc}") from exc
    return VerifiedBundle(directory, manifest, _MADE_HERE)


def parse_manifest(raw: bytes, key: TrustedKey) -> Manifest:
    """The manifest that `key` was seen to have signed. Raises BundleError."""
    try:
        manifest = _MANIFEST.validate_json(raw, strict=True)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BundleError(f"the manifest is not one that this version reads: {where}: {first['msg']}") from exc
    if manifest.key_id != key.key_id:
        raise BundleError("the manifest names another key than the one that signed it")
    check_manifest(manifest)
    return manifest


def fsync_directory(directory: Path) -> None:
    """Make the names in `directory` durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _head(source: int, members: Sequence[Member]) -> tuple[bytes, bytes]:
    """The raw manifest and its signature."""
    if [m.name for m in members[:2]] != [MANIFEST, SIGNATURE]:
        raise BundleError(
            "the bundle is not approved: read its report, then inspector-deploy approve BUNDLE --key KEY "
            "(manifest.json and manifest.sig must come first)"
        )
    if members[0].size > MAX_MANIFEST or members[1].size != SIGNATURE_SIZE:
        raise BundleError("manifest.json is too large, or manifest.sig is no Ed25519 signature")
    raw, signature = (os.pread(source, m.size, m.offset) for m in members[:2])
    return raw, signature


def _require_files(names: Sequence[str], manifest: Manifest) -> None:
    signed = {f.name for f in manifest.files}
    if missing := sorted(signed - set(names)):
        raise BundleError(f"{missing[0]} is in the manifest and not in the bundle")
    if extra := sorted(set(names) - signed):
        raise BundleError(f"{extra[0]} is in the bundle and not in its manifest")


def _unpack(source: int, members: Sequence[Member], manifest: Manifest, staging: Path) -> None:
    signed = {entry.name: entry for entry in manifest.files}
    for member in members:
        entry = signed[member.name]
        if member.size != entry.size:
            raise BundleError(f"{entry.name} is not of the signed size")
        _require_hash(entry, _copy(source, member, staging / member.name))
    _check_model(staging)


def _copy(source: int, member: Member, target: Path) -> str:
    """Copy and make durable; returns the SHA-256 of what was written."""
    digest = hashlib.sha256()
    with target.open("xb") as out:
        offset, end = member.offset, member.offset + member.size
        while offset < end:
            chunk = os.pread(source, min(end - offset, 1 << 20), offset)
            if not chunk:
                raise BundleError(f"{member.name} is cut short")
            out.write(chunk)
            digest.update(chunk)
            offset += len(chunk)
        out.flush()
        os.fsync(out.fileno())
    return digest.hexdigest()


def _require_hash(entry: BundleFile, sha256: str) -> None:
    if sha256 != entry.sha256:
        raise BundleError(f"{entry.name} does not have the signed content")


def _check_model(directory: Path) -> None:
    check_xml((directory / "model.xml").read_bytes(), (directory / "model.bin").stat().st_size)


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _read_small(path: Path) -> bytes:
    with _opened(path, follow=False) as source:
        content = os.pread(source, MAX_MANIFEST + 1, 0)
    if len(content) > MAX_MANIFEST:
        raise BundleError(f"{path.name} is too large")
    return content


@contextmanager
def _opened(path: Path, *, follow: bool = True) -> Iterator[int]:
    """A descriptor of a plain file; not of a pipe, which would wait, nor of a device. Raises BundleError, OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW))
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise BundleError(f"{path} is no plain file")
        yield descriptor
    finally:
        os.close(descriptor)

"""Only what is verified may run: signature first, then the manifest is parsed, then every byte is checked."""

from __future__ import annotations

import hashlib
import math
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from inspector.bundle.keys import TrustedKey, check_signature
from inspector.bundle.tar import Member, read_members
from inspector.core.errors import BundleError
from inspector.core.manifest import LimitSpec, Manifest

MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
MAX_MANIFEST, MAX_TOTAL = 1 << 20, 256 << 20  # bytes
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
    if destination.exists():
        raise BundleError(f"{destination} exists already")
    staging = destination.with_name(destination.name + ".staging")
    shutil.rmtree(staging, ignore_errors=True)
    try:
        members = read_members(bundle, MAX_TOTAL)
        manifest = _signed_manifest(bundle, members, trusted)
        by_name = {m.name: m for m in members[2:]}
        if set(by_name) != {f.name for f in manifest.files} or len(by_name) != len(members) - 2:
            raise BundleError("the files in the bundle are not those of its manifest")
        staging.mkdir(parents=True)
        with bundle.open("rb") as file:
            for name, member in {m.name: m for m in members}.items():
                _copy(file.fileno(), member, staging / name)
        _check_files(staging, manifest)
        os.rename(staging, destination)
    except OSError as exc:
        raise BundleError(f"{bundle} cannot be read or unpacked: {exc}") from exc
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return VerifiedBundle(destination, manifest, _MADE_HERE)


def reopen(directory: Path, trusted: Sequence[TrustedKey]) -> VerifiedBundle:
    """Check an unpacked bundle again, as at every start: a bit may have flipped on disk. Raises BundleError."""
    try:
        raw, signature = (directory / MANIFEST).read_bytes(), (directory / SIGNATURE).read_bytes()
        if len(raw) > MAX_MANIFEST:
            raise BundleError("manifest.json is too large")
        manifest = _parse(raw, check_signature(signature, raw, trusted))
        _check_files(directory, manifest)
    except OSError as exc:
        raise BundleError(f"{directory} cannot be read: {exc}") from exc
    return VerifiedBundle(directory, manifest, _MADE_HERE)


def _signed_manifest(bundle: Path, members: Sequence[Member], trusted: Sequence[TrustedKey]) -> Manifest:
    if [m.name for m in members[:2]] != [MANIFEST, SIGNATURE]:
        raise BundleError("the bundle is not approved: manifest.json and manifest.sig must come first")
    if members[0].size > MAX_MANIFEST or members[1].size != 64:
        raise BundleError("manifest.json is too large, or manifest.sig is no Ed25519 signature")
    with bundle.open("rb") as file:
        raw, signature = (os.pread(file.fileno(), m.size, m.offset) for m in members[:2])
    return _parse(raw, check_signature(signature, raw, trusted))


def _parse(raw: bytes, key: TrustedKey) -> Manifest:
    try:
        manifest = _MANIFEST.validate_json(raw)
    except ValidationError as exc:
        raise BundleError(f"the manifest is not one this version reads: {exc}") from exc
    if manifest.key_id != key.key_id:
        raise BundleError("the manifest names another key than the one that signed it")
    check_manifest(manifest)
    return manifest


def check_manifest(m: Manifest) -> None:
    """What the types cannot say. Raises BundleError."""
    names = [f.name for f in m.files]
    limits = m.limits
    specs = [limits.min_confidence, limits.novelty_low, limits.novelty_high]
    specs += [limits.max_anomaly_score] if limits.max_anomaly_score else []
    roles = {g.role for g in m.golden}
    problems = {
        "file names repeat": len(set(names)) != len(names),
        "model.xml or model.bin is missing": not {"model.xml", "model.bin"} <= set(names),
        "class ids are not 0, 1, 2 ...": [c.id for c in m.classes] != list(range(len(m.classes))),
        "no class is acceptable": not any(c.acceptable for c in m.classes),
        "a limit is not finite or outside its allowed range": not all(map(_sound, specs)),
        "novelty's limits cross": not limits.novelty_low.default < limits.novelty_high.default,
        "a golden picture is not among the files": not {g.file for g in m.golden} <= set(names),
        "no golden good part": "good" not in roles,
        "no golden negative": "negative" not in roles and not m.training.no_negatives,
        "an output is missing": not {"probabilities", "embedding", "novelty_score"} <= {o.name for o in m.outputs},
        "version is not positive": m.version < 1,
    }
    wrong = [text for text, is_wrong in problems.items() if is_wrong]
    if wrong:
        raise BundleError("the manifest contradicts itself: " + "; ".join(wrong))


def _sound(spec: LimitSpec) -> bool:
    low, high = spec.allowed
    return math.isfinite(low) and math.isfinite(high) and low <= spec.default <= high


def _check_files(directory: Path, manifest: Manifest) -> None:
    for entry in manifest.files:
        path = directory / entry.name
        if path.is_symlink() or not path.is_file() or path.stat().st_size != entry.size:
            raise BundleError(f"{entry.name} is missing or not of the signed size")
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != entry.sha256:
                raise BundleError(f"{entry.name} does not have the signed content")


def _copy(source: int, member: Member, target: Path) -> None:
    with target.open("xb") as out:
        offset, left = member.offset, member.size
        while left:
            chunk = os.pread(source, min(left, 1 << 20), offset)
            if not chunk:
                raise BundleError(f"{member.name} is cut short")
            out.write(chunk)
            offset, left = offset + len(chunk), left - len(chunk)
        out.flush()
        os.fsync(out.fileno())

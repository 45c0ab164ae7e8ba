"""Write bundles and approve them: building and approving are two acts, with a key of their own."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from pydantic import TypeAdapter

from edge_deploy.errors import DeployError
from edge_deploy.show import read_manifest
from inspector.bundle.checks import MANIFEST, SIGNATURE, check_manifest
from inspector.bundle.keys import key_id_of
from inspector.bundle.tar import BLOCK, RECORD, header_of
from inspector.core.errors import BundleError
from inspector.core.manifest import BundleFile, Manifest

MAKES_ONE = "inspector-deploy keygen"
_MANIFEST: TypeAdapter[Manifest] = TypeAdapter(Manifest)


def canonical(manifest: Manifest) -> bytes:
    """The manifest's one spelling: sorted keys, no spaces, ASCII; NaN is an error."""
    value = _MANIFEST.dump_python(manifest, mode="json")
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def pack(directory: Path, manifest: Manifest, out: Path) -> None:
    """Write an unsigned bundle of the manifest's files in `directory`. The same input gives the same bytes."""
    files = {entry.name: (directory / entry.name).read_bytes() for entry in manifest.files}
    write_tar(out, {MANIFEST: canonical(replace(manifest, key_id="")), **files})


def keygen(directory: Path, passphrase: str | None = None) -> tuple[Path, Path]:
    """Make `approve.key` (mode 0600) and `approve.pub`. Raises DeployError: one is there already."""
    key = Ed25519PrivateKey.generate()
    protection = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    private, public = directory / "approve.key", directory / "approve.pub"
    if private.exists() or public.exists():
        raise DeployError(f"{directory} holds a key already; keys are never overwritten")
    directory.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return private, public


def approve(bundle: Path, private_key: Path, passphrase: str | None = None) -> str:
    """Sign `bundle` in place with the key's id in its manifest; returns the id. Raises DeployError."""
    return sign(bundle, private_key_of(private_key, passphrase))


def require_there(bundle: Path, private_key: Path) -> None:
    """Before anybody is asked for a passphrase. Raises DeployError."""
    if not bundle.is_file():
        raise DeployError(f"there is no bundle {bundle}: inspector-deploy build writes one")
    if not private_key.is_file():
        raise DeployError(f"there is no key {private_key}: name approve.key, which {MAKES_ONE} makes")


def private_key_of(file: Path, passphrase: str | None) -> Ed25519PrivateKey:
    """Raises DeployError: it cannot be used, and why."""
    try:
        key = load_pem_private_key(file.read_bytes(), passphrase.encode() if passphrase else None)
    except OSError as exc:
        raise DeployError(f"{file} cannot be read: {exc.strerror}; name approve.key, which {MAKES_ONE} makes") from exc
    except TypeError as exc:  # with a passphrase that it has not, or without the one that it has
        how = "has no passphrase: leave --with-passphrase out" if passphrase else "has one: add --with-passphrase"
        raise DeployError(f"{file} {how}") from exc
    except ValueError as exc:
        what = "no private key, or the passphrase is another" if passphrase else "no private key"
        raise DeployError(f"{file} is {what}; name approve.key, which {MAKES_ONE} makes") from exc
    if not isinstance(key, Ed25519PrivateKey):
        raise DeployError(f"{file} is no Ed25519 key; {MAKES_ONE} makes one")
    return key


def sign(bundle: Path, key: Ed25519PrivateKey) -> str:
    """As approve(), with the key in hand."""
    manifest = replace(read_manifest(bundle), key_id=key_id(key))
    try:
        check_manifest(manifest)
    except BundleError as exc:
        raise DeployError(f"{bundle} would be refused by every box: {exc}") from exc
    raw = canonical(manifest)
    files = _contents(bundle, manifest)
    write_tar(bundle, {MANIFEST: raw, SIGNATURE: key.sign(raw), **files})
    return manifest.key_id


def key_id(key: Ed25519PrivateKey) -> str:
    """The id by which a box knows `key`'s public half."""
    return key_id_of(key.public_key().public_bytes_raw())


def unpack(bundle: Path, directory: Path) -> None:
    """Write the files of a bundle, approved or not, into `directory`.

    Raises DeployError: one is damaged. Raises BundleError: the manifest contradicts itself, or names no plain files.
    """
    manifest = read_manifest(bundle)
    check_manifest(manifest)
    for name, content in _contents(bundle, manifest).items():
        (directory / name).write_bytes(content)


def _contents(bundle: Path, manifest: Manifest) -> dict[str, bytes]:
    with tarfile.open(bundle, "r:") as tar:
        return {entry.name: _content(tar, entry) for entry in manifest.files}


def _content(tar: tarfile.TarFile, entry: BundleFile) -> bytes:
    """Nobody signs what is damaged: the box would refuse it, far from the person who can help."""
    try:
        file = tar.extractfile(entry.name)
    except KeyError:
        file = None
    content = file.read(entry.size + 1) if file else b""
    if hashlib.sha256(content).hexdigest() != entry.sha256:
        raise DeployError(f"{entry.name} in the bundle is not what its manifest says: build it again")
    return content


def write_tar(out: Path, contents: Mapping[str, bytes]) -> None:
    """The tar of a bundle, in one rename. Nothing in it but names, sizes and contents: same input, same bytes."""
    staged = out.with_name(f".{out.name}.new")
    with staged.open("wb") as file:
        for name, content in contents.items():
            file.write(header_of(name, len(content)) + content + bytes(-len(content) % BLOCK))
        file.write(bytes(2 * BLOCK))
        file.write(bytes(-file.tell() % RECORD))
    os.replace(staged, out)

"""Public keys that approve bundles. Private keys are never on the box."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from inspector.core.errors import BundleError, ConfigError

MAX_PEM = 4096  # bytes
NOT_PUBLIC = "name approve.pub, not approve.key"
# Points of small order, sign bit cleared (RFC 7748, section 6; libsodium's list): anyone can sign for such a "key", and
# a row of zeros is just what a placeholder in a config looks like.
_SMALL_ORDER = frozenset(
    bytes.fromhex(text)
    for text in (
        "00" * 32,
        "01" + "00" * 31,
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ec" + "ff" * 30 + "7f",
        "ed" + "ff" * 30 + "7f",
        "ee" + "ff" * 30 + "7f",
    )
)


def key_id_of(raw: bytes) -> str:
    """First 16 hex digits of the SHA-256 of the raw 32-byte public key."""
    return hashlib.sha256(raw).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """One Ed25519 public key, raw (RFC 8032). A revoked one is kept, to say so of what it signed."""

    raw: bytes
    revoked: bool = False

    @property
    def key_id(self) -> str:
        return key_id_of(self.raw)

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """True if this key signed `message`, revoked or not."""
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, message)
        except InvalidSignature:
            return False
        return True


def load_keys(texts: Iterable[str], revoked_ids: Iterable[str] = (), base: Path = Path()) -> tuple[TrustedKey, ...]:
    """The keys of a config, those of `revoked_ids` marked. Raises ConfigError: a key or an id is not one."""
    revoked = {text.lower() for text in revoked_ids}
    if wrong := sorted(text for text in revoked if not re.fullmatch("[0-9a-f]{16}", text)):
        raise ConfigError(f"revoked key {wrong[0]!r}: write its id, 16 hex digits (inspector-deploy inspect shows it)")
    keys = (load_key(text, base) for text in texts)
    return tuple(replace(key, revoked=key.key_id in revoked) for key in keys)


def load_key(text: str, base: Path = Path()) -> TrustedKey:
    """A key from the config: 64 hex digits, or the path of a PEM file. Raises ConfigError."""
    raw = bytes.fromhex(text) if re.fullmatch("[0-9a-fA-F]{64}", text) else _read_pem(text, base / text)
    if raw[:31] + bytes([raw[31] & 0x7F]) in _SMALL_ORDER:
        raise ConfigError(f"trusted key {text}: a placeholder, not a key; anyone could sign for it")
    return TrustedKey(raw)


def _read_pem(text: str, path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            key = load_pem_public_key(file.read(MAX_PEM))
    except FileNotFoundError as exc:
        raise ConfigError(
            f"trusted key {text}: no 64 hex digits and no file: name the approve.pub of `inspector-deploy keygen`"
        ) from exc
    except (OSError, ValueError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else NOT_PUBLIC
        raise ConfigError(f"trusted key {text}: neither 64 hex digits nor a readable PEM public key: {why}") from exc
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError(f"trusted key {text}: not an Ed25519 key")
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def check_signature(signature: bytes, message: bytes, trusted: Sequence[TrustedKey]) -> TrustedKey:
    """The trusted key that signed `message`. Raises BundleError: none did, or one that is revoked."""
    for key in trusted:
        if key.verifies(signature, message):
            if key.revoked:
                raise BundleError(f"the bundle is signed by key {key.key_id}, which is revoked: approve it anew")
            return key
    raise BundleError("the bundle is signed by no key that this box trusts: approve it, or add its key to the config")

"""Public keys that approve bundles. Private keys are never on the box."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from inspector.core.errors import BundleError, ConfigError


def key_id_of(raw: bytes) -> str:
    """First 16 hex digits of the SHA-256 of the raw 32-byte public key."""
    return hashlib.sha256(raw).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """One Ed25519 public key, raw (RFC 8032)."""

    raw: bytes

    @property
    def key_id(self) -> str:
        return key_id_of(self.raw)

    def verifies(self, signature: bytes, message: bytes) -> bool:
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, message)
        except InvalidSignature:
            return False
        return True


def load_key(text: str, base: Path = Path()) -> TrustedKey:
    """A key from the config: 64 hex digits, or the path of a PEM file. Raises ConfigError."""
    if len(text) == 64 and all(c in "0123456789abcdefABCDEF" for c in text):
        return TrustedKey(bytes.fromhex(text))
    path = base / text
    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as exc:
        raise ConfigError(f"trusted key {text}: neither 64 hex digits nor a readable PEM public key: {exc}") from exc
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError(f"trusted key {text}: not an Ed25519 key")
    return TrustedKey(key.public_bytes(Encoding.Raw, PublicFormat.Raw))


def check_signature(signature: bytes, message: bytes, trusted: Sequence[TrustedKey]) -> TrustedKey:
    """The trusted key that signed `message`. Raises BundleError: none did."""
    for key in trusted:
        if key.verifies(signature, message):
            return key
    raise BundleError("the bundle is signed by no key that this box trusts: approve it, or add its key to the config")

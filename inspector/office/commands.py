"""What the commands `certificate` and `audit check` do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from cryptography.hazmat.primitives import hashes
from cryptography.x509 import load_pem_x509_certificate

from inspector.config import AppConfig
from inspector.core.errors import ConfigError
from inspector.office import audit
from inspector.office.certificate import ensure_own, request_in
from inspector.office.chain import Head

_HEAD = re.compile(r"([0-9]{1,15}):([0-9a-f]{64})")


def make_certificate(cfg: AppConfig, names: Sequence[str], *, anew: bool) -> list[str]:
    """Make what is missing, and say where it is. Raises ConfigError."""
    folder = cfg.paths.office_folder
    pair = ensure_own(folder, [*names, *cfg.web.names], datetime.now(UTC), anew=anew)
    found = load_pem_x509_certificate(pair.certificate.read_bytes())
    digest = found.fingerprint(hashes.SHA256()).hex(":").upper()
    return [
        f"certificate  {pair.certificate}, until {found.not_valid_after_utc:%Y-%m-%d}",
        f"key          {pair.key}",
        f"request      {request_in(folder)}: have an authority sign it, then name both in [web] certificate and key",
        f"SHA-256      {digest}",
    ]


def check_audit(cfg: AppConfig, noted: str | None) -> tuple[list[str], bool]:
    """What there is to tell, and whether the chain is whole. Raises ConfigError, StoreError."""
    counted, found, head = audit.check_file(cfg.paths.office_folder / "office.db", _head(noted))
    if found:
        return [f"broken: {flaw}" for flaw in found], False
    return [f"whole: {counted} entries, head {head.number}:{head.hash}"], True


def _head(text: str | None) -> Head | None:
    if text is None:
        return None
    match = _HEAD.fullmatch(text.strip().lower())
    if match is None:
        raise ConfigError("--head is NUMBER:HASH with 64 hex digits, e.g. as `inspector audit check` printed it")
    return Head(int(match[1]), match[2])

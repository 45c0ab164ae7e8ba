"""SETTINGS_CHECKSUM: one number for all that decides over a part."""

from __future__ import annotations

import hashlib


def checksum_of(settings: str) -> int:
    """SETTINGS_CHECKSUM (contract, 3.2), u32 and never 0: a PLC's own rest state must not look like it.

    settings: recipes.settings_of, as model_revs keeps it.
    """
    return int.from_bytes(hashlib.sha256(settings.encode()).digest()[:4], "big") or 1

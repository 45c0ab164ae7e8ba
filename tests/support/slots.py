"""A box with two slots for bundles, and bundles of any version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from inspector.bundle.slots import Slots
from inspector.bundle.verify import VerifiedBundle
from tests.support.tiny_bundle import make_bundle, trusted_key

PRODUCT = "tiny"


class Box:
    """Slots on a disk, and bundles of any version."""

    def __init__(self, root: Path, key: Ed25519PrivateKey) -> None:
        self.root, self._key, self.trusted = root, key, [trusted_key(key)]
        self.tried: list[str] = []
        self.slots = Slots(root / "bundles", trial=lambda bundle: self.tried.append(bundle.manifest.bundle_id))

    def tar(self, version: int, **overrides: Any) -> Path:
        name = self.root / f"{version}-{len(list(self.root.iterdir()))}.bundle"
        return make_bundle(name, self._key, version=version, **overrides)

    def install(self, version: int) -> VerifiedBundle:
        return self.slots.install(self.tar(version), self.trusted, PRODUCT)

    def switch_to(self, version: int) -> None:
        self.slots.activate(self.install(version))

    def version(self) -> int | None:
        bundle = self.slots.active(self.trusted, PRODUCT)
        return None if bundle is None else bundle.manifest.version

    def rollback(self) -> int:
        return self.slots.rollback(self.trusted, PRODUCT).manifest.version

"""Golden pictures, which no training may see: those of every bundle that this box has or shall have."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from inspector.bundle.keys import load_keys
from inspector.bundle.verify import verify
from inspector.sections import BundleConfig

SLOTS = "bundles"  # below the daemon's state


@contextmanager
def golden_pictures(slots: Path, bundle: BundleConfig | None, place: str | None = None) -> Iterator[tuple[Path, ...]]:
    """Those of the bundles in the slots, active or not, and of the configured one, whose signature must hold.

    place: for what is unpacked meanwhile; None: where the system puts such things. Raises BundleError.
    """
    installed = tuple(sorted(slots.glob("*/[ab]/golden_*.png")))
    if bundle is None:
        yield installed
        return
    with TemporaryDirectory(prefix="inspector-golden-", dir=place) as folder:
        found = verify(bundle.path, load_keys(bundle.trusted_keys, bundle.revoked_keys), Path(folder) / "b")
        yield (*installed, *sorted(found.directory.glob("golden_*.png")))

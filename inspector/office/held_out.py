"""Pictures which no training may see: golden ones of every bundle that this box has or shall have, and of folders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from inspector.bundle.keys import load_keys
from inspector.bundle.verify import verify
from inspector.office.dataset import ExportError
from inspector.pictures import SUFFIXES
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


def pictures_in(folders: Sequence[Path]) -> Iterator[Path]:
    """A defect library, test sets. Raises ExportError: a folder is not there, or holds no picture."""
    for folder in folders:
        found = sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
        if not found:
            raise ExportError(f"{folder} holds no picture that could be left out")
        yield from found

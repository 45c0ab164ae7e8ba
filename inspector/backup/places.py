"""What of a box is in a backup, under which name, and where it belongs.

    head.json            format, versions, time, where the configuration lay; first, so that a newer one is refused
    station.toml         the configuration
    results.db ...       the record as of one moment, its months, the numbers given out
    office.db            accounts, labels, audit
    web.pem, .key, .csr  the page's own certificate
    bundles/...          slots: bundles, which is active, which versions were there
    named/...            files that the configuration names: bundle, keys of approvers, certificates
    manifest.json        size, SHA-256 and owner of each; last, so that a file cut short has none

Where each goes is taken from the configuration in it, never from a path in the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from inspector.config import AppConfig
from inspector.core.errors import ConfigError
from inspector.office.certificate import own_pair, request_in
from inspector.sections import PACKAGED_DEMO

FORMAT = 1
HEAD, MANIFEST, CONFIG = "head.json", "manifest.json", "station.toml"
RESULTS, NUMBERS, OFFICE, BUNDLES = "results.db", "results.numbers", "office.db", "bundles"
ASIDE = "before-restore-"  # and a time: what a restore found there
RESTORING = ".restoring"  # in the folder of the state while a restore swaps files
_FLAT = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,98}"
MEMBER = re.compile(
    r"head\.json|manifest\.json|station\.toml|results(-[0-9]{4}-[0-9]{2})?\.db|results\.numbers|office\.db"
    rf"|web\.(pem|key|csr)|named/{_FLAT}|bundles/\.tried\.json"
    rf"|bundles/[A-Za-z0-9_-][A-Za-z0-9_.-]{{0,99}}/(active|left\.json|floor\.json|[ab]/{_FLAT})"
)


@dataclass(frozen=True, slots=True)
class Named:
    """A file outside the folders of the box. secret: a private key."""

    name: str
    path: Path
    secret: bool = False


def wanted_file(office: Path) -> Path:
    """Where the page asks for a backup; systemd starts one when it appears."""
    return office / "backup.wanted"


def named_files(cfg: AppConfig) -> Iterator[Named]:
    """All that the configuration names and that is part of no folder of ours. Pictures to replay are not."""
    if cfg.bundle is not None:
        if cfg.bundle.file != PACKAGED_DEMO:
            yield Named("named/bundle", cfg.bundle.path)
        for index, key in enumerate(cfg.bundle.trusted_keys):
            if not re.fullmatch("[0-9a-fA-F]{64}", key):
                yield Named(f"named/approver-{index}", Path(key))
    for index, link in enumerate(cfg.plc.links):
        if link.tls is not None:
            yield Named(f"named/link-{index}.ca", link.tls.ca)
            yield Named(f"named/link-{index}.pem", link.tls.certificate)
            yield Named(f"named/link-{index}.key", link.tls.key, secret=True)
    if cfg.web.certificate is not None and cfg.web.key is not None:
        yield Named("named/web.pem", cfg.web.certificate)
        yield Named("named/web.key", cfg.web.key, secret=True)


def own_files(office: Path) -> Iterator[Named]:
    """The page's own certificate, where it lies in its folder."""
    pair = own_pair(office)
    yield Named("web.pem", pair.certificate)
    yield Named("web.csr", request_in(office))
    yield Named("web.key", pair.key, secret=True)


def require_whole(state: Path) -> None:
    """Raises ConfigError: a restore was interrupted, and what lies there is of two times."""
    if (state / RESTORING).exists():
        raise ConfigError(
            f"{state}: a restore was interrupted; run `inspector restore` again with the same file, it begins anew"
        )

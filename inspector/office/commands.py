"""What the commands `certificate`, `audit check` and `code` do."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime

import apsw
from cryptography.hazmat.primitives import hashes
from cryptography.x509 import load_pem_x509_certificate

from inspector.config import AppConfig
from inspector.core.errors import ConfigError
from inspector.office import audit, people, sessions
from inspector.office.certificate import ensure_own, request_in
from inspector.office.chain import Head
from inspector.office.passwords import hash_password, new_code
from inspector.office.schema import STEPS
from inspector.store.database import Database

ROOT = "root"  # the actor of who has the box itself
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


def code_for(cfg: AppConfig, name: str) -> list[str]:
    """A one-time code for somebody nobody can give one on the page: the last admin, who forgot their password.

    Raises ConfigError: no such person; StoreError: the page runs, and is the only one that writes here.
    """
    code, now = new_code(), time.time_ns() // 1_000_000
    database = Database(cfg.paths.office_folder / "office.db", steps=STEPS)
    database.open()
    try:
        with database.transaction() as db:
            account = people.by_name(db, name)
            if account is None:
                raise ConfigError(f"there is no {name!r}; there are {', '.join(_names(db)) or 'no people yet'}")
            people.set_code(db, account.person.no, hash_password(code), now, last=True)
            sessions.end_all_of(db, account.person.no)
            audit.append(db, now, ROOT, "password.reset", account.person.name)
    finally:
        database.close()
    return [f"one-time code for {account.person.name}, for a day, on the page /new-password: {code}"]


def _names(db: apsw.Connection) -> list[str]:
    return [account.person.name for account in people.everyone(db)]


def _head(text: str | None) -> Head | None:
    if text is None:
        return None
    match = _HEAD.fullmatch(text.strip().lower())
    if match is None:
        raise ConfigError("--head is NUMBER:HASH with 64 hex digits, e.g. as `inspector audit check` printed it")
    return Head(int(match[1]), match[2])

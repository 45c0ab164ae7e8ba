"""What the commands `certificate`, `audit check` and `code` do."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import apsw
from cryptography.hazmat.primitives import hashes
from cryptography.x509 import load_pem_x509_certificate

from inspector.config import AppConfig
from inspector.core.chain import NO_HEAD, Head, flaws
from inspector.core.errors import ConfigError
from inspector.office import people, sessions
from inspector.office.certificate import ensure_own, names_lacking, request_in
from inspector.office.passwords import hash_password, new_code
from inspector.office.schema import STEPS
from inspector.store import audit
from inspector.store.database import Database
from inspector.store.line_audit import head_of, head_text, noted_heads

ROOT = "root"  # the actor of who has the box itself


def make_certificate(cfg: AppConfig, names: Sequence[str], *, anew: bool) -> list[str]:
    """Make what is missing, and say where it is. Raises ConfigError, also for names that the certificate lacks."""
    folder = cfg.paths.office_folder
    pair = ensure_own(folder, [*names, *cfg.web.names], datetime.now(UTC), anew=anew)
    found = load_pem_x509_certificate(pair.certificate.read_bytes())
    if lacking := names_lacking(found, names):
        raise ConfigError(
            f"{pair.certificate} is there already, and is not made out to {', '.join(lacking)}: "
            "--renew makes another one, and a request, with all names that you give; the key stays"
        )
    digest = found.fingerprint(hashes.SHA256()).hex(":").upper()
    return [
        f"certificate  {pair.certificate}, until {found.not_valid_after_utc:%Y-%m-%d}",
        f"key          {pair.key}",
        f"request      {request_in(folder)}: have an authority sign it, then name both in [web] certificate and key",
        f"SHA-256      {digest}",
    ]


def check_audit(cfg: AppConfig, noted: str | None, line_noted: str | None) -> tuple[list[str], bool]:
    """Of accounts and of the line: what there is to tell, and whether both chains are whole.

    noted, line_noted: heads as the log has them. Raises ConfigError, StoreError.
    """
    office, line = cfg.paths.office_folder / "office.db", cfg.paths.state / "results.db"
    heads, line_heads = _heads(noted, "--head"), _heads(line_noted, "--line-head")
    with audit.reading(office) as db:
        line_heads += noted_heads(db)
    lines, whole = _checked("accounts", office, heads)
    if not line.exists() and not line_heads:
        return [*lines, f"line: nothing yet, there is no {line}"], whole
    more, line_whole = _checked("line", line, line_heads)
    return lines + more, whole and line_whole


def _checked(name: str, path: Path, noted: list[Head]) -> tuple[list[str], bool]:
    if path.exists():
        counted, found, head = audit.check_file(path, noted)
    else:
        counted, found, head = 0, list(flaws((), 0, noted)), NO_HEAD
    if found:
        return [f"{name}: broken: {flaw}" for flaw in found], False
    return [f"{name}: whole: {counted} entries, head {head_text(head)}"], True


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


def _heads(text: str | None, option: str) -> list[Head]:
    if text is None:
        return []
    head = head_of(text)
    if head is None:
        raise ConfigError(f"{option} is NUMBER:HASH with 64 hex digits, e.g. as `inspector audit check` printed it")
    return [head]

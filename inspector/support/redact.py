"""Takes secrets out of what leaves the house: by the names of values, and by what secrets of ours look like. Pure.

Nothing with secrets is put in on purpose (no accounts, no keys); this is for what a log line or a configuration holds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

GONE = "[redacted]"
# Words in the name of a value whose text is for nobody's eyes. Numbers stay: an error code is no secret.
_NAMES = frozenset((
    "authorization", "code", "cookie", "credential", "credentials", "csrf", "otp", "passphrase", "passwd", "password",
    "pin", "psk", "secret", "session", "token",
))  # fmt: skip
_NAME_PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), GONE),
    (re.compile(r"\$argon2\w*\$[^\s\"',\\]+"), GONE),
    (re.compile(r"(?<=://)[^/\s\"']+@"), f"{GONE}@"),  # name and password of a camera's address
    (re.compile(r"((?:__Host-inspector|inspector-local)=)[^;,\s\"'\\]+"), rf"\1{GONE}"),
    (re.compile(r"(?i)\b((?:authorization\s*[:=]\s*)?(?:bearer|basic)\s+)[\w+/=.~-]{8,}"), rf"\1{GONE}"),
    (re.compile(r"(?i)\b([\w-]*(?:pass(?:word|wd|phrase)|pwd|secret|token|cookie|csrf|api[_-]?key)[\w-]*"
                r"[\\\"']*\s*[:=]\s*[\\\"']*)[^\s\"',;}&\\]+"), rf"\1{GONE}"),
    (re.compile(r"(?i)\b[A-HJ-NP-Z2-9]{4}(?:-[A-HJ-NP-Z2-9]{4}){3}\b"), GONE),  # a one-time code
    (re.compile(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{43}=(?![A-Za-z0-9+/=])"), GONE),  # the key of backups
    (re.compile(r"(?<![\w-])[\w-]{43}(?![\w-])", re.ASCII), GONE),  # a session's token
)  # fmt: skip


def scrub(text: str) -> str:
    """The text without what looks like a secret of ours."""
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    return text


def redact(value: Any) -> Any:
    """The same of what JSON can hold; also by the names of its values."""
    if isinstance(value, Mapping):
        return {str(key): GONE if _is_secret(str(key), one) else redact(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [redact(one) for one in value]
    return scrub(value) if isinstance(value, str) else value


def redact_line(line: str) -> str:
    """A line of a log: one of ours is JSON."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return scrub(line)
    return json.dumps(redact(found), ensure_ascii=False) if isinstance(found, dict) else scrub(line)


def _is_secret(name: str, value: Any) -> bool:
    return isinstance(value, str) and value != "" and not _NAMES.isdisjoint(
        part.lower() for part in _NAME_PARTS.findall(name)
    )  # fmt: skip

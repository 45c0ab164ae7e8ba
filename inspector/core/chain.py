"""A chain of entries in which each holds the hash of the one before: what is changed later does not fit any more.

Pure functions over rows, so that any database may keep such a chain. It shows tampering by whoever cannot also compute
the rest of it anew; against those who can, note a head (number and hash of the newest entry) somewhere else, as the log
does with each.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

GENESIS = hashlib.sha256(b"inspector audit").hexdigest()  # what the first entry holds as the one before


@dataclass(frozen=True, slots=True)
class Entry:
    """One deed. number: 1, 2, 3 and so on. before, hash: 64 hex digits."""

    number: int
    utc_ms: int
    actor: str
    action: str  # a token, e.g. "person.added"
    what: str
    before: str
    hash: str


@dataclass(frozen=True, slots=True)
class Head:
    """The newest entry, as it was noted elsewhere."""

    number: int
    hash: str


NO_HEAD = Head(0, GENESIS)


Kind = Literal["changed", "replaced", "removed", "other"]
_TOLD: dict[Kind, str] = {
    "changed": "entry {first} was changed: its hash is of another content",
    "replaced": "entry {first} was inserted or replaced: the next one was written after another",
    "removed": "entries {first} to {last} were removed",
    "other": "entry {first} is not the one whose hash was noted",
}


@dataclass(frozen=True, slots=True)
class Flaw:
    """What does not fit, and at which entries, first to last."""

    kind: Kind
    first: int
    last: int

    def __str__(self) -> str:
        return _TOLD[self.kind].format(first=self.first, last=self.last)


def hash_of(number: int, utc_ms: int, actor: str, action: str, what: str, before: str) -> str:
    """Of all that an entry says; JSON keeps its fields apart."""
    content = json.dumps([number, utc_ms, actor, action, what, before], ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(content.encode()).hexdigest()


def following(head: Head, utc_ms: int, actor: str, action: str, what: str) -> Entry:
    """The entry after `head`."""
    number = head.number + 1
    return Entry(
        number, utc_ms, actor, action, what, head.hash, hash_of(number, utc_ms, actor, action, what, head.hash)
    )


def flaws(entries: Iterable[Entry], written: int, noted: Collection[Head] = ()) -> Iterator[Flaw]:
    """What does not fit, in order of the numbers; nothing: the chain is whole.

    entries: all, by number. written: the highest number ever given, as the database counted. noted: heads that were
    written down elsewhere; their entries must still be those.
    """
    last, hashes = NO_HEAD, defaultdict[int, set[str]](set)
    for head in noted:
        hashes[head.number].add(head.hash)
    for entry in entries:
        if entry.number > last.number + 1:
            yield Flaw("removed", last.number + 1, entry.number - 1)
        elif entry.before != last.hash:
            at = max(last.number, 1)
            yield Flaw("replaced", at, at)
        own = hash_of(entry.number, entry.utc_ms, entry.actor, entry.action, entry.what, entry.before)
        if own != entry.hash:
            yield Flaw("changed", entry.number, entry.number)
        if hashes.get(entry.number, {entry.hash}) != {entry.hash}:
            yield Flaw("other", entry.number, entry.number)
        last = Head(entry.number, entry.hash)
    end = max(written, *hashes, 0)
    if end > last.number:
        yield Flaw("removed", last.number + 1, end)

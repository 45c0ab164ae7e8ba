"""The last parts of one station and its last FAIL, kept in every language: from the daemon's memory, and before that
from the record."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from inspector.web.words import LANGUAGES, in_each, language

KEEP = 100  # parts in memory
NEWEST = 8  # parts whose pictures may still be on their way

View = dict[str, Any]
Views = Mapping[str, View]  # by language; what is no text is equal in all


@dataclass(slots=True)
class Wanted:
    """What is to be taken from the record: rows before `before_no` (None: the newest). count 0: nothing."""

    before_no: int | None = None
    count: int = 0


@dataclass(slots=True)
class Strip:
    """Of one station, on the event loop only."""

    _parts: deque[Views] = field(default_factory=lambda: deque(maxlen=KEEP))  # newest first
    _last_fail: Views | None = None
    earlier: Wanted = field(default_factory=Wanted)  # parts, once after each start of the daemon
    fail: Wanted = field(default_factory=Wanted)  # a FAIL from before them

    @property
    def parts(self) -> list[View]:
        """The last parts, newest first, in the language of the task."""
        return self.parts_in(language())

    @property
    def last_fail(self) -> View | None:
        return self.last_fail_in(language())

    def parts_in(self, spoken: str) -> list[View]:
        return [part[spoken] for part in self._parts]

    def last_fail_in(self, spoken: str) -> View | None:
        return None if self._last_fail is None else self._last_fail[spoken]

    @property
    def newest(self) -> View | None:
        """The newest part of this life of the daemon: one from before is in the filmstrip, and no news."""
        part = self._parts[0][language()] if self._parts else None
        return None if part is None or part.get("past") else part

    def load(self, parts: Sequence[Views]) -> None:
        """Begin again from the daemon's memory, newest first; it knows best after a restart of either."""
        self._parts.clear()
        self._parts.extend(parts[:KEEP])
        for part in reversed(parts):
            self._see(part)
        oldest = plain(parts[-1])["no"] if parts else None
        self.earlier = Wanted(oldest, KEEP - len(self._parts))
        self.fail = Wanted(oldest, int(all(plain(part)["sign"] != "fail" for part in parts)))

    def take(self, part: Views) -> bool:
        """One more part. False: it is there already, as it came with `load`."""
        if any(plain(known)["no"] == plain(part)["no"] for known in self._parts):
            return False
        self._parts.appendleft(part)
        self._see(part)
        return True

    def set_earlier(self, views: Sequence[Callable[[], View]], searched_to_no: int | None = None) -> bool:
        """What `earlier` asked for, newest first; each view is made in the language of the task. True: it shows.

        searched_to_no: not None where the record was not searched to its end: there it goes on.
        """
        oldest = plain(self._parts[-1])["no"] if self._parts else math.inf
        found = [part for part in map(in_each, views) if plain(part)["no"] < oldest]
        self._parts.extend(found[: KEEP - len(self._parts)])
        left = KEEP - len(self._parts) if searched_to_no is not None else 0
        self.earlier = Wanted(searched_to_no, left)
        return bool(found)

    def set_last_fail(self, view: Callable[[], View]) -> bool:
        """What `fail` asked for; view: makes it, in the language of the task. True: it shows."""
        part = in_each(view)
        self.fail = Wanted()
        if self._last_fail is not None and plain(part)["no"] <= plain(self._last_fail)["no"]:
            return False
        self._last_fail = part
        return True

    def has_no_fail(self, searched_to_no: int | None) -> None:
        """The record has none that is newer; where it was not searched to its end, `fail` goes on there."""
        self.fail = Wanted(searched_to_no, int(searched_to_no is not None))

    def expects(self, name: str) -> bool:
        """True if `name` is a picture of one of the newest parts: it may still be on its way."""
        newest = map(plain, list(self._parts)[:NEWEST])
        return any(name in (part["preview"], part["heat"]) for part in newest)

    def preview_of(self, no: int) -> str | None:
        """The name of the small picture of one of the last parts."""
        name: str | None = next((p["preview"] for p in map(plain, self._parts) if p["no"] == no), None)
        return name

    def _see(self, part: Views) -> None:
        if plain(part)["sign"] == "fail":
            self._last_fail = part


def plain(part: Views) -> View:
    """A part for what is no text: number, sign, names of pictures."""
    return part[LANGUAGES[0]]

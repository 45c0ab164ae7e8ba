"""What stands behind an alarm or a part of the station, as a kind with data: terse English for the log and the journal,
where it can be searched for, and known again by the page, which says it in the person's language.

To say something new: a line here, and `said.<key>` in inspector/web/words/*/details.toml; a test demands them. What an
operating system or a driver says itself is handed on as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum, unique
from string import Formatter

AND = "; "  # between two of them


@unique
class Detail(Enum):
    """The text with its data in braces. Those of the link are written by the package plc, which knows nothing of us."""

    # a part of the station
    WORKING = "working"
    NO_SIGN_OF_LIFE = "no sign of life"
    RENDERED = "rendered"
    FOLDER = "folder"
    OPENCV = "opencv"
    FREE = "{gb} GB free"
    DROPPED = "{count} pictures dropped"
    # the record
    NOT_COMMITTED = "a record was not committed in time"
    BEHIND = "the record is behind: no commit within {seconds} s"
    SHORT_OF_ROOM = "only {free} MB free, {needed} MB are needed"
    # a frame
    WRONG_SIZE = "picture is {size}, the recipe is for {wanted}"
    OTHER_TRIGGER = "frame of trigger {frame}, not of {trigger}"
    EXPOSED_BEFORE = "frame was exposed before its trigger"
    FROZEN = "the same frame again: the camera is frozen"
    NO_PROOF = "this camera cannot prove that the frame is of this trigger"
    SIMULATED = "a simulated picture towards a real PLC"
    ZONE_OUTSIDE = "zone {zone}: {measure} {value} is outside {low} to {high}"
    ZONE_NEARS = "zone {zone}: {measure} nears its {limit} limit: {share} of the way between the two"
    # a camera
    NO_FRAME_IN_TIME = "{camera}: no frame within {seconds} s"
    LINK_LOST = "{camera}: link lost"
    INCOMPLETE = "{camera}: frame incomplete"
    CANNOT_BE_OPENED = "{camera}: cannot be opened; check the cable, the address and the rights"
    GIVES_NO_FRAME = "{camera}: gives no frame"
    NOT_THERE = "{camera}: is not there; check the cable, `inspector camera list` shows what is"
    NO_PICTURE_IN_TIME = "folder camera: no picture within {seconds} s"
    NO_PICTURE_OF = "folder camera: no picture for PART_ID {part_id}; {folder} holds {count}"
    EMPTY_FOLDER = "folder camera: {folder} holds no {formats} picture: copy some there"
    # the link to the PLC
    CONNECTED = "connected to {where}"
    LISTENING = "listening at {where}: no PLC writes yet"
    WRITES_AT = "{peer} writes at {where}"
    NO_ANSWER = "no PLC answers at {where}: {why}"
    NOBODY = "no PLC answers at {where}"
    NO_ANSWER_WITHIN = "no answer within {ms} ms"
    GONE = "the connection is gone"
    NO_SIGNATURE_AT = "{where} shows no signature of station {station} at {base}: wrong PLC or address"
    NO_SIGNATURE = "{where} shows no signature of station {station}: wrong PLC or address"
    OTHER_APPLIANCE = "another appliance writes to this PLC's result area: stopped writing"
    OWNER_SILENT = "{peer} wrote nothing for {seconds} s"
    NOT_ECHOED = "{link}, but its program does not echo our heartbeat: stopped, or the addresses are another station's"
    NOT_RUNNING = "{link}, but its program does not run"

    @property
    def key(self) -> str:
        """Of its words."""
        return self.name.lower()

    @property
    def data(self) -> frozenset[str]:
        """Names of its data."""
        return frozenset(name for _, name, _, _ in Formatter().parse(self.value) if name)

    def of(self, **data: object) -> str:
        """The text. KeyError: not all its data."""
        return str(self.value).format(**data)


_DATA = f"(?:(?!{AND}).)+?"


def _pattern(template: str) -> re.Pattern[str]:
    parts = [
        re.escape(text) + (f"(?P<{name}>{_DATA})" if name else "") for text, name, _, _ in Formatter().parse(template)
    ]
    return re.compile("".join(parts), re.DOTALL)


def _written(detail: Detail) -> int:
    return sum(len(text) for text, *_ in Formatter().parse(detail.value))


_PATTERNS = {  # what is written out goes before data: the longest first
    detail: _pattern(detail.value) for detail in sorted(Detail, key=_written, reverse=True)
}


def read(text: str) -> tuple[Detail, Mapping[str, str]] | None:
    """Which detail a text is, and its data; None: none that we wrote."""
    for detail, pattern in _PATTERNS.items():
        if found := pattern.fullmatch(text):
            return detail, found.groupdict()
    return None

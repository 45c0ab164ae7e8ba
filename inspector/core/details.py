"""What stands behind an alarm or a part of the station, as a kind with data: terse English for the log and the journal,
where it can be searched for, and known again by the page, which says it in the person's language.

To say something new: a line here, and `said.<key>` in inspector/web/words/*/details.toml; a test demands them. Errors
are worded where they are raised; their shapes stand in judging_texts.py and box_texts.py, their words in said_*.toml;
test_web_said_texts.py finds one that is missing. What an operating system, a library or a driver says itself is handed
on as it is, behind a text of ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import unique
from functools import lru_cache
from itertools import chain

from inspector.core.box_texts import BoxText
from inspector.core.judging_texts import JudgingText
from inspector.core.wording import AND as AND
from inspector.core.wording import Wording

LONGEST = 2000  # characters of a text that is looked at


@unique
class Detail(Wording):
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
    TOOK = "the last one took {ms} ms"
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


SAID: tuple[Wording, ...] = tuple(  # what is written out goes before data: the longest first
    sorted(chain[Wording](Detail, JudgingText, BoxText), key=lambda wording: -wording.written)
)


@lru_cache(maxsize=1024)
def read(text: str) -> tuple[Wording, Mapping[str, str]] | None:
    """Which detail a text is, and its data; None: none that we wrote."""
    for wording in SAID if len(text) <= LONGEST else ():
        if found := wording.pattern.fullmatch(text):
            return wording, found.groupdict()
    return None

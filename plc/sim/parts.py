"""What the simulated PLC knows of a part, how it is set up, and what its program can be made to do wrong."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from plc.images import WordOrder

GOOD, REJECT, NOT_INSPECTED, BYPASSED = 1, 2, 3, 4  # PLC_VERDICT


@dataclass(slots=True)
class SimResult:
    """What the PLC program made of one part. code 0: it read no result in time."""

    trigger_id: int
    part_id: int
    code: int = 0
    reason: int = 0
    verdict: str = "reject"  # good or reject: what the program read of the part
    edge_s: float = 0.0  # TRIGGER was written; 0.0: the part was never triggered
    ack_s: float | None = None
    valid_s: float | None = None
    plc_verdict: int = 0  # what was done with it at the gate: PLC_VERDICT; 0: it never came there
    encoder: int = 0
    test_part: bool = False
    why: str = ""  # in words: why it was not triggered, or had no result by the time that it was given up


@dataclass(frozen=True, slots=True)
class NewPart:
    """What comes with a part at the camera: its number and, where a reader is fitted, lot and serial."""

    part_id: int
    test_part: bool = False
    lot: str = ""
    serial: str = ""


@dataclass(frozen=True, slots=True)
class TrackConfig:
    """Where the reject gate is, in counts of the encoder from the camera. The gate opens for good parts only."""

    gate: int = 300
    opens_before: int = 20  # the gate moves so long before its part is there, and so long behind it
    confirm: int = 60  # the reject-confirm sensor has seen a rejected part so far behind the gate
    max_rejects_in_row: int = 0  # so many stop the belt; 0: never


@dataclass(slots=True)
class SimConfig:
    """All times in seconds. The program's settings follow the rule of section 4 of the contract."""

    number: int = 1  # station, 1..8
    simulator: bool = True  # False: shows a production signature
    scan_s: float = 0.005
    ack_timeout_s: float = 0.1
    result_timeout_s: float = 0.5
    heartbeat_timeout_s: float = 0.5
    claims_good: bool = False  # a program that is wrong: PLC_VERDICT says of every part that it went on as good
    ready_timeout_s: float = 15.0  # the line waits for READY that long before a part goes by uninspected
    heartbeat_s: float = 0.05
    recipe: int = 0  # RECIPE_EXPECTED; 0 = no check
    lot: str = ""  # of every part; its serial is LOT-000001 and so on
    sessions: bool = True  # False: a PLC that leaves PLC_SESSION 0
    word_order: WordOrder = "big"
    track: TrackConfig | None = None  # None: the gate is at the camera, a part is decided where it was inspected


@dataclass(slots=True)
class Habits:
    """What this program does wrong, or unusually, from now on. All off: a program as the contract wants it."""

    freeze_ids: bool = False  # every part gets the id of the one before
    zero_ids: bool = False
    tear_ids: bool = False  # TRIGGER is written one scan before its id
    never_ack: bool = False
    ack_early: bool = False  # RESULTS_ACK is up before there is a result
    hold_trigger: bool = False  # TRIGGER stays 1 as long as this is set, and RESULTS_ACK as well
    drop_after_scans: int | None = None  # TRIGGER is 1 for so many scans, acknowledged or not
    claim_good: bool = False
    bypass: bool = False  # a keyed by-pass: parts go on uninspected, and PLC_VERDICT says 4
    bounce: bool = False  # the sensor sees the part twice
    stick_ejector: bool = False  # rejected parts stay on the belt
    hide_signature: bool = False
    set_offline: bool = False
    clear_error: bool = False
    disable: bool = False  # TRIGGER_ENABLE is 0
    expect_recipe: int | None = None  # RECIPE_EXPECTED, whatever was changed over to


def part_ids(is_good: Callable[[int], bool], bad_share: float, *, seed: int = 1) -> Iterator[int]:
    """PART_IDs without end, a share of them bad; each id comes once. is_good: the truth of a PART_ID, the caller's.

    Raises ValueError: share is not within 0..1, or of 10,000 ids in a row none is wanted.
    """
    if not 0 <= bad_share <= 1:
        raise ValueError(f"the share of bad parts is 0 to 1, not {bad_share}")
    chance = random.Random(seed)
    next_id = {True: 1, False: 1}
    while True:
        good = chance.random() >= bad_share
        for part_id in range(next_id[good], next_id[good] + 10_000):
            if bool(is_good(part_id)) is good:
                next_id[good] = part_id + 1
                yield part_id
                break
        else:
            raise ValueError(f"no {'good' if good else 'bad'} part among 10,000 PART_IDs from {next_id[good]}")

"""The PLC contract's numbers, written once: client, server, simulator and documents derive from here."""

from __future__ import annotations

from enum import IntEnum


class Verdict(IntEnum):
    """RESULT_CODE of a part; "reject" means not PASS."""

    PASS = 1
    FAIL = 2
    UNCERTAIN = 3
    NOT_INSPECTED = 4  # could not be inspected; the line must treat it as a reject


class Reason(IntEnum):
    """REASON beside every verdict, with the numbers of the contract."""

    NONE = 0
    CLASS = 10
    ANOMALY = 11
    CLASS_AND_ANOMALY = 12
    LOW_CONFIDENCE = 20
    RECHECK_LIMIT = 21
    DEADLINE = 100
    CAMERA = 101
    IMAGE_QUALITY = 102
    STALE_TRIGGER = 103
    DUPLICATE_ID = 104
    OVERRUN = 105
    RECIPE_MISMATCH = 106
    LINK_LOST = 107
    RESTARTED = 108
    INFERENCE = 109
    OFFLINE = 110
    PLC_HEARTBEAT = 111
    STORAGE = 112
    NO_PART = 113
    COLLECTING = 114
    RESYNC = 115
    NO_PROOF = 116
    SIMULATED = 117


class OfflineReason(IntEnum):
    """OFFLINE_REASON: why TRIGGER_READY is 0."""

    NONE = 0
    STARTING = 1
    SET_OFFLINE = 2
    NO_RECIPE = 3
    CAMERA = 4
    MODEL = 5
    STORAGE = 6
    PLC_HEARTBEAT = 7
    CHECK_DUE = 8
    LATCHED_ERROR = 9
    CHANGE_OVER = 10
    CONFIGURATION = 11
    NO_LINK_BASELINE = 12

"""The PLC contract's numbers, written once: client, server, simulator and documents derive from here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from typing import Literal


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


class Control(IntFlag):
    """CTRL.CONTROL, written by the PLC."""

    TRIGGER_ENABLE = 1 << 0
    TRIGGER = 1 << 1
    BUFFER_RESULTS_ENABLE = 1 << 2
    RESULTS_ACK = 1 << 3
    EXECUTE_COMMAND = 1 << 4
    SET_OFFLINE = 1 << 7
    CLEAR_ERROR = 1 << 8
    CLEAR_EXPOSURE_COMPLETE = 1 << 9
    TEST_PART = 1 << 10


class Status(IntFlag):
    """STAT.STATUS, written by the appliance."""

    TRIGGER_READY = 1 << 0
    TRIGGER_ACK = 1 << 1
    ACQUIRING = 1 << 2
    MISSED_TRIGGER = 1 << 3
    EXPOSURE_COMPLETE = 1 << 4
    SYSTEM_BUSY = 1 << 5
    INSPECTION_COMPLETED = 1 << 6  # toggles
    RESULTS_VALID = 1 << 7
    PASS = 1 << 8
    FAIL = 1 << 9  # antivalent to PASS while valid, both 0 otherwise
    RESULTS_BUFFER_OVERRUN = 1 << 10
    COMMAND_EXECUTING = 1 << 11
    COMMAND_COMPLETED = 1 << 12
    COMMAND_FAILED = 1 << 13
    ERROR = 1 << 14
    ONLINE = 1 << 15


class Status2(IntFlag):
    """STAT.STATUS2; DUPLICATE_ID to ACQ_ERROR and OWNER_CONFLICT are latched until CLEAR_ERROR."""

    PLC_HB_OK = 1 << 0
    DEGRADED = 1 << 1
    DUPLICATE_ID = 1 << 2
    STALE_TRIGGER = 1 << 3
    ACK_TIMEOUT = 1 << 4
    ID_GAP = 1 << 5
    ACQ_ERROR = 1 << 6
    SIMULATION = 1 << 7
    STORAGE_WARN = 1 << 8
    CLOCK_UNSYNCED = 1 << 9
    OWNER_CONFLICT = 1 << 10


LATCHED2 = (
    Status2.DUPLICATE_ID | Status2.STALE_TRIGGER | Status2.ACK_TIMEOUT | Status2.ID_GAP | Status2.ACQ_ERROR
    | Status2.OWNER_CONFLICT
)  # fmt: skip


class VisionState(IntEnum):
    """STAT.STATE, with OPC 40100-1's numbers."""

    PREOPERATIONAL = 1
    HALTED = 2
    ERROR = 3
    INITIALIZED = 5
    READY = 6
    SINGLE_EXECUTION = 7
    CONTINUOUS_EXECUTION = 8


class Command(IntEnum):
    """CTRL.COMMAND, with MERLIC's numbers up to 11."""

    PREPARE_RECIPE = 2
    UNPREPARE_RECIPE = 3
    HALT = 6
    RESET = 7
    ABORT = 9
    DEQUEUE_RESULT = 10  # needs pipelining: not allowed in this version
    ACKNOWLEDGE_ERROR = 11
    RESET_COUNTERS = 100
    SELF_TEST = 101


class CommandResult(IntEnum):
    """STAT.COMMAND_RESULT."""

    IDLE = 0
    OK = 1
    UNKNOWN_RECIPE = 2
    BUSY = 3
    NOT_ALLOWED = 4
    LOAD_FAILED = 5
    HASH_MISMATCH = 6
    TIMEOUT = 7


TEST_AS_EXPECTED, TEST_NOT_AS_EXPECTED = 5, 6  # RESULT_CODE of a challenge part
SIGNATURE, SIMULATOR_SIGNATURE = 0xA100, 0x51A0  # + station number
MAP_VERSION = 0x0100

Kind = Literal["u16", "u32", "bits", "string"]


@dataclass(frozen=True, slots=True)
class Register:
    """One field of a block. `offset` counts 16-bit registers from the block's base; `length` likewise."""

    name: str
    offset: int
    kind: Kind
    meaning: str
    length: int = 1


@dataclass(frozen=True, slots=True)
class Block:
    """A run of registers with one writer (contract, P4). places: name -> offset, and whether it is a u32."""

    name: str
    base: int  # of station 1 in server mode; each further station adds 200
    size: int
    writer: Literal["plc", "appliance"]
    registers: tuple[Register, ...]
    _named: Mapping[str, Register] = field(init=False, repr=False, compare=False)
    places: Mapping[str, tuple[int, bool]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_named", {register.name: register for register in self.registers})
        object.__setattr__(self, "places", {r.name: (r.offset, r.kind == "u32") for r in self.registers})

    def __getitem__(self, name: str) -> Register:
        return self._named[name]


def _u16(name: str, offset: int, meaning: str) -> Register:
    return Register(name, offset, "u16", meaning)


def _u32(name: str, offset: int, meaning: str) -> Register:
    return Register(name, offset, "u32", meaning, 2)


CTRL = Block("CTRL", 0, 20, "plc", (
    Register("CONTROL", 0, "bits", "bits, see CONTROL"),
    _u16("TRIGGER_ID", 1, "id, new for every part: 1..65535 then 1; 0 = none; written before or with TRIGGER"),
    _u16("PLC_HEARTBEAT", 2, "+1 by the PLC program at least every 100 ms"),
    _u16("HB_ECHO", 3, "copy of the appliance's HEARTBEAT"),
    _u16("COMMAND", 4, "2 prepare recipe 3 unprepare 6 halt 7 reset 9 abort 11 acknowledge error 100 reset counters"),
    _u16("COMMAND_ARG", 5, "recipe number, of a change-over"),
    _u16("COMMAND_ID", 6, "a new number for each command, not 0; echoed"),
    _u16("RECIPE_EXPECTED", 7, "recipe the PLC believes is active; 0 = no check"),
    _u32("PART_ID", 8, "opaque, echoed"),
    _u32("ENCODER", 10, "PLC count at trigger, echoed"),
    _u16("RESULT_ACK_ID", 12, "instead of RESULTS_ACK: the id whose result was read; 0 where RESULTS_ACK is used"),
    _u16("PLC_SESSION", 13, "optional, new at each start of the program; a change ends what is in flight"),
    _u16("TRIGGER_ID_INV", 14, "NOT TRIGGER_ID; checked where it is not 0"),
    _u16("SIGNATURE", 15, "0xA100 + station number; 0x51A0 + number only in a test program without a real line"),
    _u16("PLC_VERDICT_ID", 16, "id of the part that the PLC has just decided"),
    _u16("PLC_VERDICT", 17, "1 good, 2 reject, 3 not inspected, 4 bypassed"),
    _u32("PLC_PART_COUNT", 18, "parts that reached the camera position"),
))  # fmt: skip

STAT = Block("STAT", 20, 44, "appliance", (
    Register("STATUS", 0, "bits", "bits, see STATUS"),
    _u16("HEARTBEAT", 1, "+1 per 100 ms"),
    _u16("TRIGGER_ID_ACK", 2, "last accepted or refused id; set with or before TRIGGER_ACK"),
    _u16("STATE", 3, "state of the station, see STATE"),
    Register("STATUS2", 4, "bits", "bits, see STATUS2"),
    _u16("ERROR_CODE", 5, "first unacknowledged error, a Reason number"),
    _u16("ACTIVE_RECIPE", 6, "0 = none"),
    _u16("COMMAND_ID_ACK", 7, "COMMAND_ID of the command that COMMAND_RESULT answers"),
    _u16("COMMAND_RESULT", 8, "0 idle 1 ok 2 unknown recipe 3 busy 4 not allowed 5 load failed 6 bad hash 7 timeout"),
    _u16("RES_SEQ", 9, "+1 per published record, 0 = none"),
    _u16("RES_TRIGGER_ID", 10, "id this verdict is for"),
    _u16("RESULT_CODE", 11, "0 none 1 PASS 2 FAIL 3 UNCERTAIN 4 NOT_INSPECTED 5 test as expected 6 test missed"),
    _u16("REASON", 12, "why, see REASON"),
    _u16("CLASS_ID", 13, "index of the class"),
    _u16("CONFIDENCE", 14, "0..10000"),
    _u16("ANOMALY", 15, "10000 = threshold; clamped to 0..65535"),
    Register("DEFECT_BITS", 16, "bits", "one bit for each class that was found, class 0 = b0"),
    _u16("RECIPE_USED", 17, "what judged the part"),
    _u16("MODEL_REV", 18, "counts (bundle, recipe revision) pairs"),
    _u16("T_TOTAL", 19, "0.1 ms, accept to publish"),
    _u16("T_TRIG_AGE", 20, "0.1 ms, upper bound trigger to exposure"),
    Register("RESULT_FLAGS", 21, "bits", "b0 challenge part, b1 picture not of this moment, b2 buffered, b3 late"),
    _u32("PART_ID_ECHO", 22, "PART_ID of the trigger"),
    _u32("ENCODER_ECHO", 24, "ENCODER of the trigger"),
    _u32("INSPECTION_NO", 26, "join key to record and picture"),
    _u32("UTC_S", 28, "seconds since 1970"),
    _u16("UTC_MS", 30, "and milliseconds"),
    Register("USER", 31, "u16", "recipe-defined", 7),
    _u16("RES_XOR", 38, "XOR of offset 9..37 = address 29..57"),
    _u16("RES_SEQ_TAIL", 39, "= RES_SEQ"),
    _u16("OFFLINE_REASON", 40, "why READY is 0, see OFFLINE_REASON"),
    _u16("STAT_SIGNATURE", 41, "0xA100 + station number"),
    _u32("SETTINGS_CHECKSUM", 42, "over recipe, limits, camera settings, model"),
))  # fmt: skip

_COUNTERS = (
    ("BOOT_COUNT", "starts of the daemon"), ("UPTIME", "seconds"),
    ("TRIGGERS", "every TRIGGER edge answered, accepted or refused = rows"),
    ("PASS", "PASS published"), ("FAIL", "FAIL published"), ("UNCERTAIN", "UNCERTAIN published"),
    ("NOT_INSPECTED", "NOT_INSPECTED published, or stored only"), ("TEST", "test parts published"),
    ("MISSED", "of TRIGGERS: while busy"), ("DUPLICATES", "of TRIGGERS: same id again"),
    ("STALE", "of TRIGGERS: too old or standing"), ("ID_GAPS", "ids that never came as a trigger"),
    ("LINK_SESSIONS", "connections made"), ("RTT_P99", "0.1 ms, last 1000 requests; 0 in the server direction"),
    ("POLL_GAP_MAX", "0.1 ms since start, between two images of CTRL"),
    ("ACK_TIMEOUTS", "results that the PLC never acknowledged"),
    ("DISK_FREE", "percent"), ("CPU_C", "degrees Celsius, 0 = unknown"),
)  # fmt: skip
DIAG = Block("DIAG", 100, 40, "appliance", tuple(_u32(n, 2 * i, m) for i, (n, m) in enumerate(_COUNTERS)))

IDENT = Block("IDENT", 140, 30, "plc", (
    _u16("IDENT_ID", 0, "id this identification is for"),
    Register("LOT", 1, "string", "16 characters, first in the high byte", 8),
    Register("SERIAL", 9, "string", "40 characters", 20),
    _u16("IDENT_ID_TAIL", 29, "= IDENT_ID"),
))  # fmt: skip

DEVICE = Block("DEVICE", 2000, 32, "appliance", (
    _u16("DEVICE_SIGNATURE", 0, "0xA100"), _u16("MAP_VERSION", 1, "0x0100"), _u16("STATIONS", 2, "number of stations"),
    _u16("DEVICE_CHECKSUM", 3, "low word of the XOR of all stations' SETTINGS_CHECKSUM"),
    _u32("WORD_ORDER", 4, "0x12345678"),
    Register("NAME", 8, "string", "name and serial", 24),
))  # fmt: skip

BLOCKS = (CTRL, STAT, DIAG, IDENT, DEVICE)
RECORD = range(STAT["RES_SEQ"].offset, STAT["USER"].offset + STAT["USER"].length)  # what RES_XOR covers

"""What every code of the contract means to a controls engineer, and what to do about it."""

from __future__ import annotations

from plc.registers import Command, CommandResult, Control, OfflineReason, Reason, Status, Status2, VisionState

CONTROL = {
    Control.TRIGGER_ENABLE: "1 in production. 0 aborts the part in flight without a result, clears VALID, PASS, FAIL",
    Control.TRIGGER: "0 -> 1 asks for an inspection of TRIGGER_ID; hold it until TRIGGER_ACK with your id, then 0",
    Control.BUFFER_RESULTS_ENABLE: "reserved (pipelining); leave 0",
    Control.RESULTS_ACK: "1 when the record was read; hold it until RESULTS_VALID is 0, then 0. READY needs it at 0",
    Control.EXECUTE_COMMAND: "0 -> 1 executes COMMAND; hold it until COMPLETED or FAILED, then 0",
    Control.SET_OFFLINE: "1 takes the station offline: no READY, ONLINE = 0",
    Control.CLEAR_ERROR: "0 -> 1 acknowledges the first error of the queue and clears all latched bits; hold it 100 ms",
    Control.CLEAR_EXPOSURE_COMPLETE: "1 clears EXPOSURE_COMPLETE, which else falls with the next accepted trigger",
    Control.TEST_PART: "1 with TRIGGER: this is a challenge part. It never gets PASS; RESULT_CODE is 5 or 6",
}

STATUS = {
    Status.TRIGGER_READY: "1: a rising TRIGGER is accepted now. Never trigger while it is 0",
    Status.TRIGGER_ACK: "1: TRIGGER was seen for TRIGGER_ID_ACK, accepted or refused. Falls when TRIGGER is 0",
    Status.ACQUIRING: "1 while the camera exposes: the part must not move (indexed), nor leave the picture (moving)",
    Status.MISSED_TRIGGER: "latched: a trigger came while busy; that id is answered 4/105. CLEAR_ERROR clears it",
    Status.EXPOSURE_COMPLETE: "1: the picture is taken, the part may move. Falls at the next accepted trigger",
    Status.SYSTEM_BUSY: "1 while the part is judged",
    Status.INSPECTION_COMPLETED: "toggles with every published result",
    Status.RESULTS_VALID: "1: the record (offset 9..39 = address 29..59) and PASS/FAIL are valid, until RESULTS_ACK",
    Status.PASS: "1 only with RESULTS_VALID and RESULT_CODE 1. Never decide by this bit alone: see the accept rule",
    Status.FAIL: "with RESULTS_VALID the opposite of PASS; both 0 otherwise",
    Status.RESULTS_BUFFER_OVERRUN: "more refused triggers wait for their answer than there is room for",
    Status.COMMAND_EXECUTING: "1 while a command runs",
    Status.COMMAND_COMPLETED: "1: the command is done, until EXECUTE_COMMAND is 0 (10 s at most)",
    Status.COMMAND_FAILED: "1: the command failed, COMMAND_RESULT says why; until EXECUTE_COMMAND is 0 (10 s at most)",
    Status.ERROR: "1 while something is wrong; ERROR_CODE says what. No part is good while it is 1",
    Status.ONLINE: "1: the appliance runs and the link is live. No part is good while it is 0",
}

STATUS2 = {
    Status2.PLC_HB_OK: "1: PLC_HEARTBEAT moves, and HB_ECHO follows the appliance's HEARTBEAT",
    Status2.DEGRADED: "images of CTRL came too late in the last 5 s: triggers may be refused as 4/103",
    Status2.DUPLICATE_ID: "latched: a trigger came with the id of the one before (4/104)",
    Status2.STALE_TRIGGER: "latched: a trigger was too old when it was seen, or stood at the start (4/103)",
    Status2.ACK_TIMEOUT: "latched: a result was not acknowledged in 10 s and was taken back",
    Status2.ID_GAP: "latched, information only (no ERROR, READY stays): an id jumped; parts not triggered, or lost",
    Status2.ACQ_ERROR: "latched: the camera gave no usable picture",
    Status2.SIMULATION: "no production camera, but SIGNATURE is that of a real line: PASS is suppressed (section 1)",
    Status2.STORAGE_WARN: "the disk fills or the archive gives way; verdicts are not touched",
    Status2.CLOCK_UNSYNCED: "UTC in the record is not to be trusted; nothing is decided by it",
    Status2.OWNER_CONFLICT: "latched: another appliance writes into the same STAT; this one stopped writing",
}

STATE = {
    VisionState.PREOPERATIONAL: "starting",
    VisionState.HALTED: "SET_OFFLINE, or being shut down",
    VisionState.ERROR: "see ERROR_CODE",
    VisionState.INITIALIZED: "not ready, see OFFLINE_REASON",
    VisionState.READY: "waits for a trigger",
    VisionState.SINGLE_EXECUTION: "a part is in flight",
    VisionState.CONTINUOUS_EXECUTION: "not used by triggered stations",
}

RESULT_CODE = {
    0: ("NONE", "no result"),
    1: ("PASS", "good"),
    2: ("FAIL", "a defect, or another class"),
    3: ("UNCERTAIN", "not sure enough: a reject"),
    4: ("NOT_INSPECTED", "REASON says why: a reject"),
    5: ("TEST_AS_EXPECTED", "challenge part, rejected as it must be"),
    6: ("TEST_NOT_AS_EXPECTED", "challenge part, would have passed: the inspection is not to be trusted"),
}

REASON = {
    Reason.NONE: "",
    Reason.CLASS: "the class is not one of the good ones",
    Reason.ANOMALY: "looks like nothing good that was learned",
    Reason.CLASS_AND_ANOMALY: "both",
    Reason.LOW_CONFIDENCE: "the model is not sure enough",
    Reason.RECHECK_LIMIT: "looked at too often",
    Reason.DEADLINE: "not judged in time",
    Reason.CAMERA: "no picture of this part: look at camera and cable",
    Reason.IMAGE_QUALITY: "too dark, too bright, blurred: look at lamp, lens, focus",
    Reason.STALE_TRIGGER: "the trigger was too old when it was seen, or stood before the link was up: write or serve "
    "CTRL faster, hold TRIGGER 0 at the start",
    Reason.DUPLICATE_ID: "the same TRIGGER_ID again: the program must count up for every part",
    Reason.OVERRUN: "triggered while busy: wait for TRIGGER_READY",
    Reason.RECIPE_MISMATCH: "RECIPE_EXPECTED is not the active recipe: change over",
    Reason.LINK_LOST: "the connection, or the run of the PLC program, ended between trigger and result",
    Reason.RESTARTED: "the appliance started anew between trigger and result",
    Reason.INFERENCE: "the model gave no usable answer",
    Reason.OFFLINE: "TRIGGER_ENABLE or SET_OFFLINE ended it, or the appliance is not ready or is shut down",
    Reason.PLC_HEARTBEAT: "PLC_HEARTBEAT stood still, or HB_ECHO did not follow",
    Reason.STORAGE: "the record could not be stored in time: disk full or failing",
    Reason.NO_PART: "no part in the picture, or not this product",
    Reason.COLLECTING: "the station only collects or monitors: never PASS",
    Reason.RESYNC: "triggered without READY (RESULTS_ACK still up, for example), or as ERROR_CODE: a trigger without a "
    "valid id, or a part taken as good that was not passed",
    Reason.NO_PROOF: "the camera cannot prove that its picture was taken after the trigger",
    Reason.SIMULATED: "would have passed, but the picture is not of this moment, and SIGNATURE is that of a real line "
    "(section 1)",
}

OFFLINE_REASON = {
    OfflineReason.NONE: "ready, or READY is 0 only because of TRIGGER_ENABLE, TRIGGER, RESULTS_ACK or a part in flight",
    OfflineReason.STARTING: "wait; up to a minute after power-on",
    OfflineReason.SET_OFFLINE: "SET_OFFLINE is 1, or the appliance is being shut down",
    OfflineReason.NO_RECIPE: "change over (COMMAND 2)",
    OfflineReason.CAMERA: "camera lost; it reconnects by itself",
    OfflineReason.MODEL: "the model does not run",
    OfflineReason.STORAGE: "results cannot be stored",
    OfflineReason.PLC_HEARTBEAT: "count PLC_HEARTBEAT up, and copy HEARTBEAT to HB_ECHO, in every scan",
    OfflineReason.CHECK_DUE: "a self test runs: wait. Else golden pictures or a challenge part came out wrong: hold "
    "the parts since the last good check, have quality find the cause. READY comes with a change-over or self test "
    "that succeeds; after a challenge part only with a restart of the service",
    OfflineReason.LATCHED_ERROR: "an error that waits for CLEAR_ERROR",
    OfflineReason.CHANGE_OVER: "a change-over runs, or failed",
    OfflineReason.CONFIGURATION: "the appliance's configuration does not fit: see its page",
    OfflineReason.NO_LINK_BASELINE: "the link is not live: SIGNATURE (section 1) A100 hex + station number? "
    "PLC_HEARTBEAT moved twice? TRIGGER 0?",
}

COMMAND = {
    Command.PREPARE_RECIPE: "COMMAND_ARG = recipe: the change-over. Needs TRIGGER_ENABLE = 0 and nothing in flight",
    Command.UNPREPARE_RECIPE: "no recipe is active afterwards. Needs TRIGGER_ENABLE = 0 and nothing in flight",
    Command.HALT: "as SET_OFFLINE, until reset",
    Command.RESET: "ends halt and whatever is in flight, clears latched errors",
    Command.ABORT: "ends the part in flight without a result",
    Command.DEQUEUE_RESULT: "not in this version: COMMAND_RESULT 4",
    Command.ACKNOWLEDGE_ERROR: "as CLEAR_ERROR",
    Command.RESET_COUNTERS: "DIAG counters to 0. Needs nothing in flight",
    Command.SELF_TEST: "judges the golden parts. Needs TRIGGER_ENABLE = 0 and nothing in flight",
}

COMMAND_RESULT = {
    CommandResult.IDLE: "no command yet, or it runs",
    CommandResult.OK: "done",
    CommandResult.UNKNOWN_RECIPE: "no recipe has this number",
    CommandResult.BUSY: "a part or another command is in flight: take EXECUTE_COMMAND back, try again with a new id",
    CommandResult.NOT_ALLOWED: "unknown command, COMMAND_ID 0, or TRIGGER_ENABLE is still 1",
    CommandResult.LOAD_FAILED: "not loaded, or a golden part did not come out right: no recipe is active",
    CommandResult.HASH_MISMATCH: "the stored recipe is damaged or not signed: no recipe is active",
    CommandResult.TIMEOUT: "took too long: no recipe is active",
}

PLC_VERDICT = {
    0: "nothing decided yet",
    1: "good: the part went on",
    2: "reject: a result came, and it was not good (also after RESULT_CODE 4: the appliance makes no difference)",
    3: "not inspected: never triggered, no result in time, or RESULT_CODE 4; treated as a reject",
    4: "bypassed: the part went on without inspection (key switch)",
}

EXCEPTIONS = {
    1: "the function code is not served: use 3, 4 or 16",
    2: "an address outside the map, a register that only the other side writes, or another client owns CTRL",
    3: "a malformed count or length",
    4: "an internal failure; try again",
}

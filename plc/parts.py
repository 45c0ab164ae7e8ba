"""What travels through the handshake: a trigger that awaits its verdict, and the record that answers it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from plc.images import Image, WordOrder, clear_record, seal_record
from plc.registers import TEST_AS_EXPECTED, TEST_NOT_AS_EXPECTED, OfflineReason, Reason, Verdict


@dataclass(frozen=True, slots=True)
class HandshakeConfig:
    """One station. All times in seconds; the rules between them stand in section 4 of the contract."""

    number: int = 1  # station, 1..8
    max_trigger_age_s: float = 0.05
    deadline_s: float = 0.15  # accept to the start of the publishing write
    ack_timeout_s: float = 10.0
    heartbeat_timeout_s: float = 0.5
    active_recipe: int = 0  # at the start, 0 = none; then the handshake's own state
    word_order: WordOrder = "big"
    max_exposure_delay_s: float | None = None  # accept to exposure; None: as max_trigger_age_s
    settings_checksum: int = 0  # at the start: u32 over recipe, limits, camera settings, model
    command_timeout_s: float = 25.0  # a command that takes longer is answered 7, and leaves no recipe active
    test_part_max_parts: int = 50  # so many challenge parts in one run of TEST_PART, and so long, then ERROR
    test_part_max_s: float = 600.0

    @property
    def exposure_delay_s(self) -> float:
        return self.max_trigger_age_s if self.max_exposure_delay_s is None else self.max_exposure_delay_s


@dataclass(frozen=True, slots=True)
class HealthInput:
    """What the appliance says of itself. READY needs `ready`; `offline_reason` says why it is not."""

    ready: bool = False
    offline_reason: OfflineReason = OfflineReason.STARTING
    error: Reason = Reason.NONE
    degraded: bool = False
    storage_warn: bool = False
    clock_unsynced: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """One trigger that awaits a verdict: accepted, or refused with `refused` saying why."""

    trigger_id: int
    part_id: int
    encoder: int
    accepted_s: float
    deadline_s: float
    trigger_age_s: float  # accept minus the last request that showed TRIGGER=0; inf: none was seen
    test_part: bool
    simulator: bool  # the PLC showed the simulator's signature
    session: tuple[int, int]  # link session, PLC session (P8)
    refused: Reason | None = None
    has_row: bool = False  # a standing id whose row exists
    record_only: bool = False  # acknowledged in a former life, no row: it gets one, the PLC is not told again
    activation: int = 0  # counts what was made the active recipe: no PASS crosses a change (P8)


@dataclass(frozen=True, slots=True)
class Record:
    """What shall be published for a part; registers as in STAT."""

    code: int
    reason: Reason
    inspection_no: int = 0
    class_id: int = 0
    confidence: int = 0
    anomaly: int = 0
    defect_bits: int = 0
    recipe_used: int = 0
    model_rev: int = 0
    utc_ms: int = 0
    simulated: bool = False  # the picture is not of this moment (P12)
    would_pass: bool = False  # of a test part: what the model would have said


def lesser(record: Record, reason: Reason) -> Record:
    """The same record as NOT_INSPECTED; what was measured stays, for the log."""
    return replace(record, code=int(Verdict.NOT_INSPECTED), reason=reason)


def as_test_part(record: Record) -> Record:
    """P11: a challenge part is never product. 5: rejected, as it must be; 6: it would have passed.

    A part that was not inspected (other than "no part, or not this product") tells nothing of the detector: it stays 4.
    """
    if record.code in (TEST_AS_EXPECTED, TEST_NOT_AS_EXPECTED):
        return record
    if record.would_pass or record.code == Verdict.PASS:
        return replace(record, code=TEST_NOT_AS_EXPECTED)
    if record.code != Verdict.NOT_INSPECTED or record.reason is Reason.NO_PART:
        return replace(record, code=TEST_AS_EXPECTED)
    return record


def fill_record(stat: Image, seq: int, part: Part, record: Record, now_s: float, age_s: float) -> None:
    """Registers 9 to 39 of STAT. age_s: upper bound from trigger to exposure."""
    clear_record(stat)
    stat["RES_TRIGGER_ID"], stat["RESULT_CODE"], stat["REASON"] = part.trigger_id, record.code, record.reason
    stat["CLASS_ID"], stat["CONFIDENCE"], stat["ANOMALY"] = record.class_id, record.confidence, record.anomaly
    stat["DEFECT_BITS"], stat["RECIPE_USED"] = record.defect_bits, record.recipe_used
    stat["MODEL_REV"] = record.model_rev
    stat["T_TOTAL"], stat["T_TRIG_AGE"] = _tenths_ms(now_s - part.accepted_s), _tenths_ms(age_s)
    stat["RESULT_FLAGS"] = part.test_part | (record.simulated and not part.simulator) << 1
    stat["PART_ID_ECHO"], stat["ENCODER_ECHO"] = part.part_id, part.encoder
    stat["INSPECTION_NO"] = record.inspection_no
    stat["UTC_S"], stat["UTC_MS"] = record.utc_ms // 1000, record.utc_ms % 1000
    seal_record(stat, seq)


def _tenths_ms(seconds: float) -> int:
    return round(max(0.0, min(0xFFFF, seconds * 10_000)))

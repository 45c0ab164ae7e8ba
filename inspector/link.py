"""Between the data path and the PLC: the contract's parts become triggers, inspections become records."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from inspector.core.details import AND, Detail
from inspector.core.types import Delivery, DeliveryState, Inspection, Limits, Refusal, Trigger
from plc.cycle import Link
from plc.handshake import Part, Record
from plc.registers import OfflineReason, Reason, Verdict
from plc.station import StationPort

U16 = 0xFFFF


@dataclass(frozen=True, slots=True)
class LinkState:
    """ok: the PLC's program is alive and may trigger; offline_reason: what it is told of READY."""

    ok: bool
    text: str
    offline_reason: OfflineReason
    error_code: Reason = Reason.NONE  # as the PLC reads it
    protocol_error: bool = False  # of the PLC's program; READY is 0 meanwhile
    notice: str = ""  # what a person should see to although the link may work: its certificates


@dataclass(slots=True)
class PlcLink:
    """Implements ports.Plc. `simulated`: the station's camera does not show this moment (contract, P12)."""

    client: StationPort
    simulated: bool
    utc_s: Callable[[], float] = time.time
    recipe: int = 0
    limits: Limits | None = None
    anomaly_median: float | None = None
    _parts: dict[tuple[int, float], Part] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.client.handshake.simulated_camera = self.simulated

    def judged_with(self, recipe: int, limits: Limits | None, anomaly_median: float | None) -> None:
        """From now on: what ANOMALY is scaled by, and the recipe of a part that nothing judged."""
        self.recipe, self.limits, self.anomaly_median = recipe, limits, anomaly_median

    async def next(self) -> Trigger | Refusal:
        part = await self.client.next()
        self._parts[part.trigger_id, part.accepted_s] = part
        if part.refused is not None:
            return Refusal(part.trigger_id, part.part_id, part.refused, part.accepted_s, part.has_row)
        lot, serial = self.client.identity(part)
        return Trigger(
            part.trigger_id, part.part_id, part.deadline_s, part.accepted_s, part.encoder, lot, serial,
            part.test_part, part.simulator,
        )  # fmt: skip

    def exposed(self, trigger: Trigger, exposed_mono_s: float) -> None:
        self.client.exposed(self._parts[trigger.seq, trigger.accepted_mono_s], exposed_mono_s)

    async def publish(self, decided: Inspection) -> Delivery:
        part = self._parts.pop((decided.trigger.seq, decided.trigger.accepted_mono_s))
        told = await self.client.publish(part, self.record(decided))
        return Delivery(told.record.code, told.record.reason, DeliveryState(told.state), told.mono_s)

    def state(self) -> LinkState:
        """For the page: the connection, and why the PLC sees us not ready."""
        hs, status = self.client.handshake, self.client.status
        told, live = OfflineReason(hs.stat["OFFLINE_REASON"]), hs.link is Link.LIVE
        silent = status.connected and told is OfflineReason.PLC_HEARTBEAT
        ok = status.connected and live and not hs.owner_doubted and not silent
        text = (Detail.NOT_ECHOED if live else Detail.NOT_RUNNING).of(link=status.text) if silent else status.text
        text += f"{AND}{status.refused}" if status.refused else ""
        return LinkState(ok, text, told, Reason(hs.stat["ERROR_CODE"]), hs.protocol_error, status.notice)

    def record(self, decided: Inspection) -> Record:
        """The registers of section 3.2 of the contract, scaled and clamped.

        Of a test part the handshake makes 5 or 6 of it (P11): 6 if the model would have passed it.
        """
        p, by, outcome = decided.prediction, decided.judged_by, decided.outcome
        only_by_mode = outcome.reason is Reason.COLLECTING and p is not None  # mode `monitor`, and the model said PASS
        return Record(
            code=int(outcome.verdict),
            reason=Reason(outcome.reason),
            inspection_no=decided.no,
            class_id=p.class_id if p else 0,
            confidence=min(10_000, _clamp(p.confidence * 10_000)) if p else 0,
            anomaly=self._anomaly(p.anomaly_score) if p and p.anomaly_score is not None else 0,
            defect_bits=1 << p.class_id & U16 if p else 0,
            recipe_used=by.recipe or self.recipe,
            model_rev=by.model_rev,
            utc_ms=int(self.utc_s() * 1000),
            simulated=self.simulated,
            would_pass=outcome.verdict is Verdict.PASS or only_by_mode,
        )

    def _anomaly(self, score: float) -> int:
        """10000 x (score - m) / (threshold - m), m = median of the calibration's good parts."""
        limit = self.limits.max_anomaly_score if self.limits is not None else None
        median = self.anomaly_median
        if limit is None or median is None or limit == median:
            return 0
        return _clamp(10_000 * (score - median) / (limit - median))


def _clamp(value: float) -> int:
    return round(max(0.0, min(float(U16), value))) if value == value else U16  # NaN reads as far too strange

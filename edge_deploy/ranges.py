"""How far the ranges of activations reach, chosen by what 8 bits then leave of the taps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from edge_deploy.convert import FEATURES, MAPS, NetworkInput, show_maps
from edge_deploy.parity import Form, ParityConfig, TapRow, tap_rows
from edge_deploy.quantize import NO_LPT, Normalised, TargetCpu, quantize
from inspector.core.types import Image
from inspector.model import Outputs
from inspector.runtime import openvino

BATCHES = (1, 8, 16)  # pictures, tried in turn: one by one is NNCF's default and has the finest steps
CHECK_PICTURES = 64
F32 = {"INFERENCE_PRECISION_HINT": "f32"}


@dataclass(frozen=True, slots=True, eq=False)
class Try:
    """One INT8 model, and how its taps compare with FP32's and with themselves when rounded otherwise."""

    batch: int
    model: Any
    rows: tuple[TapRow, ...]

    @property
    def wrong(self) -> tuple[TapRow, ...]:
        return tuple(row for row in self.rows if not row.ok)

    @property
    def worst(self) -> TapRow:
        """Whose cosine lacks most to its limit, or exceeds it least."""
        return min(self.rows, key=lambda row: row.cosine - row.limit.cosine)


def quantize_far_enough(
    bare: Any,
    spec: NetworkInput,
    views: Sequence[Image],
    checks: Sequence[Image],
    target: TargetCpu,
    cfg: ParityConfig,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[Any, tuple[str, ...]]:
    """An INT8 copy of `bare`, and notes for the report where it took more than NNCF's default ranges.

    views: (h, w, 3) uint8 RGB that show what the line brings. checks: others, strange ones among them, on which every
    tap must keep to the limits of the parity gate; where one does not, ranges are taken of them too. Empty: nothing is
    chosen. Where no try does, the one with the fewest taps beyond the limits is taken; the gate says the rest.
    """
    if not checks:
        return quantize(bare, spec, views, target), ()
    inputs = list(Normalised(spec, checks))
    fp32 = Form("FP32", outputs_of(bare, inputs))
    tries: list[Try] = []
    for batch in BATCHES:
        if tries:
            w = tries[-1].worst
            say(f"8 bits cut off too much ({w.output}: cosine {w.cosine:.4f}): ranges of {batch} pictures at a time")
        model = quantize(bare, spec, [*views, *checks] if tries else views, target, batch=batch)
        tries.append(Try(batch, model, _compared(model, inputs, fp32, cfg)))
        if not tries[-1].wrong:
            break
    best = min(tries, key=lambda t: (len(t.wrong), t.worst.limit.cosine - t.worst.cosine))
    if len(tries) == 1:
        return best.model, ()
    first = tries[0].worst
    note = (
        f"ranges of activations were taken of {best.batch} pictures at a time: one by one 8 bits left {first.output} a "
        f"cosine of {first.cosine:.4f} to {first.reference} (limit {first.limit.cosine:g})"
    )
    return best.model, (note,)


def outputs_of(bare: Any, inputs: Sequence[Any], properties: dict[str, str] | None = None) -> list[Outputs]:
    """Of a bare network, for normalised (1, 3, H, W) inputs: FEATURES and the raw maps of both taps.

    Not the probabilities: what a network says of an empty belt is no answer.
    """
    compiled = openvino().compile_model(show_maps(bare.clone()), "CPU", F32 | (properties or {}))
    wanted = (*FEATURES, *MAPS.values())
    return [{name: found[name].copy() for name in wanted} for found in map(compiled, inputs)]


def _compared(model: Any, inputs: Sequence[Any], fp32: Form, cfg: ParityConfig) -> tuple[TapRow, ...]:
    int8 = Form("INT8", outputs_of(model, inputs), (fp32, "quantisation"))
    rounded = Form("INT8, low precision off", outputs_of(model, inputs, NO_LPT), (int8, "rounding"))
    return tuple(row for form in (int8, rounded) for row in tap_rows(form, cfg))

"""From a network to 8 bits, changed as little as keeps its taps: wider ranges first, then clipped activations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_deploy.clip import REACH, clipped, usual_tops
from edge_deploy.convert import FEATURES, MAPS, NetworkInput, show_maps, to_ir
from edge_deploy.parity import Form, ParityConfig, TapRow, apart, tap_rows
from edge_deploy.quantize import NNCFS, NO_LPT, Normalised, Ranges, TargetCpu, quantize
from inspector.core.types import Image
from inspector.model import Outputs
from inspector.runtime import openvino

CHECK_PICTURES = 64
F32 = {"INFERENCE_PRECISION_HINT": "f32"}


@dataclass(frozen=True, slots=True)
class Way:
    """One way to 8 bits, as the report names it. clip: activations end not far above the usual picture's."""

    text: str
    ranges: Ranges
    clip: bool = False


WAYS = (  # tried in turn, the least change first
    Way("ranges of one picture at a time", NNCFS),
    Way("ranges of 8 pictures at a time", Ranges(batch=8)),
    Way("ranges of 16 pictures at a time", Ranges(batch=16)),
    Way("clipped activations", Ranges(batch=8), clip=True),
    Way("clipped activations and the first layer in FP32", Ranges(batch=8, stem=False), clip=True),
)


@dataclass(frozen=True, slots=True, eq=False)
class Quantised:
    """model: INT8, of `net` and its FP32 IR `bare`, maybe trained with rounding or clipped. notes: for the report."""

    net: Any
    bare: Any
    model: Any
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A network, its FP32 IR, and the taps that this gives for the pictures to check on."""

    net: Any
    bare: Any
    taps: Sequence[Outputs]
    notes: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True, eq=False)
class Try:
    """How the taps of one INT8 model compare with FP32's and with themselves when rounded otherwise."""

    way: Way
    source: Source
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
    net: Any,
    bare: Any,
    spec: NetworkInput,
    views: Sequence[Image],
    checks: Sequence[Image],
    target: TargetCpu,
    cfg: ParityConfig,
    say: Callable[[str], None] = lambda _: None,
) -> Quantised:
    """An INT8 copy of `bare`, the FP32 IR of torchvision's ResNet `net`, by the first of WAYS that keeps its taps.

    views: (h, w, 3) uint8 RGB that show what the line brings. checks: others, strange ones among them, on which every
    tap must keep to the limits of the parity gate; after the first way, ranges are taken of them too. Empty: nothing is
    chosen. Where no way does, the one with the fewest taps beyond the limits is taken; the gate says the rest.
    """
    if not checks:
        return Quantised(net, bare, quantize(bare, spec, views, target))
    inputs = list(Normalised(spec, checks))
    given = Source(net, bare, outputs_of(bare, inputs))
    clip: Source | None = None
    tries: list[Try] = []
    for way in WAYS:
        if tries:
            w = tries[-1].worst
            say(f"8 bits lose too much ({w.output}: cosine {w.cosine:.4f}): {way.text}")
        if way.clip and clip is None:
            clip = _clipped(given, spec, views, inputs)
        source = clip if way.clip and clip else given
        model = quantize(source.bare, spec, [*views, *checks] if tries else views, target, way.ranges)
        tries.append(Try(way, source, model, _compared(model, inputs, Form("FP32", source.taps), cfg)))
        if not tries[-1].wrong:
            break
    best = min(tries, key=lambda t: (len(t.wrong), t.worst.limit.cosine - t.worst.cosine))
    return Quantised(best.source.net, best.source.bare, best.model, _notes(tries, best))


def _notes(tries: Sequence[Try], best: Try) -> tuple[str, ...]:
    if len(tries) == 1:
        return ()
    first = tries[0].worst
    told = (
        f"8 bits by {best.way.text}: by {tries[0].way.text} they left {first.output} a cosine of {first.cosine:.4f} "
        f"to {first.reference} (limit {first.limit.cosine:g})"
    )
    return (told, *best.source.notes)


def _clipped(
    given: Source, spec: NetworkInput, views: Sequence[Image], inputs: Sequence[NDArray[np.float32]]
) -> Source:
    """`given` with its activations clipped at what the views usually show, and what that changes for `inputs`."""
    net = clipped(given.net, usual_tops(given.net, Normalised(spec, views)))
    bare = to_ir(net, spec)
    taps = outputs_of(bare, inputs)
    moved = [apart(a["embedding"], b["embedding"])[0] for a, b in zip(taps, given.taps, strict=True)]
    was, now = (_classes(model, inputs) for model in (given.bare, bare))
    note = (
        f"activations end at {REACH:g} times what the usual training picture shows, in PyTorch, FP32 and INT8 alike. "
        f"Of {len(inputs)} held-out pictures and negatives that changes the class of {int((was != now).sum())}; the "
        f"embedding keeps a cosine of {np.median(moved):.4f} on the usual one and {min(moved):.4f} on the strangest"
    )
    return Source(net, bare, taps, (note,))


def _classes(bare: Any, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.int64]:
    compiled = openvino().compile_model(bare, "CPU", F32)
    return np.array([compiled(x)["probabilities"].argmax() for x in inputs])


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

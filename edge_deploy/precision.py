"""Which INT8 graph a bundle gets: plain, trained with rounding, or with its most sensitive layers left in FP32."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_deploy.convert import NetworkInput, to_ir
from edge_deploy.errors import DeployError
from edge_deploy.parity import ParityConfig
from edge_deploy.quantize import Normalised, TargetCpu, quantize_with_limit
from edge_deploy.ranges import Quantised, quantize_far_enough
from inspector.core.types import Image
from inspector.runtime import openvino

PARITY = ParityConfig()


@dataclass(frozen=True, slots=True)
class PrecisionConfig:
    """Shares of pictures, 0.005 is 0.5 %; at most one of the two is given. None: plain quantisation, as it comes.

    qat_if_loss: train with rounding where plain quantisation loses more accuracy than this.
    accuracy_control: leave layers in FP32 until no more than this is lost; slower on the line.
    """

    qat_if_loss: float | None = None
    accuracy_control: float | None = None
    epochs: int = 3

    @property
    def measures(self) -> bool:
        """Whether held-out pictures are needed."""
        return self.qat_if_loss is not None or self.accuracy_control is not None


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """(h, w, 3) uint8 RGB views and their class ids; -1: a kind that is no class."""

    views: Sequence[Image]
    classes: Sequence[int] = field(default_factory=tuple)


def to_int8(
    net: Any,
    bare: Any,
    spec: NetworkInput,
    train: Labelled,
    held_out: Labelled,
    target: TargetCpu,
    cfg: PrecisionConfig,
    say: Callable[[str], None] = lambda _: None,
    *,
    checks: Sequence[Image] = (),
    parity: ParityConfig = PARITY,
) -> Quantised:
    """A quantised copy of `bare`, the FP32 IR of `net`. Accuracies are of `held_out`; checks: see quantize_far_enough.

    Raises DeployError: both ways are asked for, or no held-out picture is of a class.
    """

    def plain(of: Any, ir: Any) -> Quantised:
        return quantize_far_enough(of, ir, spec, train.views, checks, target, parity, say)

    if not cfg.measures:
        return plain(net, bare)
    if cfg.qat_if_loss is not None and cfg.accuracy_control is not None:
        raise DeployError("--qat-if-loss and --accuracy-control are two answers to one loss: choose one")
    taught = [(v, c) for v, c in zip(held_out.views, held_out.classes, strict=True) if c >= 0]
    if not taught:
        raise DeployError("no held-out picture is of a taught class: the accuracy that 8 bits lose cannot be measured")
    wanted, inputs = [c for _, c in taught], list(Normalised(spec, [v for v, _ in taught]))
    before = accuracy(openvino().compile_model(bare, "CPU"), inputs, wanted)
    if cfg.accuracy_control is not None:
        return _controlled(net, bare, spec, train, (inputs, wanted, before), target, cfg.accuracy_control)
    return _trained_if_needed(net, bare, spec, train, (inputs, wanted, before), target, cfg, say, plain)


Measured = tuple[Sequence[NDArray[np.float32]], Sequence[int], float]  # inputs, their classes, accuracy in FP32


def _controlled(
    net: Any,
    bare: Any,
    spec: NetworkInput,
    train: Labelled,
    measured: Measured,
    target: TargetCpu,
    max_drop: float,
) -> Quantised:
    inputs, wanted, before = measured

    def validate(compiled: Any, batches: Iterable[Any]) -> float:
        return accuracy(compiled, list(batches), wanted)

    model = quantize_with_limit(bare, spec, train.views, inputs, validate, max_drop, target)
    after = accuracy(openvino().compile_model(model, "CPU"), inputs, wanted)
    told = f"quantised with accuracy control: {_told(before, after, len(wanted))}"
    return Quantised(net, bare, model, (told,))


def _trained_if_needed(
    net: Any,
    bare: Any,
    spec: NetworkInput,
    train: Labelled,
    measured: Measured,
    target: TargetCpu,
    cfg: PrecisionConfig,
    say: Callable[[str], None],
    plainly: Callable[[Any, Any], Quantised],
) -> Quantised:
    inputs, wanted, before = measured
    limit = cfg.qat_if_loss or 0.0
    plain = plainly(net, bare)
    after = accuracy(openvino().compile_model(plain.model, "CPU"), inputs, wanted)
    if before - after <= limit:
        told = f"plain quantisation keeps within {limit:.2%}: {_told(before, after, len(wanted))}"
        return replace(plain, notes=(told, *plain.notes))
    from edge_deploy.qat import QatConfig, tune

    say(f"8 bits lose more than {limit:.2%} ({_told(before, after, len(wanted))}): training with rounding")
    tuned = tune(net, spec, train.views, train.classes, target, QatConfig(epochs=cfg.epochs), say)
    trained = plainly(tuned, to_ir(tuned, spec))
    found = accuracy(openvino().compile_model(trained.model, "CPU"), inputs, wanted)
    if found <= after:
        told = f"training with rounding did not help and is not used: {_told(before, after, len(wanted))}"
        return replace(plain, notes=(told, *plain.notes))
    told_of = [f"trained with rounding, as plain quantisation gave {after:.2%}: {_told(before, found, len(wanted))}"]
    if before - found > limit:
        told_of.append(f"8 bits still lose more than the {limit:.2%} asked for: consider --accuracy-control")
    return replace(trained, notes=(*told_of, *trained.notes))


def accuracy(compiled: Any, inputs: Sequence[NDArray[np.float32]], wanted: Sequence[int]) -> float:
    """Share of normalised (1, 3, H, W) inputs that a compiled bare network puts into the right class."""
    hits = [int(compiled(x)["probabilities"].argmax()) == c for x, c in zip(inputs, wanted, strict=True)]
    return float(np.mean(hits))


def _told(before: float, after: float, pictures: int) -> str:
    return f"accuracy {before:.2%} in FP32, {after:.2%} in INT8, of {pictures} held-out pictures"

"""FP32 IR -> INT8 IR with NNCF, calibrated on views of the line."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_deploy.convert import NetworkInput, preprocessing_only
from inspector.core.types import Image
from inspector.runtime import openvino

CALIBRATION_IMAGES = 300
NO_LPT = {"LP_TRANSFORMS_MODE": "NO"}  # the CPU plugin then computes FakeQuantize in float32


class TargetCpu(StrEnum):
    """Which CPUs the INT8 model is made for."""

    AVX2 = "avx2"  # any CPU with AVX2: weights use half the 8-bit range, so that no 16-bit sum can saturate
    NATIVE = "native"  # CPUs with VNNI: the full 8-bit range


@dataclass(frozen=True, slots=True)
class Ranges:
    """Where the 8-bit grids of activations end, which decides what is cut off and how coarse the steps are.

    batch: a range is the mean, over batches of so many pictures, of a batch's maximum; the more, the further it reaches
    for the strange picture (docs/decisions/0040).
    stem: the first convolution is on 8 bits too; without, it takes a tenth of the network's time more.
    """

    batch: int = 1
    stem: bool = True


NNCFS = Ranges()  # its own default


def quantize(model: Any, spec: NetworkInput, views: Sequence[Image], target: TargetCpu, ranges: Ranges = NNCFS) -> Any:
    """A quantised copy of the bare FP32 model. views: (H, W, 3) uint8 RGB, about 300 that show what the line brings.

    The bare network is quantised, and preprocessing is embedded afterwards: NNCF would quantise the mean subtraction.
    """
    nncf = _nncf()
    one_by_one = ranges.batch == 1
    seen = Normalised(spec, views) if one_by_one else InBatches(spec, views, ranges.batch)
    made = nncf.quantize(
        model if one_by_one else _of_batches(model.clone(), -1),
        nncf.Dataset(seen),
        preset=nncf.QuantizationPreset.PERFORMANCE,
        subset_size=len(seen),
        fast_bias_correction=True,
        ignored_scope=nncf.IgnoredScope(names=[] if ranges.stem else [_stem_of(model)]),
        advanced_parameters=advanced(target, batchwise=one_by_one),
    )
    return made if one_by_one else _of_batches(made, 1)


def quantize_with_limit(
    model: Any,
    spec: NetworkInput,
    views: Sequence[Image],
    validation: Sequence[NDArray[np.float32]],
    measure: Callable[[Any, Iterable[Any]], float],
    max_drop: float,
    target: TargetCpu,
) -> Any:
    """As quantize(), but layers go back to FP32, the costliest first, until `measure` falls by at most `max_drop`.

    measure: of a compiled model and `validation`, normalised (1, 3, H, W) inputs in order; higher is better.
    """
    nncf = _nncf()
    return nncf.quantize_with_accuracy_control(
        model,
        nncf.Dataset(Normalised(spec, views)),
        nncf.Dataset(validation),
        measure,
        max_drop=max_drop,
        drop_type=nncf.DropType.ABSOLUTE,
        preset=nncf.QuantizationPreset.PERFORMANCE,
        subset_size=len(views),
        fast_bias_correction=True,
        advanced_quantization_parameters=advanced(target),
    )


def advanced(target: TargetCpu, *, batchwise: bool = True) -> Any:
    """NNCF's parameters for `target`. batchwise: where a batch has several pictures, each counts by itself."""
    nncf = _nncf()
    fix = nncf.OverflowFix.ENABLE if target is TargetCpu.AVX2 else nncf.OverflowFix.DISABLE
    return nncf.AdvancedQuantizationParameters(overflow_fix=fix, batchwise_statistics=None if batchwise else False)


def _stem_of(model: Any) -> str:
    """Name of the convolution that reads the picture."""
    found = next(op for op in model.get_ordered_ops() if op.get_type_name() == "Convolution")
    return str(found.get_friendly_name())


def _of_batches(model: Any, size: int) -> Any:
    """Changed to take batches of `size` pictures, -1: of any size."""
    model.reshape([size, *list(model.inputs[0].get_partial_shape())[1:]])
    return model


def _nncf() -> Any:
    openvino()  # before nncf: telemetry is off from here on
    import nncf

    logging.getLogger("nncf").setLevel(logging.WARNING)
    return nncf


def instruction_sets_of(target: TargetCpu, here: frozenset[str]) -> tuple[str, ...]:
    """The instruction sets a bundle for `target`, calibrated on a CPU with `here`, is qualified for.

    Raises ValueError: a native build on a CPU without VNNI would saturate.
    """
    if target is TargetCpu.AVX2:
        return ("avx2",)
    vnni = tuple(sorted(here - {"avx2"}))
    if not vnni:
        raise ValueError("--target-cpu native needs a CPU with VNNI; this one has none. Use --target-cpu avx2")
    return vnni


class InBatches:
    """The views as the network sees them, in batches; shuffled, so that views of one class do not stay together."""

    def __init__(self, spec: NetworkInput, views: Sequence[Image], size: int) -> None:
        order = np.random.default_rng(0).permutation(len(views))
        self._one_by_one, self._size = Normalised(spec, [views[i] for i in order]), size

    def __len__(self) -> int:
        return -(-len(self._one_by_one) // self._size)

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        single = iter(self._one_by_one)
        while batch := list(islice(single, self._size)):
            yield np.concatenate(batch)


class Normalised:
    """The views as the network sees them; NNCF goes through them several times."""

    def __init__(self, spec: NetworkInput, views: Sequence[Image]) -> None:
        self._views = views
        # Without the hint a CPU with bfloat16 resizes in it, a whole grey value off.
        self._compiled = openvino().compile_model(preprocessing_only(spec), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def __len__(self) -> int:
        return len(self._views)

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        for view in self._views:
            yield np.array(self._compiled(view[None])[0])

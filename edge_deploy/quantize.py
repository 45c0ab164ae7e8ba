"""FP32 IR -> INT8 IR with NNCF, calibrated on views of the line."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_deploy.convert import NetworkInput, preprocessing_only
from inspector.core.types import Image
from inspector.runtime import openvino

CALIBRATION_IMAGES = 300


class TargetCpu(StrEnum):
    """Which CPUs the INT8 model is made for."""

    AVX2 = "avx2"  # any CPU with AVX2: weights use half the 8-bit range, so that no 16-bit sum can saturate
    NATIVE = "native"  # CPUs with VNNI: the full 8-bit range


def quantize(model: Any, spec: NetworkInput, views: Sequence[Image], target: TargetCpu) -> Any:
    """A quantised copy of the bare FP32 model. views: (H, W, 3) uint8 RGB, about 300 that show what the line brings.

    The bare network is quantised, and preprocessing is embedded afterwards: NNCF would quantise the mean subtraction.
    """
    nncf = _nncf()
    return nncf.quantize(
        model,
        nncf.Dataset(Normalised(spec, views)),
        preset=nncf.QuantizationPreset.PERFORMANCE,
        subset_size=len(views),
        fast_bias_correction=True,
        advanced_parameters=advanced(target),
    )


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


def advanced(target: TargetCpu) -> Any:
    """NNCF's parameters for `target`."""
    nncf = _nncf()
    fix = nncf.OverflowFix.ENABLE if target is TargetCpu.AVX2 else nncf.OverflowFix.DISABLE
    return nncf.AdvancedQuantizationParameters(overflow_fix=fix)


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

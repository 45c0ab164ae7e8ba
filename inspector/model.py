"""The model: one compiled IR, one infer request. A view goes in, class and scores (and a heat map) come out.

The recipe's view goes in as the camera gave it; resize, normalisation and the novelty head are inside the IR, so there
is nothing here that training and the line could do differently.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from inspector.core.errors import BundleError, ModelError
from inspector.core.types import Image, JudgedBy, Prediction
from inspector.runtime import instruction_sets, openvino
from inspector.threads import DeviceThread

if TYPE_CHECKING:
    from inspector.bundle.verify import VerifiedBundle

MODEL_XML = "model.xml"
REQUIRED = ("probabilities", "embedding", "novelty_score")
WARM_UP_PASSES = 3
Outputs: TypeAlias = Mapping[str, NDArray[np.float32]]


class CompiledIr:
    """A compiled IR for views of one size. Not thread-safe: one infer request, used from one thread."""

    def __init__(self, request: Any, view_size: tuple[int, int], names: Sequence[str]) -> None:
        self.view_size = view_size
        self.names = tuple(names)
        self._request = request
        self._last: Outputs | None = None
        # Our own buffer, shared with the request for good: OpenVINO shares no read-only array, and a view is one.
        self._input: Image = np.zeros((1, *view_size, 3), np.uint8)
        request.set_input_tensor(openvino().Tensor(self._input, shared_memory=True))

    def infer(self, view: Image) -> Outputs:
        """view: (H, W, 3) uint8 RGB of exactly `view_size`.

        Raises ModelError: wrong size, inference failed, or it is stuck: all numbers as for another view before.
        """
        if view.shape != self._input.shape[1:] or view.dtype != np.uint8:
            raise ModelError(f"the view is {view.shape} {view.dtype}, the model takes {self._input.shape[1:]} uint8")
        before = self._input[0]
        repeated = np.array_equal(before[::16], view[::16]) and np.array_equal(before, view)  # mostly the first tells
        np.copyto(self._input[0], view)
        try:
            self._request.infer(share_outputs=True)
            outputs = {name: np.array(self._request.get_tensor(name).data, np.float32) for name in self.names}
        except RuntimeError as exc:
            raise ModelError(f"inference failed: {exc}") from exc
        last, self._last = self._last, outputs
        if not repeated and last is not None and all(np.array_equal(outputs[n], last[n]) for n in self.names):
            raise ModelError("inference is stuck: the same numbers as for another picture")
        return outputs


def load_ir(
    directory: Path, view_size: tuple[int, int], *, threads: int, properties: Mapping[str, str] | None = None
) -> CompiledIr:
    """Compile `directory`/model.xml for views of (height, width). Raises BundleError: not an IR we can run.

    `properties` are further CPU plugin properties (for tests and qualification).
    """
    ov = openvino()
    config = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": str(threads),
        "INFERENCE_PRECISION_HINT": "f32",  # the head must never be silently bfloat16
    } | dict(properties or {})
    # No CACHE_DIR: a cached blob is not the IR whose hash was verified.
    try:
        core = ov.Core()
        model = core.read_model(directory / MODEL_XML)
        model.reshape([1, *view_size, 3])
        compiled = core.compile_model(model, "CPU", config)
    except RuntimeError as exc:
        raise BundleError(f"{directory / MODEL_XML} cannot be compiled: {exc}") from exc
    names = [output.get_any_name() for output in compiled.outputs]
    return CompiledIr(compiled.create_infer_request(), view_size, names)


def to_prediction(outputs: Outputs, labels: Sequence[str]) -> Prediction:
    """labels: in the order of `probabilities`. Raises ModelError: an output is missing, misshapen or not finite."""
    missing = [name for name in REQUIRED if name not in outputs]
    if missing:
        raise ModelError(f"the model has no output {', '.join(missing)}")
    for name, value in outputs.items():
        if not np.isfinite(value).all():
            raise ModelError(f"output {name} is not finite")
    probabilities = outputs["probabilities"].ravel()
    if probabilities.size != len(labels):
        raise ModelError(f"the model has {probabilities.size} classes, its manifest names {len(labels)}")
    best = int(probabilities.argmax())
    anomaly, heat = outputs.get("anomaly_score"), outputs.get("anomaly_map")
    return Prediction(
        label=labels[best],
        class_id=best,
        confidence=float(probabilities[best]),
        probabilities=tuple(float(p) for p in probabilities),
        novelty_score=float(outputs["novelty_score"].item()),
        anomaly_score=None if anomaly is None else float(anomaly.item()),
        anomaly_map=None if heat is None else heat.reshape(heat.shape[-2:]),
    )


class OpenVinoModel:
    """The Model port: predictions on the model's own thread."""

    def __init__(self, ir: CompiledIr, labels: Sequence[str], judged_by: JudgedBy, thread: DeviceThread) -> None:
        self.judged_by = judged_by
        self._ir, self._labels, self._thread = ir, tuple(labels), thread

    def predict_blocking(self, view: Image) -> Prediction:
        """For callers that own the thread (start-up, serve, build). Raises ModelError."""
        return to_prediction(self._ir.infer(view), self._labels)

    async def predict(self, view: Image) -> Prediction:
        """view: (H, W, 3) uint8 RGB. Raises ModelError: inference failed, or not finite."""
        return await self._thread.call(self.predict_blocking, view)

    async def alive(self) -> None:
        """A full turn through the model's thread; it waits behind a call that hangs."""
        await self._thread.call(lambda: None)

    def warm_up(self, passes: int = WARM_UP_PASSES) -> None:
        """The first passes allocate and are slow: have them before READY. Raises ModelError."""
        view: Image = np.full((*self._ir.view_size, 3), 128, np.uint8)
        for _ in range(passes):
            self.predict_blocking(view)


def check_cpu(qualified: Sequence[str]) -> None:
    """Raise BundleError if none of the qualified instruction sets is here: INT8 results differ between CPUs."""
    here = instruction_sets()
    if here.isdisjoint(qualified):
        raise BundleError(
            f"this CPU has {', '.join(sorted(here)) or 'no AVX2'}; the bundle is qualified for {', '.join(qualified)}: "
            "build it for this CPU (--target-cpu avx2 runs on any CPU with AVX2)"
        )


def load_model(
    bundle: VerifiedBundle,
    view_size: tuple[int, int],
    *,
    threads: int,
    judged_by: JudgedBy,
    thread: DeviceThread,
) -> OpenVinoModel:
    """Compile and warm up the bundle's model for views of (height, width); blocking, about a second.

    Raises BundleError: wrong CPU, or not an IR we can run. Raises ModelError: its output is not usable.
    """
    check_cpu(bundle.manifest.calibration.instruction_sets)
    ir = load_ir(bundle.directory, view_size, threads=threads)
    labels = [entry.name for entry in sorted(bundle.manifest.classes, key=lambda c: c.id)]
    model = OpenVinoModel(ir, labels, judged_by, thread)
    model.warm_up()
    return model

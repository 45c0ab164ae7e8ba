"""The same pictures through three stages of one model: PyTorch, FP32 IR and the fused INT8 IR of the bundle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edge_deploy.convert import NetworkInput, TwoOutputs
from edge_deploy.fuse import NoveltyHead
from edge_deploy.pictures import Picture, Pictures
from inspector.core.types import Image, Prediction
from inspector.model import CompiledIr, load_ir, to_prediction
from inspector.runtime import openvino
from training.views import view_transform

Predict = Callable[[Image], Prediction]
Tick = Callable[[], None]  # called once a picture; moves a progress bar
MODEL_NAME = "model.xml"


def save_ir(model: Any, directory: Path) -> None:
    """Write model.xml and model.bin; the head stays FP32."""
    directory.mkdir(parents=True, exist_ok=True)
    openvino().save_model(model, directory / MODEL_NAME, compress_to_fp16=False)


def of_ir(ir: CompiledIr, labels: Sequence[str]) -> Predict:
    """The fused INT8 IR, by the very code that the line runs."""
    return lambda view: to_prediction(ir.infer(view), labels)


def of_bare_ir(ir: CompiledIr, labels: Sequence[str], head: NoveltyHead) -> Predict:
    """An IR without a head; the head is computed from its embedding in float64."""

    def predict(view: Image) -> Prediction:
        outputs = dict(ir.infer(view))
        outputs["novelty_score"] = head.score(outputs["embedding"]).astype(np.float32)
        return to_prediction(outputs, labels)

    return predict


def of_torch(net: Any, spec: NetworkInput, labels: Sequence[str], head: NoveltyHead) -> Predict:
    """The trained network with training's own transform."""
    model, transform = TwoOutputs(net).eval(), view_transform((spec.height, spec.width), spec.mean, spec.std)

    @torch.no_grad()
    def predict(view: Image) -> Prediction:
        x = transform(torch.from_numpy(view).permute(2, 0, 1))
        probabilities, embedding = (t.numpy() for t in model(x[None]))
        score = head.score(embedding).astype(np.float32)
        return to_prediction({"probabilities": probabilities, "embedding": embedding, "novelty_score": score}, labels)

    return predict


def predict_all(predict: Predict, pictures: Pictures, which: Sequence[Picture], tick: Tick) -> list[Prediction]:
    """One prediction a picture, in order."""
    found = []
    for picture in which:
        found.append(predict(pictures.view(picture)))
        tick()
    return found


def embed_all(ir: CompiledIr, pictures: Pictures, which: Sequence[Picture], tick: Tick) -> NDArray[np.float32]:
    """(N, E) embeddings, in order."""
    rows = []
    for picture in which:
        rows.append(ir.infer(pictures.view(picture))["embedding"].ravel())
        tick()
    return np.stack(rows)


def load_for(directory: Path, pictures: Pictures, threads: int) -> CompiledIr:
    """Compile the IR in `directory` for the view of these pictures."""
    return load_ir(directory, (pictures.roi[3], pictures.roi[2]), threads=threads)

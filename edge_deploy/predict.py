"""The same pictures through three stages of one model: PyTorch, FP32 IR and the fused INT8 IR of the bundle."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edge_deploy.convert import FEATURES, MAPS, NetworkInput, TappedResNet
from edge_deploy.fuse import NoveltyHead
from edge_deploy.patches import Maps, PatchHead
from edge_deploy.pictures import Picture, Pictures
from inspector.core.types import Image, Prediction
from inspector.model import CompiledIr, Outputs, load_ir, to_prediction
from inspector.runtime import openvino
from training.views import view_transform

Predict = Callable[[Image], Prediction]
Tick = Callable[[], None]  # called once a picture; moves a progress bar
MODEL_NAME = "model.xml"
MADE_UP = re.compile(r"([A-Z][A-Za-z0-9]*)_\d+")


@dataclass(frozen=True, slots=True, eq=False)
class Heads:
    """What is attached to the network. patches: None for a bundle that judges whole parts alone (`pooled`)."""

    novelty: NoveltyHead
    patches: PatchHead | None = None


def save_ir(model: Any, directory: Path) -> None:
    """Write model.xml and model.bin; the head stays FP32. The same graph gives the same bytes."""
    directory.mkdir(parents=True, exist_ok=True)
    number_names(model)
    openvino().save_model(model, directory / MODEL_NAME, compress_to_fp16=False)


def number_names(model: Any) -> None:
    """Number the names that OpenVINO made up (Multiply_4029 and what NNCF derives from it) from 0, in graph order.

    OpenVINO counts through the whole process, so the same graph made twice would differ in nothing but its names.
    """
    numbers: dict[str, str] = {}
    for node in model.get_ordered_ops():
        name = node.get_friendly_name()
        if made_up := MADE_UP.match(name):
            kind = made_up[1]
            new = numbers.setdefault(made_up[0], f"{kind}_{len(numbers)}")
            node.set_friendly_name(new + name[made_up.end() :])
    model.set_friendly_name("model")


def of_ir(ir: CompiledIr, labels: Sequence[str]) -> Predict:
    """The fused INT8 IR, by the very code that the line runs."""
    return lambda view: to_prediction(ir.infer(view), labels)


def of_bare_ir(ir: CompiledIr, labels: Sequence[str], heads: Heads) -> Predict:
    """An IR without heads (with raw maps, for patches); the heads are computed from its features in float64."""

    def predict(view: Image) -> Prediction:
        return _with_heads(ir.infer(view), labels, heads)

    return predict


def infer_torch(net: Any, spec: NetworkInput) -> Callable[[Image], Outputs]:
    """The trained network with training's own transform: a view to the outputs and raw maps by name."""
    model, transform = TappedResNet(net).eval(), view_transform((spec.height, spec.width), spec.mean, spec.std)

    @torch.no_grad()
    def infer(view: Image) -> Outputs:
        x = transform(torch.from_numpy(view).permute(2, 0, 1))
        probabilities, embedding, three, two = (value.numpy() for value in model.with_maps(x[None]))
        return {
            "probabilities": probabilities, "embedding": embedding,
            "layer3": three.mean((2, 3)), "layer2": two.mean((2, 3)), MAPS["layer3"]: three, MAPS["layer2"]: two,
        }  # fmt: skip

    return infer


def of_torch(net: Any, spec: NetworkInput, labels: Sequence[str], heads: Heads) -> Predict:
    """As infer_torch(), with the heads in float64."""
    infer = infer_torch(net, spec)
    return lambda view: _with_heads(infer(view), labels, heads)


def predict_all(predict: Predict, pictures: Pictures, which: Sequence[Picture], tick: Tick) -> list[Prediction]:
    """One prediction a picture, in order."""
    found = []
    for picture in which:
        found.append(predict(pictures.view(picture)))
        tick()
    return found


def features_of(outputs: Outputs) -> NDArray[np.float32]:
    """(F,): the outputs that the novelty head reads, one after another."""
    return np.concatenate([outputs[name].ravel() for name in FEATURES])


def maps_of(outputs: Outputs) -> Maps:
    """tap -> (C, h, w): the raw maps that the anomaly head reads."""
    return {tap: outputs[name][0] for tap, name in MAPS.items()}


def _with_heads(outputs: Outputs, labels: Sequence[str], heads: Heads) -> Prediction:
    scores = {"novelty_score": heads.novelty.score(features_of(outputs)[None]).astype(np.float32)}
    if heads.patches is not None:
        heat = heads.patches.anomaly_map(maps_of(outputs)).astype(np.float32)
        scores |= {
            "anomaly_map": heat[None],
            "anomaly_score": np.array([heads.patches.anomaly_score(heat)], np.float32),
        }
    return to_prediction({**outputs, **scores}, labels)


def load_for(directory: Path, pictures: Pictures, threads: int) -> CompiledIr:
    """Compile the IR in `directory` for the view of these pictures."""
    return load_ir(directory, (pictures.roi[3], pictures.roi[2]), threads=threads)

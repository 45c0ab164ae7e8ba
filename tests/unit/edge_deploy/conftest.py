"""One small ResNet50 with random weights, converted and quantised once for all tests here; and one whole run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torchvision

from edge_deploy.convert import NetworkInput, embed_preprocessing, to_ir
from edge_deploy.predict import save_ir
from edge_deploy.quantize import TargetCpu, quantize
from inspector.core.types import Image
from inspector.runtime import openvino
from tests.support.drawn_run import Trained, shallow_networks, trained_in
from tests.support.one_thread import one_thread as one_thread

VIEW = (72, 90)  # height, width: not the network's size, and not square


@dataclass(frozen=True, slots=True)
class Networks:
    """torch: the network; fp32 and int8: folders with model.xml, preprocessing embedded; int8_model: the ov.Model."""

    torch: Any
    spec: NetworkInput
    fp32: Path
    int8: Path
    int8_model: Any


def picture(seed: int, height: int = VIEW[0], width: int = VIEW[1]) -> Image:
    """Smooth colour with noise: (height, width, 3) uint8."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(40, 215, (4, 4, 3)).repeat(-(-height // 4), 0).repeat(-(-width // 4), 1)[:height, :width]
    return np.clip(coarse + rng.normal(0, 12, (height, width, 3)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Networks:
    torch.set_num_threads(1)  # wider than the fixture that holds tests to it
    torch.manual_seed(0)
    net = torchvision.models.resnet50(weights=None, num_classes=3).eval()
    spec = NetworkInput(64, 64, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    folder = tmp_path_factory.mktemp("networks")
    bare = to_ir(net, spec)
    int8 = embed_preprocessing(quantize(bare, spec, [picture(s) for s in range(12)], TargetCpu.AVX2), spec)
    save_ir(embed_preprocessing(bare, spec), folder / "fp32")
    save_ir(int8, folder / "int8")
    return Networks(net, spec, folder / "fp32", folder / "int8", int8)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return trained_in(tmp_path_factory.mktemp("build"))


@pytest.fixture(scope="session")
def shallow(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A run of a shallow network; what reads it does so inside `shallow_networks()`."""
    with shallow_networks():
        return trained_in(tmp_path_factory.mktemp("shallow"))


@pytest.fixture
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """NNCF's own formula in Python, in place of its C++, which takes two minutes to compile."""
    openvino()  # before nncf: telemetry is off from here on
    import nncf.torch.quantization.extensions as extensions
    from nncf.torch.quantization.reference import torch_executor as plain

    functions = SimpleNamespace(Quantize_forward=plain.forward, Quantize_backward=plain.backward)
    monkeypatch.setattr(extensions.QuantizedFunctionsCPU, "_loaded_namespace", functions)

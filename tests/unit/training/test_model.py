"""Where weights come from, what stays frozen, and whether training sees what the line sees."""

from __future__ import annotations

from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file

from edge_deploy.convert import NetworkInput, preprocessing_only
from inspector.runtime import openvino
from training.choices import Freeze
from training.errors import WeightsError
from training.model import freeze, load_weights, start_from, train_mode
from training.views import MEAN, STD, view_transform


@pytest.fixture(scope="module")
def net() -> torchvision.models.ResNet:
    torch.manual_seed(3)
    return torchvision.models.resnet50(weights=None, num_classes=3)


@pytest.mark.parametrize("suffix", ["safetensors", "pt", "pth"])
def test_weights_come_back_from_a_file_as_they_were(
    net: torchvision.models.ResNet, tmp_path: Path, suffix: str
) -> None:
    file, weights = tmp_path / f"weights.{suffix}", net.state_dict()
    if suffix == "safetensors":
        save_file(weights, file)
    else:  # as other trainings leave them
        torch.save({"epoch": 3, "state_dict": {f"module.{name}": value for name, value in weights.items()}}, file)
    start = start_from(str(file), 3, "Apache-2.0")
    for name, value in start.net.state_dict().items():
        torch.testing.assert_close(value, weights[name], rtol=0, atol=0)
    assert start.text.startswith(f"weights.{suffix} (sha256 ")
    assert start.licence is not None
    assert start.licence.licence == "Apache-2.0"


def test_a_head_for_other_classes_is_replaced_and_half_precision_is_widened(
    net: torchvision.models.ResNet, tmp_path: Path
) -> None:
    file = tmp_path / "half.safetensors"
    save_file({k: v.half() for k, v in net.state_dict().items() if not k.endswith("num_batches_tracked")}, file)
    start = start_from(str(file), 7)
    assert start.net.fc.weight.shape == (7, 2048)
    assert start.net.conv1.weight.dtype == torch.float32
    torch.testing.assert_close(start.net.conv1.weight, net.conv1.weight.half().float(), rtol=0, atol=0)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.safetensors"
    save_file(torchvision.models.resnet18(weights=None).state_dict(), file)
    with pytest.raises(WeightsError, match="ResNet50"):
        start_from(str(file), 3)
    save_file({"odd": torch.zeros(1)}, file)
    with pytest.raises(WeightsError, match="not those of torchvision's ResNet50"):
        start_from(str(file), 3)


class Runs:
    """An object whose loading would run a command."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemExit('ran')",))


def test_a_weights_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "evil.pt"
    torch.save({"conv1.weight": Runs()}, file)
    with pytest.raises(WeightsError, match="cannot be read"):
        load_weights(file)


@pytest.mark.parametrize(("name", "said"), [("a.bin", "expected imagenet, none"), ("missing.pt", "cannot be read")])
def test_a_weights_file_that_cannot_be_used_is_named(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(WeightsError, match=said):
        load_weights(tmp_path / name)


def test_without_internet_imagenet_weights_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_name(*_: object, **__: object) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.urlopen", no_name)  # the one call of torchvision's download that leaves the machine
    with pytest.raises(WeightsError) as caught:
        start_from("imagenet", 3)
    text = str(caught.value)
    assert "--weights FILE" in text
    assert "https://download.pytorch.org/models/resnet50" in text
    assert str(tmp_path / "hub" / "checkpoints") in text


@pytest.mark.parametrize(
    ("policy", "learning"),
    [(Freeze.LAYER4, {"layer4", "fc"}), (Freeze.HEAD, {"fc"})],
)
def test_frozen_layers_keep_weights_and_statistics(
    net: torchvision.models.ResNet, policy: Freeze, learning: set[str]
) -> None:
    freeze(net, policy)
    train_mode(net, policy)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.1)
    net(torch.randn(4, 3, 64, 64)).square().mean().backward()
    optimizer.step()
    changed = {name.split(".")[0] for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == learning


@pytest.mark.parametrize("shape", [(90, 130), (240, 240), (40, 30)])
def test_training_sees_what_the_line_sees(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(1).integers(
        0, 256, (*shape, 3), dtype=np.uint8
    )  # noise: the hardest picture to resize
    seen = view_transform((64, 96))(torch.from_numpy(image).permute(2, 0, 1)).numpy()
    exact = {"INFERENCE_PRECISION_HINT": "f32"}  # as on the line; the plugin's own choice may be bfloat16
    graph = openvino().compile_model(preprocessing_only(NetworkInput(64, 96, MEAN, STD)), "CPU", exact)
    np.testing.assert_allclose(seen, graph(image[None])[0][0], atol=1e-5)

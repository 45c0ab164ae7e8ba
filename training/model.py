"""torchvision's ResNet50: where its first weights come from, and which of its layers learn."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
import torchvision
from torch import Tensor, nn

from inspector.core.manifest import Licence
from training.choices import Freeze, Head, Optim
from training.errors import WeightsError
from training.runs import WEIGHTS

FROZEN_STEM = ("conv1", "bn1", "layer1", "layer2", "layer3")
HIDDEN = 512  # of the MLP head
SGD_MOMENTUM = 0.9


@dataclass(frozen=True, slots=True)
class Start:
    """A network to start from."""

    net: Any  # torchvision.models.ResNet with the head that was asked for
    text: str  # where its weights come from, for run.json
    licence: Licence | None  # None: random weights


def resnet50(classes: int, head: Head = Head.LINEAR) -> Any:
    """torchvision's ResNet50 with random weights and the head that was asked for, as `fc`."""
    net = torchvision.models.resnet50(weights=None, num_classes=classes)
    if head is Head.MLP:
        width = net.fc.in_features
        net.fc = nn.Sequential(nn.Linear(width, HIDDEN), nn.ReLU(), nn.Dropout(0.5), nn.Linear(HIDDEN, classes))
    return net


def head_of(tensors: Mapping[str, Tensor]) -> tuple[int, Head]:
    """Number of classes and head of these weights (torchvision's key names). Raises WeightsError: neither head."""
    for key, head in (("fc.weight", Head.LINEAR), ("fc.3.weight", Head.MLP)):
        if key in tensors:
            return int(tensors[key].shape[0]), head
    raise WeightsError("the weights have no head that this program makes (fc.weight, or fc.0 and fc.3)")


def start_from(weights: str, classes: int, licence: str = "NOASSERTION", head: Head = Head.LINEAR) -> Start:
    """A ResNet50 for `classes` classes from `imagenet`, `none`, a file, or the directory of a former run.

    licence: SPDX identifier of a file's weights. Raises WeightsError.
    """
    net = resnet50(classes, head)
    if weights == "none":
        return Start(net, "none (random)", None)
    if weights == "imagenet":
        tensors, text = _imagenet()
        given = Licence("initial weights", "BSD-3-Clause", "torchvision IMAGENET1K_V2")
    else:
        file = Path(weights) / WEIGHTS if Path(weights).is_dir() else Path(weights)
        tensors = load_weights(file)
        text = f"{Path(weights).name} (sha256 {hashlib.sha256(file.read_bytes()).hexdigest()[:16]})"
        given = Licence("initial weights", licence, Path(weights).name)
    fit_into(net, tensors)
    return Start(net, text, given)


def fit_into(net: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Load `tensors`; a head of another kind or for another number of classes is left as the net's own fresh one.

    Raises WeightsError: these are not the weights of torchvision's ResNet50.
    """
    own = net.state_dict()
    given = {key: value.to(own[key].dtype) if key in own else value for key, value in tensors.items()}
    heads = [{k: v.shape for k, v in of.items() if k.startswith("fc.")} for of in (given, own)]
    if heads[0] != heads[1]:
        given = {key: value for key, value in given.items() if not key.startswith("fc.")}
    try:
        missing, unexpected = net.load_state_dict(given, strict=False)
    except RuntimeError as exc:
        raise WeightsError(f"the weights do not fit torchvision's ResNet50: {exc}") from exc
    missing = [key for key in missing if not key.startswith("fc.") and not key.endswith("num_batches_tracked")]
    if missing or unexpected:
        odd = f"{len(missing)} keys missing {missing[:3]}, {len(unexpected)} unknown {unexpected[:3]}"
        raise WeightsError(f"the weights are not those of torchvision's ResNet50: {odd}")


def load_weights(file: Path) -> dict[str, Tensor]:
    """Tensors of a .safetensors, or of a .pt or .pth file; the latter may hold tensors only, nothing that runs.

    Raises WeightsError.
    """
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(file)
        if file.suffix in {".pt", ".pth"}:
            return _tensors(torch.load(file, map_location="cpu", weights_only=True), file)
    except WeightsError:
        raise
    except Exception as exc:  # both readers raise many kinds; whichever it is, the file is of no use
        raise WeightsError(f"weights {file} cannot be read: {exc}") from exc
    raise WeightsError(f"--weights {file}: expected imagenet, none, or a .safetensors, .pt or .pth file")


def freeze(net: nn.Module, policy: Freeze) -> None:
    """Switch off the gradients of what stays; call `train_mode` before every epoch for the BatchNorms."""
    for name, child in net.named_children():
        child.requires_grad_(not _stays(name, policy))


def train_mode(net: nn.Module, policy: Freeze) -> None:
    """Training mode for the layers that learn, evaluation mode (kept BatchNorm statistics) for those that stay."""
    net.train()
    for name, child in net.named_children():
        if _stays(name, policy):
            child.eval()


def decay_groups(net: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups of what learns: biases and BatchNorm do not decay."""
    learning = [p for p in net.parameters() if p.requires_grad]
    return [
        {"params": [p for p in learning if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in learning if p.ndim <= 1], "weight_decay": 0.0},
    ]


def optimizer_of(kind: Optim, net: nn.Module, lr: float, weight_decay: float) -> torch.optim.Optimizer:
    """For what learns of the net."""
    groups = decay_groups(net, weight_decay)
    if kind is Optim.SGD:
        return torch.optim.SGD(groups, lr=lr, momentum=SGD_MOMENTUM, nesterov=True)
    return torch.optim.AdamW(groups, lr=lr)


def _stays(child: str, policy: Freeze) -> bool:
    return policy is not Freeze.NONE and (child in FROZEN_STEM or (policy is Freeze.HEAD and child == "layer4"))


def _imagenet() -> tuple[dict[str, Tensor], str]:
    """torchvision's own download, checked by its hash, kept in torch's cache."""
    weights = torchvision.models.ResNet50_Weights.IMAGENET1K_V2
    try:
        return weights.get_state_dict(progress=True, check_hash=True), "imagenet (torchvision IMAGENET1K_V2)"
    except (URLError, OSError, RuntimeError) as exc:
        cache = Path(torch.hub.get_dir()) / "checkpoints" / str(weights.url).rsplit("/", 1)[-1]
        raise WeightsError(
            f"ImageNet weights could not be downloaded ({exc}).\n"
            f"Without internet: fetch {weights.url} on another machine and save it as {cache},"
            " or give the file itself: --weights FILE (.pth or .safetensors). --weights none starts from nothing;"
            " that takes many more pictures and epochs."
        ) from exc


def _tensors(loaded: Any, file: Path) -> dict[str, Tensor]:
    """The tensors of a state dict, also where it lies inside a checkpoint or was saved by data parallel training."""
    for key in ("state_dict", "model"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    if not isinstance(loaded, Mapping) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise WeightsError(f"weights {file} hold no state dict (names and tensors)")
    return {str(key).removeprefix("module."): value for key, value in loaded.items()}

"""A run to build bundles from, made in seconds: drawn pictures, and a random ResNet50 whose classifier alone is fitted,
which is enough for them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file

from edge_deploy.convert import TappedResNet
from inspector.core.manifest import ClassEntry, Licence
from inspector.core.types import Image
from training.runs import SPLITS, DatasetInfo, Run, Split, SplitRow, write_run, write_splits
from training.views import MEAN, STD, read_image, view_transform

SIZE, CAMERA, ROI = 64, (80, 100), (10, 5, 72, 70)
COUNTS: dict[Split, int] = {"train": 24, "val": 24, "test": 16}


def part(kind: str, seed: int) -> Image:
    """A grey disc on a dark belt; a dent is a bright bar on it, an empty belt has no disc."""
    rng = np.random.default_rng([seed, len(kind)])
    image = np.full((*CAMERA, 3), 40.0)
    x, y = 46 + int(rng.integers(-2, 3)), 40 + int(rng.integers(-2, 3))
    if kind != "empty":
        cv2.circle(image, (x, y), 26, (130.0, 130.0, 128.0), -1)
    if kind == "dent":
        cv2.rectangle(image, (x - 12, y - 6), (x + 12, y + 6), (230.0, 230.0, 220.0), -1)
    return np.clip(image * rng.uniform(0.95, 1.05) + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8)


@dataclass(frozen=True, slots=True)
class Trained:
    run: Path
    data: Path


def draw(data: Path) -> list[SplitRow]:
    rows = []
    for split, count in COUNTS.items():
        for kind in ("good", "dent"):
            folder = data / split / kind
            folder.mkdir(parents=True)
            for i in range(count):
                file = folder / f"{i}.png"
                cv2.imwrite(str(file), part(kind, i + 1000 * len(split)))
                digest = hashlib.sha256(file.read_bytes()).hexdigest()
                rows.append(SplitRow(file.relative_to(data).as_posix(), kind, split, digest[:16], digest))
    (data / "negatives" / "empty").mkdir(parents=True)
    for i in range(6):
        cv2.imwrite(str(data / "negatives" / "empty" / f"{i}.png"), part("empty", i))
    return rows


def fit_classifier(net: torchvision.models.ResNet, data: Path, rows: list[SplitRow]) -> None:
    """Least squares from the embedding to the two classes."""
    x, y, w, h = ROI
    transform, model = view_transform((SIZE, SIZE)), TappedResNet(net).eval()
    train = [row for row in rows if row.split == "train"]
    views = [torch.from_numpy(read_image(data / row.path)[y : y + h, x : x + w].copy()) for row in train]
    with torch.no_grad():
        e = torch.cat([model(transform(view.permute(2, 0, 1))[None])[1] for view in views])
        target = torch.tensor([[6.0, 0.0] if row.label == "good" else [0.0, 6.0] for row in train])
        centred = e - e.mean(0)
        weight = torch.linalg.solve(centred @ centred.T + 1e-3 * torch.eye(len(e)), target - target.mean(0))
        net.fc.weight.copy_((centred.T @ weight).T)
        net.fc.bias.copy_(target.mean(0) - net.fc.weight @ e.mean(0))


@contextmanager
def shallow_networks() -> Iterator[None]:
    """Every ResNet50 has one block in each of its stages: the same taps, widths and heads for a third of the work."""

    def shallow(*, weights: None, num_classes: int) -> torchvision.models.ResNet:
        return torchvision.models.ResNet(torchvision.models.resnet.Bottleneck, [1, 1, 1, 1], num_classes=num_classes)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torchvision.models, "resnet50", shallow)
        yield


def trained_in(root: Path) -> Trained:
    """A run as `inspector-train fit` writes it, and its pictures."""
    torch.manual_seed(1)
    torch.set_num_threads(1)
    run, data = root / "run", root / "data"
    rows = draw(data)
    net = torchvision.models.resnet50(weights=None, num_classes=2).eval()
    fit_classifier(net, data, rows)
    run.mkdir()
    save_file(net.state_dict(), run / "model.safetensors")
    write_splits(run, rows)
    classes = (ClassEntry(0, "good", True), ClassEntry(1, "dent", False))
    write_run(run, Run(
        schema=1, product="disc", classes=classes, network_size=(SIZE, SIZE), mean=MEAN, std=STD, roi=ROI,
        head="linear", initial_weights="none", git_commit="", seed=1, config={}, metrics={"val_recall": 1.0},
        dataset=DatasetInfo("0" * 64, len(rows), SPLITS), licences=(Licence("drawn", "Apache-2.0", "tests"),),
    ))  # fmt: skip
    return Trained(run, data)

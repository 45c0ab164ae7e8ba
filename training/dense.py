"""Maker's tool: teach a ResNet50 from nothing on the demo's renders, with the renderer's own masks as dense truth.

Plain classification from random weights finds almost nothing in an affordable time: one label a picture says too
little. The renderer knows what every pixel shows, so 1x1 heads on layer2, layer3 and layer4 learn which labels are
present in each cell, and a linear head on the embedding learns how much of the picture each label covers. The heads are
thrown away; the ResNet50 with its classifier is what remains. Every step sees parts that were never rendered before.
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from inspector.demo.parts import KNOWN, ROI, Kind, Stream, render
from inspector.demo.scene import Label

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # torchvision's ImageNet constants
GOOD_SHARE = 0.4
PRESENCE_WEIGHT = torch.tensor([1.0, 1.0, 1.0, 1.0, 4.0, 4.0, 4.0, 4.0])  # defects are rare in cells


@dataclass(frozen=True, slots=True)
class DenseConfig:
    out: Path
    size: int = 96  # network input, pixels
    batch: int = 32
    steps: int = 4700  # over all resumed runs; the schedule follows them, whatever else the machine does
    lr: float = 2e-3
    weight_decay: float = 1e-2
    ema: float = 0.998
    seed: int = 0
    eval_every_s: float = 300.0
    workers: int = 1


class Renders(IterableDataset[tuple[Tensor, Tensor, Tensor]]):
    """Fresh parts for ever: (3, S, S) float32 normalised, labels (240, 240) uint8, class int64."""

    def __init__(self, size: int, first_seed: int) -> None:
        self.size, self.first_seed = size, first_seed

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        info = torch.utils.data.get_worker_info()
        step, seed = (info.num_workers, self.first_seed + info.id) if info else (1, self.first_seed)
        torch.set_num_threads(1)
        while True:
            rng = np.random.default_rng([99, seed])
            kind = Kind.GOOD if rng.random() < GOOD_SHARE else KNOWN[1 + int(rng.integers(len(KNOWN) - 1))]
            yield example(seed, kind, Stream.TRAIN, self.size)
            seed += step


def example(seed: int, kind: Kind, stream: Stream, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """One part as the network sees it, its pixel labels inside the ROI, and its class index."""
    x, y, w, h = ROI
    part = render(seed, kind, stream)
    view = torch.from_numpy(part.image[y : y + h, x : x + w].copy()).permute(2, 0, 1).float()
    view = F.interpolate(view[None], (size, size), mode="bilinear", antialias=True, align_corners=False)[0] / 255
    view = (view - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    labels = torch.from_numpy(part.labels[y : y + h, x : x + w].copy())
    return view, labels, torch.tensor(KNOWN.index(kind) if kind in KNOWN else -1)


class DenseResNet50(nn.Module):
    """torchvision's ResNet50 with the heads that teach it."""

    def __init__(self) -> None:
        super().__init__()
        self.net = torchvision.models.resnet50(weights=None, num_classes=len(KNOWN))
        n = len(Label)
        self.heads = nn.ModuleList([nn.Conv2d(c, n, 1) for c in (512, 1024, 2048)])
        self.areas = nn.Linear(2048, n)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor], Tensor]:
        """Logits (B, K), presence logits [(B, 8, h, w)] at strides 8, 16, 32, and covered areas (B, 8)."""
        m = self.net
        x = m.layer1(m.maxpool(m.relu(m.bn1(m.conv1(x)))))
        two = m.layer2(x)
        three = m.layer3(two)
        four = m.layer4(three)
        embedding = m.avgpool(four).flatten(1)
        maps = [head(tap) for head, tap in zip(self.heads, (two, three, four), strict=True)]
        return m.fc(embedding), maps, self.areas(embedding)


def dense_loss(out: tuple[Tensor, list[Tensor], Tensor], labels: Tensor, classes: Tensor) -> Tensor:
    """Cross-entropy of the class + presence per cell at three strides + covered area, all in float32."""
    logits, maps, areas = out
    onehot = F.one_hot(labels.long(), len(Label)).permute(0, 3, 1, 2).float()  # (B, 8, 240, 240)
    loss = F.cross_entropy(logits.float(), classes)
    for m in maps:
        present = F.adaptive_max_pool2d(onehot, m.shape[-2:])
        weight = PRESENCE_WEIGHT[None, :, None, None]
        loss = loss + 4.0 * F.binary_cross_entropy_with_logits(m.float(), present, pos_weight=weight)
    covered = onehot.mean((2, 3)) * 20  # a 5 % area counts 1
    return loss + 0.2 * F.smooth_l1_loss(areas.float(), covered)


@torch.no_grad()
def validate(net: nn.Module, size: int, per_kind: int = 80) -> dict[str, float]:
    """Share of each taught kind that the classifier names right, on parts of the validation stream."""
    net.eval()
    shares = {}
    for index, kind in enumerate(KNOWN):
        views = torch.stack([example(s, kind, Stream.VALIDATION, size)[0] for s in range(per_kind)])
        with torch.autocast("cpu", torch.bfloat16):
            shares[str(kind)] = float((net(views).argmax(1) == index).float().mean())
    return shares


def teach(cfg: DenseConfig) -> None:
    """Train until `steps` are made; a checkpoint at every evaluation, taken up again when it exists."""
    torch.manual_seed(cfg.seed)
    cfg.out.mkdir(parents=True, exist_ok=True)
    run = _State(cfg)
    loader = DataLoader(Renders(cfg.size, run.step * cfg.batch), cfg.batch, num_workers=cfg.workers, prefetch_factor=4)
    begun, before_s = time.monotonic(), run.used_s
    next_eval_s = before_s + cfg.eval_every_s
    for images, labels, classes in loader:
        if run.step >= cfg.steps:
            break
        loss = run.learn(images, labels, classes)
        run.used_s = before_s + time.monotonic() - begun
        if run.step % 100 == 0:
            print(f"{run.used_s / 60:6.1f} min  step {run.step} of {cfg.steps}  loss {loss:.3f}", flush=True)
        if run.used_s > next_eval_s:
            next_eval_s = run.used_s + cfg.eval_every_s
            run.save()
            print(f"  validation {validate(run.ema, cfg.size)}", flush=True)
    run.save()


class _State:
    """Model, its slow average, optimizer and progress: what a checkpoint holds."""

    def __init__(self, cfg: DenseConfig) -> None:
        self.cfg, self.used_s, self.step = cfg, 0.0, 0
        self.model = DenseResNet50().to(memory_format=torch.channels_last)
        self.ema = copy.deepcopy(self.model.net).requires_grad_(False)
        decay = [p for p in self.model.parameters() if p.ndim > 1]
        plain = [p for p in self.model.parameters() if p.ndim <= 1]
        groups = [{"params": decay, "weight_decay": cfg.weight_decay}, {"params": plain, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=cfg.lr)
        if (cfg.out / "checkpoint.safetensors").exists():
            self._resume(cfg.out / "checkpoint.safetensors")

    def learn(self, images: Tensor, labels: Tensor, classes: Tensor) -> float:
        """One step: warm-up and cosine over all steps, gradient clipped, slow average followed."""
        progress = self.step / self.cfg.steps
        lr = self.cfg.lr * min(1, (self.step + 1) / 300) * 0.5 * (1 + math.cos(math.pi * progress))
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.model.train()
        with torch.autocast("cpu", torch.bfloat16):
            out = self.model(images.contiguous(memory_format=torch.channels_last))
        loss = dense_loss(out, labels, classes)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self._follow(min(self.cfg.ema, self.step / (self.step + 20)))
        return float(loss.detach())

    @torch.no_grad()
    def _follow(self, keep: float) -> None:
        net = self.model.net
        pairs = [*zip(self.ema.parameters(), net.parameters(), strict=True)]
        pairs += [*zip(self.ema.buffers(), net.buffers(), strict=True)]
        for slow, fast in pairs:
            if slow.dtype.is_floating_point:
                slow.lerp_(fast, 1 - keep)
            else:
                slow.copy_(fast)

    def save(self) -> None:
        """The checkpoint to go on from, and the averaged weights as safetensors; each replaced in one step."""
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"ema.{k}": v for k, v in self.ema.state_dict().items()}
        for index, slots in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": value for name, value in slots.items()}
        self._replace(tensors, "checkpoint.safetensors", {"used_s": str(self.used_s), "step": str(self.step)})
        self._replace(self.ema.state_dict(), "model.safetensors", {})

    def _replace(self, tensors: dict[str, Tensor], name: str, metadata: dict[str, str]) -> None:
        new = self.cfg.out / "new.safetensors"
        save_file({k: v.contiguous() for k, v in tensors.items()}, new, metadata)
        new.replace(self.cfg.out / name)

    def _resume(self, path: Path) -> None:
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "ema": {}, "optimizer": {}}
        with safe_open(path, "pt") as file:
            self.used_s, self.step = float(file.metadata()["used_s"]), int(file.metadata()["step"])
            for key in file.keys():  # noqa: SIM118 - not a mapping
                part, _, name = key.partition(".")
                parts[part][name] = file.get_tensor(key)
        self.model.load_state_dict(parts["model"])
        self.ema.load_state_dict(parts["ema"])
        slots: dict[int, dict[str, Tensor]] = {}
        for name, value in parts["optimizer"].items():
            index, _, slot = name.partition(".")
            slots.setdefault(int(index), {})[slot] = value
        self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": slots})


def main() -> None:
    """Command line of `make demo-bundle`'s first stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="run folder; a checkpoint in it is taken up again")
    parser.add_argument("--steps", type=int, default=4700, help="of 32 fresh parts, over all resumed runs; hours")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    teach(DenseConfig(out=args.out, steps=args.steps))


if __name__ == "__main__":
    main()

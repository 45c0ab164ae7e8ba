"""Maker's tool: teach a ResNet50 from nothing on the demo's renders, with the renderer's own masks as dense truth.

Plain classification from random weights finds almost nothing in an affordable time: one label a picture says too little.
The renderer knows what every pixel shows, so 1x1 heads on layer2, layer3 and layer4 learn which labels are present in
each cell, and a linear head on the embedding learns how much of the picture each label covers. The heads are thrown
away; the ResNet50 with its classifier is what remains. Every step sees parts that were never rendered before.
"""

from __future__ import annotations

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
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from inspector.demo.parts import KNOWN, ROI, Kind, Label, Stream, render

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # torchvision's ImageNet constants
GOOD_SHARE = 0.4
PRESENCE_WEIGHT = torch.tensor([1.0, 1.0, 1.0, 1.0, 4.0, 4.0, 4.0, 4.0])  # defects are rare in cells


@dataclass(frozen=True, slots=True)
class DenseConfig:
    out: Path
    size: int = 96  # network input, pixels
    batch: int = 32
    minutes: float = 100.0  # of wall clock, over all resumed runs; the schedule follows it
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


def teach(cfg: DenseConfig) -> Path:
    """Train until `minutes` are used; a checkpoint every evaluation, taken up again when it exists."""
    torch.manual_seed(cfg.seed)
    cfg.out.mkdir(parents=True, exist_ok=True)
    model = DenseResNet50().to(memory_format=torch.channels_last)
    ema = copy.deepcopy(model.net).requires_grad_(False)
    decay = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decay, "weight_decay": cfg.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=cfg.lr)
    used_s, step = _resume(cfg, model, ema, optimizer)
    loader = DataLoader(Renders(cfg.size, step * cfg.batch), cfg.batch, num_workers=cfg.workers, prefetch_factor=4)
    begun = last_eval = time.monotonic()
    start_s = used_s
    for images, labels, classes in loader:
        now = time.monotonic()
        used_s = start_s + now - begun
        progress = used_s / (cfg.minutes * 60)
        if progress >= 1:
            break
        lr = cfg.lr * min(1, (step + 1) / 300) * 0.5 * (1 + math.cos(math.pi * progress))
        for group in optimizer.param_groups:
            group["lr"] = lr
        model.train()
        with torch.autocast("cpu", torch.bfloat16):
            out = model(images.contiguous(memory_format=torch.channels_last))
        loss = dense_loss(out, labels, classes)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        _follow(ema, model.net, min(cfg.ema, step / (step + 20)))
        if step % 100 == 0:
            print(f"{used_s / 60:6.1f} min  step {step}  loss {loss.item():.3f}  lr {lr:.1e}", flush=True)
        if now - last_eval > cfg.eval_every_s:
            last_eval = now
            _save(cfg, model, ema, optimizer, used_s, step)
            print(f"  validation {validate(ema, cfg.size)}", flush=True)
    _save(cfg, model, ema, optimizer, used_s, step)
    print(f"  validation {validate(ema, cfg.size, 200)}", flush=True)
    return cfg.out / "model.safetensors"


@torch.no_grad()
def _follow(ema: nn.Module, net: nn.Module, keep: float) -> None:
    for slow, fast in zip(ema.parameters(), net.parameters(), strict=True):
        slow.lerp_(fast, 1 - keep)
    for slow, fast in zip(ema.buffers(), net.buffers(), strict=True):
        if slow.dtype.is_floating_point:
            slow.lerp_(fast, 1 - keep)
        else:
            slow.copy_(fast)


def _save(cfg, model, ema, optimizer, used_s, step):
    state = {"model": model.state_dict(), "ema": ema.state_dict(), "optimizer": optimizer.state_dict(),
             "used_s": used_s, "step": step}
    torch.save(state, cfg.out / "checkpoint.new")
    (cfg.out / "checkpoint.new").replace(cfg.out / "checkpoint.pt")
    from safetensors.torch import save_file
    save_file({k: v.contiguous() for k, v in ema.state_dict().items()}, cfg.out / "model.safetensors")


def _resume(cfg, model, ema, optimizer):
    path = cfg.out / "checkpoint.pt"
    if not path.exists():
        return 0.0, 0
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    ema.load_state_dict(state["ema"])
    optimizer.load_state_dict(state["optimizer"])
    return state["used_s"], state["step"]


if __name__ == "__main__":
    import sys
    torch.set_num_threads(2)
    teach(DenseConfig(out=Path(sys.argv[1]), minutes=float(sys.argv[2]), lr=float(sys.argv[3])))

"""Where an interrupted training goes on from: tensors as safetensors, the rest as JSON in its header."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from training.errors import RunError

CHECKPOINT = "checkpoint.safetensors"


def save_tensors(path: Path, tensors: Mapping[str, Tensor], notes: Mapping[str, str] | None = None) -> None:
    """Replace `path` in one step."""
    staged = path.with_name(f".{path.name}.new")
    save_file({name: value.detach().contiguous().cpu() for name, value in tensors.items()}, staged, dict(notes or {}))
    staged.chmod(0o644)  # safetensors writes for its owner alone
    os.replace(staged, path)


def save_checkpoint(
    directory: Path,
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    notes: Mapping[str, Any],
    average: nn.Module | None = None,
) -> None:
    """notes: anything that JSON holds. average: the slow average of the net's weights, where there is one."""
    tensors = {f"model.{name}": value for name, value in net.state_dict().items()}
    if average is not None:
        tensors |= {f"average.{name}": value for name, value in average.state_dict().items()}
    for index, slots in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in slots.items()}
    save_tensors(directory / CHECKPOINT, tensors, {"notes": json.dumps(notes)})


def read_notes(directory: Path) -> dict[str, Any] | None:
    """The notes of the checkpoint, None where there is none. Raises RunError: it cannot be read."""
    path = directory / CHECKPOINT
    if not path.exists():
        return None
    try:
        with safe_open(path, "pt") as file:
            notes: dict[str, Any] = json.loads(file.metadata()["notes"])
            return notes
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as exc:
        raise RunError(f"{path} cannot be read ({exc}): remove it to start again") from exc


def load_checkpoint(
    directory: Path, net: nn.Module, optimizer: torch.optim.Optimizer, average: nn.Module | None = None
) -> None:
    """Put the checkpoint's tensors into net, optimizer and average, on the devices where they are."""
    parts: dict[str, dict[str, Tensor]] = {"model": {}, "optimizer": {}, "average": {}}
    with safe_open(directory / CHECKPOINT, "pt") as file:
        for key in list(file.keys()):
            part, _, name = key.partition(".")
            parts[part][name] = file.get_tensor(key)
    net.load_state_dict(parts["model"])
    if average is not None:
        average.load_state_dict(parts["average"])
    slots: dict[int, dict[str, Tensor]] = {}
    for name, value in parts["optimizer"].items():
        index, _, slot = name.partition(".")
        slots.setdefault(int(index), {})[slot] = value
    optimizer.load_state_dict(optimizer.state_dict() | {"state": slots})

"""How busy the machine is while it trains: waiting for pictures, and the GPU's use and memory."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

import torch

Item = TypeVar("Item")
SAMPLE_EVERY_S = 1.0


class Watch:
    """Of one epoch; a new one for each."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.began_s, self.waited_s = device, time.monotonic(), 0.0
        self._used: list[float] = []
        self._next_s = self.began_s
        self._has_gauge = device.type == "cuda"
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)

    def waiting(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items; the time until each comes counts as waiting."""
        iterator = iter(items)
        while True:
            asked_s = time.monotonic()
            try:
                item = next(iterator)
            except StopIteration:
                return
            finally:
                self.waited_s += time.monotonic() - asked_s
            yield item
            self._sample()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began_s

    @property
    def gpu_used_percent(self) -> float | None:
        """Mean share of time in which the GPU did something; None: no GPU, or nothing that reads it (nvidia-ml-py)."""
        return round(sum(self._used) / len(self._used), 1) if self._used else None

    @property
    def gpu_peak_mib(self) -> float | None:
        """The most memory that torch took of the GPU in this epoch; None on a CPU."""
        return round(torch.cuda.max_memory_reserved(self.device) / 2**20) if self.device.type == "cuda" else None

    def _sample(self) -> None:
        if not self._has_gauge or time.monotonic() < self._next_s:
            return
        self._next_s = time.monotonic() + SAMPLE_EVERY_S
        try:
            self._used.append(float(torch.cuda.utilization(self.device)))
        except (
            ModuleNotFoundError,
            RuntimeError,
        ):  # torch's words for: no nvidia-ml-py, or a driver that tells nothing
            self._has_gauge = False

"""Changes of a picture that leave its label true, for training only. Each is switched on by name."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn
from torchvision.transforms import v2

from training.choices import Augment

CROP_AREA, CROP_SHAPE = (0.7, 1.0), (0.9, 1.1)  # share of the view, width to height
TURN_DEG = 10
SHIFT = 0.04  # of the shorter side
BLUR_PX = (0.1, 1.5)  # sigma, pixels of the network's input
NOISE = 0.02  # sigma, of full scale

BILINEAR = v2.InterpolationMode.BILINEAR


def resize_for(size: tuple[int, int], augment: Sequence[Augment]) -> nn.Module:
    """The resize to `size`; with CROP, of a random part of the view, so that nothing is resized twice."""
    if Augment.CROP in augment:
        return v2.RandomResizedCrop(size, CROP_AREA, CROP_SHAPE, BILINEAR, antialias=True)  # type: ignore[no-any-return]
    return v2.Resize(size, BILINEAR, antialias=True)  # type: ignore[no-any-return]


def steps_of(augment: Sequence[Augment], size: tuple[int, int]) -> list[nn.Module]:
    """Transforms of (3, *size) float32 in 0..1: first where things lie, then light, then what the camera adds."""
    return [step for kind in Augment if kind in augment for step in _steps(kind, size)]


def _steps(kind: Augment, size: tuple[int, int]) -> tuple[nn.Module, ...]:
    match kind:
        case Augment.LIGHT:
            return (v2.ColorJitter(brightness=0.1, contrast=0.1),)
        case Augment.COLOR:
            return (v2.ColorJitter(brightness=0.2, contrast=0.2, saturation=0.2, hue=0.02),)
        case Augment.SHIFT:
            return (v2.RandomCrop(size, padding=max(1, round(SHIFT * min(size))), padding_mode="reflect"),)
        case Augment.FLIP_H:
            return (v2.RandomHorizontalFlip(),)
        case Augment.FLIP_V:
            return (v2.RandomVerticalFlip(),)
        case Augment.ROTATE:
            return _turn(size)
        case Augment.ROTATE_90:
            return (v2.RandomChoice([v2.RandomRotation((90 * k, 90 * k)) for k in range(4)]),)
        case Augment.BLUR:
            return (v2.RandomApply([v2.GaussianBlur(5, BLUR_PX)], 0.5),)
        case Augment.NOISE:
            return (v2.RandomApply([v2.GaussianNoise(sigma=NOISE)], 0.5),)
        case Augment.CROP:
            return ()  # it is the resize itself


def _turn(size: tuple[int, int]) -> tuple[nn.Module, ...]:
    """Turned with mirrored edges: black corners would be learned."""
    height, width = size
    sine, cosine = math.sin(math.radians(TURN_DEG)), math.cos(math.radians(TURN_DEG))
    above = max(0, math.ceil((height * cosine + width * sine - height) / 2)) + 1
    beside = max(0, math.ceil((width * cosine + height * sine - width) / 2)) + 1
    pad = v2.Pad([min(beside, width - 1), min(above, height - 1)], padding_mode="reflect")
    return (pad, v2.RandomRotation(TURN_DEG, BILINEAR), v2.CenterCrop(size))


@contextmanager
def randomness(seed: int, epoch: int, index: int) -> Iterator[None]:
    """Inside, torch's random numbers follow from these alone; outside they go on as before.

    So a picture is changed the same way whichever process reads it, in whatever order, before and after a resume.
    """
    before = torch.get_rng_state()
    torch.default_generator.manual_seed((seed * 1_000_003 + epoch) * 10_000_019 + index & 2**63 - 1)
    try:
        yield
    finally:
        torch.set_rng_state(before)

"""What a training can be told, in words. Without torch, so that the command's help needs none."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class Freeze(StrEnum):
    """What stays as it was: parameters get no gradient, BatchNorm keeps its statistics."""

    LAYER4 = "layer4"  # stem to layer3 stay; layer4 and fc learn: features of patches survive a retrained classifier
    HEAD = "head"  # fc alone learns
    NONE = "none"  # everything learns


class Head(StrEnum):
    """What makes class scores of the 2048 numbers of the embedding."""

    LINEAR = "linear"  # 2048-N
    MLP = "mlp"  # 2048-512-ReLU-Dropout(0.5)-N


class Optim(StrEnum):
    ADAMW = "adamw"
    SGD = "sgd"  # Nesterov momentum 0.9


class Imbalance(StrEnum):
    """What is done about rare classes; one at a time."""

    WEIGHTED_LOSS = "weighted-loss"  # a rare class counts more in the loss
    FOCAL_LOSS = "focal-loss"  # a picture that is right already counts less
    BALANCED_SAMPLER = "balanced-sampler"  # as many pictures as there are, each class equally often
    OVER_SAMPLING = "over-sampling"  # every picture, and those of rare classes again until all are as many
    UNDER_SAMPLING = "under-sampling"  # of each class as many as the rarest has, others each epoch
    LOGIT_ADJUSTMENT = "logit-adjustment"  # the loss expects the classes as often as they are; the network need not
    NONE = "none"


class Precision(StrEnum):
    AUTO = "auto"  # mixed precision on a GPU, float32 on a CPU
    FP32 = "fp32"
    BF16 = "bf16"  # also on CPUs, where those with AVX512-BF16 or AMX gain from it
    FP16 = "fp16"  # GPU only, with loss scaling


class Augment(StrEnum):
    """Changes that leave the label true. Nothing is on by itself: a flipped part may be a wrong part."""

    LIGHT = "light"  # brightness and contrast, 10 %
    COLOR = "color"  # brightness, contrast and saturation, 20 %, hue 2 %
    SHIFT = "shift"  # position, 4 %
    CROP = "crop"  # 70 to 100 % of the area, resized (RandomResizedCrop)
    FLIP_H = "flip-h"
    FLIP_V = "flip-v"
    ROTATE = "rotate"  # up to 10 degrees
    ROTATE_90 = "rotate-90"  # quarter turns; square views
    BLUR = "blur"  # every second picture, Gaussian, up to 1.5 network pixels
    NOISE = "noise"  # every second picture, Gaussian, 2 % of full scale


@dataclass(frozen=True, slots=True)
class StopAfter:
    """When this call pauses, though the training is not over: one of the two is given."""

    epochs: int | None = None  # that this call ran
    minutes: float | None = None  # since this call began; the epoch that passes it is finished


_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*(m|min|h)?")


def stop_after(text: str) -> StopAfter:
    """`5` is epochs, `90m` minutes, `1.5h` hours. Raises ValueError."""
    found = _AMOUNT.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"--stop-after {text!r}: expected epochs (5), minutes (90m) or hours (1.5h)")
    amount, unit = found.groups()
    if unit:
        return StopAfter(minutes=float(amount) * (60 if unit == "h" else 1))
    if not amount.isdigit() or int(amount) == 0:
        raise ValueError(f"--stop-after {text!r}: epochs are whole, 1 or more; for minutes write {amount}m")
    return StopAfter(epochs=int(amount))

"""What a training can be told, in words. Without torch, so that the command's help needs none."""

from __future__ import annotations

from enum import StrEnum


class Freeze(StrEnum):
    """What stays as it was: parameters get no gradient, BatchNorm keeps its statistics."""

    LAYER4 = "layer4"  # stem to layer3 stay; layer4 and fc learn: features of patches survive a retrained classifier
    HEAD = "head"  # fc alone learns
    NONE = "none"  # everything learns


class Imbalance(StrEnum):
    """What is done about rare classes; one at a time."""

    WEIGHTED_LOSS = "weighted-loss"  # a rare class counts more in the loss
    BALANCED_SAMPLER = "balanced-sampler"  # a rare class is shown more often
    NONE = "none"


class Precision(StrEnum):
    AUTO = "auto"  # mixed precision on a GPU, float32 on a CPU
    FP32 = "fp32"
    BF16 = "bf16"  # also on CPUs, where those with AVX512-BF16 or AMX gain from it
    FP16 = "fp16"  # GPU only, with loss scaling


class Augment(StrEnum):
    """Changes that leave the label true. Nothing is on by itself: a flipped part may be a wrong part."""

    LIGHT = "light"  # brightness and contrast, 10 %
    SHIFT = "shift"  # position, 4 %
    FLIP_H = "flip-h"
    FLIP_V = "flip-v"
    ROTATE_90 = "rotate-90"  # quarter turns; square views

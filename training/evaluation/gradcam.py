"""Where a network looks for a class: Grad-CAM (Selvaraju et al. 2017), by a hook of our own (docs/decisions/0041)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


def grad_cam(net: nn.Module, layer: nn.Module, images: Tensor, classes: Tensor) -> NDArray[np.float32]:
    """Maps (B, h, w) in 0..1, of the size of `layer`'s output; 1 is where the class's logit gains the most.

    cam = relu(sum_c mean_yx(d logit / d A_c) A_c), A: what `layer` gives, (B, C, h, w). A map in which nothing speaks
    for the class is 0 everywhere. images: (B, 3, H, W) as the network takes them; classes: (B,) int64. The network is
    left in evaluation mode, without gradients of its own.
    """
    kept: list[Tensor] = []

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        del module, inputs
        leaf = output.detach().requires_grad_()  # nothing before it needs a gradient, frozen or not
        kept.append(leaf)
        return leaf

    net.eval()
    hook = layer.register_forward_hook(keep)
    try:
        with torch.enable_grad():
            logits = net(images)
            chosen = logits.gather(1, classes.to(logits.device)[:, None]).sum()
            (gradient,) = torch.autograd.grad(chosen, kept[0])
    finally:
        hook.remove()
    weights = gradient.mean((2, 3), keepdim=True)
    cam = torch.relu((weights * kept[0].detach()).sum(1)).float()
    highest = cam.amax((1, 2), keepdim=True)
    scaled = torch.where(highest > 0, cam / highest.clamp(min=1e-12), torch.zeros_like(cam))
    found: NDArray[np.float32] = scaled.cpu().numpy()
    return found

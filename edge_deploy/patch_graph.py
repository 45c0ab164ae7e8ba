"""The anomaly head as nodes of the quantised graph: 1x1 convolutions, one average, a log-sum-exp over channels.

Attached after quantisation: NNCF would else put the score itself on a grid. The projection comes *before* the average:
OpenVINO 2026.4.1 on CPU computes a 3x3 AvgPool wrongly where it sits on a quantised residual sum (cosine to FP32 0.5 to
0.7 with low-precision transformations on), while the classes stay right, so that no test of the classes sees it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_deploy.convert import map_of
from edge_deploy.patches import Z_STEPS, Float, PatchHead


def attach_patches(model: Any, head: PatchHead) -> Any:
    """Add anomaly_map [1, h, w] and anomaly_score [1] to a model whose taps are still there; returns the model."""
    from openvino import opset15 as ops

    z = projected(model, head)
    squared = ops.reduce_sum(ops.multiply(z, z), _ints(1), keep_dims=True)  # of z on its grid: the distance is exact
    log_sum = _log_sum(_similarities(z, head), head)
    away = ops.subtract(squared, ops.multiply(log_sum, _real(1 / head.gamma)))
    # at least 0, as the alphas sum to 1; abs passes NaN on, a maximum may not
    score_map = ops.sqrt(ops.multiply(ops.absolute(away), _real(1 / head.unit)))  # (1, 1, h, w)
    heat = ops.squeeze(score_map, _ints(1))
    outputs = {"anomaly_map": heat, "anomaly_score": _highest(heat, head.top)}
    for name, node in outputs.items():
        node.set_friendly_name(name)
        node.output(0).get_tensor().set_names({name})
    model.add_results([ops.result(node) for node in outputs.values()])
    model.validate_nodes_and_infer_types()
    return model


def projected(model: Any, head: PatchHead) -> Any:
    """(1, d, h, w): z of every cell, after the average and on its grid."""
    from openvino import opset15 as ops

    parts: list[Any] = []
    for tap, weight in head.weights.items():
        scale = None if head.weight_scale is None else head.weight_scale[tap]
        part = _convolve(map_of(model, tap), weight, scale)
        parts.append(ops.interpolate(part, *_size_of(parts[0]), axes=_ints(2, 3)) if parts else part)
    z = parts[0]
    for part in parts[1:]:
        z = ops.add(z, part)
    z = ops.avg_pool(z, [1, 1], [1, 1], [1, 1], [3, 3], exclude_pad=False)
    z = ops.subtract(z, _real(head.offset[None, :, None, None]))
    if head.z_step is not None:
        low, high = (_real(head.z_step * steps) for steps in Z_STEPS)
        z = ops.fake_quantize(z, low, high, low, high, levels=Z_STEPS[1] - Z_STEPS[0] + 1)
    return z


def _similarities(z: Any, head: PatchHead) -> Any:
    """(1, M, h, w): ln alpha_m - g |s_m|^2 + 2 g <s_m, z>."""
    from openvino import opset15 as ops

    scale = None if head.support_scale is None else 2 * head.gamma * head.support_scale
    dots = _convolve(z, 2 * head.gamma * head.support, scale)
    return ops.add(dots, _real((head.log_alpha - head.gamma * (head.support**2).sum(1))[None, :, None, None]))


def _log_sum(terms: Any, head: PatchHead) -> Any:
    """(1, 1, h, w): ln sum_m exp of (1, M, h, w); the largest term becomes exp(0), so that it never is ln 0."""
    from openvino import opset15 as ops

    top = ops.reduce_max(terms, _ints(1), keep_dims=True)
    if head.over_landmarks == "max":
        return top
    total = ops.reduce_sum(ops.exp(ops.subtract(terms, top)), _ints(1), keep_dims=True)
    return ops.add(ops.log(total), top)


def _highest(heat: Any, top: int) -> Any:
    """(1,): mean of the `top` highest cells of (1, h, w)."""
    from openvino import opset15 as ops

    if top == 1:
        return ops.reduce_max(heat, _ints(1, 2), keep_dims=False)
    flat = ops.reshape(heat, _ints(1, -1), False)
    count = min(top, int(np.prod(heat.output(0).get_shape())))
    best = ops.topk(flat, np.int64(count), 1, "max", "value")
    return ops.reduce_mean(best.output(0), _ints(1), keep_dims=False)


def _convolve(source: Any, weight: Float, scale: Float | None) -> Any:
    """1x1 convolution with weight (out, in). scale: step of each row's grid; its whole numbers then go in as int8."""
    from openvino import opset15 as ops

    if scale is None:
        kernel = _real(weight[:, :, None, None])
    else:
        whole = ops.constant(np.round(weight / scale[:, None]).astype(np.int8)[:, :, None, None])
        kernel = ops.multiply(ops.convert(whole, "f32"), _real(scale[:, None, None, None]))
    return ops.convolution(source, kernel, [1, 1], [0, 0], [0, 0], [1, 1])


def _size_of(node: Any) -> tuple[Any, ...]:
    height, width = node.output(0).get_shape()[2:]
    return _ints(height, width), "linear_onnx", "sizes"


def _real(value: NDArray[np.floating[Any]] | float) -> Any:
    from openvino import opset15 as ops

    return ops.constant(np.asarray(value, np.float32))


def _ints(*values: int) -> Any:
    from openvino import opset15 as ops

    return ops.constant(np.asarray(values, np.int64))

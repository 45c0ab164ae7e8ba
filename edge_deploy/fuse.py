"""The novelty head: One-Class SVMs on pooled features of the INT8 model, attached to its graph as FP32 nodes.

    e = (embedding/|embedding|, layer3/|layer3|, layer2/|layer2|)   means of three stages, each normalised
    z = (e - mean) W                                                centred, whitened, d directions
    novelty_score = sqrt(-(1/k) ln sum_m alpha_m exp(-k |z - s_m|^2 / c_m))

There is one RBF One-Class SVM per taught class, each with the width c of its own class, joined by the sum: a part is
novel when it is far from good parts *and* from every taught defect. With good parts alone, each scratch would be "no
part of ours" (NOT_INSPECTED) before its class could say FAIL. Over one class this ranks exactly as the SVM's decision
function, but in the log domain: it does not underflow for gross strangeness, where the decision function ties at -rho.
The root makes it a distance: 1 is about as far as two parts of one class are from each other, and rounding on another
CPU moves near and far scores by similar amounts. It is fitted on the INT8 model's own features: fitting on FP32 and
running INT8 triples overkill at the same limit.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from edge_deploy.convert import FEATURES
from inspector.runtime import openvino

Float = NDArray[np.float64]
FEATURE_SIZES = (2048, 1024, 512)  # of ResNet50
SMALLEST_NORM = 1e-12
ROUNDING = 1e-15  # variances of normalised features below this are not variance
FEWEST_GOOD, FEWEST = 16, 5


@dataclass(frozen=True, slots=True)
class SvmConfig:
    """How strangeness is measured. The defaults suit 200 to 2000 good images of one product.

    directions, whitening: a trained classifier keeps the parts of a class in few strong directions (nuisances such as
        light) and answers to what it never saw in weak ones. Full whitening (1) by the spread *within* classes gives
        weak directions an equal say. At least `images_per_direction` images stand behind each direction.
    floor: added to each variance, as a share of the mean variance, so that empty directions do not explode.
    defect_weight: weight of each taught defect class in that spread; a good class weighs 1. Defects vary along the
        very directions that show defects, so they have a small say: enough to keep new ones of a taught kind inside.
    with_defects: False fits good parts alone; taught defects are then mostly NOT_INSPECTED instead of FAIL.
    kappa: sharpness; 1 keeps one smooth body around a class with few support vectors. 8 and more follows single
        images and makes all of them support vectors, for no gain on whole parts.
    nu: share of a class's images that may lie outside its body; bounds the say of a mislabelled picture.
    max_landmarks: most support vectors of one class in the graph (its cost).
    """

    directions: int = 128
    whitening: float = 1.0
    floor: float = 1e-3
    images_per_direction: int = 4
    defect_weight: float = 0.2
    with_defects: bool = True
    kappa: float = 1.0
    nu: float = 0.1
    max_landmarks: int = 300
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class NoveltyHead:
    """A fitted head, float64. mean (F,), projection (F, d), support (M, d), log_alpha (M,), width (M,): c_m above.

    Features come as (N, F): the concatenated outputs FEATURES, of these sizes, raw; their lengths follow exposure and
    contrast more than content, so they are divided out one by one.
    """

    sizes: tuple[int, ...]
    kappa: float
    mean: Float
    projection: Float
    support: Float
    log_alpha: Float
    width: Float

    def score(self, features: NDArray[np.floating[Any]]) -> Float:
        """novelty_score of (N, F) features in float64, (N,): the formula that the graph is tested against."""
        z = (_normalised(features, self.sizes) - self.mean) @ self.projection
        distance = np.stack([((row - self.support) ** 2).sum(1) for row in z]) / self.width  # (N, M)
        total = logsumexp(self.log_alpha - self.kappa * distance, axis=1)
        return np.asarray(np.sqrt(np.abs(total) / self.kappa), np.float64)


def fit_novelty(
    features: Mapping[str, NDArray[np.floating[Any]]],
    acceptable: Collection[str],
    sizes: Sequence[int] = FEATURE_SIZES,
    cfg: SvmConfig = SvmConfig(),
) -> NoveltyHead:
    """Fit on (N, F) features per class, computed by the INT8 model; `acceptable` names the good classes.

    A defect class with fewer than 5 images gets no body of its own. Raises ValueError: too few good images, or a
    feature that is not finite.
    """
    classes = _usable(features, acceptable, sizes, cfg)
    rng = np.random.default_rng(cfg.seed)
    mean = np.asarray(np.mean([classes[name].mean(0) for name in classes if name in acceptable], 0), np.float64)
    projection = _whitening(classes, acceptable, cfg)
    bodies = [_body((e - mean) @ projection, cfg, rng) for e in classes.values()]
    return NoveltyHead(
        sizes=tuple(sizes),
        kappa=cfg.kappa,
        mean=mean,
        projection=projection,
        support=np.concatenate([support for support, _, _ in bodies]),
        log_alpha=np.log(np.concatenate([alpha for _, alpha, _ in bodies]) / len(bodies)),
        width=np.concatenate([np.full(len(alpha), width) for _, alpha, width in bodies]),
    )


def attach(model: Any, head: NoveltyHead) -> Any:
    """Add novelty_score [1] to a model with the outputs FEATURES, of which only `embedding` stays; returns the model.

    Distances are taken from differences, not from |z|^2 - 2 z.s: at the line's scores that loses no digits in float32.
    """
    ov = openvino()
    from openvino import opset15 as ops

    def const(value: NDArray[np.floating[Any]] | float) -> Any:
        return ops.constant(np.asarray(value, np.float32))

    def axis(*of: int) -> Any:
        return ops.constant(np.asarray(of, np.int64))

    def normalised(name: str) -> Any:
        e = model.output(name).get_node().input_value(0)
        return ops.divide(e, ops.maximum(ops.reduce_l2(e, axis(1), keep_dims=True), const(SMALLEST_NORM)))

    e = ops.concat([normalised(name) for name in FEATURES], 1)
    z = ops.matmul(ops.subtract(e, const(head.mean[None])), const(head.projection), False, False)  # (1, d)
    away = ops.subtract(z, const(head.support))  # (M, d)
    squared = ops.reduce_sum(ops.multiply(away, away), axis(1), keep_dims=False)  # (M,)
    terms = ops.add(ops.multiply(squared, const(-head.kappa / head.width)), const(head.log_alpha))
    top = ops.reduce_max(terms, axis(0), keep_dims=True)  # the largest term becomes exp(0): never all zero
    total = ops.reduce_sum(ops.exp(ops.subtract(terms, top)), axis(0), keep_dims=True)
    log_total = ops.add(ops.log(total), top)  # at most 0, as the alphas sum to 1; abs passes NaN on, a maximum may not
    score = ops.sqrt(ops.multiply(ops.absolute(log_total), const(1.0 / head.kappa)))  # (1,)
    score.set_friendly_name("novelty_score")
    score.output(0).get_tensor().set_names({"novelty_score"})
    model.add_results([ops.result(score)])
    drop_taps(model)
    model.validate_nodes_and_infer_types()
    assert isinstance(model, ov.Model)
    return model


def drop_taps(model: Any) -> Any:
    """Remove the outputs that only the head reads; changes and returns the model."""
    for name in set(FEATURES) - {"embedding"}:
        model.remove_result(model.output(name).get_node())
    return model


def _normalised(features: NDArray[np.floating[Any]], sizes: Sequence[int]) -> Float:
    groups = np.split(np.asarray(features, np.float64), np.cumsum(sizes)[:-1], axis=1)
    return np.concatenate([g / np.maximum(np.linalg.norm(g, axis=1, keepdims=True), SMALLEST_NORM) for g in groups], 1)


def _usable(
    features: Mapping[str, NDArray[np.floating[Any]]], acceptable: Collection[str], sizes: Sequence[int], cfg: SvmConfig
) -> dict[str, Float]:
    """The normalised features of the classes that get a body; good classes first."""
    good = sum(len(e) for name, e in features.items() if name in acceptable)
    if good < FEWEST_GOOD:
        raise ValueError(f"{good} good images cannot describe a good part: {FEWEST_GOOD} are needed, 200 wanted")
    if not all(np.isfinite(e).all() for e in features.values()):
        raise ValueError("a feature is not finite")
    names = sorted(features, key=lambda name: (name not in acceptable, name))
    wanted = [name for name in names if name in acceptable or cfg.with_defects]
    return {name: _normalised(features[name], sizes) for name in wanted if len(features[name]) >= FEWEST}


def _whitening(classes: Mapping[str, Float], acceptable: Collection[str], cfg: SvmConfig) -> Float:
    """(F, d) principal directions of the spread within classes, each scaled by deviation to the power -whitening."""
    rows = []
    for name, e in classes.items():
        weight = 1.0 if name in acceptable else cfg.defect_weight
        rows.append((e - e.mean(0)) * np.sqrt(weight / len(e)))
    spread = np.concatenate(rows)
    behind = sum(len(e) for e in classes.values()) // cfg.images_per_direction
    variance, directions, mean_variance = principal(spread, min(cfg.directions, max(behind, 1)))
    if variance.size == 0:
        raise ValueError("all good images have the same features: the pictures are copies of one another")
    scale = (variance + cfg.floor * mean_variance) ** (-cfg.whitening / 2)
    return np.asarray(directions * scale, np.float64)


def principal(rows: NDArray[np.floating[Any]], most: int) -> tuple[Float, Float, float]:
    """The d largest variances, their directions (F, d), and the mean of all variances, by the smaller Gram matrix."""
    from scipy.linalg import eigh

    n, width = rows.shape
    gram = np.asarray(rows @ rows.T if n <= width else rows.T @ rows, np.float64)
    size = len(gram)
    variance, vectors = eigh(gram, subset_by_index=(size - min(most, size), size - 1))
    keep = variance[::-1] > max(1e-12 * float(np.trace(gram)), ROUNDING)
    variance, vectors = variance[::-1][keep], vectors[:, ::-1][:, keep]
    directions = rows.T @ vectors / np.sqrt(variance) if n <= width else vectors
    return variance, np.asarray(directions, np.float64), float(np.trace(gram)) / size


def _body(z: Float, cfg: SvmConfig, rng: np.random.Generator) -> tuple[Float, Float, float]:
    """Support vectors (M, d), their weights (M,) with sum 1, and the width: the class's median squared distance."""
    from sklearn.svm import OneClassSVM

    z = z[rng.permutation(len(z))[: cfg.max_landmarks]]
    width = _median_squared_distance(z)
    svm = OneClassSVM(kernel="rbf", gamma=cfg.kappa / width, nu=cfg.nu).fit(z)
    alpha = np.asarray(svm.dual_coef_[0], np.float64)
    return np.asarray(svm.support_vectors_, np.float64), alpha / alpha.sum(), width


def _median_squared_distance(z: Float) -> float:
    n2 = (z**2).sum(1)
    squared = n2[:, None] + n2[None] - 2 * z @ z.T
    return max(float(np.median(squared[np.triu_indices(len(z), 1)])), 1e-12)

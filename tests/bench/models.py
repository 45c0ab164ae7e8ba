"""A ResNet50 with random weights at 224 px: bare and fused, FP32 and INT8, and a signed bundle of the fused one.

The heads are of a real build's size and made of random numbers: what they cost depends on their size alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torchvision
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import NDArray

from edge_deploy.convert import CHANNELS, NetworkInput, embed_preprocessing, show_maps, to_ir
from edge_deploy.coreset import nearest_neighbour
from edge_deploy.fuse import NoveltyHead, attach, drop_taps, fit_novelty
from edge_deploy.pack import key_id
from edge_deploy.patch_graph import attach_patches
from edge_deploy.patches import PatchConfig, PatchHead, on_grid, row_scale
from edge_deploy.predict import features_of, save_ir
from edge_deploy.quantize import TargetCpu, quantize
from inspector.core.manifest import (
    ClassEntry,
    Expected,
    Golden,
    GoldenTolerance,
    InputSpec,
    LimitSpec,
    LimitsSpec,
    OutputSpec,
    ViewSpec,
    ZoneLimits,
)
from inspector.core.types import Image
from inspector.demo.parts import Kind, Stream, render
from inspector.model import CompiledIr, load_ir, to_prediction
from inspector.runtime import openvino
from plc.registers import Reason, Verdict
from tests.support.tiny_bundle import entries_of, sign_files, tiny_manifest

SIDE = 224
LABELS = ("good", "also_good")
SPEC = NetworkInput(SIDE, SIDE, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
FITTED_ON = 64  # pictures that quantisation and the novelty head see: enough for speed, which is all that is measured
CELLS = (SIDE // 8, SIDE // 8)  # of the heat map
LEVERS: dict[str, PatchConfig | None] = {  # what the anomaly head costs, and what makes it cheaper
    "no anomaly head": None,
    "in FP32, sum": PatchConfig(eight_bit=False, over_landmarks="sum"),
    "8 bit, sum": PatchConfig(over_landmarks="sum"),
    "64 directions": PatchConfig(directions=64),
    "500 landmarks": PatchConfig(landmarks=500),
    "64 directions, 500 landmarks": PatchConfig(directions=64, landmarks=500),
}
BODIES, OF_A_BODY = 5, 128  # classes of the head and features of each: its size in a real build, as of the demo bundle


@dataclass(slots=True)
class Timed:
    """A call, and how long it took each time, in seconds."""

    call: Callable[[], object]
    seconds: list[float] = field(default_factory=list)

    def block(self, calls: int, warm_up: int) -> None:
        """Some calls one after another, as a benchmark tool would; the first `warm_up` do not count."""
        for number in range(warm_up + calls):
            begun = time.perf_counter()
            self.call()
            if number >= warm_up:
                self.seconds.append(time.perf_counter() - begun)


@dataclass(frozen=True, slots=True)
class Graphs:
    """Folders of the IRs, and the network they came from."""

    fp32: Path  # bare: normalised f32 NCHW in, probabilities and embedding out
    int8: Path  # the same, quantised
    tapped: Path  # INT8 with its raw maps as outputs: what the heads are fitted on
    fused: Path  # what a bundle holds: u8 NHWC in, with both One-Class SVMs
    levers: dict[str, Path]  # the same with another anomaly head
    torch: Any


def make_graphs(folder: Path, say: Callable[[str], None]) -> Graphs:
    """Build all of them from one set of random weights; about a minute."""
    torch.manual_seed(0)
    net = torchvision.models.resnet50(weights=None, num_classes=len(LABELS)).eval()
    say("converting ResNet50 to OpenVINO")
    bare = to_ir(net, SPEC)
    say("quantising to INT8")
    int8 = quantize(bare, SPEC, views(FITTED_ON), TargetCpu.AVX2)
    levers = {name: folder / f"lever{number}" for number, name in enumerate(LEVERS)}
    graphs = Graphs(folder / "fp32", folder / "int8", folder / "tapped", folder / "fused", levers, net)
    save_ir(drop_taps(bare.clone()), graphs.fp32)
    save_ir(drop_taps(int8.clone()), graphs.int8)
    say("fitting the One-Class SVMs")
    tapped = embed_preprocessing(int8, SPEC)
    save_ir(show_maps(tapped.clone()), graphs.tapped)
    ir = load_ir(graphs.tapped, (SIDE, SIDE), threads=2)
    features = np.stack([features_of(ir.infer(view)) for view in views(FITTED_ON)])
    novelty = _head(features)
    for path, cfg in {graphs.fused: PatchConfig(), **{levers[name]: cfg for name, cfg in LEVERS.items()}}.items():
        model = tapped.clone()
        save_ir(attach(model if cfg is None else attach_patches(model, made_up(cfg)), novelty), path)
    return graphs


def _head(few: NDArray[np.float32]) -> NoveltyHead:
    """Fitted on noise around a few real features, (N, F): what it costs depends on its size alone."""
    rng = np.random.default_rng(0)
    bodies = {}
    for number in range(BODIES):
        base = few[rng.integers(0, len(few), OF_A_BODY)]
        bodies[str(number)] = base + rng.normal(size=base.shape) * few.std(0)
    return fit_novelty(bodies, {"0"})


def made_up(cfg: PatchConfig) -> PatchHead:
    """An anomaly head of the size that `cfg` asks for."""
    rng = np.random.default_rng(0)
    weights = {tap: rng.normal(size=(cfg.directions, CHANNELS[tap])) / 30 for tap in cfg.taps}
    support = rng.normal(size=(cfg.landmarks, cfg.directions))
    scales, support_scale = {tap: row_scale(weight) for tap, weight in weights.items()}, row_scale(support)
    width = nearest_neighbour(support)
    return PatchHead(
        weights={tap: on_grid(weight, scales[tap][:, None]) for tap, weight in weights.items()},
        weight_scale=scales if cfg.eight_bit else None,
        offset=rng.normal(size=cfg.directions),
        support=on_grid(support, support_scale[:, None]),
        support_scale=support_scale if cfg.eight_bit else None,
        log_alpha=np.full(cfg.landmarks, -np.log(cfg.landmarks)),
        gamma=cfg.sharpness(cfg.landmarks) / width,
        width=width,
        z_step=0.05 if cfg.eight_bit else None,
        over_landmarks=cfg.over_landmarks,
        top=cfg.top(CELLS[0] * CELLS[1]),
        usual=rng.uniform(0.9, 1.1, CELLS),
    )


def views(count: int) -> list[Image]:
    """Rendered parts, cut to the network's own size, so that the camera's picture needs no resizing."""
    return [np.ascontiguousarray(render(seed, Kind.GOOD, Stream.TRAIN).image[16:240, 48:272]) for seed in range(count)]


def bare_call(folder: Path, threads: int) -> Callable[[], object]:
    """Inference alone on an input that lies ready, as a benchmark tool would time it."""
    ov = openvino()
    config = {
        "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": str(threads), "INFERENCE_PRECISION_HINT": "f32",
    }  # fmt: skip
    request = ov.Core().compile_model(folder / "model.xml", "CPU", config).create_infer_request()
    ready: NDArray[np.float32] = np.random.default_rng(0).normal(size=(1, 3, SIDE, SIDE)).astype(np.float32)
    request.set_input_tensor(ov.Tensor(ready, shared_memory=True))
    return lambda: request.infer(share_outputs=True)


def fused_call(folder: Path, threads: int, side: int) -> Callable[[], object]:
    """By the code of the line: the view is copied in, all outputs are copied out."""
    ir: CompiledIr = load_ir(folder, (side, side), threads=threads)
    view = np.asarray(cv2.resize(views(1)[0], (side, side)), np.uint8)
    return lambda: ir.infer(view)


def weights_share(graphs: Graphs) -> float:
    """Size of the INT8 weights of the bare graph, as a share of FP32's."""
    return (graphs.int8 / "model.bin").stat().st_size / (graphs.fp32 / "model.bin").stat().st_size


def sign_bundle(graphs: Graphs, path: Path, key: Ed25519PrivateKey) -> Path:
    """A bundle of the fused graph that passes everything: what is measured is time, and a PASS takes the whole way."""
    files = {name: (graphs.fused / name).read_bytes() for name in ("model.xml", "model.bin")}
    pictures = views(2)
    golden = []
    ir = load_ir(graphs.fused, (SIDE, SIDE), threads=2)
    for number, picture in enumerate(pictures):
        name = f"golden_{number:02d}.png"
        files[name] = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes()
        p = to_prediction(ir.infer(picture), LABELS)
        expected = Expected(
            int(Verdict.PASS), int(Reason.NONE), p.label, p.confidence, p.novelty_score, p.anomaly_score
        )
        golden.append(Golden(name, "good", "good", expected))
    wide = (-1e6, 1e6)  # no part of the bench is near a limit: a near-miss would be archived, which few parts are
    manifest = tiny_manifest(
        product="bench", files=entries_of(files), golden=tuple(golden), key_id=key_id(key),
        classes=tuple(ClassEntry(i, name, True) for i, name in enumerate(LABELS)),
        input=InputSpec(SIDE, SIDE, "NHWC", "u8", "RGB"), view=ViewSpec(SIDE, SIDE, (0, 0, SIDE, SIDE)),
        outputs=(
            OutputSpec("probabilities", (len(LABELS),)), OutputSpec("embedding", (2048,)),
            OutputSpec("novelty_score", ()), OutputSpec("anomaly_map", CELLS), OutputSpec("anomaly_score", ()),
        ),
        limits=LimitsSpec(
            LimitSpec(0.0, (0.0, 1.0)), LimitSpec(-1e6, wide), LimitSpec(1e6, wide), LimitSpec(1e6, wide),
            novelty_median=1.0, anomaly_median=1.0, chosen_by="hand", bounds=(),
        ),
        zones=(ZoneLimits("view", (0, 0, SIDE, SIDE), (0.0, 255.0), wide, wide),),
    )  # fmt: skip
    training = replace(manifest.training, no_negatives=True)
    manifest = replace(manifest, training=training, golden_tolerance=GoldenTolerance(0.05, 0.05, 0.05))
    return sign_files(path, key, manifest, files)


def write_pictures(folder: Path, count: int) -> Sequence[Path]:
    """BMP files, as raw as a camera's frame, for the folder camera and for the tutorial service."""
    folder.mkdir(parents=True)
    files = []
    for number, view in enumerate(views(count)):
        files.append(folder / f"{number:03d}.bmp")
        cv2.imwrite(str(files[-1]), cv2.cvtColor(view, cv2.COLOR_RGB2BGR))
    return files

"""The detectors that `make real` compares on one and the same network: scores and heat maps of all test pictures.

pooled: One-Class SVM of the whole part, INT8. patch INT8: what a bundle holds, by its fused graph. patch FP32: fitted
on the FP32 network's features and run on them, no 8-bit grid anywhere. Nearest neighbour: on the patch features of the
INT8 detector, after its projection. PatchCore: anomalib's, in an environment of its own.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edge_deploy.convert import NetworkInput, embed_preprocessing, resnet50_of, show_maps, to_ir
from edge_deploy.fit import Detector, Fitted, fit_heads
from edge_deploy.fuse import SvmConfig, attach
from edge_deploy.hidden import HiddenTrial, try_hidden
from edge_deploy.patch_graph import attach_patches
from edge_deploy.patches import Float, PatchConfig, PatchHead
from edge_deploy.pictures import Picture, Pictures, load_pictures
from edge_deploy.predict import load_for, maps_of, save_ir
from edge_deploy.quantize import CALIBRATION_IMAGES, TargetCpu, quantize
from edge_deploy.steps import Steps, TerminalSteps
from inspector.model import CompiledIr, Outputs
from tests.bench.peers.child import patchcore, running
from training.runs import WEIGHTS, Run, read_run, read_splits, read_weights

POOLED, PATCH_INT8, PATCH_FP32 = "pooled, INT8", "patch, INT8", "patch, FP32"
NEIGHBOUR, NEIGHBOUR_LANDMARKS, PATCHCORE = (
    "nearest neighbour, all sampled patches", "nearest neighbour, the landmarks", "anomalib PatchCore"
)  # fmt: skip
Score = Callable[[Outputs], "tuple[float, NDArray[np.floating[Any]] | None]"]


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """scores (N,) of the test pictures in the run's order; maps (N, h, w), None: it makes none. Higher is stranger."""

    scores: NDArray[np.float64]
    maps: NDArray[np.float32] | None


@dataclass(frozen=True, slots=True, eq=False)
class Bank:
    """Patches that stand for good parts, (N, d): the reference asks how far the nearest of them is."""

    patches: NDArray[np.float32]

    def distance_map(self, z: Float) -> NDArray[np.float32]:
        """(h, w): distance of each cell of z (h, w, d) to its nearest patch."""
        rows = np.asarray(z.reshape(-1, z.shape[-1]), np.float32)
        squared = rows @ self.patches.T
        squared *= -2
        squared += (self.patches**2).sum(1)
        nearest = squared.min(1) + (rows**2).sum(1)
        return np.asarray(np.sqrt(np.maximum(nearest, 0)).reshape(z.shape[:2]), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Setting:
    """One run, its pictures, and how many threads work on them."""

    run: Run
    directory: Path
    pictures: Pictures
    threads: int
    steps: Steps

    @classmethod
    def of(cls, directory: Path, data: Path, threads: int) -> Setting:
        torch.set_num_threads(threads)
        return cls(
            read_run(directory), directory, load_pictures(data, read_splits(directory), None), threads, TerminalSteps()
        )

    @property
    def spec(self) -> NetworkInput:
        return NetworkInput(*self.run.network_size, self.run.mean, self.run.std)

    def loaded(self, model: Any, directory: Path) -> CompiledIr:
        save_ir(model, directory)
        return load_for(directory, self.pictures, self.threads)

    def fitted(self, ir: CompiledIr, cfg: PatchConfig) -> Fitted:
        return fit_heads(ir, self.pictures, self.run.acceptable, Detector.PATCH, SvmConfig(), cfg, self.steps)

    def judged(self, ir: CompiledIr, scores: dict[str, Score], what: str) -> dict[str, Found]:
        """Every detector in `scores` on every test picture, one inference each."""
        found: dict[str, list[tuple[float, Any]]] = {name: [] for name in scores}
        for outputs in self._outputs(ir, self.pictures.test, what):
            for name, score in scores.items():
                found[name].append(score(outputs))
        return {name: _found(results) for name, results in found.items()}

    def bank(self, ir: CompiledIr, head: PatchHead, cfg: PatchConfig) -> Bank:
        """A random sample of the training pictures' patches, as many as the detector was fitted on."""
        rng = np.random.default_rng(cfg.seed)
        each = -(-cfg.patches // len(self.pictures.train))
        rows = []
        for outputs in self._outputs(ir, self.pictures.train, "patches for the nearest neighbour"):
            z = head.project(maps_of(outputs)).reshape(-1, len(head.offset))
            rows.append(np.asarray(z[rng.permutation(len(z))[:each]], np.float32))
        return Bank(np.concatenate(rows))

    def _outputs(self, ir: CompiledIr, which: Sequence[Picture], what: str) -> Any:
        with self.steps.bar(what, len(which)) as tick:
            for picture in which:
                yield ir.infer(self.pictures.view(picture))
                tick()


@dataclass(frozen=True, slots=True, eq=False)
class Int8:
    """The network as a build quantises it: with its raw maps as outputs, and fused with the heads fitted on those."""

    tapped: CompiledIr
    fused: CompiledIr
    head: PatchHead

    @classmethod
    def of(cls, setting: Setting, cfg: PatchConfig, scratch: Path) -> Int8:
        int8 = quantised(setting)
        tapped = setting.loaded(show_maps(int8.clone()), scratch / "tapped")
        fitted = setting.fitted(tapped, cfg)
        head = patch_head(fitted)
        fused = setting.loaded(attach(attach_patches(int8, head), fitted.heads.novelty), scratch / "fused")
        return cls(tapped, fused, head)


def quantised(setting: Setting) -> Any:
    """The network of the run as a build quantises it, still without heads."""
    spec, pictures = setting.spec, setting.pictures
    chosen = np.random.default_rng(0).permutation(len(pictures.train))[:CALIBRATION_IMAGES]
    views = [pictures.view(pictures.train[i]) for i in chosen]
    setting.steps.say("quantising to INT8")
    bare = to_ir(resnet50_of(read_weights(setting.directory)), spec)
    return embed_preprocessing(quantize(bare, spec, views, TargetCpu.AVX2), spec)


def hidden_defects(setting: Setting, kinds: Sequence[str], cfg: PatchConfig) -> tuple[HiddenTrial, ...]:
    """What defects of each kind among the good training pictures would do to the INT8 detector."""
    with tempfile.TemporaryDirectory() as scratch:
        tapped = setting.loaded(show_maps(quantised(setting)), Path(scratch))
        good = setting.run.acceptable
        return tuple(
            trial for kind in kinds for trial in try_hidden(tapped, setting.pictures, good, kind, cfg, setting.steps)
        )


def int8_detectors(setting: Setting, cfg: PatchConfig) -> tuple[dict[str, Found], dict[str, int]]:
    """pooled, patch and both nearest neighbours, on the network that a build quantises; and how large the fit was."""
    with tempfile.TemporaryDirectory() as scratch:
        int8 = Int8.of(setting, cfg, Path(scratch))
        bank = setting.bank(int8.tapped, int8.head, cfg)
        scores = {POOLED: _pooled, PATCH_INT8: _patch}
        found = setting.judged(int8.fused, scores, "test, INT8")
        banks = {NEIGHBOUR: bank, NEIGHBOUR_LANDMARKS: Bank(int8.head.support.astype(np.float32))}
        neighbours = {name: nearest(int8.head, of) for name, of in banks.items()}
        found |= setting.judged(int8.tapped, neighbours, "test, neighbours")
    trained_on = len(setting.pictures.train)
    return found, {"landmarks": len(int8.head.support), "sample": len(bank.patches), "trained_on": trained_on}


def patch_detector(setting: Setting, cfg: PatchConfig) -> Found:
    """What a bundle holds, alone."""
    with tempfile.TemporaryDirectory() as scratch:
        fused = Int8.of(setting, cfg, Path(scratch)).fused
        return setting.judged(fused, {PATCH_INT8: _patch}, "test, INT8")[PATCH_INT8]


def fp32_detector(setting: Setting, cfg: PatchConfig) -> dict[str, Found]:
    """The same detector without any 8-bit number, by its formula in float64."""
    bare = to_ir(resnet50_of(read_weights(setting.directory)), setting.spec)
    with tempfile.TemporaryDirectory() as scratch:
        ir = setting.loaded(show_maps(embed_preprocessing(bare, setting.spec)), Path(scratch))
        head = patch_head(setting.fitted(ir, replace(cfg, eight_bit=False)))

        def score(outputs: Outputs) -> tuple[float, NDArray[np.floating[Any]]]:
            heat = head.anomaly_map(maps_of(outputs))
            return head.anomaly_score(heat), heat

        return setting.judged(ir, {PATCH_FP32: score}, "test, FP32")


def patchcore_detector(
    setting: Setting, python: Path, landmarks: int, work: Path
) -> tuple[dict[str, Found], dict[str, Any]]:
    """anomalib's PatchCore, fitted on the same pictures with the run's own weights; and what it says of itself."""
    train = training_folder(setting.pictures.train, work / "good")
    command = patchcore(
        python,
        train,
        setting.directory / WEIGHTS,
        work,
        size=setting.run.network_size[0],
        landmarks=landmarks,
        threads=setting.threads,
    )
    setting.steps.say("fitting PatchCore in its own environment; this takes minutes")
    with running(command) as peer:
        scores, maps = peer.scores([picture.file for picture in setting.pictures.test], work / "maps.npy")
        return {PATCHCORE: Found(scores, maps)}, dict(peer.facts)


def training_folder(pictures: Sequence[Picture], folder: Path) -> Path:
    """A folder with copies of these pictures alone: another tool would take all that lies in ours."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    for picture in pictures:
        shutil.copyfile(picture.file, folder / picture.file.name)
    return folder


def nearest(head: PatchHead, bank: Bank) -> Score:
    """The reference: the head's own features, scale of each cell and share of highest cells, but no SVM."""

    def score(outputs: Outputs) -> tuple[float, NDArray[np.floating[Any]]]:
        heat = bank.distance_map(head.project(maps_of(outputs))) / np.sqrt(head.unit / head.width)
        return head.anomaly_score(heat), heat

    return score


def patch_head(fitted: Fitted) -> PatchHead:
    head = fitted.heads.patches
    if head is None:
        raise ValueError("the detector was fitted without patches")
    return head


def keep(found: dict[str, Found], folder: Path) -> None:
    """One .npz each, so that a later stage can compare after an interruption."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, one in found.items():
        maps = {} if one.maps is None else {"maps": one.maps}
        np.savez_compressed(folder / f"{_stem(name)}.npz", scores=one.scores, **maps)


def kept(name: str, folder: Path) -> Found | None:
    """What was kept of this detector; None: it was not measured."""
    file = folder / f"{_stem(name)}.npz"
    if not file.exists():
        return None
    with np.load(file, allow_pickle=False) as arrays:
        return Found(arrays["scores"], arrays["maps"] if "maps" in arrays.files else None)


def _pooled(outputs: Outputs) -> tuple[float, NDArray[np.floating[Any]] | None]:
    return float(outputs["novelty_score"][0]), None


def _patch(outputs: Outputs) -> tuple[float, NDArray[np.floating[Any]] | None]:
    return float(outputs["anomaly_score"][0]), outputs["anomaly_map"][0]


def _stem(name: str) -> str:
    return name.lower().replace(",", "").replace(" ", "_")


def _found(results: Sequence[tuple[float, Any]]) -> Found:
    scores = np.array([score for score, _ in results], np.float64)
    maps = [heat for _, heat in results if heat is not None]
    return Found(scores, np.asarray(np.stack(maps), np.float32) if maps else None)

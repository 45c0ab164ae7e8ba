"""anomalib's PatchCore, as its own users run it: fitted by its engine, exported to OpenVINO, judged by its inferencer.

Runs in an environment of its own, which holds nothing of ours, and talks in lines of JSON: what it is asked on stdin,
what it found on stdout. The first line on stdout says that the model is there.

    python patchcore.py --train FOLDER --weights resnet50.safetensors --size 224 --landmarks 1000 --work FOLDER
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch
from anomalib.data import Folder
from anomalib.deploy import OpenVINOInferencer
from anomalib.engine import Engine
from anomalib.models import Patchcore
from PIL import Image
from safetensors.torch import load_file

STRIDE = 8  # of layer2, whose cells are the patches


@contextlib.contextmanager
def quiet() -> Iterator[TextIO]:
    """stdout is for answers: what libraries print goes to stderr."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    yield answers


def fitted(args: argparse.Namespace, images: int) -> Patchcore:
    """PatchCore on layer2 and layer3 of a ResNet50 with the given weights, its memory bank `landmarks` large."""
    patches = images * (args.size // STRIDE) ** 2
    model = Patchcore(
        backbone="resnet50",
        layers=("layer2", "layer3"),
        pre_trained=False,
        coreset_sampling_ratio=args.landmarks / patches,
        pre_processor=Patchcore.configure_pre_processor(image_size=(args.size, args.size)),
        post_processor=False,  # raw scores: its normalisation clamps them, and ties cost AUROC
        evaluator=False,
        visualizer=False,
    )
    backbone = model.model.feature_extractor.feature_extractor
    given = {key: value.float() for key, value in load_file(args.weights).items()}
    missing, _ = backbone.load_state_dict(given, strict=False)
    if any(not key.endswith("num_batches_tracked") for key in missing):
        raise SystemExit(f"{args.weights} lacks {missing[:3]}")
    data = Folder(
        name="tiles", root=args.train.parent, normal_dir=args.train.name, train_batch_size=8, num_workers=0,
        val_split_mode="none", test_split_mode="none",
    )  # fmt: skip
    engine = Engine(default_root_dir=args.work, accelerator="cpu", logger=False, enable_progress_bar=True)
    data.setup()
    model.fit = torch.no_grad()(model.fit)  # else its k-centre loop keeps a graph of every step: 20 GB
    engine.fit(model=model, train_dataloaders=data.train_dataloader())
    return model


def exported(model: Patchcore, args: argparse.Namespace) -> OpenVINOInferencer:
    """For one picture at a time. Without `dynamic_axes` anomalib 2.7's exporter leaves a graph for exactly two."""
    path = model.to_openvino(args.work, input_size=(args.size, args.size), onnx_kwargs={"dynamic_axes": {}})
    config = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": args.threads, "INFERENCE_PRECISION_HINT": "f32"}
    return OpenVINOInferencer(path=path, device="CPU", config=config)


def picture(file: str) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(file).convert("RGB"))


def answer(asked: dict[str, Any], inferencer: OpenVINOInferencer, size: int) -> dict[str, Any]:
    """score: of each file, and its heat map (as .npy beside `maps`). time: seconds a picture that lies ready."""
    if "score" in asked:
        found = [inferencer.predict(resized(picture(file), size)) for file in asked["score"]]
        if "maps" in asked:
            np.save(asked["maps"], np.stack([np.squeeze(np.asarray(one.anomaly_map)) for one in found]))
        return {"scores": [float(np.squeeze(np.asarray(one.pred_score))) for one in found]}
    ready = [resized(picture(file), size) for file in asked["time"]]
    seconds = []
    for one in ready:
        begun = time.perf_counter()
        inferencer.predict(one)
        seconds.append(time.perf_counter() - begun)
    return {"seconds": seconds}


def resized(image: np.ndarray[Any, Any], size: int) -> np.ndarray[Any, Any]:
    """To the size that the graph was exported for; not timed, ours resizes inside."""
    if image.shape[:2] == (size, size):
        return image
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, required=True, help="folder of good pictures")
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--landmarks", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", type=Path, required=True)
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    args.work.mkdir(parents=True, exist_ok=True)
    os.chdir(args.work)  # anomalib puts a cache where it runs
    with quiet() as answers:
        images = sum(1 for _ in args.train.iterdir())
        begun = time.monotonic()
        model = fitted(args, images)
        seconds = time.monotonic() - begun
        inferencer = exported(model, args)
        bank = list(model.model.memory_bank.shape)
        print(json.dumps({"anomalib": version("anomalib"), "bank": bank, "fit_s": seconds}), file=answers)
        for line in sys.stdin:
            print(json.dumps(answer(json.loads(line), inferencer, args.size)), file=answers)


if __name__ == "__main__":
    main()

"""The taught network for other runtimes: ONNX, torch.export and OpenVINO, each checked against PyTorch first.

What leaves here is the classifier and its embedding. The novelty head is not part of it: it is fitted on the features
of one bundle's own INT8 graph and belongs to that graph. A class alone does not make a part pass; see docs/export.md.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edge_deploy.convert import NetworkInput, embed_preprocessing, resnet50_of, to_ir
from edge_deploy.errors import DeployError
from edge_deploy.export_check import EXPORTED, Checked, Deployed, check_batches, check_views, drawn, table
from edge_deploy.export_notes import write_notes
from edge_deploy.parity import ParityConfig
from edge_deploy.pictures import Picture, Pictures, load_pictures
from edge_deploy.quantize import CALIBRATION_IMAGES, TargetCpu
from edge_deploy.ranges import CHECK_PICTURES, quantize_far_enough
from edge_deploy.steps import SilentSteps, Steps
from inspector.core.types import Image
from inspector.runtime import openvino
from training.runs import read_run, read_splits, read_weights

OPSET = 20  # of ONNX; TensorRT 10 and ONNX Runtime 1.17 read it
CHECK_VIEWS = 8


class Precision(StrEnum):
    """Of an OpenVINO export."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What to write. data: the run's pictures; INT8 needs them, the other checks are better for them."""

    onnx: bool = False
    torch: bool = False
    openvino: tuple[Precision, ...] = ()
    data: Path | None = None
    target: TargetCpu = TargetCpu.AVX2
    quantisation_images: int = CALIBRATION_IMAGES


@dataclass(frozen=True, slots=True)
class Exported:
    files: tuple[Path, ...]
    checked: tuple[Checked, ...]


def export(run_directory: Path, out: Path, options: ExportOptions, steps: Steps | None = None) -> Exported:
    """Write the files that `options` names into `out`, with README.txt and export.json beside them.

    A file appears under its name only once it agrees with PyTorch. Raises DeployError: nothing named, no pictures for
    INT8, or a file that does not agree, with the table.
    """
    if not (options.onnx or options.torch or options.openvino):
        raise DeployError("nothing to export: name at least one of --onnx, --torch and --openvino fp32|fp16|int8")
    if Precision.INT8 in options.openvino and options.data is None:
        raise DeployError("--openvino int8 is quantised on pictures: name the folder of the run's pictures with --data")
    run, steps = read_run(run_directory), steps or SilentSteps()
    net = resnet50_of(read_weights(run_directory))
    spec = NetworkInput(*run.network_size, run.mean, run.std)
    pictures = load_pictures(options.data, read_splits(run_directory), run.roi) if options.data else None
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=out) as name:
        job = _Job(net, spec, Path(name), out, options, pictures, steps)
        checked = tuple(row for step in _planned(job) for row in step(job))
    files = tuple(sorted(out / row for row in dict.fromkeys(row.file for row in checked)))
    write_notes(out, run, checked, versions())
    return Exported(files, checked)


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    net: Any
    spec: NetworkInput
    stage: Path  # files lie here until they are checked
    out: Path
    options: ExportOptions
    pictures: Pictures | None
    steps: Steps


def _planned(job: _Job) -> list[Callable[[_Job], list[Checked]]]:
    steps: list[Callable[[_Job], list[Checked]]] = []
    if job.options.onnx:
        steps.append(_onnx)
    if job.options.torch:
        steps.append(_torch)
    return steps + ([_openvino] if job.options.openvino else [])


def traced(net: Any, spec: NetworkInput) -> torch.export.ExportedProgram:
    """The network by torch.export, with any number of pictures at once."""
    example = torch.zeros(2, 3, spec.height, spec.width)  # torch.export takes sizes 0 and 1 for constants
    batch = {"image": {0: torch.export.Dim("batch")}}
    with torch.no_grad():
        return torch.export.export(Deployed(net, spec).eval(), (example,), dynamic_shapes=batch)


def _torch(job: _Job) -> list[Checked]:
    job.steps.say("torch.export: model.pt2")
    file = job.stage / "model.pt2"
    torch.export.save(traced(job.net, job.spec), file)
    loaded = torch.export.load(file).module()

    @torch.no_grad()
    def run(batch: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        return [value.numpy() for value in loaded(torch.from_numpy(batch))]

    return _keep(job, [file], check_batches(job.net, job.spec, file.name, "torch", run))


def _onnx(job: _Job) -> list[Checked]:
    import onnx
    import onnxruntime

    job.steps.say("ONNX: model.onnx")
    file = job.stage / "model.onnx"
    program = torch.onnx.export(
        traced(job.net, job.spec),
        dynamo=True,
        opset_version=OPSET,
        input_names=["image"],
        output_names=list(EXPORTED),
        verbose=False,
    )
    if program is None:
        raise DeployError("torch.onnx.export gave no program")
    program.save(file, external_data=False)
    onnx.checker.check_model(file, full_check=True)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])

    def run(batch: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        return [np.asarray(value) for value in session.run(list(EXPORTED), {"image": batch})]

    return _keep(job, [file], check_batches(job.net, job.spec, file.name, "onnx", run))


def _openvino(job: _Job) -> list[Checked]:
    """All precisions that were asked for, from one conversion; preprocessing and resize are inside."""
    checked = []
    job.steps.say("converting to OpenVINO")
    bare = to_ir(job.net, job.spec)
    for precision in dict.fromkeys(job.options.openvino):
        job.steps.say(f"OpenVINO {precision}: model_{precision}.xml")
        net, model = job.net, bare
        if precision is Precision.INT8:
            net, model = _int8(job, bare)
        model = _without_taps(embed_preprocessing(model.clone(), job.spec))
        folder = job.stage / precision
        folder.mkdir()
        openvino().save_model(model, folder / "model.xml", compress_to_fp16=precision is Precision.FP16)
        files = [folder / f"model_{precision}{suffix}" for suffix in (".xml", ".bin")]
        rows = check_views(net, job.spec, files[0].name, precision, folder, _views(job))
        for file in files:
            (folder / f"model{file.suffix}").rename(file)
        checked += _keep(job, files, rows)
    return checked


def _without_taps(model: Any) -> Any:
    for output in list(model.outputs):
        if output.get_any_name() not in EXPORTED:
            model.remove_result(output.get_node())
    return model


def _int8(job: _Job, bare: Any) -> tuple[Any, Any]:
    """Quantised on training pictures and checked as for a bundle: its PyTorch form, and the graph."""
    pictures = job.pictures
    assert pictures is not None  # export() refuses INT8 without

    def some(of: Sequence[Picture], most: int) -> list[Image]:
        chosen = np.random.default_rng(0).permutation(len(of))[:most]
        return [pictures.view(of[i]) for i in sorted(chosen)]

    views, checks = some(pictures.train, job.options.quantisation_images), (*pictures.val, *pictures.negatives)
    say, target = job.steps.say, job.options.target
    made = quantize_far_enough(
        job.net, bare, job.spec, views, some(checks, CHECK_PICTURES), target, ParityConfig(), say
    )
    for note in made.notes:
        say(note)
    return made.net, made.model


def _keep(job: _Job, files: Sequence[Path], rows: list[Checked]) -> list[Checked]:
    """Give the files their place. Raises DeployError: they do not agree with PyTorch."""
    if not all(row.ok for row in rows):
        raise DeployError(f"{files[0].name} does not agree with PyTorch and is not written:\n{table(rows)}")
    for file in files:
        os.replace(file, job.out / file.name)
    return rows


def _views(job: _Job) -> list[Image]:
    """Held-out pictures of the run; without its data, drawn ones of another size than the network's."""
    if job.pictures is not None:
        which = (job.pictures.test or job.pictures.val)[:CHECK_VIEWS]
        return [job.pictures.view(picture) for picture in which]
    rng = np.random.default_rng(0)
    return [drawn(rng, job.spec.height * 5 // 4, job.spec.width * 3 // 2) for _ in range(CHECK_VIEWS)]


def versions() -> dict[str, str]:
    """Of what wrote and checked the files."""
    return {name: version(name) for name in ("torch", "openvino", "nncf", "onnx", "onnxruntime")}

"""The gate for a detector that was added to a bundle: its graph against the former one, and the formula of the head."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge_deploy.narrowed import narrowed_outputs
from edge_deploy.parity import Form, Parity, ParityConfig, check, golden_views, measure, replayed
from edge_deploy.patches import PatchHead
from edge_deploy.predict import maps_of, of_ir
from edge_deploy.quantize import NO_LPT
from inspector.core.manifest import Manifest
from inspector.core.types import Image
from inspector.model import Outputs, load_ir, to_prediction


def gate(work: Path, manifest: Manifest, head: PatchHead, cfg: ParityConfig, threads: int) -> Parity:
    """work: holds `int8`, the former graph with its maps as outputs, and `bundle`, the new one.

    As for a build, every row is held to the limits of rounding; what lies before the INT8 graph is in the report of the
    former bundle. Raises DeployError, with a table: the forms do not agree.
    """
    views = golden_views(work / "bundle", manifest)
    found = measure(work / "bundle", manifest, _forms(work, manifest, head, views, threads), cfg)
    check(found)
    return found


def _forms(work: Path, m: Manifest, head: PatchHead, views: list[Image], threads: int) -> list[Form]:
    labels, directory = [entry.name for entry in m.classes], work / "bundle"
    size = (views[0].shape[0], views[0].shape[1])
    former = load_ir(work / "int8", size, threads=threads)
    known = [_with_head(former.infer(view), head) for view in views]
    int8 = Form(
        "the former graph, spots by formula", known, predict=replayed([to_prediction(o, labels) for o in known])
    )
    forms = [int8]
    for name, properties in (("bundle", None), ("bundle, low precision off", NO_LPT)):
        ir = load_ir(directory, size, threads=threads, properties=properties)
        reference = int8 if name == "bundle" else forms[1]
        outputs = [ir.infer(view) for view in views]
        forms.append(Form(name, outputs, (reference, "rounding"), of_ir(ir, labels)))
    if m.calibration.instruction_sets == ("avx2",):
        outputs = narrowed_outputs(directory, views)
        predict = replayed([to_prediction(o, labels) for o in outputs])
        forms.append(Form("bundle, AVX2 alone", outputs, (forms[1], "rounding"), predict))
    return forms


def _with_head(outputs: Outputs, head: PatchHead) -> Outputs:
    heat = head.anomaly_map(maps_of(outputs)).astype(np.float32)
    return {**outputs, "anomaly_map": heat[None], "anomaly_score": np.array([head.anomaly_score(heat)], np.float32)}

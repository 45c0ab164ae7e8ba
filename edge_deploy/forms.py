"""Every form in which a build holds its model, run on the golden pictures, ready to be compared by parity.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_deploy.convert import NetworkInput
from edge_deploy.narrowed import narrowed_outputs
from edge_deploy.parity import Form, Parity, ParityConfig, Step, check, golden_views, measure, replayed
from edge_deploy.predict import Heads, infer_torch, of_bare_ir, of_ir, of_torch
from edge_deploy.quantize import NO_LPT
from inspector.core.manifest import Manifest
from inspector.core.types import Image
from inspector.model import load_ir, to_prediction


@dataclass(frozen=True, slots=True, eq=False)
class Forms:
    """What a build has made. fp32 and int8: folders of IRs with their taps as outputs; bundle: with the head."""

    net: Any  # torchvision's ResNet in eval mode
    spec: NetworkInput
    heads: Heads
    labels: Sequence[str]
    fp32: Path
    int8: Path
    bundle: Path
    threads: int
    avx2: bool  # the bundle is for CPUs with AVX2 alone too


def gate(forms: Forms, manifest: Manifest, cfg: ParityConfig) -> Parity:
    """What every form gives for the golden pictures in the bundle's folder.

    Raises DeployError, with a table and what to do: the forms do not agree.
    """
    found = measure(forms.bundle, manifest, forms_of(forms, golden_views(forms.bundle, manifest)), cfg)
    check(found)
    return found


def forms_of(built: Forms, views: Sequence[Image]) -> list[Form]:
    """views: (h, w, 3) uint8 RGB of the golden pictures, in order. Raises DeployError: it does not run with AVX2."""
    b, labels, heads = built, built.labels, built.heads
    infer = infer_torch(b.net, b.spec)
    torch = Form(
        "PyTorch",
        [infer(view) for view in views],
        predict=of_torch(b.net, b.spec, labels, heads),
        score_step="quantisation",
    )
    fp32 = _run(b, b.fp32, "FP32", views, (torch, "conversion"), "quantisation")
    int8 = _run(b, b.int8, "INT8", views, (fp32, "quantisation"), "rounding")
    bundle = _run(b, b.bundle, "bundle", views, (int8, "rounding"), None)
    forms = [torch, fp32, int8, bundle]
    for form, directory in ((int8, b.int8), (bundle, b.bundle)):
        step: Step | None = None if form is bundle else "rounding"
        forms.append(_run(b, directory, f"{form.name}, low precision off", views, (form, "rounding"), step, NO_LPT))
        if b.avx2:
            outputs = narrowed_outputs(directory, views)
            predict = replayed([to_prediction(o, labels) for o in outputs]) if form is bundle else None
            forms.append(Form(f"{form.name}, AVX2 alone", outputs, (form, "rounding"), predict))
    return forms


def _run(
    b: Forms,
    directory: Path,
    name: str,
    views: Sequence[Image],
    reference: tuple[Form, Step],
    head_step: Step | None,
    properties: dict[str, str] | None = None,
) -> Form:
    """head_step: the IR has no head of its own, so it is computed in float64; None: it has."""
    ir = load_ir(directory, (views[0].shape[0], views[0].shape[1]), threads=b.threads, properties=properties)
    outputs = [ir.infer(view) for view in views]
    predict = of_ir(ir, b.labels) if head_step is None else of_bare_ir(ir, b.labels, b.heads)
    return Form(name, outputs, reference, predict, head_step or "rounding")

"""What lies beside exported files: README.txt for a person, export.json for a program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from edge_deploy.export_check import Checked, table
from training.runs import Run, write_json

README, DESCRIPTION = "README.txt", "export.json"

INPUTS = {
    "onnx": "model.onnx: input 'image', float32 (batch, 3, {h}, {w}), RGB grey values 0 to 255, any batch",
    "pt2": "model.pt2 (torch.export.load): the same input as model.onnx",
    "xml": "model_*.xml (OpenVINO): input 'input', uint8 (1, height, width, 3), RGB, any height and width",
}


def write_notes(out: Path, run: Run, checked: Sequence[Checked], versions: Mapping[str, str]) -> None:
    """Write README.txt and export.json into `out`."""
    (out / README).write_text(readme(run, checked, versions), encoding="utf-8")
    height, width = run.network_size
    write_json(
        out / DESCRIPTION,
        {
            "product": run.product,
            "classes": [{"id": c.id, "name": c.name, "acceptable": c.acceptable} for c in run.classes],
            "network_input": {"height": height, "width": width, "colour": "RGB"},
            "region_of_interest": None if run.roi is None else list(run.roi),
            "normalisation": {"inside_the_files": True, "mean": list(run.mean), "std": list(run.std)},
            "outputs": {"probabilities": ["batch", len(run.classes)], "embedding": ["batch", 2048]},
            "novelty_score": None,
            "checked_against_pytorch": [asdict(row) for row in checked],
            "versions": dict(versions),
        },
    )


def readme(run: Run, checked: Sequence[Checked], versions: Mapping[str, str]) -> str:
    """Input, outputs, classes, and the table of what was compared."""
    height, width = run.network_size
    suffixes = {Path(row.file).suffix[1:] for row in checked}
    region = "the whole picture" if run.roi is None else "x, y, width, height = {}, {}, {}, {}".format(*run.roi)
    classes = "\n".join(f"  {c.id}  {c.name}{'  (good)' if c.acceptable else ''}" for c in run.classes)
    inputs = "\n".join("  " + text.format(h=height, w=width) for key, text in INPUTS.items() if key in suffixes)
    sums = ", ".join(f"{name} {version}" for name, version in versions.items())
    return f"""{run.product}: the taught ResNet50 for other runtimes

INPUT
{inputs}
  Region of the camera's picture: {region}. Cut it out first.
  Mean {list(run.mean)} and scale {list(run.std)} (of values 0 to 1) are inside the files: do not apply them again.
  model.onnx and model.pt2 do not resize. Resize to {width} x {height} as training did: bilinear WITH antialiasing, on
  float values (torchvision v2.Resize antialias=True, Pillow BILINEAR). cv2.resize and most runtimes do not antialias;
  on a large picture that is another picture. The OpenVINO files resize by themselves, exactly so.

OUTPUTS
  probabilities (batch, {len(run.classes)}): softmax over
{classes}
  embedding (batch, 2048): mean features of the last stage

WHAT IS NOT IN THESE FILES
  No novelty or anomaly score, no limits and no signature: an empty belt gets a class too, perhaps "good" with 0.99.
  They classify; only a bundle (inspector-deploy build) may pass parts on a line.

COMPARED WITH PYTORCH BEFORE THE FILES WERE WRITTEN
{table(checked)}

Written with {sums}.
"""

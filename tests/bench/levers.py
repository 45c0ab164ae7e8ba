"""What makes the anomaly head cheaper or dearer (its 8-bit grids, its directions, its landmarks): AUROC beside cost.

AUROC is measured here, on the magnetic tiles and the INT8 network's features, by the head's formula; cost by
`make bench`, whose file is read.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_deploy.convert import show_maps
from edge_deploy.fit import fit_patches, good_of
from edge_deploy.patches import PatchHead
from edge_deploy.predict import maps_of
from inspector.model import Outputs
from tests.bench.compare import Pair, Truth
from tests.bench.detectors import PATCH_INT8, Found, Score, Setting, kept, quantised
from tests.bench.markdown import table
from tests.bench.models import LEVERS

COSTS = Path("docs/bench/latest.json")
DEFAULT = "as built: 8 bit, max, 128 directions, 1000 landmarks"
FITTED = {name: cfg for name, cfg in LEVERS.items() if cfg is not None}


def measure_levers(setting: Setting, source: Path, folder: Path) -> dict[str, Any]:
    """folder: where compare_int8 kept the scores of the head as built. Raises ValueError: it did not."""
    built = kept(PATCH_INT8, folder)
    if built is None:
        raise ValueError(f"{folder} holds no scores of {PATCH_INT8}: compare the detectors first")
    good = good_of(setting.pictures.train, setting.run.acceptable)
    with tempfile.TemporaryDirectory() as scratch:
        tapped = setting.loaded(show_maps(quantised(setting)), Path(scratch))
        heads = {
            name: fit_patches(tapped, setting.pictures, good, cfg, setting.steps).head for name, cfg in FITTED.items()
        }
        found = setting.judged(tapped, {name: by_formula(head) for name, head in heads.items()}, "test, levers")
    return judged(Truth.of(setting.pictures.test, source), built, found)


def by_formula(head: PatchHead) -> Score:
    def score(outputs: Outputs) -> tuple[float, NDArray[np.floating[Any]] | None]:
        return head.anomaly_score(head.anomaly_map(maps_of(outputs))), None

    return score


def judged(truth: Truth, built: Found, found: Mapping[str, Found]) -> dict[str, Any]:
    """Image AUROC of each, 0..1, and by how many points it differs from the head as built, with its interval."""
    every = {DEFAULT: replace(built, maps=None), **found}
    auroc = {name: truth.figures(one)["image_auroc"] for name, one in every.items()}
    differences = {
        name: truth.difference(Pair(name, DEFAULT, None), one, built, with_bar=False) for name, one in found.items()
    }
    return {"auroc": auroc, "differences": differences, "tiles": len(set(truth.groups))}


def section(result: Mapping[str, Any], costs: Path = COSTS) -> str:
    """The subsection of docs/results.md."""
    ratio = _ratios(costs)
    rows = []
    for name, auroc in result["auroc"].items():
        one = result["differences"].get(name)
        points = "" if one is None else f"{one['value']:+.2f} ({one['low']:+.1f} to {one['high']:+.1f})"
        rows.append((name, f"{100 * auroc:.1f}", points, ratio(name)))
    return "\n\n".join(
        [
            "### What the anomaly head's cost buys",
            "The same tiles, features and pictures as `patch, INT8` above; one thing changed at a time. Points against "
            f"the head as built, with the 95 % interval of a paired bootstrap over {result['tiles']} tiles. Cost: the "
            "fused graph against bare INT8, p50, of `make bench` (docs/bench/latest.json).",
            table(("head", "image AUROC %", "points", "cost"), rows),
        ]
    )


def _ratios(costs: Path) -> Callable[[str], str]:
    """The cost of a head by its name; a dash where the benchmark's file does not have it."""
    rows = json.loads(costs.read_text(encoding="utf-8")) if costs.exists() else []
    values = {row["name"]: row["value"] for row in rows}

    def of(name: str) -> str:
        with_it = "" if name == DEFAULT else f" with {name}"
        value = values.get(f"fused INT8 / bare INT8{with_it}, p50")
        return "-" if value is None else f"{value:.2f}x"

    return of

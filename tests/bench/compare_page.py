"""The comparison of detectors as Markdown, from what its stages noted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.bench.compare import DETECTORS, NOT_MEASURED
from tests.bench.detectors import PATCHCORE

State = Mapping[str, Mapping[str, Any]]
STAGES = ("compare_int8", "compare_fp32", "compare_patchcore")
FIGURES = ("image_auroc", "pixel_auroc", "au_pro")


def comparison(state: State) -> str:
    """The subsection of docs/results.md."""
    sizes, compared = state["compare_int8"], state["compare_all"]
    return "\n\n".join(
        [
            "### Detectors on the magnetic tiles (weights as they came, the same for all)",
            f"Fitted on the same {sizes['trained_on']} good pictures, 224 px, layer2 and layer3. *pooled*: One-Class "
            f"SVM of the whole part. *patch, INT8*: the fused graph of a bundle, {sizes['landmarks']} landmarks, "
            "fitted on the INT8 network's features. *patch, FP32*: fitted on and run with the FP32 network, no 8-bit "
            "number anywhere. *nearest neighbour*: distance to the nearest patch on the features of patch, INT8, after "
            f"its projection and with the same pooling; once among {sizes['sample']:,} random patches of all good "
            "pictures, which is the reference of the bar, once among the detector's own landmarks."
            f"{_peer(state)} Pixels are judged at the size of the original pictures; AU-PRO up to 30 % false "
            "positives.",
            _figures(state),
            "Differences of image AUROC in points, with the 95 % interval of a paired bootstrap over "
            f"{compared['tiles']} tiles (2000 draws; whole tiles are drawn). The bar is for the difference itself, not "
            "for its interval.",
            _differences(compared),
        ]
    )


def _figures(state: State) -> str:
    measured: dict[str, Mapping[str, Any]] = {}
    for stage in STAGES:
        measured |= state[stage].get("detectors", {})
    lines = ["| detector | image AUROC % | pixel AUROC % | AU-PRO % |", "| --- | ---: | ---: | ---: |"]
    for name in DETECTORS:
        cells = [_points(measured[name][figure]) for figure in FIGURES] if name in measured else [NOT_MEASURED, "", ""]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _differences(compared: Mapping[str, Any]) -> str:
    lines = ["| difference | points | 95 % interval | bar | met |", "| --- | ---: | ---: | --- | --- |"]
    for one in compared["differences"]:
        bar = "" if one["bar"] is None else f"at least {one['bar']:+g}"
        met = {True: "yes", False: "**NO**", None: ""}[one["met"]]
        interval = f"{one['low']:+.1f} to {one['high']:+.1f}"
        lines.append(f"| {one['ours']} minus {one['other']} | {one['value']:+.2f} | {interval} | {bar} | {met} |")
    return "\n".join(lines)


def _peer(state: State) -> str:
    facts = state["compare_patchcore"].get("peer")
    if facts is None:
        return ""
    bank, width = facts["bank"]
    return (
        f" *{PATCHCORE}*: {facts['anomalib']}, ResNet50, memory bank of {bank} patches x {width} features, exported to "
        "OpenVINO FP32 and run by its own inferencer; its heat map is 224 px, smoothed by itself."
    )


def _points(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}"

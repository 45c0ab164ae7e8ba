"""The section "Real pictures" of docs/results.md, between markers, so that the page's other sections stay."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge_deploy.hidden import FALL, OVERKILL
from inspector.core.stats import clopper_pearson
from inspector.runtime import cpu_model, instruction_sets
from tests.bench import backbone, imbalance, levers, resplits
from tests.bench.compare_page import comparison
from tests.bench.markdown import listed, percent, table
from training.runs import Run

BEGIN, END = "<!-- real pictures: begin (written by make real) -->", "<!-- real pictures: end -->"
State = Mapping[str, Mapping[str, Any]]
MOST_BETWEEN = 3  # test pictures of steel, net, between FP32 and INT8


def write_section(page: Path, state: State, weights: str, steel: Run) -> None:
    """Replace the section, or add it at the end of the page; its figure lies beside the page."""
    text = page.read_text(encoding="utf-8") if page.exists() else "# Results\n"
    section = f"{BEGIN}\n{_section(state, weights, steel)}\n{END}"
    before, begin, rest = text.partition(BEGIN)
    after = rest.partition(END)[2] if begin else "\n"
    page.parent.mkdir(parents=True, exist_ok=True)
    resplits.write_figure(state["cover_tiles"], page)
    page.write_text((before if begin else text.rstrip() + "\n\n") + section + after, encoding="utf-8")


def _section(state: State, weights: str, steel: Run) -> str:
    file = weights if weights in {"imagenet", "none"} else f"../shared/weights/{Path(weights).name}"
    parts = [
        "## Real pictures",
        f"Command: `make real` (`python -m tests.bench.real --data ../shared/data --weights {file}`), "
        f"{_commits(state)}."
        f"\nCPU: {cpu_model()}, {', '.join(sorted(instruction_sets()))}. "
        f"The backbone started from: **{steel.initial_weights}**.{_caveat(weights)}",
        _steel(state),
        imbalance.section(state["compare_imbalance"]),
        _tiles(state),
        resplits.section(state["cover_tiles"]),
        *([backbone.section(state["train_backbones"], state["compare_backbones"])] if _taught(state) else []),
        comparison(state),
        levers.section(state["compare_levers"]),
        _hidden(state),
        _lines(state),
        "### Time\n\n" + table(("stage", "s"), [(name, f"{one['seconds']:.0f}") for name, one in state.items()]),
    ]
    return "\n\n".join(parts) + "\n"


def _taught(state: State) -> bool:
    """The last stages, and the longest for what they tell: a page without them is whole."""
    return "compare_backbones" in state


def _commits(state: State) -> str:
    """Which code made which stage: an interrupted run may go on with newer code."""
    stages: dict[str, list[str]] = {}
    for name, one in state.items():
        stages.setdefault(str(one.get("commit", "unknown")), []).append(name)
    if len(stages) == 1:
        return f"commit `{next(iter(stages))}`"
    return "commits " + "; ".join(f"`{commit}` ({listed(names)})" for commit, names in stages.items())


def _caveat(weights: str) -> str:
    if weights == "none":
        return " Random weights: the figures show that the whole works, not what the product reaches."
    if "standin" in weights:
        return (
            " This is a stand-in, taught for 85 minutes of two cores to have the features of a small ImageNet network:"
            " the figures compare methods and show that the whole works. A real ImageNet ResNet50 should do better."
        )
    return ""


def _steel(state: State) -> str:
    bundle, trained = state["bundle_steel"], state["train_steel"]["metrics"]
    m = bundle["metrics"]
    stages = [(name, percent(m[f"{key}_accuracy"]), percent(m[f"{key}_macro_f1"])) for name, key in STAGES]
    return "\n\n".join(
        [
            "### Steel strip (X-SDD, 7 classes; red_iron and iron_sheet_ash play acceptable)",
            f"{trained['epochs']:.0f} epochs at 128 px in {trained['train_seconds'] / 60:.0f} min, best by validation: "
            f"epoch {trained['best_epoch']:.0f}. Test split, {m['test_images']:.0f} pictures:",
            table(("graph", "accuracy", "macro-F1"), stages),
            _net_difference(m),
            f"At the chosen limits ({bundle['chosen_by']}; calibrated on {bundle['calibration']['good']} pictures; no "
            "negatives exist for this set):",
            _bounds(bundle),
        ]
    )


def _net_difference(metrics: Mapping[str, float]) -> str:
    """Of INT8 against FP32, in pictures, with the bar."""
    net = round((metrics["int8_accuracy"] - metrics["fp32_accuracy"]) * metrics["test_images"])
    met = "yes" if abs(net) <= MOST_BETWEEN else "**NO**"
    return f"INT8 minus FP32: {net:+d} pictures net; bar: at most {MOST_BETWEEN} either way; met: {met}."


STAGES = (("PyTorch FP32", "pytorch"), ("OpenVINO FP32", "fp32"), ("OpenVINO INT8, fused", "int8"))


def _tiles(state: State) -> str:
    scores, bundle = state["tile_aurocs"], state["bundle_tiles"]
    patch, pooled = scores["auroc"]["anomaly"], scores["auroc"]["novelty"]
    rows = [
        (kind, count, f"{100 * patch[kind]:.1f}", f"{100 * pooled[kind]:.1f}")
        for kind, count in scores["pictures"].items()
    ]
    return "\n\n".join(
        [
            "### Magnetic tiles (good parts only, features of the steel run, split by tile)",
            f"AUROC % of {scores['good']} good test pictures against each kind, by both scores of the bundle's INT8 "
            "graph (224 px): the patch detector's anomaly_score, and novelty_score of the whole part, pooled.",
            table(("kind", "pictures", "anomaly_score", "novelty_score"), rows),
            _patches_against_pooled(patch, pooled),
            f"At the chosen limits ({bundle['chosen_by']}; calibrated on {bundle['calibration']['good']} pictures of "
            f"{bundle['calibration']['groups']} tiles; no negatives exist for this set):",
            _bounds(bundle),
            _at_these_limits(bundle, patch),
        ]
    )


def _patches_against_pooled(patch: Mapping[str, float], pooled: Mapping[str, float]) -> str:
    kinds = [kind for kind in patch if kind != "all"]
    found = {"better on": [kind for kind in kinds if patch[kind] > pooled[kind]]}
    found["no better on"] = [kind for kind in kinds if kind not in found["better on"]]
    words = ", ".join(f"{what} {listed(of)}" for what, of in found.items() if of)
    by = 100 * (patch["all"] - pooled["all"])
    return f"All kinds together, looking at patches is worth {by:+.1f} points against the pooled vector: {words}."


def _at_these_limits(bundle: Mapping[str, Any], patch: Mapping[str, float]) -> str:
    """AUROC is no promise: what passes at the limits stands beside it."""
    escape = next((bound for bound in bundle["bounds"] if bound["name"] == "escape"), None)
    if escape is None or not escape["of"]:
        return ""
    passed = escape["failures"] / escape["of"]
    return (
        f"At an AUROC of {100 * patch['all']:.1f} %, {100 * passed:.0f} % of the defects still pass at these limits: "
        "AUROC says how well scores rank, not what a limit for few overkills lets through."
    )


def _bounds(bundle: Mapping[str, Any]) -> str:
    rows = []
    for bound in bundle["bounds"]:
        interval = clopper_pearson(bound["failures"], bound["of"])
        share = bound["failures"] / bound["of"] if bound["of"] else 0.0
        name = bound["name"].replace("escape:", "escape, ")
        seen = f"{bound['failures']} of {bound['of']}"
        rows.append((name, seen, percent(share), f"{percent(interval.low)} to {percent(interval.high)}"))
    return table(("promise", "failures", "share", "95 % interval"), rows)


def _hidden(state: State) -> str:
    """The bar of a detector that must not learn defects as normal."""
    rows = [
        (
            one["kind"],
            f"{one['hidden']} of {one['good']}",
            one["judged"],
            f"{100 * one['recall_before']:.1f}",
            f"{100 * one['recall']:.1f}",
            "yes" if one["met"] else "**NO**",
        )
        for one in state["hide_defects"]["trials"]
    ]
    return "\n\n".join(
        [
            "### Defects hidden among the good tiles",
            "Good training pictures are replaced by defects of one kind and the INT8 patch detector is fitted anew; "
            f"recall on other tiles with that kind, at {100 * OVERKILL:.0f} % overkill of held-out good tiles. "
            f"Bar: it falls by at most {100 * FALL:.0f} points.",
            table(("kind", "hidden", "judged", "recall before %", "recall %", "met"), rows),
        ]
    )


def _lines(state: State) -> str:
    names = {"line_steel": "steel strip", "line_tiles": "magnetic tiles"}
    columns = ("triggers", "rows", "plc_results", "mismatches", "pass", "fail", "uncertain", "not_inspected")
    rows = [
        (
            name,
            *(str(state[stage][column]) for column in columns),
            *(f"{state[stage]['cycle_ms'][q]:.1f}" for q in ("p50", "p99")),
        )
        for stage, name in names.items()
    ]
    heads = ("line", "triggers", "rows", "PLC results", "differ", "pass", "fail", "uncertain", "not inspected")
    return "\n\n".join(
        [
            "### On the line",
            "The daemon as a process on the folder camera that replays the test pictures, the simulated PLC triggering "
            "over Modbus TCP. Each trigger has one row, and one result that the PLC read; the cycle is from the "
            "trigger's edge to RESULTS_VALID as the simulated PLC saw them.",
            table((*heads, "cycle p50 ms", "p99 ms"), rows),
        ]
    )

"""The section "Real pictures" of docs/results.md, between markers, so that the page's other sections stay."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inspector.core.stats import clopper_pearson
from inspector.runtime import cpu_model, instruction_sets
from tests.bench.compare_page import comparison
from training.runs import Run

BEGIN, END = "<!-- real pictures: begin (written by make real) -->", "<!-- real pictures: end -->"
State = Mapping[str, Mapping[str, Any]]


def write_section(page: Path, state: State, weights: str, steel: Run) -> None:
    """Replace the section, or add it at the end of the page."""
    text = page.read_text(encoding="utf-8") if page.exists() else "# Results\n"
    section = f"{BEGIN}\n{_section(state, weights, steel)}\n{END}"
    before, begin, rest = text.partition(BEGIN)
    after = rest.partition(END)[2] if begin else "\n"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text((before if begin else text.rstrip() + "\n\n") + section + after, encoding="utf-8")


def _section(state: State, weights: str, steel: Run) -> str:
    file = weights if weights in {"imagenet", "none"} else f"../shared/weights/{Path(weights).name}"
    parts = [
        "## Real pictures",
        f"Command: `make real` (`python -m tests.bench.real --data ../shared/data --weights {file}`), commit "
        f"`{steel.git_commit}`.\nCPU: {cpu_model()}, {', '.join(sorted(instruction_sets()))}. "
        f"The backbone started from: **{steel.initial_weights}**.{_caveat(weights)}",
        _steel(state),
        _tiles(state),
        comparison(state),
        _lines(state),
        "### Time\n\n" + _table(("stage", "s"), [(name, f"{one['seconds']:.0f}") for name, one in state.items()]),
    ]
    return "\n\n".join(parts) + "\n"


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
    stages = [(name, _percent(m[f"{key}_accuracy"]), _percent(m[f"{key}_macro_f1"])) for name, key in STAGES]
    return "\n\n".join(
        [
            "### Steel strip (X-SDD, 7 classes; red_iron and iron_sheet_ash play acceptable)",
            f"{trained['epochs']:.0f} epochs at 128 px in {trained['train_seconds'] / 60:.0f} min, best by validation: "
            f"epoch {trained['best_epoch']:.0f}. Test split, {m['test_images']:.0f} pictures:",
            _table(("graph", "accuracy", "macro-F1"), stages),
            f"At the chosen limits ({bundle['chosen_by']}; calibrated on {bundle['calibration']['good']} pictures; no "
            "negatives exist for this set):",
            _bounds(bundle),
        ]
    )


STAGES = (("PyTorch FP32", "pytorch"), ("OpenVINO FP32", "fp32"), ("OpenVINO INT8, fused", "int8"))


def _tiles(state: State) -> str:
    scores, bundle = state["score_tiles"], state["bundle_tiles"]
    kinds = [("all", scores["strange"], scores["auroc"])]
    counts = {bound["name"].removeprefix("escape:"): bound["of"] for bound in bundle["bounds"]}
    kinds += [(kind, counts.get(kind, ""), value) for kind, value in scores["auroc_of"].items()]
    rows = [(kind, str(count), f"{100 * value:.1f}") for kind, count, value in kinds]
    return "\n\n".join(
        [
            "### Magnetic tiles (good parts only, features of the steel run, split by tile)",
            f"Novelty (One-Class SVM on the pooled INT8 embedding, 224 px) of {scores['good']} good test "
            "pictures against:",
            _table(("kind", "pictures", "AUROC %"), rows),
            f"At the chosen limits ({bundle['chosen_by']}; calibrated on {bundle['calibration']['good']} pictures of "
            f"{bundle['calibration']['groups']} tiles; no negatives exist for this set):",
            _bounds(bundle),
            "The pooled vector alone misses small defects; the patch detector, compared below, looks for those.",
        ]
    )


def _bounds(bundle: Mapping[str, Any]) -> str:
    rows = []
    for bound in bundle["bounds"]:
        interval = clopper_pearson(bound["failures"], bound["of"])
        share = bound["failures"] / bound["of"] if bound["of"] else 0.0
        name = bound["name"].replace("escape:", "escape, ")
        seen = f"{bound['failures']} of {bound['of']}"
        rows.append((name, seen, _percent(share), f"{_percent(interval.low)} to {_percent(interval.high)}"))
    return _table(("promise", "failures", "share", "95 % interval"), rows)


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
            _table((*heads, "cycle p50 ms", "p99 ms"), rows),
        ]
    )


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _table(heads: tuple[str, ...], rows: list[Any]) -> str:
    align = ["---", *["---:"] * (len(heads) - 1)]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in (heads, align, *rows))

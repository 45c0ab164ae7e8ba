"""Does the limit keep its share of overkill on real pictures? Held-out good tiles, dealt again and again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_deploy.coverage import Coverage, Resplits, coverage
from edge_deploy.pictures import Pictures
from edge_deploy.plots import Look, overkill_of_resplits
from edge_deploy.predict import Predict, predict_all
from edge_deploy.steps import Steps
from edge_deploy.strain import ShapeConfig, scores_of, shape_of, wide_novelty
from inspector.core.types import Prediction
from tests.bench.markdown import percent, table

SHARE = 0.05  # what half of the tiles can promise
RESPLITS = 100
FIGURE = "real-coverage.svg"
# of Coverage, in words
LOOKS = {
    "groups": "tile, counted by tile: as the calibration counts",
    "pictures": "tile, counted by picture",
    "leak": "picture, counted by picture: the leak",
}


def held_out_good(predict: Predict, pictures: Pictures, good: frozenset[str], steps: Steps) -> dict[str, Any]:
    """Judge the good pictures of val and test, on which nothing was fitted, and deal them again and again."""
    which = [picture for picture in (*pictures.val, *pictures.test) if picture.truth in good]
    with steps.bar("held-out good pictures", len(which)) as tick:
        found = predict_all(predict, pictures, which, tick)
    return dealt(found, [picture.group for picture in which], good)


def dealt(found: Sequence[Prediction], groups: Sequence[str], good: frozenset[str], share: float = SHARE) -> Any:
    """Strain of the whole decision, and the anomaly score alone. groups: the tile of each.

    The tails that a strain is measured in are those of all these pictures, whichever half they fall into: so strains
    are as exchangeable as the pictures are. Raises ValueError: a score is missing or not finite, or too few tiles.
    """
    scores = scores_of(found, good, "held-out good pictures")
    if scores.anomaly is None:
        raise ValueError("the bundle has no anomaly score: it was built with the pooled detector")
    cfg = ShapeConfig()
    strain = shape_of(scores, wide_novelty(scores, (), cfg), cfg).strain(scores)
    looks = {
        name: _noted(coverage(values, groups, share, resplits=RESPLITS))
        for name, values in (("strain", strain), ("anomaly", scores.anomaly))
    }
    return {"pictures": len(found), "groups": len(set(groups)), "share": share, **looks}


def section(found: Mapping[str, Any]) -> str:
    """The subsection of docs/results.md."""
    rows = [(name, *_row(found["strain"][look])) for look, name in LOOKS.items()]
    same = found["strain"] == found["anomaly"]
    beside = (
        "The anomaly score alone gives the very same figures: with one class and no negatives it decides by itself."
        if same
        else "By the anomaly score alone: "
        + ", ".join(f"{look} {percent(_inside(found['anomaly'][look]))} inside" for look in LOOKS)
        + "."
    )
    return "\n\n".join(
        [
            "### Does the limit keep its share? (held-out good tiles)",
            f"{found['pictures']} good pictures of {found['groups']} tiles on which nothing was fitted (val and test) "
            f"through the bundle's INT8 graph; strain of the whole decision. {RESPLITS} times half of them set a "
            f"limit for {100 * found['share']:g} % overkill and the other half is judged, the detector stays. The band "
            "is where 95 % of the shares lie if what is counted is exchangeable (beta-binomial). A tile counts as "
            "rejected when one of its pictures is.",
            table(("dealt by", "overkill, mean", "95 % of resplits", "inside the band"), rows),
            f"![Observed overkill of {RESPLITS} resplits, with the band of each]({FIGURE})",
            f"{_conclusion(found['strain'])} {beside}",
        ]
    )


def figure(found: Mapping[str, Any]) -> str:
    """The text of an SVG file, one panel a way to deal."""
    strain = found["strain"]
    panels = {LOOKS[name]: Look(*(strain[name][part] for part in ("overkill", "low", "high"))) for name in LOOKS}
    return overkill_of_resplits(panels, found["share"])


def write_figure(found: Mapping[str, Any], beside: Path) -> None:
    """beside: the page that shows it."""
    beside.with_name(FIGURE).write_text(figure(found), encoding="utf-8")


def _conclusion(strain: Mapping[str, Any]) -> str:
    """By the shares inside their bands, of which 95 % is what exchangeable parts give."""
    groups, pictures, leak = (_inside(strain[name]) for name in LOOKS)
    proof = (
        f"Dealt at random, tiles counted by tile stay inside their band whatever the data ({100 * groups:.0f} %), so "
        f"do pictures dealt by picture ({100 * leak:.0f} %): that shows that the arithmetic is right, not that a line "
        "keeps its share tomorrow, for which pictures of later lots are needed. What these tiles tell is the row "
        "between."
    )
    if groups < 0.9:
        proof = f"Limits by tile do NOT keep their share ({100 * groups:.0f} % inside): the arithmetic is wrong."
    leaks = (
        f"A limit by pictures is worth less on other tiles than it says ({100 * pictures:.0f} % inside); dealing by "
        "picture hides that: pictures of one tile are then on both sides."
        if pictures < min(leak, 0.9)
        else f"Counted by picture they stay inside too ({100 * pictures:.0f} %): these tiles show no leak."
    )
    return f"{proof} {leaks}"


def _noted(found: Coverage) -> dict[str, dict[str, list[float]]]:
    return {look: _lists(getattr(found, look)) for look in LOOKS}


def _lists(look: Resplits) -> dict[str, list[float]]:
    return {name: np.round(getattr(look, name), 6).tolist() for name in ("overkill", "low", "high")}


def _row(look: Mapping[str, Sequence[float]]) -> tuple[str, str, str]:
    low, high = np.quantile(look["overkill"], [0.025, 0.975])
    return percent(float(np.mean(look["overkill"]))), f"{percent(low)} to {percent(high)}", percent(_inside(look))


def _inside(look: Mapping[str, Sequence[float]]) -> float:
    overkill, low, high = (np.asarray(look[name]) for name in ("overkill", "low", "high"))
    return float(((low <= overkill) & (overkill <= high)).mean())

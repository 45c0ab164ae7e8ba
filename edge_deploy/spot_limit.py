"""The limit of strange spots for a bundle whose other limits stay: beyond every good part that they pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edge_deploy.calibrate import anomaly_spec, default_limits
from edge_deploy.choose import just_above
from edge_deploy.errors import DeployError
from edge_deploy.pictures import Picture
from edge_deploy.strain import scores_of
from inspector.core.decide import decide
from inspector.core.manifest import LimitsSpec
from inspector.core.stats import clopper_pearson
from inspector.core.types import Prediction
from plc.registers import Verdict

FEWEST = 20  # of fewer, "the worst of all" says next to nothing


def spot_limits(
    former: LimitsSpec,
    which: Sequence[Picture],
    found: Sequence[Prediction],
    good_labels: frozenset[str],
    slack: float = 1.1,
) -> LimitsSpec:
    """`former` with a limit of strange spots, and no promise: what was promised was so without it.

    which, found: held-out pictures and what the bundle makes of them. The limit lies `slack` times as far from the
    usual good part as the worst of those that the other limits pass: it rejects none of them.

    Raises DeployError: too few good parts pass, or a score is missing or not finite.
    """
    passes = _passing(former, found, good_labels)
    is_good = [picture.truth in good_labels for picture in which]
    good = [i for i, (ok, passed) in enumerate(zip(is_good, passes, strict=True)) if ok and passed]
    escaped = [found[i].anomaly_score for i, ok in enumerate(is_good) if passes[i] and not ok]
    if len(good) < FEWEST:
        raise DeployError(
            f"{len(good)} of {sum(is_good)} held-out good pictures pass the bundle's limits; at least {FEWEST} are "
            "needed to set another one beside them"
        )
    spots = scores_of([found[i] for i in good], good_labels, "good held-out pictures").anomaly
    if spots is None:
        raise DeployError("the graph gives no anomaly score: there is nothing to set a limit of")
    usual, worst = float(np.median(spots)), float(spots.max())
    limit = just_above(usual + slack * (worst - usual))
    return replace(
        former,
        max_anomaly_score=anomaly_spec(limit, usual, [score for score in escaped if score is not None]),
        anomaly_median=usual,
        chosen_by=f"{former.chosen_by}; strange spots, these limits kept: {slack:g} times as far out as the worst of "
        f"the {_worth([which[i] for i in good])}",
        bounds=(),
        promise=None,
    )


def _passing(former: LimitsSpec, found: Sequence[Prediction], good_labels: frozenset[str]) -> list[bool]:
    limits = default_limits(former, good_labels)
    return [decide(prediction, limits).verdict is Verdict.PASS for prediction in found]


def _worth(good: Sequence[Picture]) -> str:
    """In words: how many they are, and how often others may lie beyond the worst of them."""
    units = len({picture.unit for picture in good})
    upper = clopper_pearson(0, units, side="upper").high
    grouped = "" if units == len(good) else f" in {units} groups"
    return (
        f"{len(good)} good pictures{grouped} that they pass; of others it rejects at most {upper:.2%} more, with 95 % "
        "confidence"
    )

"""What if defects hide among the good pictures? Some of one kind are put there, and the detector is fitted anew.

k-centre loves outliers, so one scratch among the good pictures may become a landmark of normality, and every such
scratch then passes. A rule keeps such patches out (edge_deploy/coreset.py); whether it does on *these* pictures is
tried here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edge_deploy.errors import DeployError
from edge_deploy.fit import Detector, fit_patches, good_of
from edge_deploy.patches import PatchConfig, PatchHead
from edge_deploy.pictures import Picture, Pictures
from edge_deploy.predict import maps_of
from edge_deploy.steps import Steps
from inspector.model import CompiledIr

SHARES = (0.01, 0.03)  # of the good training pictures
OVERKILL = 0.05  # both detectors are judged at the limit that this share of held-out good pictures exceeds
FALL = 0.05  # recall may fall by so much
FEWEST = 20  # pictures of the kind to judge by: with fewer, one more missed is a fall beyond the limit


@dataclass(frozen=True, slots=True)
class HiddenTrial:
    """hidden: pictures of `kind` among `good` ones; recall: share of the `judged` others that is found, 0..1."""

    kind: str
    hidden: int
    good: int
    judged: int
    recall_before: float
    recall: float

    @property
    def met(self) -> bool:
        return self.recall >= self.recall_before - FALL - 1e-9

    @property
    def text(self) -> str:
        return (
            f"With {self.hidden} of {self.good} good training pictures replaced by {self.kind}, recall on "
            f"{self.judged} others of that kind goes from {100 * self.recall_before:.1f} to {100 * self.recall:.1f} % "
            f"(at {100 * OVERKILL:.0f} % overkill)."
        )


def refuse_untriable(
    kinds: Sequence[str], pictures: Pictures, acceptable: Collection[str], detector: Detector, seed: int
) -> None:
    """Before any work. Raises DeployError: a kind that cannot be tried; the text lists the kinds with their numbers."""
    if kinds and detector is not Detector.PATCH:
        raise DeployError(
            f"--hide tries the detector of spots, and --detector {detector} has none: leave one of them out"
        )
    for kind in kinds:
        if kind in acceptable:
            raise DeployError(f"--hide {kind}: these pictures are good ones. {_kinds_of(pictures, acceptable)}")
        if not _of_kind(pictures, kind):
            raise DeployError(f"--hide {kind}: no picture shows it. {_kinds_of(pictures, acceptable)}")
        _deal(pictures, acceptable, kind, max(SHARES), seed)


def _kinds_of(pictures: Pictures, acceptable: Collection[str]) -> str:
    counts = Counter(one.truth for one in _all(pictures) if one.truth not in acceptable)
    if not counts:
        return "The run has no pictures of defects"
    return f"Kinds of defect, with their pictures: {', '.join(f'{k} ({n})' for k, n in sorted(counts.items()))}"


def _all(pictures: Pictures) -> tuple[Picture, ...]:
    return (*pictures.train, *pictures.test, *pictures.val)


def _of_kind(pictures: Pictures, kind: str) -> list[Picture]:
    return [picture for picture in _all(pictures) if picture.truth == kind]


def try_hidden(
    int8: CompiledIr,
    pictures: Pictures,
    acceptable: Collection[str],
    kind: str,
    cfg: PatchConfig,
    steps: Steps,
    shares: Sequence[float] = SHARES,
) -> tuple[HiddenTrial, ...]:
    """One trial a share. int8: with its raw maps as outputs. Raises DeployError: too few pictures of this kind.

    Those that hide come from train, else from val and test, and take the place of good pictures drawn by lot; none of
    their part or lot is judged afterwards.
    """
    good = good_of(pictures.train, acceptable)
    hidden, judged = _deal(pictures, acceptable, kind, max(shares), cfg.seed)
    place = np.random.default_rng([cfg.seed, 1]).permutation(len(good))  # the last in the list may all be of one lot
    held_out = good_of(pictures.val, acceptable) or good_of(pictures.test, acceptable)

    def recall(fitted_on: Sequence[Picture]) -> float:
        head = fit_patches(int8, pictures, fitted_on, cfg, steps).head
        limit = np.quantile(_scores(head, int8, pictures, held_out, steps), 1 - OVERKILL)
        return float((_scores(head, int8, pictures, judged, steps) > limit).mean())

    before = recall(good)
    trials = []
    for share in shares:
        count = max(1, round(share * len(good)))
        steps.say(f"hiding {count} of {kind} among {len(good)} good pictures")
        mixed = list(good)
        for at, one in zip(place[:count], hidden, strict=False):
            mixed[at] = replace(one, truth=good[0].truth)
        found = recall(mixed)
        trials.append(HiddenTrial(kind, count, len(good), len(judged), before, found))
    return tuple(trials)


def _deal(
    pictures: Pictures, acceptable: Collection[str], kind: str, share: float, seed: int
) -> tuple[list[Picture], list[Picture]]:
    """As _dealt. Raises DeployError: too few to hide (`share` of the good ones' number) and to judge by."""
    ours = _of_kind(pictures, kind)
    most = max(1, round(share * len(good_of(pictures.train, acceptable))))
    hidden, judged = _dealt(ours, most, set(pictures.train), seed)
    if len(hidden) < most or len(judged) < FEWEST:
        raise DeployError(
            f"{len(ours)} pictures of {kind}: {most} are needed to hide, and {FEWEST} of other parts, not trained on, "
            f"to judge by (here {len(judged)}). {_kinds_of(pictures, acceptable)}"
        )
    return hidden, judged


def _dealt(
    ours: Sequence[Picture], most: int, trained_on: Collection[Picture], seed: int
) -> tuple[list[Picture], list[Picture]]:
    """Those that hide, training pictures first, each of another part where there are enough; those that judge."""
    order = np.random.default_rng(seed).permutation(len(ours))
    shuffled = sorted((ours[i] for i in order), key=lambda one: one not in trained_on)
    first_of: dict[str, Picture] = {}
    for one in shuffled:
        first_of.setdefault(one.unit, one)
    hidden = [*first_of.values(), *(one for one in shuffled if one not in first_of.values())][:most]
    parts = {one.unit for one in hidden}
    return hidden, [one for one in ours if one not in trained_on and one.unit not in parts]


def _scores(
    head: PatchHead, int8: CompiledIr, pictures: Pictures, which: Sequence[Picture], steps: Steps
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    with steps.bar("judging", len(which)) as tick:
        found = []
        for picture in which:
            found.append(head.anomaly_score(head.anomaly_map(maps_of(int8.infer(pictures.view(picture))))))
            tick()
    return np.asarray(found, np.float64)

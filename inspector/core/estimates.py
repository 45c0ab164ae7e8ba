"""What review says about the line: false rejects, overkill, and what escaped. Pure.

Three figures, each with what it is a share of:

- *false-reject share* = good after review / reviewed rejects: how far a reject is to be believed.
- *overkill* = good rejected / good presented: what the inspection costs in good parts.
- *escapes* = not good / reviewed passes, of the random sample of passes alone. Rejects and near-misses were chosen by
  the model that is to be tested, so they say nothing about what it let pass.

Bounds are one-sided Clopper-Pearson bounds at 95 % on the bad side. Parts that a person was unsure about are left out
of the share and count against us in the bound: as good among the rejects, as not good among the passes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from inspector.core.stats import clopper_pearson

CONFIDENCE = 0.95


class Basis(StrEnum):
    """What the judgements rest on."""

    NONE = "none"  # nothing was reviewed
    IMAGE = "image_judged"  # people looked at the picture that the model saw: what it does not show, they miss too
    TRUTH = "by_truth"  # every part was judged by re-inspection, a later test or a complaint, by its serial


@dataclass(frozen=True, slots=True)
class Reviewed:
    """Parts of one kind that were reviewed."""

    good: int = 0
    not_good: int = 0
    unsure: int = 0
    by_truth: int = 0  # of these, judged by something else than the picture

    @property
    def sure(self) -> int:
        return self.good + self.not_good

    @property
    def all(self) -> int:
        return self.sure + self.unsure

    @property
    def basis(self) -> Basis:
        if not self.all:
            return Basis.NONE
        return Basis.TRUTH if self.by_truth == self.all else Basis.IMAGE


@dataclass(frozen=True, slots=True)
class Estimate:
    """share: 0..1, None: nothing to say yet. upper: it is at most that, with 95 % confidence; 1 while all is open."""

    share: float | None
    upper: float
    reviewed: int  # parts that it rests on, unsure ones included
    unsure: int
    basis: Basis


def false_rejects(rejects: Reviewed) -> Estimate:
    """Good after review / reviewed rejects."""
    upper = clopper_pearson(rejects.good + rejects.unsure, rejects.all, CONFIDENCE, "upper").high
    return _estimate(_share(rejects.good, rejects.sure), upper, rejects)


def escapes(sample: Reviewed) -> Estimate:
    """Not good / reviewed passes of the random sample: what share of all that passed should not have."""
    upper = clopper_pearson(sample.not_good + sample.unsure, sample.all, CONFIDENCE, "upper").high
    return _estimate(_share(sample.not_good, sample.sure), upper, sample)


def overkill(rejects: Reviewed, sample: Reviewed, rejected: int, passed: int) -> Estimate:
    """Good rejected / good presented, from two strata that were sampled differently.

    rejected, passed: all parts that were, reviewed or not. Nearly every reject is kept and looked at, of the passes one
    in fifty: simply adding them up would weigh rejects fifty times too much. So each reviewed part stands for as many
    as its stratum has for each that was reviewed, one over its sampling share (Horvitz and Thompson 1952; the combined
    ratio of stratified sampling, Cochran 1977, 5.1 and 6.11):

        overkill = R p / (R p + P (1 - e))      R, P: rejected, passed; p: good among rejects; e: not good among passes

    It grows with p and with e, so their upper bounds give its upper bound; each is taken at half of the 5 %, whereby
    both hold at once with 95 % (Bonferroni). Raises ValueError: more were reviewed than there were.
    """
    if rejects.all > rejected or sample.all > passed:
        raise ValueError("more parts were reviewed than there were")
    half = (1 + CONFIDENCE) / 2
    p_upper = clopper_pearson(rejects.good + rejects.unsure, rejects.all, half, "upper").high
    e_upper = clopper_pearson(sample.not_good + sample.unsure, sample.all, half, "upper").high
    p, e = _share(rejects.good, rejects.sure), _share(sample.not_good, sample.sure)
    share = _ratio(rejected, passed, 0.0 if not rejected else p, 0.0 if not passed else e)
    upper = _ratio(rejected, passed, p_upper, e_upper)
    both = Reviewed(
        rejects.good + sample.good,
        rejects.not_good + sample.not_good,
        rejects.unsure + sample.unsure,
        rejects.by_truth + sample.by_truth,
    )
    return _estimate(share, 1.0 if upper is None else upper, both)


def _ratio(rejected: int, passed: int, p: float | None, e: float | None) -> float | None:
    if p is None or e is None:
        return None
    good = rejected * p + passed * (1 - e)
    return rejected * p / good if good > 0 else None


def _share(k: int, n: int) -> float | None:
    return k / n if n else None


def _estimate(share: float | None, upper: float, reviewed: Reviewed) -> Estimate:
    return Estimate(share, upper, reviewed.all, reviewed.unsure, reviewed.basis)

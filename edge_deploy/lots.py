"""What limits are worth on a lot they have not seen: each lot is left out once, and judged by limits set without it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_deploy.choose import by_unit, unit_numbers, without
from edge_deploy.strain import Float, Scores, Shape, shape_of
from inspector.core.stats import clopper_pearson, parts_needed, tolerance_limit

ABOVE_MEDIAN = 0.5 * 0.95
LOTS_NEEDED = parts_needed(ABOVE_MEDIAN)  # 5


@dataclass(frozen=True, slots=True)
class Lot:
    """Good parts of one lot (its pictures, where nothing says which of them show one part).

    rejected: by the limits; left_out: by limits that were set without this lot.
    """

    name: str
    parts: int
    rejected: int
    left_out: int

    @property
    def share(self) -> float:
        """Of its parts, those that limits set without it reject."""
        return self.left_out / self.parts

    @property
    def upper(self) -> float:
        """Upper 95 % bound of that share."""
        return clopper_pearson(self.left_out, self.parts, side="upper").high


@dataclass(frozen=True, slots=True)
class Lots:
    """At least two lots, by name."""

    lots: tuple[Lot, ...]

    @property
    def share(self) -> float:
        """Of all good parts, those that limits set without their lot reject."""
        return sum(lot.left_out for lot in self.lots) / sum(lot.parts for lot in self.lots)

    @property
    def median_lot_upper(self) -> float | None:
        """Half of all lots lose at most this share, with 95 % confidence; None: fewer than 5 lots cannot say.

        An order statistic of the lots' upper bounds. A lot's bound lies above the median lot's share if the lot is one
        of the worse half (1 in 2) and its bound holds (95 %): of 5 lots at least one does with 96 %, of 4 with 92 %
        only. There is no promise for the worst lot to come.
        """
        if len(self.lots) < LOTS_NEEDED:
            return None
        return tolerance_limit([lot.upper for lot in self.lots], ABOVE_MEDIAN)


def left_out(scores: Scores, shape: Shape, units: Sequence[str] | None, lots: Sequence[str], k: float) -> Lots | None:
    """Of good pictures, with what strains more than k rejected; None where they are of one lot.

    Without a lot, tails are measured and the rank of k is taken among the rest alone; novelty's wide limits stay.
    """
    names, lot_of = np.unique(np.asarray(lots), return_inverse=True)
    if len(names) < 2:
        return None
    unit_of = unit_numbers(units, len(scores))
    counted = unit_of if len(np.unique(unit_of)) > len(names) else np.arange(len(scores))
    strain = shape.strain(scores)
    all_units = by_unit(strain, unit_of, worst=True)
    above, of = int(_rejected(all_units, k).sum()), len(all_units)
    found = []
    for number, name in enumerate(names):
        inside = lot_of == number
        rest = scores.of(~inside)
        rejected = np.ones(int(inside.sum()), np.bool_)
        if rest.called_good.any():
            shape_without = shape_of(rest, shape.wide, shape.cfg)
            k_without = without(by_unit(shape_without.strain(rest), unit_of[~inside], worst=True), above, of)
            rejected = _rejected(shape_without.strain(scores.of(inside)), k_without)
        parts = counted[inside]
        lost, here = (len(set(parts[which])) for which in (rejected, _rejected(strain[inside], k)))
        found.append(Lot(str(name), len(set(parts)), here, lost))
    return Lots(tuple(found))


def _rejected(strain: Float, k: float) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.asarray((strain > k) | np.isinf(strain), np.bool_)

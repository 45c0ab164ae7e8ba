"""What limits are worth on a lot they have not seen: each lot is left out once, and judged by limits set without it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_deploy.choose import by_unit, unit_numbers, without
from edge_deploy.strain import Float, Scores, Shape, shape_of
from inspector.core.stats import parts_needed, tolerance_limit


@dataclass(frozen=True, slots=True)
class Lot:
    """Good pictures of one lot. rejected: by the limits; left_out: by limits that were set without this lot."""

    name: str
    pictures: int
    rejected: int
    left_out: int

    @property
    def share(self) -> float:
        """Of its pictures, those that limits set without it reject."""
        return self.left_out / self.pictures


@dataclass(frozen=True, slots=True)
class Lots:
    """At least two lots, by name."""

    lots: tuple[Lot, ...]

    @property
    def share(self) -> float:
        """Of all good pictures, those that limits set without their lot reject."""
        return sum(lot.left_out for lot in self.lots) / sum(lot.pictures for lot in self.lots)

    @property
    def median_lot_upper(self) -> float | None:
        """Half of all lots lose at most this share, with 95 % confidence; None: fewer than 5 lots cannot say.

        An order statistic of the lots' own shares: the worst of 5 lies above the median lot with 1 - 0.5^5 = 97 %, the
        worst of 4 with 94 % only. There is no promise for the worst lot to come.
        """
        if len(self.lots) < parts_needed(0.5):
            return None
        return tolerance_limit([lot.share for lot in self.lots], 0.5)


def left_out(scores: Scores, shape: Shape, units: Sequence[str] | None, lots: Sequence[str], k: float) -> Lots | None:
    """Of good pictures, with what strains more than k rejected; None where they are of one lot.

    Without a lot, tails are measured and the rank of k is taken among the rest alone; novelty's wide limits stay.
    """
    names, lot_of = np.unique(np.asarray(lots), return_inverse=True)
    if len(names) < 2:
        return None
    unit_of = unit_numbers(units, len(scores))
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
        here = int(_rejected(strain[inside], k).sum())
        found.append(Lot(str(name), int(inside.sum()), here, int(rejected.sum())))
    return Lots(tuple(found))


def _rejected(strain: Float, k: float) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.asarray((strain > k) | np.isinf(strain), np.bool_)

"""A confusion matrix, with what each cell means for the line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

Cells = list[tuple[str, list[tuple[int, str]]]]


def matrix_rows(matrix: NDArray[Any], labels: Sequence[str], may_pass: Sequence[bool]) -> Cells:
    """matrix: (K, K) counts, row = truth. One (label, [(count, kind)]) a row, for the macro `matrix`."""
    return [
        (label, [(int(n), cell_kind(int(n), i, j, may_pass)) for j, n in enumerate(counts)])
        for i, (label, counts) in enumerate(zip(labels, matrix, strict=True))
    ]


def cell_kind(n: int, truth: int, said: int, may_pass: Sequence[bool]) -> str:
    """right, escape, overkill, other or zero: the class of a cell of the confusion."""
    if truth == said:
        return "right"
    if not n:
        return "zero"
    if may_pass[truth] == may_pass[said]:
        return "other"
    return "overkill" if may_pass[truth] else "escape"

"""Patches that a person should look at before approving: a defect may hide among the good pictures.

A landmark of normality that few parts support is a rare but right thing, or a defect that the detector was just taught
to accept. Only a person can tell.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from edge_deploy.patches import PatchFit
from edge_deploy.pictures import Picture, Pictures
from edge_deploy.report import Shown

MOST_ISOLATED = 50
RED = (179, 38, 30)
Box = tuple[int, int, int, int]


def isolated_of(fit: PatchFit, good: Sequence[Picture], pictures: Pictures) -> tuple[Shown, ...]:
    """The 50 landmarks with the least support, worst first: the view with a frame around the patch.

    good: the pictures that the head was fitted on, in order. The caption's number is the distance to the last part that
    supports the patch, in usual distances between landmarks.
    """
    shown = []
    for spot in fit.isolated[:MOST_ISOLATED]:
        picture = good[spot.picture]
        view = pictures.view(picture).copy()
        x, y, width, height = box_of(spot.cell, fit.grid, pictures.roi)
        thick = max(1, view.shape[1] // 200)
        cv2.rectangle(view, (x - width, y - height), (x + 2 * width, y + 2 * height), RED, thick)
        shown.append(
            Shown(
                np.asarray(view, np.uint8), f"{picture.file.name} at {x}, {y}: nearest support {spot.strangeness:.2f}"
            )
        )
    return tuple(shown)


def box_of(cell: tuple[int, int], grid: tuple[int, int], roi: Box) -> Box:
    """x, y, width, height of a cell (row, column) in pixels of the view."""
    width, height = roi[2] / grid[1], roi[3] / grid[0]
    return round(cell[1] * width), round(cell[0] * height), max(1, round(width)), max(1, round(height))


def left_out(fit: PatchFit) -> tuple[str, ...]:
    """For the report's notes: how many patches were kept from becoming landmarks."""
    if not fit.dropped:
        return ()
    return (
        f"{fit.dropped} of {fit.patches} patches of good training pictures were left out of what counts as normal: "
        f"fewer than {fit.parts_needed} other parts show anything like them. Right but rare features there will be "
        "called strange: if good parts fail for one, add pictures that show it",
    )

"""When a picture was exposed goes among the stages of its cycle only where the camera knows it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from inspector.core.types import Frame, Proof
from inspector.line import _Stages

IMAGE = np.zeros((1, 1, 3), np.uint8)
HERE_S = 100.01  # the frame was in hand


def stamped(begun_s: float, exposure_us: int, proof: Proof) -> dict[str, float]:
    station: Any = SimpleNamespace(clock=SimpleNamespace(monotonic_s=lambda: HERE_S), failpoint=lambda stage: None)
    at = _Stages(station, 100.0)
    at("grabbed")
    at.exposed(Frame(IMAGE, 1, begun_s, exposure_us, proof, 1))
    return at.stamps


@given(st.floats(99.0, 101.0), st.integers(0, 10**6), st.sampled_from(Proof))
def test_no_exposure_is_made_up_and_none_ends_after_the_frame_was_here(
    begun_s: float, exposure_us: int, proof: Proof
) -> None:
    stamps = stamped(begun_s, exposure_us, proof)
    known = proof is not Proof.NONE and begun_s <= HERE_S
    assert stamps.get("exposing") == (begun_s if known else None)
    assert ("exposed" in stamps) == (known and exposure_us > 0)
    assert begun_s <= stamps.get("exposed", begun_s) <= max(HERE_S, begun_s)


def test_an_exposure_has_its_own_length() -> None:
    stamps = stamped(100.001, 4000, Proof.HARDWARE_EDGE)
    assert abs(stamps["exposed"] - stamps["exposing"] - 0.004) < 1e-9

"""May this frame be judged? Every reason not to, at its limit and from both sides."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from inspector.core.errors import FrameError
from inspector.core.manifest import ZoneLimits
from inspector.core.types import Frame, Image, Mode, Proof, Trigger
from inspector.frames import FrameGate, zone_figures
from plc.registers import Reason

ACCEPTED_S = 1000.0
SIZE = (60, 80)  # height, width
ROI = (10, 10, 60, 40)  # x, y, width, height in the picture
WIDE = (0.0, 1e9)
LEFT, RIGHT = (0, 0, 30, 40), (30, 0, 30, 40)  # in the view


def noise(seed: int, low: int = 100, high: int = 156) -> Image:
    """A sensor's picture: never the same twice."""
    return np.random.default_rng(seed).integers(low, high, (*SIZE, 3), dtype=np.uint8)


def trigger_of(seq: int = 1, *, simulator: bool = False) -> Trigger:
    return Trigger(seq, seq, ACCEPTED_S + 1, ACCEPTED_S, simulator=simulator)


def frame_of(seq: int = 1, image: Image | None = None, *, proof: Proof = Proof.HARDWARE_EDGE, no: int = 0) -> Frame:
    return Frame(noise(seq) if image is None else image, seq, ACCEPTED_S + 0.001, 500, proof, no or seq)


def zone_of(box: tuple[int, int, int, int] = LEFT, name: str = "zone", **limits: tuple[float, float]) -> ZoneLimits:
    return ZoneLimits(name, box, **{"brightness": WIDE, "contrast": WIDE, "sharpness": WIDE, **limits})


def gate_of(*zones: ZoneLimits, mode: Mode = Mode.INSPECT) -> FrameGate:
    return FrameGate(SIZE, ROI, zones, mode)


def refused(gate: FrameGate, frame: Frame, trigger: Trigger) -> tuple[Reason, str]:
    with pytest.raises(FrameError) as caught:
        gate.check(frame, trigger)
    return caught.value.reason, str(caught.value)


def test_a_fresh_proven_well_lit_frame_may_be_judged() -> None:
    frame = frame_of()
    assert gate_of(zone_of(brightness=(100, 156))).check(frame, trigger_of()) is frame


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((60, 80), np.uint8),
        np.zeros((60, 80, 4), np.uint8),
        np.zeros((60, 80, 3), np.uint16),
        np.zeros((60, 80, 3), np.float32),
        np.zeros((80, 60, 3), np.uint8),
        np.zeros((30, 40, 3), np.uint8),
    ],
)
def test_a_picture_of_another_size_channels_or_depth_is_the_cameras_fault(image: Image) -> None:
    assert refused(gate_of(), frame_of(image=image), trigger_of())[0] is Reason.CAMERA


def test_light_is_watched_where_there_is_a_zone_and_pictures_are_judged() -> None:
    assert gate_of(zone_of()).watches_light and gate_of(zone_of(), mode=Mode.MONITOR).watches_light
    assert not gate_of().watches_light and not gate_of(zone_of(), mode=Mode.COLLECT).watches_light


def test_without_a_bundle_any_size_is_kept() -> None:
    gate = FrameGate(None, (0, 0, 0, 0), (), Mode.COLLECT)
    frame = frame_of(image=np.zeros((7, 9, 3), np.uint8), proof=Proof.NONE)
    assert gate.check(frame, trigger_of()) is frame


def test_a_frame_of_another_trigger_is_refused() -> None:
    reason, text = refused(gate_of(), frame_of(seq=1), trigger_of(seq=2))
    assert (reason, text) == (Reason.CAMERA, "frame of trigger 1, not of 2")


def test_a_frame_exposed_before_its_trigger_is_refused() -> None:
    early = replace(frame_of(), exposed_mono_s=math.nextafter(ACCEPTED_S, 0))
    assert refused(gate_of(), early, trigger_of()) == (Reason.CAMERA, "frame was exposed before its trigger")
    at_once = replace(frame_of(), exposed_mono_s=ACCEPTED_S)
    assert gate_of().check(at_once, trigger_of()) is at_once


def test_a_frame_whose_exposure_is_not_a_number_is_refused() -> None:
    unknown = replace(frame_of(), exposed_mono_s=math.nan)
    assert refused(gate_of(), unknown, trigger_of())[0] is Reason.CAMERA


@pytest.mark.parametrize("mode", [Mode.INSPECT, Mode.MONITOR, Mode.COLLECT])
@pytest.mark.parametrize("proof", [Proof.HARDWARE_EDGE, Proof.SIMULATED])
def test_the_same_frame_number_again_is_a_frozen_camera(mode: Mode, proof: Proof) -> None:
    gate = gate_of(mode=mode)
    gate.check(frame_of(1, proof=proof), trigger_of(1, simulator=True))
    again = refused(gate, frame_of(2, proof=proof, no=1), trigger_of(2, simulator=True))
    assert again == (Reason.CAMERA, "the same frame again: the camera is frozen")


def test_the_same_pixels_again_are_a_frozen_camera_although_its_counter_runs() -> None:
    gate, image = gate_of(), noise(7)
    gate.check(frame_of(1, image), trigger_of(1))
    assert "frozen" in refused(gate, frame_of(2, image.copy()), trigger_of(2))[1]
    assert gate.check(frame_of(3), trigger_of(3))


def test_one_pixel_of_difference_is_a_new_exposure() -> None:
    gate, image = gate_of(), noise(7)
    gate.check(frame_of(1, image), trigger_of(1))
    other = image.copy()
    other[17, 3, 1] ^= 1  # in a row that the first look skips
    assert gate.check(frame_of(2, other), trigger_of(2))


def test_a_replayed_picture_may_be_the_same_again_because_the_camera_counts_its_exposures() -> None:
    gate, image = gate_of(), noise(7)
    gate.check(frame_of(1, image, proof=Proof.SIMULATED), trigger_of(1, simulator=True))
    same = frame_of(2, image.copy(), proof=Proof.SIMULATED)
    assert gate.check(same, trigger_of(2, simulator=True)) is same


def test_a_frame_that_was_refused_as_stale_is_not_taken_when_it_comes_again() -> None:
    gate = gate_of()
    stale = replace(frame_of(1), exposed_mono_s=ACCEPTED_S - 1)
    refused(gate, stale, trigger_of(1))
    assert "frozen" in refused(gate, replace(stale, seq=2, exposed_mono_s=ACCEPTED_S + 1), trigger_of(2))[1]


def test_a_picture_without_proof_of_freshness_is_never_inspected() -> None:
    reason, text = refused(gate_of(), frame_of(proof=Proof.NONE), trigger_of(simulator=True))
    assert reason is Reason.NO_PROOF and "cannot prove" in text


@pytest.mark.parametrize("proof", [Proof.NONE, Proof.SIMULATED])
def test_monitoring_judges_a_picture_without_proof_because_it_never_passes_one(proof: Proof) -> None:
    frame = frame_of(proof=proof)
    assert gate_of(mode=Mode.MONITOR).check(frame, trigger_of(simulator=False)) is frame
    dark = frame_of(2, np.zeros((*SIZE, 3), np.uint8), proof=proof)
    assert refused(gate_of(zone_of(brightness=(100, 150)), mode=Mode.MONITOR), dark, trigger_of(2))[0] is (
        Reason.IMAGE_QUALITY
    )


def test_a_simulated_picture_is_judged_only_for_a_simulated_plc() -> None:
    frame = frame_of(proof=Proof.SIMULATED)
    assert refused(gate_of(), frame, trigger_of(simulator=False))[0] is Reason.SIMULATED
    assert gate_of().check(frame, trigger_of(simulator=True)) is frame


def test_collecting_keeps_pictures_without_proof_and_of_any_light() -> None:
    dark = frame_of(image=np.zeros((*SIZE, 3), np.uint8), proof=Proof.NONE)
    assert gate_of(zone_of(brightness=(100, 150)), mode=Mode.COLLECT).check(dark, trigger_of()) is dark


@pytest.mark.parametrize("figure", ["brightness", "contrast", "sharpness"])
def test_each_figure_of_a_zone_is_two_sided(figure: str) -> None:
    frame = frame_of()
    x, y, w, h = ROI
    values = dict(
        zip(("brightness", "contrast", "sharpness"), zone_figures(frame.image[y : y + h, x : x + w], LEFT), strict=True)
    )
    value = values[figure]
    assert gate_of(zone_of(**{figure: (value, value)})).check(frame, trigger_of())
    too_low = zone_of(**{figure: (math.nextafter(value, math.inf), 1e9)})
    too_high = zone_of(**{figure: (0.0, math.nextafter(value, 0))})
    for zone in (too_low, too_high):
        reason, text = refused(gate_of(zone), frame, trigger_of())
        assert reason is Reason.IMAGE_QUALITY and f"zone zone: {figure} {value:.1f} is outside" in text


@pytest.mark.parametrize("figure", ["brightness", "contrast", "sharpness"])
def test_a_limit_that_is_not_a_number_refuses_every_picture(figure: str) -> None:
    for limits in ((math.nan, 1e9), (0.0, math.nan)):
        assert refused(gate_of(zone_of(**{figure: limits})), frame_of(), trigger_of())[0] is Reason.IMAGE_QUALITY


def test_each_zone_has_its_own_limits_and_the_text_names_the_one_that_failed() -> None:
    image = noise(3)
    image[:, 40:] //= 2  # the right lamp is dead; the view begins at x = 10, so its right half at 40
    bright = (100.0, 156.0)
    assert gate_of(zone_of(LEFT, "left", brightness=bright)).check(frame_of(1, image), trigger_of(1))
    both = gate_of(zone_of(LEFT, "left", brightness=bright), zone_of(RIGHT, "right", brightness=bright))
    reason, text = refused(both, frame_of(1, image), trigger_of(1))
    assert reason is Reason.IMAGE_QUALITY and text.startswith("zone right: brightness 63")


def test_the_figures_of_known_pictures() -> None:
    flat = np.full((8, 8, 3), 80, np.uint8)
    assert zone_figures(flat, (0, 0, 8, 8)) == (80.0, 0.0, 0.0)
    halves = flat.copy()
    halves[:, 4:] = 120
    brightness, contrast, sharpness = zone_figures(halves, (0, 0, 8, 8))
    assert (brightness, contrast) == (100.0, 20.0) and sharpness > 0
    assert zone_figures(halves, (0, 0, 4, 8)) == (80.0, 0.0, 0.0)  # x, y, width, height: the dark half alone

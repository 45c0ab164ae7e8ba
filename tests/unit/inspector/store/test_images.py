"""The archive: lossless, bounded, and never in the line's way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from inspector.core.heat import HeatScale
from inspector.core.types import Frame, Inspection, JudgedBy, Limits, Outcome, Prediction, Proof, Trigger
from inspector.store.images import ArchiveSettings, ImageArchive, View, is_near_miss, kind_of
from inspector.store.names import heat_beside
from inspector.store.previews import heat_over
from inspector.store.shelf import Bounds, Kind, Shelf
from inspector.web.media import read_below, read_named
from plc.registers import Reason, Verdict
from tests.support.store import FAIL, GOOD, PASS, told

LIMITS = Limits(0.8, 2.0, (-1.0, 1.0), frozenset({"good"}))
SIZE = (48, 64, 3)


def picture(seed: int = 0, size: tuple[int, ...] = SIZE) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, size, np.uint8)


def frame(seed: int = 0, size: tuple[int, ...] = SIZE) -> Frame:
    return Frame(picture(seed, size), 1, time.monotonic(), 500, Proof.SIMULATED, seed)


def inspection(no: int, outcome: Outcome = FAIL, prediction: Prediction | None = GOOD, **changes: Any) -> Inspection:
    trigger = Trigger(no, no, 0.0, 0.0, test_part=changes.pop("test_part", False))
    return Inspection(no, trigger, outcome, prediction, JudgedBy(), 1.0, **changes)


class Told:
    """What the archive told of."""

    def __init__(self) -> None:
        self.images: dict[int, str | None] = {}
        self.previews: list[Any] = []

    def noted(self, no: int, name: str | None) -> None:
        self.images[no] = name


@contextmanager
def archive_in(root: Path, chance: Callable[[], float] = lambda: 1.0, **changes: Any) -> Iterator[tuple[Any, Told]]:
    heard = Told()
    settings = ArchiveSettings(root / "pictures", root / "previews", **{"bounds": Bounds(min_free_bytes=0), **changes})
    archive = ImageArchive(settings, LIMITS, noted=heard.noted, previewed=heard.previews.append, chance=chance)
    try:
        yield archive, heard
    finally:
        archive.close()


@contextmanager
def held_up(archive: ImageArchive) -> Iterator[None]:
    """Its thread writes nothing in here: who comes back has not waited for it."""
    gate = threading.Event()
    archive._thread.submit(gate.wait)
    try:
        yield
    finally:
        gate.set()


def test_a_reject_is_kept_to_the_bit_and_the_page_can_read_it(tmp_path):
    with archive_in(tmp_path) as (archive, heard):
        archive.offer(inspection(1234), frame(7))
    body, media = read_below(tmp_path / "pictures", heard.images[1234])
    assert media == "image/png" and heard.images[1234] == "reject/0000001/0000001234.png"
    kept = cv2.cvtColor(cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    assert np.array_equal(kept, picture(7))


@pytest.mark.parametrize(
    ("done", "chance", "kind"),
    [
        (inspection(1, FAIL), 1.0, Kind.REJECT),
        (inspection(1, Outcome(Verdict.NOT_INSPECTED, Reason.DEADLINE), None), 1.0, Kind.REJECT),
        (inspection(1, PASS, delivery=told(inspection(1, PASS), code=4)), 0.0, Kind.REJECT),
        (inspection(1, FAIL, test_part=True), 0.0, Kind.TEST),
        (inspection(1, PASS), 0.01, Kind.PASS),
        (inspection(1, PASS), 0.5, None),
        (inspection(1, PASS, replace(GOOD, novelty_score=0.95)), 0.5, Kind.NEAR),
    ],
)
def test_a_picture_is_kept_for_what_the_plc_was_told(done, chance, kind):
    share = ArchiveSettings(Path(), Path()).pass_share
    assert kind_of(done, View(LIMITS), share, lambda: chance) is kind
    assert kind_of(done, View(LIMITS, keep_all=True), share, lambda: chance) is Kind.COLLECT


@pytest.mark.parametrize(
    ("changes", "near"),
    [({}, False), ({"novelty_score": -0.95}, True), ({"confidence": 0.805}, True), ({"anomaly_score": 1.95}, True)],
)
def test_a_near_miss_is_close_to_any_limit(changes, near):
    assert is_near_miss(inspection(1, PASS, replace(GOOD, **{"anomaly_score": 0.0, **changes})), LIMITS) is near
    assert not is_near_miss(inspection(1, PASS, replace(GOOD, **changes)), None)


def test_a_part_without_a_picture_costs_nothing(tmp_path):
    with archive_in(tmp_path) as (archive, heard):
        archive.offer(inspection(1), None)
    assert heard.images == {} and archive.state.dropped == 0


def test_the_oldest_passes_give_way_first_then_rejects_and_test_parts_never(tmp_path):
    removed: list[int] = []
    shelf = Shelf(tmp_path, Bounds(max_bytes=500, min_free_bytes=0, sample_bytes=0), removed.append)
    for no, kind in enumerate([Kind.REJECT, Kind.PASS, Kind.TEST, Kind.PASS, Kind.NEAR], 1):
        shelf.put(kind, no, bytes(100))
    for no in range(6, 11):
        shelf.put(Kind.REJECT, no, bytes(100))
    assert removed == [2, 4, 5, 1, 6]
    assert shelf.used_bytes == 500 == sum(f.stat().st_size for f in tmp_path.rglob("*.png"))


def test_the_random_sample_of_passes_has_room_of_its_own(tmp_path):
    removed: list[int] = []
    shelf = Shelf(tmp_path, Bounds(max_bytes=500, min_free_bytes=0, sample_bytes=200), removed.append)
    for no in (1, 2, 3):
        shelf.put(Kind.PASS, no, bytes(100))
    for no in (4, 5, 6, 7):
        shelf.put(Kind.REJECT, no, bytes(100))
    assert removed == [1, 4], "one pass above the sample's room, then the oldest reject"


def test_a_restart_counts_what_lies_there_and_clears_what_was_half_written(tmp_path):
    bounds = Bounds(max_bytes=300, min_free_bytes=0)
    for no in (1, 2500):
        Shelf(tmp_path, bounds, lambda no: None).put(Kind.REJECT, no, bytes(100))
    half = tmp_path / "reject" / "0000002" / "0000002501.new"
    half.write_bytes(bytes(50))
    (half.parent / "readme.txt").write_text("somebody's note")
    removed: list[int] = []
    shelf = Shelf(tmp_path, bounds, removed.append)
    shelf.load()
    assert shelf.used_bytes == 200 and not half.exists()
    for no in (3000, 3001, 3002):
        shelf.put(Kind.REJECT, no, bytes(100))
    assert removed == [1, 2500] and (half.parent / "readme.txt").exists()


def test_a_heat_map_is_kept_beside_its_picture_counts_and_goes_with_it(tmp_path):
    removed: list[int] = []
    bounds = Bounds(max_bytes=350, min_free_bytes=0)
    shelf = Shelf(tmp_path, bounds, removed.append)
    for no in (1, 2):
        shelf.put(Kind.REJECT, no, bytes(100), bytes(50))
    assert shelf.used_bytes == 300 == sum(f.stat().st_size for f in tmp_path.rglob("*") if f.is_file())
    again = Shelf(tmp_path, bounds, removed.append)
    again.load()
    assert again.used_bytes == 300
    again.put(Kind.REJECT, 3, bytes(100), bytes(50))
    assert removed == [1] and again.used_bytes == 300
    assert sorted(f.name for f in tmp_path.rglob("*.jpg")) == ["0000000002-heat.jpg", "0000000003-heat.jpg"]


def test_a_heat_map_that_a_crash_left_without_its_picture_goes_at_the_next_start(tmp_path):
    shelf = Shelf(tmp_path, Bounds(min_free_bytes=0), lambda no: None)
    picture = tmp_path / shelf.put(Kind.REJECT, 1, bytes(100), bytes(50))
    picture.unlink()
    shelf.load()
    assert shelf.used_bytes == 0 and not list(tmp_path.rglob("*.jpg"))


def test_the_kept_heat_map_is_small_and_only_where_something_limits_it(tmp_path):
    heat = np.zeros((7, 7), np.float32)
    heat[6, 6] = 5.0
    done = inspection(1, FAIL, replace(GOOD, anomaly_map=heat))
    with archive_in(tmp_path) as (archive, heard):
        archive.offer(done, frame(1, (960, 1280, 3)))
        archive.offer(replace(done, no=2), frame(2), View(None))
        archive.offer(inspection(3), frame(3))
    body, media = read_below(tmp_path / "pictures", heat_beside(heard.images[1]))
    assert media == "image/jpeg" and len(body) < 20_000
    assert _decode(body).shape == (240, 320, 3) and _decode(body)[230:, 310:].max() > 128
    assert len(list((tmp_path / "pictures").rglob("*.jpg"))) == 1


def test_pictures_are_spread_over_folders(tmp_path):
    shelf = Shelf(tmp_path, Bounds(min_free_bytes=0), lambda no: None)
    for no in range(990, 1010):
        shelf.put(Kind.REJECT, no, b"x")
    assert sorted(f.name for f in (tmp_path / "reject").iterdir()) == ["0000000", "0000001"]


def test_a_full_disk_drops_pictures_says_so_and_is_used_again_when_there_is_room(small_disk, tmp_path):
    disk = small_disk("size=1m")
    with archive_in(tmp_path, bounds=Bounds(min_free_bytes=0)) as (archive, heard):
        archive._settings.previews.mkdir(exist_ok=True)
        archive._shelf._root = disk
        filler = disk / "filler"
        filler.write_bytes(bytes((1 << 20) - 8192))
        with held_up(archive):
            archive.offer(inspection(1), frame(1, (480, 640, 3)))
            assert not heard.previews, "the line has not waited for it"
        _until(lambda: archive.state.full)
        assert archive.state.dropped == 1 and not archive.state.ok and len(heard.previews) == 1
        filler.unlink()
        archive.offer(inspection(2), frame(2))
        _until(lambda: archive.state.ok)
        assert not archive.state.full and 2 in heard.images and 1 not in heard.images
    assert not list(disk.rglob("*.new"))


def test_enospc_in_the_middle_of_a_file_leaves_nothing_half_written(small_disk):
    disk = small_disk("size=64k")
    shelf = Shelf(disk, Bounds(min_free_bytes=-(1 << 30)), lambda no: None)  # the floor does not catch it
    with pytest.raises(OSError, match="No space"):
        shelf.put(Kind.REJECT, 1, bytes(1 << 20))
    assert not [f for f in disk.rglob("*") if f.is_file()] and shelf.used_bytes == 0


def test_pictures_stop_well_before_the_disk_is_full_because_the_record_lives_there_too(small_disk):
    disk = small_disk("size=2m")
    removed: list[int] = []
    shelf = Shelf(disk, Bounds(min_free_bytes=1 << 20), removed.append)
    for no in range(40):
        shelf.put(Kind.REJECT, no, bytes(100_000))
    assert removed and shelf.used_bytes <= 1 << 20


def test_a_disk_without_inodes_drops_pictures(small_disk, tmp_path):
    small_disk("size=1m,nr_inodes=20")
    with archive_in(tmp_path / "disk") as (archive, _):
        archive.offer(inspection(1), frame(1))
        _until(lambda: archive.state.full)


def test_pictures_that_wait_are_bounded_in_number_and_memory_and_the_line_does_not(tmp_path):
    for bound in ({"max_waiting": 3}, {"max_waiting_bytes": 3 * picture().nbytes}):
        with archive_in(tmp_path, **bound) as (archive, heard), held_up(archive):
            for no in range(10):
                archive.offer(inspection(no), frame(no))
            assert not heard.previews and archive.state.dropped == 7, bound
        assert sorted(heard.images) == [0, 1, 2]


def test_a_bug_in_the_archive_is_an_alarm_and_not_the_end_of_the_line(tmp_path):
    with archive_in(tmp_path) as (archive, heard):
        archive._noted = lambda no, name: 1 / 0
        archive.offer(inspection(1), frame(1))
        _until(lambda: not archive.state.ok)
        assert "division" in archive.state.text
        archive._noted = heard.noted
        archive.offer(inspection(2), frame(2))
        _until(lambda: 2 in heard.images)


def test_previews_are_a_ring_of_the_last_128_parts(tmp_path):
    with archive_in(tmp_path, max_waiting=1000) as (archive, heard):
        for no in range(1, 131):
            archive.offer(inspection(no, PASS), frame(no, (8, 8, 3)))
    names = sorted(f.name for f in (tmp_path / "previews").iterdir())
    assert len(names) == 128 and names[0] == "0000000003.jpg"
    assert [p.no for p in heard.previews] == list(range(1, 131)) and heard.images == {}
    with archive_in(tmp_path):
        pass
    assert not list((tmp_path / "previews").iterdir()), "a new life begins with an empty ring"


def test_a_fast_station_takes_no_preview_from_a_slow_one(tmp_path):
    with archive_in(tmp_path, max_waiting=1000) as (archive, _):
        archive.offer(inspection(1, PASS), frame(1, (8, 8, 3)), View(station="slow"))
        for no in range(2, 132):
            archive.offer(inspection(no, PASS), frame(no, (8, 8, 3)), View(station="fast"))
    names = sorted(f.name for f in (tmp_path / "previews").iterdir())
    assert names[:2] == ["0000000001.jpg", "0000000004.jpg"] and len(names) == 1 + 128


def test_a_preview_is_at_most_640_pixels_wide_and_the_heat_map_lies_over_it(tmp_path):
    heat = np.zeros((7, 7), np.float32)
    heat[6, 6] = 5.0
    done = inspection(1, FAIL, replace(GOOD, anomaly_map=heat))
    with archive_in(tmp_path, roi=(640, 480, 640, 480)) as (archive, heard):
        archive.offer(done, frame(1, (960, 1280, 3)))
    (preview,) = heard.previews
    shown = [_decode(read_named(tmp_path / "previews", name)[0]) for name in (preview.picture, preview.heat)]
    assert [s.shape for s in shown] == [(480, 640, 3)] * 2
    assert shown[1][:230, :310].max() < 16, "nothing outside the view"
    assert shown[1][470:, 630:].max() > 128, "hot where the map is"


def test_a_good_part_has_no_hot_spot_of_its_own(tmp_path):
    heat = np.random.default_rng(1).uniform(0, 0.99, (7, 7)).astype(np.float32)
    with archive_in(tmp_path) as (archive, heard):  # the limit is 2
        archive.offer(inspection(1, PASS, replace(GOOD, anomaly_map=heat)), frame(1))
        archive.offer(inspection(2, FAIL, replace(GOOD, anomaly_map=heat + 2)), frame(2))
    good, bad = (_decode(read_named(tmp_path / "previews", p.heat)[0]) for p in heard.previews)
    assert good.max() < 16 and bad.max() > 128


def test_the_heat_map_is_scaled_by_the_limit_of_the_recipe_and_the_median_of_the_bundle():
    assert View(LIMITS, anomaly_median=1.0).heat_scale == HeatScale(1.5, 2.0, 4.0)
    assert View().heat_scale is None and View(replace(LIMITS, max_anomaly_score=None)).heat_scale is None


@pytest.mark.parametrize(
    ("value", "scale"),
    [(0.0, HeatScale(1, 2, 4)), (1.0, HeatScale(1, 2, 4)), (np.nan, HeatScale(1, 2, 4)), (3.0, None), (np.inf, None)],
)
def test_a_map_that_shows_nothing_strange_or_has_no_limit_is_black(value, scale):
    over = heat_over(np.full((4, 4), value, np.float32), scale, (40, 40), (20, 20), None)
    assert over.shape == (20, 20, 3) and over.max() <= 4


def _decode(body: bytes) -> np.ndarray:
    return np.asarray(cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR))


def _until(condition: Callable[[], object], within_s: float = 60.0) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)

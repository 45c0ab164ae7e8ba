"""What judges: the configured bundle with the recipe's newest revision, on real models; or NOT READY with a text."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inspector.bundle import activate
from inspector.bundle.slots import Slots
from inspector.bundle.verify import verify
from inspector.config import AppConfig
from inspector.core.clock import SystemClock
from inspector.core.errors import HashMismatch, UnknownRecipe
from inspector.core.manifest import ClassEntry, Golden, OutputSpec
from inspector.core.types import Mode
from inspector.demo.parts import Kind, Stream, render
from inspector.health import Health
from inspector.judging import Judges, Judging, open_judging
from inspector.store.database import Database
from inspector.store.recipe_book import RecipeBook
from inspector.threads import DeviceThread
from plc.registers import CommandResult, OfflineReason, Reason, Verdict
from tests.support.alarms import action_of
from tests.support.tiny_bundle import (
    entries_of,
    make_bundle,
    make_key,
    sign_files,
    tiny_files,
    tiny_manifest,
    trusted_key,
    write_ir,
)

KEY = make_key()


@pytest.fixture(autouse=True)
def no_child(monkeypatch):
    """The trial in a child has tests of its own, test_bundle_activate and the system tests."""
    monkeypatch.setattr(activate, "first_opening", lambda *_: None)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> bytes:
    return make_bundle(tmp_path_factory.mktemp("whole") / "tiny.bundle", KEY).read_bytes()


@pytest.fixture
def station(tmp_path, whole):
    (tmp_path / "tiny.bundle").write_bytes(whole)
    return Station(tmp_path)


class Station:
    """A folder, and what its configuration comes to at a start."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "tiny.bundle"
        self.health = Health(SystemClock())

    def config(self, recipe: dict[str, Any] | None = None, mode: str = "inspect", **bundle: Any) -> AppConfig:
        section = {"file": str(self.file), "trusted_keys": [trusted_key(KEY).raw.hex()], **bundle}
        return AppConfig.model_validate(
            {
                "paths": {"state": self.folder / "state", "run": self.folder / "run"},
                "plc": {"links": [{"host": "127.0.0.1"}]},
                "stations": [{"id": "st1", "mode": mode, "recipes": {"5": (recipe or {}).get("name", "default")}}],
                "camera": {"kind": "rendered"},
                "bundle": section if bundle.get("file", "") is not None else None,
                "recipes": [recipe or {}],
            }
        )

    @asynccontextmanager
    async def start(self, recipe: dict[str, Any] | None = None, **changes: Any) -> AsyncIterator[Judging]:
        self.health = Health(SystemClock())
        threads = {name: DeviceThread(name) for name in ("store", "model", "loader")}
        database = Database(self.folder / "state" / "results.db")
        try:
            await threads["store"].call(database.open)
            cfg = self.config(recipe, **changes)
            self.judges = Judges(cfg, RecipeBook(database), threads, SystemClock())
            yield await open_judging(self.judges, cfg.station, self.health)
        finally:
            await threads["store"].call(database.close)
            for thread in threads.values():
                thread.close()

    async def latch(self, recipe: dict[str, Any] | None = None, **changes: Any) -> tuple[OfflineReason, str, str]:
        """Start, expect that nothing judges, and give what the page says."""
        async with self.start(recipe, **changes) as judging:
            assert judging.model is None and judging.limits is None and judging.recipe.number == 0
            assert judging.judged_by.bundle_id == ""
        state = self.health.state()
        assert not state.ready
        alarm = next(a for a in state.alarms if a.id == "recipe")
        return state.offline_reason, alarm.cause, action_of(alarm.problem.kind)


async def test_a_configured_bundle_judges_with_the_first_revision_of_its_recipe(station):
    async with station.start() as judging:
        by = judging.judged_by
        assert (by.recipe, by.recipe_revision, by.model_rev) == (5, 1, 1)
        assert by.bundle_id.startswith("tiny-1-") and judging.model.judged_by == by
        good = render(0, Kind.GOOD, Stream.GOLDEN).image
        assert (await judging.model.predict(judging.recipe.view(good))).label == "good"
        assert judging.settings_checksum != 0
    assert [a.id for a in station.health.state().alarms if a.id == "recipe"] == []


async def test_a_restart_without_a_change_keeps_revision_model_rev_and_checksum(station):
    found = []
    for _ in range(3):
        async with station.start({"limits": {"min_confidence": 0.9}}) as judging:
            found.append((judging.judged_by, judging.settings_checksum))
    assert found[0] == found[1] == found[2]


async def test_a_changed_recipe_is_a_new_revision_and_a_new_model_rev(station):
    async with station.start() as judging:
        first = judging.settings_checksum
    async with station.start({"limits": {"min_confidence": 0.9}}) as judging:
        by = judging.judged_by
        assert (by.recipe_revision, by.model_rev) == (2, 2) and judging.limits.min_confidence == 0.9
        assert judging.settings_checksum != first
    async with station.start() as judging:
        assert (judging.judged_by.recipe_revision, judging.judged_by.model_rev) == (3, 3)
        assert judging.settings_checksum == first, "the settings are those of before"


async def test_a_changed_camera_setting_is_a_new_revision(station):
    async with station.start():
        pass
    cfg = station.config()
    slower = cfg.model_copy(update={"camera": cfg.camera.model_copy(update={"exposure_us": 900})})
    station.config = lambda *_, **__: slower
    async with station.start() as judging:
        assert judging.judged_by.recipe_revision == 2 and judging.recipe.camera["exposure_us"] == 900


async def test_a_new_bundle_with_the_same_recipe_is_a_new_model_rev(station):
    async with station.start():
        pass
    make_bundle(station.file, KEY, version=2)
    async with station.start() as judging:
        by = judging.judged_by
        assert (by.recipe_revision, by.model_rev) == (1, 2) and by.bundle_id.startswith("tiny-2-")


async def test_a_limit_outside_the_signed_range_is_not_ready_with_value_and_range_and_changes_no_slot(station):
    reason, cause, action = await station.latch({"limits": {"min_confidence": 0.3}})
    assert reason is OfflineReason.CONFIGURATION
    assert "limits.min_confidence = 0.3 is outside 0.6 to 0.99" in cause and "[[recipes]]" in action
    assert Slots(station.folder / "state" / "bundles").products() == []
    async with station.start() as judging:
        assert judging.model is not None


async def test_limits_that_would_reject_a_golden_good_part_are_not_ready(station):
    signed = tiny_manifest().limits
    wide = replace(signed, min_confidence=replace(signed.min_confidence, allowed=(0.6, 1.0)))
    make_bundle(station.file, KEY, limits=wide)
    reason, cause, _ = await station.latch({"limits": {"min_confidence": 1.0}})
    assert reason is OfflineReason.CHECK_DUE and "(good) would not pass" in cause


async def test_limits_that_would_pass_a_golden_negative_are_not_ready(station):
    nearest = min(g.expected.novelty_score for g in tiny_manifest().golden if g.role == "negative")
    limits = tiny_manifest().limits
    wide = replace(limits, novelty_high=replace(limits.novelty_high, allowed=(3.0, nearest + 10)))
    make_bundle(station.file, KEY, limits=wide)
    reason, cause, _ = await station.latch({"limits": {"novelty_high": nearest + 5}})
    assert reason is OfflineReason.CHECK_DUE and "would pass" in cause


async def test_a_golden_flip_is_not_ready_and_the_new_bundle_is_not_active(station):
    async with station.start():
        pass
    golden = tuple(_as_doubtful(g) if g.role == "defect" else g for g in tiny_manifest().golden)
    make_bundle(station.file, KEY, version=2, golden=golden)
    reason, cause, action = await station.latch()
    assert reason is OfflineReason.CHECK_DUE and "expected answers" in cause and "former" in action
    active = Slots(station.folder / "state" / "bundles").active([trusted_key(KEY)], "tiny")
    assert active.manifest.version == 1


def _as_doubtful(golden: Golden) -> Golden:
    """The maker's machine was not sure of this stain."""
    unsure = replace(golden.expected, verdict=int(Verdict.UNCERTAIN), reason=int(Reason.LOW_CONFIDENCE))
    return replace(golden, expected=unsure)


async def test_golden_pictures_are_replayed_at_every_start_of_an_active_bundle(station, monkeypatch):
    async with station.start():
        pass
    monkeypatch.setattr("inspector.judging.OpenVinoModel.predict_blocking", _stranger(monkeypatch))
    reason, cause, _ = await station.latch()
    assert reason is OfflineReason.CHECK_DUE and "drifts" in cause


def _stranger(monkeypatch):
    """The same answers, a little off: as after a new CPU or a new OpenVINO."""
    from inspector.model import OpenVinoModel

    real = OpenVinoModel.predict_blocking

    def predict(self, view):
        p = real(self, view)
        return replace(p, novelty_score=p.novelty_score + 0.3)

    return predict


async def test_a_missing_bundle_file_is_not_ready_though_another_bundle_lies_in_the_slots(station):
    async with station.start():
        pass
    station.file.unlink()
    reason, cause, action = await station.latch()
    assert reason is OfflineReason.MODEL
    assert "tiny.bundle cannot be read: No such file" in cause and "tiny-1-" in cause and "put its file back" in action


async def test_a_refused_bundle_file_is_not_ready_though_another_bundle_lies_in_the_slots(station):
    async with station.start():
        pass
    make_bundle(station.file, make_key(), version=2)
    reason, cause, _ = await station.latch()
    assert reason is OfflineReason.MODEL and "no key that this box trusts" in cause


async def test_a_revoked_key_is_not_ready(station):
    reason, cause, _ = await station.latch(revoked_keys=[trusted_key(KEY).key_id])
    assert reason is OfflineReason.MODEL and "revoked" in cause


async def test_an_unreadable_key_is_a_matter_of_the_configuration(station):
    reason, cause, action = await station.latch(trusted_keys=["/nowhere.pem"])
    assert reason is OfflineReason.CONFIGURATION and "/nowhere.pem" in cause and "[bundle]" in action


async def test_a_recipe_for_another_product_is_not_ready(station):
    reason, cause, _ = await station.latch({"product": "bolt"})
    assert reason is OfflineReason.MODEL and "'bolt'" in cause


async def test_an_empty_box_collects_with_its_recipe_and_no_bundle(station):
    shutil.rmtree(station.folder / "state", ignore_errors=True)
    async with station.start({"roi": (1, 2, 30, 40)}, mode="collect", file=None) as judging:
        assert judging.model is None and judging.limits is None
        assert (judging.judged_by.recipe, judging.judged_by.recipe_revision, judging.judged_by.model_rev) == (5, 1, 0)
        assert judging.recipe.roi == (1, 2, 30, 40)
        assert judging.gate(Mode.COLLECT) is not None
    assert not any(a.id == "recipe" for a in station.health.state().alarms)


async def test_a_bundle_of_good_parts_only_judges_by_novelty_alone(station, tmp_path):
    folder = tmp_path / "ir"
    folder.mkdir()
    write_ir(folder, classes=1)
    golden = tuple(
        replace(g, expected=replace(g.expected, label="good", confidence=1.0))
        for g in tiny_manifest().golden
        if g.role != "defect"
    )
    files = {n: b for n, b in tiny_files().items() if n in {g.file for g in golden}}
    files |= {file.name: file.read_bytes() for file in folder.iterdir()}
    manifest = tiny_manifest(
        files=entries_of(files), golden=golden, classes=(ClassEntry(0, "good", True),),
        outputs=tuple(OutputSpec(o.name, (1,)) if o.name == "probabilities" else o for o in tiny_manifest().outputs),
    )  # fmt: skip
    sign_files(station.file, KEY, manifest, files)
    async with station.start() as judging:
        assert judging.model is not None, station.health.state().alarms
        part = await judging.model.predict(judging.recipe.view(render(1, Kind.GOOD, Stream.GOLDEN).image))
        assert (part.label, part.confidence) == ("good", 1.0)


async def test_another_recipe_on_the_same_bundle_takes_the_model_that_is_there(station):
    async with station.start() as first:
        cfg = station.config()
        both = cfg.model_copy(update={"recipes": (cfg.recipes[0], cfg.recipes[0].model_copy(update={"name": "b"}))})
        both = both.model_copy(
            update={"stations": (cfg.station.model_copy(update={"recipes": {5: "default", 6: "b"}}),)}
        )
        station.judges._cfg = both
        second = await station.judges.prepare(both.station, 6, "plc", "command 1")
        assert second.model is first.model and second.judged_by.model_rev == first.judged_by.model_rev + 1
        with pytest.raises(UnknownRecipe, match="has no recipe 7"):
            await station.judges.prepare(both.station, 7, "plc", "command 2")


async def test_another_bundle_under_a_running_station_is_never_taken_for_its_own(station, tmp_path):
    """Whole, signed and newer; but not the one that was loaded and replayed."""
    async with station.start() as judging:
        make_bundle(station.file, KEY, version=2)
        slot = judging.bundle.directory
        shutil.rmtree(slot)
        verify(station.file, [trusted_key(KEY)], slot)
        with pytest.raises(HashMismatch, match="holds another bundle"):
            await station.judges.self_test(judging)


async def test_the_recipe_that_was_last_active_comes_up_again_and_a_number_without_one_does_not(station):
    async with station.start():
        await station.judges.record(station.config().station, 6, 1, CommandResult.OK, "plc", "command 1")
        await station.judges.record(station.config().station, 9, 0, CommandResult.UNKNOWN_RECIPE, "plc", "command 2")
        cfg = station.config()
        two = cfg.station.model_copy(update={"recipes": {5: "default", 6: "default"}})
        station.judges._cfg = cfg.model_copy(update={"stations": (two,)})
        assert await station.judges.first_number(two) == 6, "what failed is no recipe to start with"
        await station.judges.record(two, 0, 0, CommandResult.OK, "plc", "command 3")
        assert await station.judges.first_number(two) == 0

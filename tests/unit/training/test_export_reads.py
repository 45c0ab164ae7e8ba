"""Training takes what the appliance exports, as it is."""

from __future__ import annotations

import json
from pathlib import Path

from inspector.demo.parts import Kind
from inspector.office.dataset import SplitBy, plan
from inspector.office.dataset_files import write_dataset
from tests.unit.inspector.office.test_dataset import LOTS, as_drawn, reviewed
from training.data import scan


async def test_training_reads_an_export_by_its_manifest_and_by_its_folders(tmp_path: Path) -> None:
    sources = await reviewed(tmp_path, LOTS, as_drawn(LOTS))
    out = tmp_path / "out"
    write_dataset(plan(sources, two_people=False, split_by=SplitBy.LOT), sources.pictures, out)
    listed, folders = scan(out / "manifest.csv"), scan(out)
    assert listed.classes == folders.classes and [c.name for c in listed.classes if c.acceptable] == [Kind.GOOD]
    assert [(r.path, r.label, r.split) for r in listed.rows] == [(r.path, r.label, r.split) for r in folders.rows]
    assert {row.group for row in listed.rows} == {f"lot L{n}" for n in range(4)}
    assert {row.split for row in listed.rows} == {"train", "val", "test"}
    exported = json.loads((out / "export.json").read_text())
    assert listed.sha256 == folders.sha256 == exported["dataset_sha256"], "the hash that a bundle will name"

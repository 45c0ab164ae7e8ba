"""From labels to a dataset: what is settled goes out whole, what must not be learned from stays here."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

import apsw
import cv2
import numpy as np
import pytest

from inspector.demo.parts import Kind, render
from inspector.office.dataset import ExportError, LeftOut, Plan, Sources, SplitBy, plan
from inspector.office.dataset_files import splits_of, write_dataset
from inspector.office.held_out import pictures_in
from inspector.office.settling import Box, NewTruth, Source
from inspector.store.images import png_of
from tests.support.reviewing import REJECT, SAMPLE, TEST, Part, desk_in, write_parts

LOTS = [
    Part(kind, REJECT if kind is not Kind.GOOD else SAMPLE, lot=f"L{lot}", serial=f"S{lot}-{n}")
    for lot in range(4)
    for n, kind in enumerate((Kind.GOOD, Kind.SCRATCH, Kind.GOOD))
]
Labels = Sequence[tuple[int, str, str]]  # number, label, person


def as_drawn(parts: Sequence[Part]) -> Labels:
    names = {Kind.GOOD: "good", Kind.SCRATCH: "scratch"}
    return [(no, names[part.kind], "anna") for no, part in enumerate(parts, 1) if part.keep]


async def reviewed(run: Path, parts: Sequence[Part], labels: Labels, two_people: bool = False) -> Sources:
    await write_parts(run, parts)
    with desk_in(run, two_people=two_people) as desk:
        for no, label, person in labels:
            acceptable = None if label == "unsure" else label == "good"
            box = Box(1, 2, 3, 4) if label == "scratch" else None
            await desk.say(no, label, acceptable, person, f"{no}{person}{time.monotonic_ns()}", "=note;@x", box)
    return Sources(run / "results.db", run / "office.db", run / "pictures")


def planned(sources: Sources, **options: object) -> Plan:
    return plan(sources, **{"two_people": False, "split_by": SplitBy.LOT, **options})  # type: ignore[arg-type]


def table(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))


def numbers(found: Plan) -> list[int]:
    return sorted(picture.row["no"] for picture in found.pictures)


async def test_an_export_is_whole_and_says_what_each_picture_is(tmp_path: Path) -> None:
    sources = await reviewed(tmp_path, LOTS, as_drawn(LOTS))
    out = tmp_path / "out"
    seen: list[tuple[int, int]] = []
    write_dataset(planned(sources), sources.pictures, out, lambda *done: seen.append(done))
    rows = table(out / "manifest.csv")
    assert len(rows) == 12 and seen[-1] == (12, 12)
    for row in rows:
        assert row["path"].startswith(f"{row['split']}/{row['class']}/")
        no = int(Path(row["path"]).stem)
        kept = next(sources.pictures.rglob(f"{no:010d}.png"))
        assert (out / row["path"]).read_bytes() == kept.read_bytes()
    for line in (out / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == digest
    classes = json.loads((out / "classes.json").read_text())
    assert [(c["class_id"], c["class_name"], c["acceptable"]) for c in classes] == [
        (0, "good", True), (1, "scratch", False)
    ]  # fmt: skip
    told = table(out / "labels.csv")
    scratch = next(row for row in told if row["label"] == "scratch")
    assert (scratch["x"], scratch["h"], scratch["person"]) == ("1", "4", "anna")
    assert scratch["note"] == "'=note;'@x", "a spreadsheet takes it for text, wherever it cuts"


async def test_a_lot_never_straddles_and_neither_does_a_part_that_came_back_in_another(tmp_path: Path) -> None:
    parts = [*LOTS, Part(Kind.GOOD, SAMPLE, lot="L9", serial="S0-0"), Part(Kind.GOOD, SAMPLE, lot="L9", serial="S9")]
    found = planned(await reviewed(tmp_path, parts, as_drawn(parts)))
    sides: dict[str, set[str]] = {}
    for picture in found.pictures:
        sides.setdefault(picture.row["lot"], set()).add(picture.split)
    assert all(len(split) == 1 for split in sides.values())
    assert {p.group for p in found.pictures if p.row["lot"] in ("L0", "L9")} == {"lot L0"}, "they share S0-0"
    assert sides["L0"] == sides["L9"] and {s for split in sides.values() for s in split} == {"train", "val", "test"}


async def test_only_settled_labels_go_out(tmp_path: Path) -> None:
    labels = [*as_drawn(LOTS), *((no, label, "ben") for no, label, _ in as_drawn(LOTS) if no > 3)]
    labels += [(4, "dent", "ben"), (12, "unsure", "anna"), (12, "unsure", "ben")]
    found = planned(await reviewed(tmp_path, LOTS, labels, two_people=True), two_people=True)
    assert numbers(found) == [5, 6, 7, 8, 9, 10, 11]
    assert found.left_out == {LeftOut.NOT_SETTLED: (1, 2, 3, 4), LeftOut.UNSURE: (12,)}


async def test_a_label_that_a_later_truth_contradicts_stays_here(tmp_path: Path) -> None:
    sources = await reviewed(tmp_path, LOTS, as_drawn(LOTS))
    with desk_in(tmp_path) as desk:
        against = await desk.labels.add_truth(NewTruth("S1-0", Source.LATER_TEST, False, "anna"))
        await desk.labels.add_truth(NewTruth("S1-1", Source.REINSPECTION, False, "anna"))  # as the label says
        assert planned(sources).left_out == {LeftOut.CONTRADICTED: (4,)}
        await desk.labels.undo_truth("ben", against.n)
    assert planned(sources).left_out == {}, "it was taken back"


async def test_golden_test_and_left_out_pictures_and_their_near_copies_never_go_out(tmp_path: Path) -> None:
    parts = [*LOTS, Part(Kind.GOOD, TEST, test_part=True, seed=3), Part(Kind.GOOD, SAMPLE, lot="L0", seed=500)]
    sources = await reviewed(tmp_path, parts, [*as_drawn(LOTS), (14, "good", "anna")])
    golden, library = tmp_path / "golden_0.png", tmp_path / "library" / "deep"
    golden.write_bytes(png_of(render(500, Kind.GOOD).image))
    library.mkdir(parents=True)
    bright = np.clip(render(5, Kind.SCRATCH).image.astype(np.int16) * 1.05 + 4, 0, 255).astype(np.uint8)
    cv2.imwrite(str(library / "a.jpg"), cv2.resize(bright, None, fx=0.8, fy=0.8)[..., ::-1])
    held = Sources(sources.results_db, sources.office_db, sources.pictures, (golden,), tuple(pictures_in([library])))
    found = planned(held)
    assert found.left_out == {LeftOut.NEAR_COPY: (3, 5, 14)}, "as the test part, as the library, as the golden one"
    with pytest.raises(ExportError, match="holds no picture"):
        list(pictures_in([tmp_path / "nowhere"]))
    golden.write_bytes(b"torn")
    with pytest.raises(ExportError, match="is to be left out and cannot be read"):
        planned(held)


async def test_a_picture_that_is_there_twice_goes_out_once_and_not_with_two_labels(tmp_path: Path) -> None:
    parts = [*LOTS, Part(Kind.GOOD, SAMPLE, seed=1, lot="L5"), Part(Kind.GOOD, SAMPLE, seed=3, lot="L5")]
    found = planned(await reviewed(tmp_path, parts, [*as_drawn(LOTS), (13, "good", "anna"), (14, "dent", "anna")]))
    assert found.left_out == {LeftOut.TWICE: (13,), LeftOut.TWO_LABELS: (3, 14)}


async def test_a_link_in_the_archive_leads_nowhere(tmp_path: Path) -> None:
    sources = await reviewed(tmp_path, LOTS, as_drawn(LOTS))
    secret = tmp_path / "secret.png"
    secret.write_bytes(png_of(render(1, Kind.GOOD).image))
    for no in (1, 3):
        victim = next(sources.pictures.rglob(f"{no:010d}.png"))
        victim.unlink()
        if no == 1:
            victim.symlink_to(secret)
    assert planned(sources).left_out == {LeftOut.GONE: (1, 3)}


@pytest.mark.parametrize("name", ["out", "out.zip"])
async def test_nothing_is_overwritten_and_a_failure_leaves_nothing(tmp_path: Path, name: str) -> None:
    sources = await reviewed(tmp_path, LOTS, as_drawn(LOTS))
    ready, out = planned(sources), tmp_path / "there" / name
    next(sources.pictures.rglob("0000000012.png")).write_bytes(b"changed")
    with pytest.raises(ExportError, match="changed meanwhile"):
        write_dataset(ready, sources.pictures, out)
    assert not out.parent.exists() or list(out.parent.iterdir()) == []
    out.parent.mkdir(exist_ok=True)
    out.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ExportError, match="nothing is overwritten"):
        write_dataset(ready, sources.pictures, out)
    assert not (tmp_path / "elsewhere").exists()


async def test_a_zip_holds_what_the_folder_holds_and_is_the_same_each_time(tmp_path: Path) -> None:
    sources = await reviewed(tmp_path, LOTS, as_drawn(LOTS))
    for name in ("a.zip", "b.zip", "folder"):
        write_dataset(planned(sources), sources.pictures, tmp_path / name)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(io.BytesIO((tmp_path / "a.zip").read_bytes())) as held:
        files = {file for file in (tmp_path / "folder").rglob("*") if file.is_file()}
        assert {f.relative_to(tmp_path / "folder").as_posix() for f in files} == set(held.namelist())
        assert held.read("manifest.csv") == (tmp_path / "folder" / "manifest.csv").read_bytes()


async def test_what_was_kept_for_testing_is_still_kept_for_it_in_the_next_export(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    first = await reviewed(tmp_path / "1", LOTS, as_drawn(LOTS))
    for name in ("old", "old.zip"):
        write_dataset(planned(first), first.pictures, tmp_path / name)
    before = splits_of(tmp_path / "old")
    assert before == splits_of(tmp_path / "old.zip") and len(before) == 4
    more = [*LOTS, *(Part(Kind.GOOD, SAMPLE, lot=f"M{n}") for n in range(9))]
    (tmp_path / "2").mkdir()
    found = planned(await reviewed(tmp_path / "2", more, as_drawn(more)), before=before)
    assert {p.group: p.split for p in found.pictures if p.group in before} == before
    with pytest.raises(ExportError, match="is no earlier export"):
        splits_of(tmp_path / "1")


async def test_what_cannot_be_made_a_dataset_says_what_to_do(tmp_path: Path) -> None:
    sources = Sources(tmp_path / "results.db", tmp_path / "office.db", tmp_path / "pictures")
    with pytest.raises(ExportError, match="has `inspector web` run here"):
        planned(sources)
    one_lot = [Part(kind, SAMPLE, lot="L") for kind in (Kind.GOOD, Kind.SCRATCH) * 4]
    await reviewed(tmp_path, one_lot, [])
    with pytest.raises(ExportError, match="review some first"):
        planned(sources)
    with desk_in(tmp_path) as desk:
        for no, label, person in as_drawn(one_lot):
            await desk.say(no, label, label == "good", person, str(no), "", None)
    with pytest.raises(ExportError, match="or split by part"):
        planned(sources)
    assert {p.split for p in planned(sources, split_by=SplitBy.PART).pictures} == {"train", "val", "test"}


async def test_what_was_filed_by_month_is_exported_and_held_out_all_the_same(tmp_path: Path) -> None:
    parts = [*LOTS, Part(Kind.GOOD, TEST, test_part=True, seed=3)]
    sources = await reviewed(tmp_path, parts, as_drawn(LOTS))
    before = planned(sources)
    record = apsw.Connection(str(sources.results_db))
    record.execute("VACUUM INTO ?", (str(tmp_path / "results-2026-01.db"),))
    record.execute("DELETE FROM inspections")
    record.close()
    assert planned(sources) == before and before.left_out == {LeftOut.NEAR_COPY: (3,)}, "as the test part"

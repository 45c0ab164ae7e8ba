"""`inspector-deploy calibrate` on a small bundle and rendered parts: what it prints, writes and refuses."""

from __future__ import annotations

import re
import tarfile
from dataclasses import replace
from pathlib import Path

import cv2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner, Result

from edge_deploy.cli import app
from edge_deploy.pack import sign, write_tar
from edge_deploy.show import read_manifest
from inspector.bundle.golden import replay
from inspector.bundle.verify import verify
from inspector.core.manifest import GoldenTolerance, LimitSpec
from inspector.core.types import JudgedBy
from inspector.demo.parts import ROI, Kind, Stream, render
from inspector.model import load_model
from inspector.threads import DeviceThread
from tests.support.tiny_bundle import make_bundle, make_key, tiny_manifest, trusted_key

GOODS, STAINS = 64, 60
LOTS = r"lot(\d)"


@pytest.fixture(scope="module")
def key() -> Ed25519PrivateKey:
    return make_key()


@pytest.fixture(scope="module")
def bundle(key: Ed25519PrivateKey, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle") / "tiny-1.bundle", key)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good parts of eight lots, two pictures of each part, and stains."""
    root = tmp_path_factory.mktemp("data")
    for kind, folder, count in ((Kind.GOOD, "good", GOODS), (Kind.STAIN, "stain", STAINS)):
        (root / folder).mkdir()
        for i in range(count):
            image = cv2.cvtColor(render(i, kind, Stream.CALIBRATION).image, cv2.COLOR_RGB2BGR)
            cv2.imwrite(str(root / folder / f"lot{i % 8}_part{i // 2}_{i}.png"), image)
    return root


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["calibrate", *map(str, arguments)])


def test_limits_bounds_and_what_more_pictures_would_buy_are_printed_and_nothing_is_written(
    bundle: Path, data: Path
) -> None:
    before = sorted(file.name for file in bundle.parent.iterdir())
    found = run(bundle, data, "--overkill", "5%")
    assert found.exit_code == 0, found.output
    assert "an overkill of at most 5.00% of the whole decision, with 95 % confidence; 64 good pictures" in found.stdout
    assert "(was 5)" in found.stdout
    assert "overkill            0 of 64, at most 4.57%" in found.stdout
    assert "all negatives (3) lie outside novelty's limits, and they set them" in found.stdout  # the golden ones
    assert not any(line.startswith("  negatives") for line in found.stdout.splitlines())  # so nothing bounds others
    assert "to promise an overkill of at most 1.00%: 235 more good pictures" in found.stdout
    assert "Nothing was written" in found.stdout
    assert sorted(file.name for file in bundle.parent.iterdir()) == before


def test_what_is_written_is_the_next_version_unsigned_and_a_box_takes_it_once_approved(
    bundle: Path, data: Path, key: Ed25519PrivateKey, tmp_path: Path
) -> None:
    out = tmp_path / "tiny-2.bundle"
    written = run(bundle, data, "--overkill", "5%", "--out", out)
    assert written.exit_code == 0, written.output
    old, new = read_manifest(bundle), read_manifest(out)
    assert f"Read {tmp_path / 'tiny-2.html'}" in written.stdout and old.bundle_id in written.stdout
    page = (tmp_path / "tiny-2.html").read_text()
    for said in (
        new.bundle_id,
        f"stand in the report of {old.bundle_id}",
        "asked for: at most 5\u00a0%, shown",  # 0 of 64
        "0 of 64 (0\u00a0%) seen",
        "The pictures that measure also set the limits.",
        "all 3 negatives given lie outside",
        "good, held-out",  # in the histograms, with the limits
        "stain, held-out",
        "Highest calibration pictures",
        f"The graph is that of {old.bundle_id}",
        f"As in the report of {old.bundle_id}",
    ):
        assert said in page, said
    assert "There is no test split" not in page and "test picture" not in page
    assert not re.search(r'(src|href)="(?!data:|#)', page) and page.count("<figure>") > len(new.golden) + 30
    with tarfile.open(out) as tar:
        assert "manifest.sig" not in tar.getnames()
    assert (new.version, new.parents, new.key_id) == (2, (old.bundle_id,), "")
    assert new.files == old.files
    assert (new.calibration.images_good, new.calibration.images_bad, new.calibration.images_negative) == (64, 60, 3)
    assert new.limits.promise is not None and new.limits.promise.rule == "overkill"
    sign(out, key)
    verified, thread = verify(out, [trusted_key(key)], tmp_path / "unpacked"), DeviceThread("model")
    try:
        model = load_model(verified, (ROI[3], ROI[2]), threads=1, judged_by=JudgedBy(), thread=thread)
        assert len(replay(verified, model.predict_blocking).rows) == len(new.golden)
    finally:
        thread.close()
    again = run(bundle, data, "--overkill", "5%", "--out", out)
    assert again.exit_code == 1 and "not overwritten" in again.output


def test_an_escape_and_a_cost_are_promised_on_the_defects_in_the_folder(bundle: Path, data: Path) -> None:
    escape = run(bundle, data, "--escape", "5%")
    assert escape.exit_code == 0, escape.output
    assert "an escape of at most 5.00%" in escape.stdout and "escape:stain" in escape.stdout
    cost = run(bundle, data, "--cost", "50:1")
    assert cost.exit_code == 0, cost.output
    assert "one escape worth 50 overkills" in cost.stdout


def test_a_promise_beyond_the_pictures_is_refused_with_the_number(bundle: Path, data: Path) -> None:
    found = run(bundle, data, "--overkill", "0.1%")
    assert found.exit_code == 1
    assert "at least 2995, 2931 more" in " ".join(found.output.split())


def test_pictures_of_one_part_count_once_and_lots_stand_in_a_table(bundle: Path, data: Path, tmp_path: Path) -> None:
    refused = run(bundle, data, "--overkill", "5%", "--group-by", r"(part\d+)_")
    assert refused.exit_code == 1 and "32 good groups cannot promise" in refused.output
    out = tmp_path / "grouped.bundle"
    found = run(bundle, data, "--overkill", "10%", "--group-by", r"(part\d+)_", "--lots", LOTS, "--out", out)
    assert found.exit_code == 0, found.output
    assert "0 of 32" in out.with_suffix(".html").read_text()
    assert "overkill            0 of 32" in found.stdout
    assert sum(line.startswith(f"  {lot} ") for lot in range(8) for line in found.stdout.splitlines()) == 8
    assert "between lots: half of all lots lose at most" in found.stdout


def test_few_lots_are_no_promise_between_lots(bundle: Path, data: Path) -> None:
    found = run(bundle, data, "--overkill", "10%", "--group-by", r"(part\d+)_", "--lots", r"lot[01]|lot")
    assert found.exit_code == 0, found.output
    assert "note: 3 lots are no promise between lots; that needs at least 5" in found.stdout
    assert "half of all lots" not in found.stdout


@pytest.mark.parametrize("given", [[], ["--overkill", "5%", "--escape", "1%"], ["--cost", "50"], ["--cost", "0:1"]])
def test_exactly_one_promise_is_asked_for(bundle: Path, data: Path, given: list[str]) -> None:
    assert run(bundle, data, *given).exit_code == 2


def test_golden_pictures_that_would_flip_stop_it(key: Ed25519PrivateKey, data: Path, tmp_path: Path) -> None:
    """A golden good part far out among the good ones: limits that the others set reject it."""
    empty = tiny_manifest().golden[3]
    far = replace(empty, role="good", expected=replace(empty.expected, verdict=1, reason=0))
    training = replace(tiny_manifest().training, no_negatives=True)
    odd = make_bundle(tmp_path / "odd.bundle", key, golden=(far, *tiny_manifest().golden[:3]), training=training)
    found = run(odd, data, "--overkill", "5%", "--out", tmp_path / "new.bundle")
    assert found.exit_code == 1
    assert "golden pictures would flip: golden_03.png (good: empty) would be NOT_INSPECTED" in found.output
    assert not (tmp_path / "new.bundle").exists()


def test_golden_pictures_that_another_cpu_may_flip_stop_it(key: Ed25519PrivateKey, data: Path, tmp_path: Path) -> None:
    wide = make_bundle(tmp_path / "wide.bundle", key, golden_tolerance=GoldenTolerance(0.02, 3.0, None))
    found = run(wide, data, "--overkill", "5%")
    assert found.exit_code == 1 and "lies so near a limit that another CPU may flip it" in found.output


def test_a_machine_that_gives_other_scores_is_refused(key: Ed25519PrivateKey, data: Path, tmp_path: Path) -> None:
    first = tiny_manifest().golden[0]
    moved = replace(first, expected=replace(first.expected, novelty_score=first.expected.novelty_score + 0.5))
    bundle = make_bundle(tmp_path / "moved.bundle", key, golden=(moved, *tiny_manifest().golden[1:]))
    found = run(bundle, data, "--overkill", "5%")
    assert found.exit_code == 1 and "gives other scores here" in found.output


def test_folders_that_hold_something_else_are_refused_with_what_to_give(
    bundle: Path, data: Path, tmp_path: Path
) -> None:
    cases = {"train": "what a network was trained on", "val": "give one of them", "stain": "holds no good parts"}
    for name, text in cases.items():
        folder = tmp_path / f"case_{name}"
        (folder / name).mkdir(parents=True)
        found = run(bundle, folder, "--overkill", "5%")
        assert found.exit_code == 1 and text in found.output
    (tmp_path / "other" / "good").mkdir(parents=True)
    assert "is empty" in run(bundle, tmp_path / "other", "--overkill", "5%").output
    (tmp_path / "other" / "good" / "notes.txt").write_text("no picture")
    assert "notes.txt is no JPEG, PNG" in run(bundle, tmp_path / "other", "--overkill", "5%").output
    (tmp_path / "other" / "good" / "notes.txt").unlink()
    cv2.imwrite(str(tmp_path / "other" / "good" / "small.png"), render(0, Kind.GOOD, Stream.CALIBRATION).image[:99])
    assert "one bundle is for one camera size" in run(bundle, tmp_path / "other", "--overkill", "5%").output


def test_a_manifest_that_names_a_file_elsewhere_is_not_unpacked(
    key: Ed25519PrivateKey, data: Path, tmp_path: Path
) -> None:
    """Unsigned bundles are read too, so their names are checked before any file is written."""
    m = tiny_manifest()
    files = (replace(m.files[0], name="../outside"), *m.files[1:])
    bundle = make_bundle(tmp_path / "outside.bundle", key, files=files)
    found = run(bundle, data, "--overkill", "5%")
    assert found.exit_code == 1 and "is no name for a file" in found.output
    assert not (tmp_path / "outside").exists()


def test_a_damaged_bundle_is_refused(bundle: Path, data: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.bundle"
    with tarfile.open(bundle) as tar:
        contents = {m.name: tar.extractfile(m).read() for m in tar.getmembers()}  # type: ignore[union-attr]
    contents["model.bin"] = bytes(len(contents["model.bin"]))
    write_tar(damaged, contents)
    found = run(damaged, data, "--overkill", "5%")
    assert found.exit_code == 1 and "is not what its manifest says" in found.output


def test_a_limit_of_the_former_bundle_is_shown_beside_the_new_one(
    key: Ed25519PrivateKey, data: Path, tmp_path: Path
) -> None:
    limits = replace(tiny_manifest().limits, min_confidence=LimitSpec(0.77, (0.6, 0.99)))
    found = run(make_bundle(tmp_path / "was.bundle", key, limits=limits), data, "--overkill", "5%")
    assert "(was 0.77)" in found.stdout

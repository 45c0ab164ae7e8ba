"""What runs on the line is what somebody approved, bit for bit."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import inspector.bundle.verify as module
from edge_deploy.pack import canonical, write_tar
from inspector.bundle.checks import MANIFEST, SIGNATURE, check_manifest, require_fit
from inspector.bundle.keys import TrustedKey
from inspector.bundle.tar import read_members
from inspector.bundle.verify import VerifiedBundle, reopen, verify
from inspector.core.errors import BundleError
from inspector.core.manifest import (
    ClassEntry,
    DetectorSpec,
    GoldenTolerance,
    LimitSpec,
    OutputSpec,
    ViewSpec,
    ZoneLimits,
)
from tests.support.tiny_bundle import (
    entries_of,
    make_bundle,
    make_key,
    sign_files,
    tiny_files,
    tiny_manifest,
    trusted_key,
)


def refused(tar: Path, trusted: list[TrustedKey], match: str) -> None:
    """Refused, with nothing left on the disk."""
    box = tar.parent / "box"
    with pytest.raises(BundleError, match=match):
        verify(tar, trusted, box / "slot")
    assert not box.exists() or list(box.iterdir()) == []


def sign_raw(path: Path, key: Ed25519PrivateKey, raw: bytes) -> Path:
    write_tar(path, {MANIFEST: raw, SIGNATURE: key.sign(raw), **dict(sorted(tiny_files().items()))})
    return path


def signed_json(key: Ed25519PrivateKey, **changes: Any) -> bytes:
    """A manifest with changes that its types would not allow."""
    manifest = replace(tiny_manifest(), key_id=trusted_key(key).key_id)
    return json.dumps({**json.loads(canonical(manifest)), **changes}).encode()


def test_an_approved_bundle_is_unpacked_whole_and_opens_again(tar, tmp_path, trusted):
    bundle = verify(tar, trusted, tmp_path / "box" / "slot")
    assert bundle.manifest.bundle_id.startswith("tiny-1-")
    assert {f.name: (bundle.directory / f.name).read_bytes() for f in bundle.manifest.files} == tiny_files()
    assert [p.name for p in (tmp_path / "box").iterdir()] == ["slot"]
    assert reopen(bundle.directory, trusted) == bundle


def test_a_bundle_cut_at_any_percent_is_refused(tar, trusted, whole):
    for percent in range(100):
        tar.write_bytes(whole[: len(whole) * percent // 100])
        refused(tar, trusted, "cut short|not approved")
    tar.write_bytes(whole[:-1])
    refused(tar, trusted, "cut short")


def test_one_flipped_bit_in_any_file_or_header_is_refused(tar, trusted, whole):
    source = os.open(tar, os.O_RDONLY)
    members = read_members(source, 1 << 30)
    os.close(source)
    for member in members:
        places = {member.offset, member.offset + member.size // 2, member.offset + member.size - 1}
        places |= {member.offset - 512 + at for at in (0, 99, 100, 124, 148, 156, 257, 345, 511)}
        for place in sorted(places):
            damaged = bytearray(whole)
            damaged[place] ^= 0x10
            tar.write_bytes(damaged)
            refused(tar, trusted, ".")


def test_a_bundle_signed_by_nobody_we_trust_is_refused(tar, trusted):
    refused(tar, [trusted_key(make_key())], "no key that this box trusts")
    refused(tar, [], "no key that this box trusts")


def test_a_bundle_signed_by_a_revoked_key_is_refused_and_says_so(tar, trusted):
    refused(tar, [replace(trusted[0], revoked=True)], "revoked")


def test_the_spare_key_counts_as_much_as_the_first(tar, tmp_path, trusted):
    assert verify(tar, [trusted_key(make_key()), trusted[0]], tmp_path / "slot")


def test_a_manifest_is_not_parsed_before_its_signature_holds(tmp_path, key, trusted, monkeypatch):
    raw = b"\xff[" * 100_000
    write_tar(tmp_path / "b", {MANIFEST: raw, SIGNATURE: make_key().sign(raw), **tiny_files()})
    with monkeypatch.context() as patch:
        patch.setattr(module, "parse_manifest", lambda *_: pytest.fail("parsed before the signature held"))
        refused(tmp_path / "b", trusted, "no key that this box trusts")
    sign_raw(tmp_path / "c", key, raw)
    refused(tmp_path / "c", trusted, "not one that this version reads")


def test_an_unsigned_bundle_says_that_approval_is_missing(tmp_path, trusted):
    write_tar(tmp_path / "b", {MANIFEST: canonical(tiny_manifest()), **tiny_files()})
    refused(tmp_path / "b", trusted, "not approved")


def test_manifest_and_signature_come_first(tmp_path, key, trusted):
    raw = canonical(replace(tiny_manifest(), key_id=trusted[0].key_id))
    write_tar(tmp_path / "b", {SIGNATURE: key.sign(raw), MANIFEST: raw, **tiny_files()})
    refused(tmp_path / "b", trusted, "must come first")


def test_a_huge_manifest_is_refused_before_its_signature_is_looked_at(tmp_path, key, trusted):
    raw = b" " * (module.MAX_MANIFEST + 1)
    sign_raw(tmp_path / "b", key, raw)
    refused(tmp_path / "b", trusted, "too large")


def test_files_that_nobody_signed_and_files_that_are_missing_are_refused(tmp_path, key, trusted):
    manifest, files = tiny_manifest(), tiny_files()
    refused(sign_files(tmp_path / "a", key, manifest, {**files, "x.bin": b""}), trusted, "x.bin is in the bundle and")
    files.pop("golden_00.png")
    refused(sign_files(tmp_path / "b", key, manifest, files), trusted, "golden_00.png is in the manifest and")


def test_the_key_id_in_the_manifest_is_that_of_the_signer(tmp_path, key, trusted):
    refused(sign_raw(tmp_path / "b", key, signed_json(key, key_id="0" * 16)), trusted, "names another key")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"run_this": "rm -rf"}, "run_this"),
        ({"schema_version": 2}, "schema_version"),
        ({"version": "1"}, "version"),
        ({"product": None}, "product"),
        ({"metrics": {"a": float("nan")}}, "metrics"),
        ({"metrics": {"a": float("inf")}}, "metrics"),
        ({"golden_tolerance": {"confidence": 0.1, "novelty_score": float("nan"), "anomaly_score": None}}, "golden_tol"),
        ({"input": {"network_height": 1.5}}, "input"),
    ],
)
def test_a_manifest_that_this_version_does_not_read_is_refused(tmp_path, key, trusted, changes, match):
    sign_raw(tmp_path / "b", key, signed_json(key, **changes))
    refused(tmp_path / "b", trusted, f"not one that this version reads: {match}")


def test_a_limit_that_is_not_a_number_is_refused_however_it_is_signed(tmp_path, key, trusted):
    limits = json.loads(canonical(tiny_manifest()))["limits"]
    for wrong in (float("nan"), float("inf"), -float("inf")):
        limits["novelty_high"] = {"default": wrong, "allowed": [0.0, 9.0]}
        refused(sign_raw(tmp_path / "b", key, signed_json(key, limits=limits)), trusted, "novelty_high.default")
        limits["novelty_high"] = {"default": 5.0, "allowed": [0.0, wrong]}
        refused(sign_raw(tmp_path / "b", key, signed_json(key, limits=limits)), trusted, "novelty_high.allowed")


def _limits(**changes: Any) -> dict[str, Any]:
    return {"limits": replace(tiny_manifest().limits, **changes)}


SPOTS = DetectorSpec("patch", ("layer2", "layer3"), 128, 1000, 32.0, 0.02, "max", 0, {})
HEAT = (OutputSpec("anomaly_map", (28, 28)), OutputSpec("anomaly_score", ()))
LIMIT = LimitSpec(5.0, (5.0, 5.0))


def _golden(*keep: str) -> dict[str, Any]:
    return {"golden": tuple(g for g in tiny_manifest().golden if g.role in keep)}


def _lenient() -> dict[str, Any]:
    """A golden stain that is expected to pass."""
    golden = tiny_manifest().golden
    return {"golden": tuple(replace(g, expected=replace(g.expected, verdict=1, reason=0)) for g in golden)}


def _files(**changes: Any) -> dict[str, Any]:
    first, *rest = tiny_manifest().files
    return {"files": (replace(first, **changes), *rest)}


@pytest.mark.parametrize(
    ("overrides", "match"),
    [
        ({"product": "../x"}, "product '../x'"),
        ({"product": ""}, "product ''"),
        ({"version": 0}, "version 0"),
        ({"version": 1 << 31}, "version"),
        ({"classes": (ClassEntry(1, "good", True), ClassEntry(2, "stain", False))}, "class ids"),
        ({"classes": (ClassEntry(0, "x", False), ClassEntry(1, "y", False))}, "no class is acceptable"),
        ({"classes": (ClassEntry(0, "x", True), ClassEntry(1, "x", False))}, "class names repeat"),
        ({"classes": (ClassEntry(0, "good", True),)}, "one probability for each class"),
        ({"outputs": (OutputSpec("probabilities", (2,)),)}, "an output is missing"),
        ({"input": replace(tiny_manifest().input, network_height=0)}, "network's input"),
        ({"input": replace(tiny_manifest().input, network_width=100_000)}, "network's input"),
        ({"view": ViewSpec(320, 256, (100, 8, 240, 240))}, "judged region"),
        ({"view": ViewSpec(320, 256, (0, 0, 0, 240))}, "judged region"),
        ({"view": ViewSpec(1 << 20, 256, (0, 0, 10, 10))}, "camera's picture"),
        ({"zones": (ZoneLimits("z", (0, 0, 999, 9), (0, 1), (0, 1), (0, 1)),)}, "zone z is not within"),
        ({"zones": (ZoneLimits("z", (0, 0, 9, 9), (2, 1), (0, 1), (0, 1)),)}, "limits of zone z cross"),
        (_limits(min_confidence=LimitSpec(0.5, (0.6, 0.9))), "outside its allowed range"),
        (_limits(min_confidence=LimitSpec(0.5, (-1.0, 0.9))), "confidence's allowed range"),
        (_limits(novelty_low=LimitSpec(5.0, (5.0, 5.0))), "novelty's limits cross"),
        (_limits(max_anomaly_score=LimitSpec(5.0, (5.0, 5.0))), "anomaly score that the model does not give"),
        (_golden("defect", "negative"), "no golden good"),
        ({"detector": SPOTS}, "its outputs are those of another"),
        ({"detector": SPOTS, "outputs": (*tiny_manifest().outputs, *HEAT)}, "no limit for them"),
        ({"detector": replace(SPOTS, detector="pooled"), "outputs": (*tiny_manifest().outputs, *HEAT)}, "of another"),
        (
            {"outputs": (*tiny_manifest().outputs, *HEAT), **_limits(max_anomaly_score=LIMIT)},
            "anomaly score is not exp",
        ),
        ({"golden_tolerance": GoldenTolerance(0.1, 0.1, 0.1)}, "anomaly score is not expected"),
        (_golden("good", "negative"), "no golden defect"),
        (_golden("good", "defect"), "no golden negative"),
        (_lenient(), "expects 1/0"),
        ({"golden": tiny_manifest().golden * 2}, "listed twice"),
        ({"golden_tolerance": GoldenTolerance(0.1, 0.0, None)}, "tolerance"),
        (_files(name="x/y.png"), "no name for a file"),
        (_files(name="manifest.sig"), "no name for a file"),
        (_files(sha256="A" * 64), "size or hash"),
        (_files(size=-1), "size or hash"),
        (_files(size=1 << 40), "larger than"),
        ({"files": tiny_manifest().files * 2}, "file names repeat"),
        ({"files": entries_of({"golden_00.png": b""})}, "model.xml or model.bin"),
        ({"calibration": replace(tiny_manifest().calibration, instruction_sets=())}, "no instruction set"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused_though_signed(tmp_path, key, trusted, overrides, match):
    refused(make_bundle(tmp_path / "b", key, **overrides), trusted, match)


def test_negatives_may_be_missing_only_where_the_manifest_says_so():
    training = replace(tiny_manifest().training, no_negatives=True)
    check_manifest(tiny_manifest(training=training, **_golden("good", "defect")))


def test_a_bundle_for_another_product_or_camera_is_refused():
    require_fit(tiny_manifest(), product="tiny", camera_size=(256, 320))
    with pytest.raises(BundleError, match="for product 'tiny', this recipe inspects 'disc'"):
        require_fit(tiny_manifest(), product="disc")
    with pytest.raises(BundleError, match="320 x 256, this camera gives 256 x 320"):
        require_fit(tiny_manifest(), camera_size=(320, 256))


def test_a_bit_that_flips_on_the_disk_is_found_at_the_next_start(tar, tmp_path, trusted):
    directory = verify(tar, trusted, tmp_path / "slot").directory
    for path in sorted(directory.iterdir()):
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(BundleError):
            reopen(directory, trusted)
        path.write_bytes(content)
    reopen(directory, trusted)


def test_a_file_that_was_added_removed_or_linked_on_the_disk_is_found(tar, tmp_path, trusted):
    directory = verify(tar, trusted, tmp_path / "slot").directory
    (directory / "model.cache").touch()
    with pytest.raises(BundleError, match=r"model\.cache"):
        reopen(directory, trusted)
    (directory / "model.cache").unlink()
    (directory / "model.bin").rename(tmp_path / "model.bin")
    with pytest.raises(BundleError, match=r"model\.bin"):
        reopen(directory, trusted)
    (directory / "model.bin").symlink_to(tmp_path / "model.bin")
    with pytest.raises(BundleError, match=r"model\.bin"):
        reopen(directory, trusted)


def test_what_a_crash_left_in_staging_does_not_stop_the_next_try(tar, tmp_path, trusted):
    staging = tmp_path / "slot.staging"
    staging.mkdir()
    (staging / "model.bin").write_bytes(b"half")
    assert verify(tar, trusted, tmp_path / "slot")
    assert not staging.exists()


def test_a_bundle_that_is_not_there_is_named_once_with_the_reason(tmp_path, trusted):
    with pytest.raises(BundleError, match=r"x\.bundle cannot be read or unpacked: No such file or directory$"):
        verify(tmp_path / "x.bundle", trusted, tmp_path / "slot")


def test_nothing_is_unpacked_over_what_is_there(tar, tmp_path, trusted):
    (tmp_path / "slot").mkdir()
    with pytest.raises(BundleError, match="exists already"):
        verify(tar, trusted, tmp_path / "slot")


def test_a_link_in_place_of_the_staging_folder_is_not_followed(tar, tmp_path, trusted):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "slot.staging").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleError):
        verify(tar, trusted, tmp_path / "slot")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_nobody_else_can_make_a_verified_bundle(tmp_path):
    with pytest.raises(TypeError):
        VerifiedBundle(tmp_path, tiny_manifest())

"""A bundle's manifest in words, for a person who has the file in hand."""

from __future__ import annotations

import tarfile
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from edge_deploy.errors import DeployError
from edge_deploy.promises import promise_lines
from inspector.core.manifest import LimitSpec, Manifest, PromiseSpec
from plc.registers import Reason, Verdict

LARGEST_MANIFEST = 4 << 20  # bytes


def read_manifest(bundle: Path) -> Manifest:
    """The manifest of a bundle file, unverified. Raises DeployError: not a bundle."""
    try:
        with tarfile.open(bundle, "r:") as tar:
            member = tar.getmember("manifest.json")
            file = tar.extractfile(member)
            if file is None or member.size > LARGEST_MANIFEST:
                raise DeployError(f"{bundle} is no bundle: its manifest.json is no plain file of sensible size")
            return TypeAdapter(Manifest).validate_json(file.read())
    except FileNotFoundError as exc:
        raise DeployError(f"there is no bundle {bundle}: inspector-deploy build writes one") from exc
    except (OSError, KeyError, tarfile.TarError, ValidationError) as exc:
        raise DeployError(f"{bundle} is no bundle that this version reads: {exc}") from exc


def describe_bundle(bundle: Path) -> str:
    """Some thirty lines: what it is, what it allows, what it promises, what it holds."""
    m = read_manifest(bundle)
    limits, calibration = m.limits, m.calibration
    lines = [
        f"{m.bundle_id}  ({'approved with ' + m.key_id if m.key_id else 'NOT APPROVED'}; signature not checked here)",
        f"created       {m.created_utc}, from {m.training.images} pictures, {m.training.initial_weights}",
        f"classes       {', '.join(c.name + (' (may pass)' if c.acceptable else '') for c in m.classes)}",
        f"camera        {m.view.camera_width} x {m.view.camera_height}, judged region {m.view.roi}",
        f"network       {m.input.network_width} x {m.input.network_height}",
        f"CPU           any with {' or '.join(calibration.instruction_sets)}",
        f"calibrated    on {calibration.cpu_model}, OpenVINO {calibration.openvino_version}",
        f"limits        chosen by {limits.chosen_by}",
        f"              novelty at least {_limit(limits.novelty_low)}",
        f"              novelty at most  {_limit(limits.novelty_high)}",
        f"              confidence at least {_limit(limits.min_confidence)}",
        *([f"              anomaly at most  {_limit(limits.max_anomaly_score)}"] if limits.max_anomaly_score else []),
        f"detector      {_detector(m)}",
        *(f"promise       {line}" for line in promise_lines(limits.bounds)),
        *_chosen(limits.promise),
        *(
            f"golden        {g.file}  {g.role} {g.truth}: {Verdict(g.expected.verdict).name} / "
            f"{Reason(g.expected.reason).name}, {g.expected.label} {g.expected.confidence:.3f}, "
            f"novelty {g.expected.novelty_score:.3g}"
            + ("" if g.expected.anomaly_score is None else f", anomaly {g.expected.anomaly_score:.3g}")
            for g in m.golden
        ),
        *(f"file          {f.name}  {f.size} bytes" for f in m.files),
    ]
    if m.training.no_negatives:
        lines.append("WARNING       built without negatives: nothing shows that an empty station is refused")
    return "\n".join(lines)


def _chosen(promise: PromiseSpec | None) -> list[str]:
    """What the limits are worth on the pictures that they were chosen on."""
    if promise is None:
        return []
    counted = [
        f"chosen on     {b.name}: {b.failures} of {b.of} {promise.unit}s; at most {b.upper_95:.2%} with 95 % confidence"
        for b in promise.bounds
    ]
    if promise.left_out is not None:
        counted.append(
            f"              {promise.left_out:.2%} of good parts, by limits set without their lot ({promise.lots})"
        )
    return counted


def _detector(m: Manifest) -> str:
    d = m.detector
    if d is None:
        return "pooled (from before there was a choice)"
    return (
        f"{d.detector}: {', '.join(d.taps)}; {d.directions} directions, {d.landmarks} landmarks, kappa {d.kappa:g}, "
        f"nu {d.nu:g}, {d.pooling}, seed {d.seed}"
    )


def _limit(spec: LimitSpec) -> str:
    return f"{spec.default:.4g} (a recipe may set {spec.allowed[0]:.4g} to {spec.allowed[1]:.4g})"

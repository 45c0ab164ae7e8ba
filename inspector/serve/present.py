"""What a prediction looks like to a program, and the little more that the page shows."""

from __future__ import annotations

import json
from typing import Any

from inspector.bundle.golden import limits_of
from inspector.core.manifest import Manifest
from inspector.serve.judge import Judged
from inspector.web.present import sign_of
from inspector.web.words import readable, reason_words, word

SIGNS = ("pass", "fail", "fault")


def prediction_view(judged: Judged, manifest: Manifest, decode_ms: float, total_ms: float) -> dict[str, Any]:
    """The answer of POST /predict. anomaly_score: None where the bundle has none."""
    p, o = judged.prediction, judged.outcome
    words = reason_words(int(o.reason), p.label)
    names = [c.name for c in sorted(manifest.classes, key=lambda c: c.id)]
    return {
        "verdict": o.verdict.name,
        "reason": {"number": int(o.reason), "word": o.reason.name, "text": words.text, "hint": words.hint},
        "sign": sign_of(int(o.verdict), int(o.reason)),
        "class": p.label,
        "class_id": p.class_id,
        "confidence": p.confidence,
        "probabilities": dict(zip(names, p.probabilities, strict=True)),
        "novelty_score": p.novelty_score,
        "anomaly_score": p.anomaly_score,
        "bundle_id": manifest.bundle_id,
        "timing": {"decode": round(decode_ms, 2), "infer": round(judged.infer_ms, 2), "total": round(total_ms, 2)},
    }


def score_rows(manifest: Manifest) -> list[tuple[str, str, str]]:
    """(key of the answer, name, limit in words) of each score that the bundle gives."""
    limits = limits_of(manifest)
    low, high = limits.novelty_range
    rows = [
        ("confidence", word("detail.confidence"), word("limit.min", low=f"{limits.min_confidence:.3f}")),
        ("novelty_score", word("detail.novelty"), word("limit.range", low=f"{low:.3f}", high=f"{high:.3f}")),
    ]
    if limits.max_anomaly_score is not None:
        highest = f"{limits.max_anomaly_score:.3f}"
        rows.append(("anomaly_score", word("detail.anomaly"), word("limit.max", high=highest)))
    return rows


def class_rows(manifest: Manifest) -> list[tuple[str, str, bool]]:
    """(key, name, may pass) of each class, in the order of the manifest."""
    return [(c.name, readable(c.name), c.acceptable) for c in sorted(manifest.classes, key=lambda c: c.id)]


def client_words() -> str:
    """The words that the page's script puts in by itself."""
    own = {key: word(f"serve.{key}") for key in ("judging", "judging.hint", "unreadable", "lost", "lost.hint")}
    signs = {name: word(f"sign.{name}") for name in SIGNS}
    return json.dumps({**own, "signs": signs, "percent": word("percent")}, ensure_ascii=False)

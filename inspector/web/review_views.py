"""What the review page shows, made from rows and labels. Pure, but for a look whether a heat map lies there."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from inspector.core.estimates import Estimate
from inspector.office.desk import Figures, Said
from inspector.office.settling import GOOD, UNSURE, Label, Settled, Truth
from inspector.store.review_queue import Row
from inspector.web.present import UNKNOWN, View, date_time, explain, percent, result_word, sign_of
from inspector.web.who import NAMED, Who
from inspector.web.words import class_name, word


def item_view(row: Row, archive: Path, blind: bool, stations: Sequence[str] = ()) -> View:
    """One picture of the queue. blind: without a word of what the model said. stations: of the box."""
    several = any(name != row["station"] for name in stations)  # also where the picture is of a former set-up
    facts = [
        (word("filter.station"), row["station"] if several else None),
        (word("part.time"), date_time(row["opened_utc_ms"])), (word("part.id"), row["part_id"]),
        (word("detail.serial"), row["serial"]), (word("detail.lot"), row["lot"]),
    ]  # fmt: skip
    return {
        "no": row["no"],
        "picture": f"/picture/{row['no']}",
        "facts": [[name, str(value)] for name, value in facts if value not in (None, "")],
        "heat": None if blind else heat_of(row, archive),
        "said": None if blind else verdict_view(row),
    }


def heat_of(row: Row, archive: Path) -> str | None:
    """Where the heat map that lies beside the kept picture is served; None: there is none."""
    picture = PurePosixPath(row["image"])
    beside = archive / picture.with_name(f"{picture.stem}-heat.jpg")
    return f"/heat/{row['no']}" if beside.is_file() else None


def verdict_view(row: Row) -> View:
    """What the PLC was told, and what the model saw."""
    code, reason = row["code"] or 0, row["reason"] or 0
    sign = sign_of(code, reason)
    seen = class_name(row["label"] or "")
    return {
        "sign": sign,
        "word": result_word(code, reason),
        "text": explain(code, reason, row["label"]).text,
        "seen": word("review.seen", label=seen, share=percent(row["confidence"], digits=1)) if seen else "",
    }


def said_view(said: Said, archive: Path) -> View:
    """The answer to a label: what the model said, now that the person has said theirs, and whether it is settled."""
    return {
        "no": said.row["no"],
        "n": said.label.n,
        "label": label_text(said.label.said.label),
        "state": word(f"review.state.{said.settled.state}"),
        "said": verdict_view(said.row),
        "heat": heat_of(said.row, archive),
    }


def figures_view(figures: Figures) -> list[View]:
    """The three estimates, each with its name, its meaning and what it rests on."""
    shown = (
        ("false_rejects", figures.false_rejects), ("overkill", figures.overkill), ("escapes", figures.escapes),
    )  # fmt: skip
    return [_estimate(key, estimate) for key, estimate in shown]


def _estimate(key: str, found: Estimate) -> View:
    return {
        "name": word(f"review.{key}"),
        "hint": word(f"review.{key}.hint"),
        "value": UNKNOWN if found.share is None else _up(found.share),
        "upper": word("review.upper", share=_up(found.upper)),
        "basis": word(f"review.basis.{found.basis}", n=found.reviewed),
        "unsure": word("review.unsure.counted", n=found.unsure) if found.unsure else "",
    }


def _up(share: float) -> str:
    """A share of errors is rounded up, as is its bound: one in 30,000 never reads as none."""
    return word("percent", number=f"{min(100.0, math.ceil(share * 10_000 - 1e-9) / 100):.2f}")


def label_text(label: str) -> str:
    return word(f"review.label.{label}") if label in (GOOD, UNSURE) else class_name(label)


def history_view(
    labels: Sequence[Label], truths: Sequence[Truth], settled: Settled, who: Who
) -> Mapping[str, Any]:  # fmt: skip
    """What people said about one part, for the part page (templates/_labels.html). Oldest first."""
    return {
        "state": word(f"review.state.{settled.state}") if labels else "",
        "labels": [
            {
                "time": date_time(label.utc_ms),
                "person": who(label.said.person),
                "label": label_text(label.said.label),
                "note": label.said.note,
                "queue": word(f"review.queue.{label.said.queue}"),
                "undone": word("review.undone", person=who(label.undone_by)) if label.undone_by else "",
                "box": word("review.box.at", **_sides(label)) if label.said.box else "",
            }
            for label in labels
        ],
        "truths": truths_view(truths, who=who),
    }


def truths_view(truths: Sequence[Truth], unknown: Collection[str] = (), who: Who = NAMED) -> list[View]:
    """What was told of serials. unknown: those of which no part is on record."""
    return [
        {
            "n": truth.n,
            "time": date_time(truth.utc_ms),
            "person": who(truth.said.person),
            "serial": truth.said.serial,
            "source": word(f"review.source.{truth.said.source}"),
            "verdict": word("review.truth.good" if truth.said.good else "review.truth.bad"),
            "note": truth.said.note,
            "undone": word("review.undone", person=who(truth.undone_by)) if truth.undone_by else "",
            "unknown": word("review.truth.nopart") if truth.said.serial in unknown else "",
        }
        for truth in truths
    ]


def _sides(label: Label) -> Mapping[str, int]:
    box = label.said.box
    return {} if box is None else {"x": box.x, "y": box.y, "w": box.w, "h": box.h}

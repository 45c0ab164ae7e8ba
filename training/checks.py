"""What is odd about the pictures, before the first step, and what to do about it. Nothing here stops a training."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.table import Table

from inspector.likeness import near_copies
from training.looks import Look
from training.progress import say
from training.runs import SplitRow

CHECKS = "data-checks.csv"
FEW_TO_LEARN_FROM = 20  # pictures of a class
FEW_TO_CHECK_WITH = 10
UNEVEN = 10.0  # largest class to smallest
COLOUR_CAST = 12.0  # grey values between mean red and mean blue, below which a swap would not show
FLAT = 1.5  # standard deviation of the thumbnail, grey values: lens cap on, lamp off, or overexposed
GREY_MODES = {"1", "L", "LA"}
SHOWN = 3  # pictures named in the table; the file names all


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a person should look at. where: the pictures, or pairs of them, that show it."""

    what: str
    where: tuple[str, ...]
    advice: str


def find_oddities(
    rows: Sequence[SplitRow], looks: Sequence[Look], grouped: bool, acceptable: Collection[str] = ()
) -> tuple[Finding, ...]:
    """looks: one for each row. grouped: the parts are known. acceptable: labels that may pass."""
    return (
        *_copies(rows, looks),
        *_near_copies(rows, looks, grouped),
        *_counts(rows),
        *_sizes(rows, looks),
        *_channels(rows, looks),
        *_swapped(rows, looks),
        *_swapped_classes(rows, looks),
        *_flat(rows, looks, acceptable),
    )


def _copies(rows: Sequence[SplitRow], looks: Sequence[Look]) -> Iterable[Finding]:
    first: dict[str, str] = {}
    pairs = []
    for row, one in zip(rows, looks, strict=True):
        other = first.setdefault(one.sha256, row.path)
        if other != row.path:
            pairs.append(f"{other} = {row.path}")
    if pairs:
        yield Finding(
            "the same file twice", tuple(pairs), "harmless within one split (they stay in one); remove the copies"
        )


def _near_copies(rows: Sequence[SplitRow], looks: Sequence[Look], grouped: bool) -> Iterable[Finding]:
    pairs = near_copies(looks, [row.split for row in rows])
    if pairs:
        advice = "remove one of each pair, or move both into one split" if grouped else "say what a part is: --group-by"
        where = tuple(f"{rows[i].path} ~ {rows[j].path}" for i, j in pairs)
        yield Finding("near copies in two splits", where, f"figures will be too good; {advice}")


def _counts(rows: Sequence[SplitRow]) -> Iterable[Finding]:
    counts = class_counts(rows)
    taught = {label: of["train"] for label, of in counts.items() if of["train"]}
    few = [f"{label}: {count}" for label, count in taught.items() if count < FEW_TO_LEARN_FROM]
    if few:
        advice = "add pictures, or leave the class to the anomaly detector: inspector-train good-only"
        yield Finding(f"classes with fewer than {FEW_TO_LEARN_FROM} pictures to learn from", tuple(few), advice)
    if len(taught) > 1 and max(taught.values()) > UNEVEN * min(taught.values()):
        where = tuple(f"{label}: {count}" for label, count in sorted(taught.items(), key=lambda item: item[1]))
        yield Finding(
            "classes of very different size", where, "compare --imbalance methods; judge by recall, per class"
        )
    for split in ("val", "test") if taught else ():
        thin = [f"{label}: {counts[label][split]}" for label in taught if counts[label][split] < FEW_TO_CHECK_WITH]
        if thin:
            what = f"fewer than {FEW_TO_CHECK_WITH} pictures of a class in {split}"
            yield Finding(what, tuple(thin), "its figures will have wide intervals; add pictures")


def _sizes(rows: Sequence[SplitRow], looks: Sequence[Look]) -> Iterable[Finding]:
    usual, others = _usual_and_others([f"{w} x {h}" for w, h in (one.size for one in looks)], rows)
    if others:
        many = len(others) > len(looks) / 2
        what = (
            f"pictures of {len({one.size for one in looks})} sizes" if many else f"pictures that are not {usual} pixels"
        )
        yield Finding(what, others, "a bundle is for one camera size, and its build refuses others")


def _channels(rows: Sequence[SplitRow], looks: Sequence[Look]) -> Iterable[Finding]:
    kinds = ["grey" if one.mode in GREY_MODES else "colour" for one in looks]
    usual, others = _usual_and_others(kinds, rows)
    if others:
        advice = "the network may learn the difference instead of the defect; take all with one camera setting"
        yield Finding(f"pictures that are not {usual}", others, advice)
    cmyk = tuple(row.path for row, one in zip(rows, looks, strict=True) if one.mode == "CMYK")
    if cmyk:
        yield Finding("CMYK pictures", cmyk, "they are turned into RGB without their colour profile; save them as RGB")


def _swapped(rows: Sequence[SplitRow], looks: Sequence[Look]) -> Iterable[Finding]:
    """Pictures whose cast is the mirror of their class's: red where the others are blue."""
    cast = np.array([one.colour[0] - one.colour[2] for one in looks])  # grey values
    by_label: dict[str, list[int]] = defaultdict(list)
    for i, row in enumerate(rows):
        by_label[row.label].append(i)
    odd: list[str] = []
    for indices in by_label.values():
        usual = float(np.median(cast[indices]))
        if abs(usual) >= COLOUR_CAST:
            odd += [rows[i].path for i in indices if abs(cast[i] + usual) < abs(usual) / 2]
    if odd:
        advice = "saved as BGR? OpenCV's imwrite wants cvtColor(image, COLOR_RGB2BGR) first; save them again"
        yield Finding("red and blue look swapped", tuple(odd), advice)


def _swapped_classes(rows: Sequence[SplitRow], looks: Sequence[Look]) -> Iterable[Finding]:
    """Classes whose usual colour is that of the largest class with red and blue exchanged.

    Green has to agree as well: classes of truly different colours are no mirrors of each other.
    """
    labels = np.array([row.label for row in rows])
    colours = np.array([one.colour for one in looks])  # (N, 3) grey values
    usual = {str(label): np.median(colours[labels == label], axis=0) for label in np.unique(labels)}
    largest = Counter(row.label for row in rows).most_common(1)[0][0]
    cast = float(usual[largest][0] - usual[largest][2])
    if abs(cast) < COLOUR_CAST:
        return
    mirrored = [label for label, rgb in usual.items() if np.abs(rgb[::-1] - usual[largest]).max() < abs(cast) / 3]
    if mirrored:
        where = tuple(f"{k}: red {usual[k][0]:.0f}, blue {usual[k][2]:.0f}" for k in (largest, *mirrored))
        advice = "one of them was saved as BGR: the network would learn the colour, not the defect; save it again"
        yield Finding("whole classes whose red and blue look swapped", where, advice)


def _flat(rows: Sequence[SplitRow], looks: Sequence[Look], acceptable: Collection[str]) -> Iterable[Finding]:
    flat = [row for row, one in zip(rows, looks, strict=True) if one.thumbnail.std() < FLAT]
    passing = tuple(row.path for row in flat if row.label in acceptable)
    others = tuple(row.path for row in flat if row.label not in acceptable)
    if passing:
        advice = "the network would learn that nothing is good: remove them, or put them into negatives/empty"
        yield Finding("pictures that may pass and show nothing (all black or even)", passing, advice)
    if others:
        yield Finding("pictures that show nothing (all black or even)", others, "lens cap, lamp, exposure? remove them")


def _usual_and_others(kinds: Sequence[str], rows: Sequence[SplitRow]) -> tuple[str, tuple[str, ...]]:
    usual = Counter(kinds).most_common(1)[0][0]
    return usual, tuple(f"{row.path}: {kind}" for row, kind in zip(rows, kinds, strict=True) if kind != usual)


def class_counts(rows: Iterable[SplitRow]) -> dict[str, Counter[str]]:
    """For each label, pictures in each split."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        counts[row.label][row.split] += 1
    return dict(sorted(counts.items()))


def write_checks(file: Path, findings: Sequence[Finding]) -> None:
    """All findings as CSV: what, where, advice; one line for each place."""
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["what", "where", "advice"])
        writer.writerows([finding.what, place, finding.advice] for finding in findings for place in finding.where)


def tell(rows: Sequence[SplitRow], findings: Sequence[Finding], file: Path | None, *, quiet: bool = False) -> None:
    """On the terminal: counts, and what is odd; file: where all places stand."""
    say(counts_table(rows), quiet=quiet)
    say(findings_table(findings) if findings else "nothing odd was found about them", quiet=quiet)
    if findings and file is not None:
        say(f"all places: {file}", quiet=quiet)


def counts_table(rows: Sequence[SplitRow]) -> Table:
    """Classes against splits, in pictures."""
    table = Table("class", *(("train", "val", "test")), title=f"{len(rows)} pictures")
    for label, of in class_counts(rows).items():
        table.add_row(label, *(str(of[split]) for split in ("train", "val", "test")))
    return table


def findings_table(findings: Sequence[Finding]) -> Table:
    """What is odd, with the first places, and what to do."""
    table = Table("what to look at", "places", "such as", "what to do", title="Before you trust the figures")
    for finding in findings:
        table.add_row(finding.what, str(len(finding.where)), "\n".join(finding.where[:SHOWN]), finding.advice)
    return table

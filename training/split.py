"""Which picture is used for what: parts, not pictures, are dealt to train, val and test.

Pictures of one part (or lot, or day) look alike; split by picture, a network is tested on what it has learned by heart.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from training.errors import DataError
from training.runs import Split

FRACTIONS: Mapping[Split, float] = {"train": 0.6, "val": 0.2, "test": 0.2}


def groups_by(rule: str | None, paths: Sequence[str], hashes: Sequence[str]) -> tuple[str, ...]:
    """The group of each picture.

    rule: a CSV file whose first two columns are picture and group; or a regular expression found in the file name,
    whose first parenthesis (else the whole match) is the group; or None: each picture by itself. Pictures with the same
    bytes share a group in any case. Raises DataError: a picture without a group.
    """
    if rule is None:
        return tuple(digest[:16] for digest in hashes)
    groups = _from_csv(Path(rule), paths) if Path(rule).suffix == ".csv" else _from_names(rule, paths)
    return same_bytes_same_group(groups, hashes)


def deal(
    labels: Sequence[str], groups: Sequence[str], seed: int, fractions: Mapping[Split, float] = FRACTIONS
) -> tuple[Split, ...]:
    """The split of each picture: whole groups, stratified by label, the same for the same seed whatever the file order.

    Raises DataError: a label with fewer than two groups, which cannot be in train and in val.
    """
    members: dict[str, list[str]] = defaultdict(list)
    for label, group in zip(labels, groups, strict=True):
        members[group].append(label)
    strata: dict[str, list[str]] = defaultdict(list)
    for group, held in members.items():
        strata[min(held, key=lambda label: (-held.count(label), label))].append(group)
    assigned: dict[str, Split] = {}
    for label, names in strata.items():
        if len(names) < 2:
            raise DataError(
                f"class {label!r} has {len(names)} part(s): at least 2 are needed, one to learn from and one to check"
                " with. Add pictures of other parts, or look at --group-by"
            )
        names.sort(key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())
        assigned |= _share_out(names, Counter({name: len(members[name]) for name in names}), fractions)
    return tuple(assigned[group] for group in groups)


def refuse_leaks(paths: Sequence[str], splits: Sequence[Split], groups: Sequence[str]) -> None:
    """Raises DataError where pictures of one group (or with the same bytes) are in two splits."""
    first: dict[str, tuple[str, Split]] = {}
    for path, split, group in zip(paths, splits, groups, strict=True):
        other, seen = first.setdefault(group, (path, split))
        if seen != split:
            raise DataError(
                f"{other} and {path} show the same part (group {group}) but are in {seen} and in {split}: results would"
                " be too good. Move all pictures of a part into one folder, or give class folders alone"
            )


def _share_out(names: list[str], sizes: Mapping[str, int], fractions: Mapping[Split, float]) -> dict[str, Split]:
    """Give each group to the split that lacks most of its share; so each gets one before any gets two."""
    total = sum(sizes[name] for name in names)
    held: dict[Split, int] = dict.fromkeys(fractions, 0)
    dealt: dict[str, Split] = {}
    for name in names:
        split = min(fractions, key=lambda s: held[s] / (fractions[s] * total))
        held[split] += sizes[name]
        dealt[name] = split
    return dealt


def _from_csv(file: Path, paths: Sequence[str]) -> list[str]:
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            rows = [row for row in csv.reader(stream) if row][1:]
    except (OSError, UnicodeDecodeError) as exc:
        raise DataError(f"--group-by {file} cannot be read: {exc}") from exc
    if any(len(row) < 2 for row in rows):
        raise DataError(f"--group-by {file}: each line needs a picture and its group, after a line with their names")
    table = {row[0]: row[1] for row in rows}
    missing = [path for path in paths if path not in table]
    if missing:
        raise DataError(f"--group-by {file} does not name {missing[0]} (and {len(missing) - 1} more)")
    return [table[path] for path in paths]


def _from_names(pattern: str, paths: Sequence[str]) -> list[str]:
    try:
        rule = re.compile(pattern)
    except re.error as exc:
        raise DataError(f"--group-by {pattern!r} is neither a .csv file nor a regular expression: {exc}") from exc
    groups = []
    for path in paths:
        found = rule.search(path.rsplit("/", 1)[-1])
        if found is None:
            raise DataError(f"--group-by {pattern!r} is not found in the file name of {path}")
        groups.append(found.group(1) if rule.groups else found.group(0))
    return groups


def same_bytes_same_group(groups: Sequence[str], hashes: Sequence[str]) -> tuple[str, ...]:
    """Join the groups that share a file: a small union-find over group names."""
    parent = {group: group for group in groups}

    def root(group: str) -> str:
        while parent[group] != group:
            group = parent[group]
        return group

    owner: dict[str, str] = {}
    for group, digest in zip(groups, hashes, strict=True):
        one, two = sorted((root(group), root(owner.setdefault(digest, group))))
        parent[two] = one
    return tuple(root(group) for group in groups)

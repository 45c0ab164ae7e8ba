"""Which lot is used for what: whole groups dealt to train, val and test, so that no part stands on two sides. Pure.

As training deals class folders, but for groups that hold several classes, as lots do, and for data that grows: a lot
that was dealt before keeps its place, or a test set would soon have been learned from.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

Split = Literal["train", "val", "test"]
FRACTIONS: Mapping[Split, float] = {"train": 0.6, "val": 0.2, "test": 0.2}


def deal_groups(
    labels: Sequence[str], groups: Sequence[str], *, before: Mapping[str, Split] | None = None
) -> dict[str, Split]:
    """The split of each group, the same whatever the order of the pictures.

    The rarest class first, each of its groups, the largest first, to the split that lacks most of that class
    (iterative stratification, Sechidis et al. 2011, by groups). before: groups that were dealt already. Raises
    ValueError: a class of which no group may be in train, or nothing is left for val; the text says what to do.
    """
    held: dict[str, Counter[str]] = defaultdict(Counter)
    for label, group in zip(labels, groups, strict=True):
        held[group][label] += 1
    fixed = {group: split for group, split in (before or {}).items() if group in held}
    dealt: dict[str, Split] = dict(fixed)
    of_class = {label: [group for group in held if label in held[group]] for label in set(labels)}
    for label in sorted(of_class, key=lambda label: (len(of_class[label]), label)):
        _deal_class(label, of_class[label], held, dealt)
    for label in sorted(of_class):
        _teach(label, of_class[label], fixed, dealt)
    if "val" not in dealt.values():
        spare = [g for g in _mixed(dealt) if g not in fixed and _can_leave(g, held, dealt)]
        if not spare:
            raise ValueError(
                f"{len(held)} lot(s) leave nothing to check a training with: label parts of more lots, or split by part"
            )
        dealt[spare[0]] = "val"
    return dealt


def _deal_class(label: str, groups: Iterable[str], held: Mapping[str, Counter[str]], dealt: dict[str, Split]) -> None:
    names = sorted(_mixed(groups), key=lambda group: -held[group][label])  # the largest is what to learn from
    total = sum(held[group][label] for group in names)
    has: dict[Split, int] = dict.fromkeys(FRACTIONS, 0)
    for group in names:
        if group in dealt:
            has[dealt[group]] += held[group][label]
    for group in names:
        if group not in dealt:
            dealt[group] = min(FRACTIONS, key=lambda split: has[split] / (FRACTIONS[split] * total))
            has[dealt[group]] += held[group][label]


def _teach(label: str, groups: Sequence[str], fixed: Mapping[str, Split], dealt: dict[str, Split]) -> None:
    """Every class must be there to learn from."""
    if any(dealt[group] == "train" for group in groups):
        return
    free = [group for group in _mixed(groups) if group not in fixed]
    if not free:
        raise ValueError(f"all pictures of {label!r} are of lots that are kept for checking: label some of another lot")
    dealt[free[0]] = "train"


def _can_leave(group: str, held: Mapping[str, Counter[str]], dealt: Mapping[str, Split]) -> bool:
    """True if what it holds can be learned from other groups in train, or it is not in train at all."""
    others = [held[name] for name, split in dealt.items() if split == "train" and name != group]
    return dealt[group] == "test" or all(any(label in other for other in others) for label in held[group])


def _mixed(groups: Iterable[str]) -> list[str]:
    """In an order that is always the same and has nothing to do with time."""
    return sorted(groups, key=lambda group: hashlib.sha256(group.encode()).digest())


def join(groups: Sequence[str], keys: Sequence[Iterable[str]]) -> list[str]:
    """One group for all that share a key, such as a serial in two lots: the first of their names, for each picture."""
    parent = {group: group for group in groups}

    def root(group: str) -> str:
        while parent[group] != group:
            parent[group] = parent[parent[group]]
            group = parent[group]
        return group

    owner: dict[str, str] = {}
    for group, shared in zip(groups, keys, strict=True):
        for key in shared:
            one, two = sorted((root(group), root(owner.setdefault(key, group))))
            parent[two] = one
    return [root(group) for group in groups]

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.core.dealing import deal_groups, join

LOTS = st.dictionaries(
    st.integers(0, 40).map("lot {}".format),
    st.dictionaries(st.sampled_from(["good", "dent", "stain"]), st.integers(1, 9), min_size=1),
    min_size=3,
    max_size=20,
)


def flat(lots: dict[str, dict[str, int]]) -> tuple[list[str], list[str]]:
    pairs = [(label, lot) for lot, held in lots.items() for label, count in held.items() for _ in range(count)]
    return [label for label, _ in pairs], [lot for _, lot in pairs]


@given(LOTS)
def test_every_class_can_be_learned_from_and_something_is_left_to_check_with(lots: dict[str, dict[str, int]]) -> None:
    try:
        dealt = deal_groups(*flat(lots))
    except ValueError:  # each class in one lot only
        return
    taught = {label for lot, split in dealt.items() if split == "train" for label in lots[lot]}
    assert taught == {label for held in lots.values() for label in held}
    assert "val" in dealt.values() and dealt.keys() == lots.keys()


@given(LOTS, st.randoms())
def test_the_order_of_the_pictures_changes_nothing(lots: dict[str, dict[str, int]], luck) -> None:  # type: ignore[no-untyped-def]
    pairs = list(zip(*flat(lots), strict=True))
    other = list(pairs)
    luck.shuffle(other)
    try:
        assert deal_groups(*zip(*pairs, strict=True)) == deal_groups(*zip(*other, strict=True))
    except ValueError:
        return


def test_a_class_that_lies_in_a_few_large_lots_is_taught_and_checked() -> None:
    lots = {f"lot {n}": {"good": 50} for n in range(20)}
    lots["lot 3"]["dent"] = lots["lot 8"]["dent"] = lots["lot 15"]["dent"] = 2
    dealt = deal_groups(*flat(lots))
    assert {dealt[f"lot {n}"] for n in (3, 8, 15)} == {"train", "val", "test"}
    shares = defaultdict(int)
    for split in dealt.values():
        shares[split] += 1
    assert shares["train"] == 12 and shares["val"] == shares["test"] == 4


def test_one_large_lot_beside_a_few_single_parts_is_what_is_learned_from() -> None:
    single = {"part 1": {"good": 1}, "part 2": {"bad": 1}, "part 3": {"good": 1}}
    for large in ("lot 1", "lot 2", "L-2026-47", "A"):  # the order of names decides nothing here
        dealt = deal_groups(*flat({**single, large: {"good": 101, "bad": 19}}))
        assert dealt[large] == "train" and "val" in dealt.values()


def test_a_lot_that_was_dealt_before_keeps_its_place_however_the_data_grow() -> None:
    lots = {f"lot {n}": {"good": 5, "dent": 1} for n in range(10)}
    first = deal_groups(*flat(lots))
    more = {**lots, **{f"lot {n}": {"good": 9, "stain": 2} for n in range(10, 40)}}
    again = deal_groups(*flat(more), before=first)
    assert {lot: again[lot] for lot in lots} == first
    assert set(again.values()) == {"train", "val", "test"}


def test_a_class_that_only_checking_may_see_is_refused_with_what_to_do() -> None:
    with pytest.raises(ValueError, match="label some of another lot"):
        deal_groups(["good", "good", "dent"], ["a", "b", "c"], before={"c": "test"})
    with pytest.raises(ValueError, match="split by part"):
        deal_groups(["good", "dent"], ["a", "a"])


def test_lots_that_share_a_part_become_one() -> None:
    groups = join(["lot a", "lot b", "lot c", "lot d"], [["serial 1"], ["serial 1", "serial 2"], ["serial 2"], []])
    assert groups == ["lot a", "lot a", "lot a", "lot d"]

"""A small disk filled for seconds at 100 parts a second with a null model; `make soak-disk` does it for minutes."""

from __future__ import annotations

from tests.soak.disk import BOUNDS, DISK, HELD_PARTS, soak


async def test_on_a_disk_that_fills_results_flow_holds_stay_and_free_space_is_never_below_the_floor(small_disk):
    seen = await soak(small_disk(DISK), 4.0)
    told = "\n".join(seen.told())
    assert seen.removed > 20, f"it never filled\n{told}"
    assert seen.wrong == 0, told
    assert seen.least_free >= BOUNDS.min_free_bytes, told
    assert len(seen.held) >= HELD_PARTS // 2 and seen.lost == [], told
    assert seen.sample_bytes >= BOUNDS.sample_bytes - (1 << 20), told
    assert "storage_stuck" in seen.alarms and seen.gone_when_stuck == [], seen.alarms

"""What the record takes of the disk, as the daemon measures it while it runs."""

from __future__ import annotations

import asyncio

from inspector.store.reserve import Growth
from tests.support.disks import quick_folder
from tests.support.keeping import keeping
from tests.support.links import until


async def test_on_a_new_box_the_rate_is_known_soon_after_the_first_part(monkeypatch):
    monkeypatch.setattr("inspector.retention.NO_GROWTH_YET_S", 0.0)
    monkeypatch.setattr("inspector.retention.IDLE_S", 0.01)
    with quick_folder() as folder:
        async with keeping(folder) as box:
            tending = asyncio.create_task(box.retention.run_forever(), name="retention")

            def measured() -> Growth:
                return box.retention._growth or Growth(0, -1.0)

            try:
                await until(lambda: measured().per_day_bytes == 0)
                await box.part(1)
                await box.written()
                await until(lambda: measured().per_day_bytes > 0)
            finally:
                tending.cancel()
                await asyncio.gather(tending, return_exceptions=True)

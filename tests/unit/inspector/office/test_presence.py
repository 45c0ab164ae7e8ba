"""Who was logged in when a part came."""

from __future__ import annotations

from inspector.office.presence import Present, logged_in
from inspector.office.sessions import Lifetime
from tests.support.office import PASSWORD, Clock, OfficeInTest, first_admin, someone

HERE = "10.0.0.1"


async def test_who_came_and_did_not_leave_was_there_and_nobody_after_the_longest_session(
    office: OfficeInTest, clock: Clock
) -> None:
    await first_admin(office)
    clock.pass_s(Lifetime().whole_ms / 1000 + 1)  # hers is over
    _, token = await someone(office, "otto", [])
    came_ms, whole_ms = clock.utc_ms, Lifetime().whole_ms
    otto = Present("otto", came_ms)

    async def there(utc_ms: int) -> list[Present]:
        return await office.read(logged_in, utc_ms, whole_ms)

    assert await there(came_ms - 1) == [] and await there(came_ms) == [otto]
    clock.pass_s(60)
    await office.log_in("otto", PASSWORD, HERE)
    assert await there(clock.utc_ms) == [otto], "the first of two log-ins tells since when"
    clock.pass_s(60)
    await office.log_out(token, "otto")
    assert await there(clock.utc_ms - 1) == [otto] and await there(clock.utc_ms) == []
    clock.pass_s(60)
    await office.log_in("otto", PASSWORD, HERE)
    again_ms = clock.utc_ms
    assert await there(again_ms + whole_ms) == [Present("otto", again_ms)]
    assert await there(again_ms + whole_ms + 1) == []


async def test_the_first_admin_is_there_from_the_first_start_on(office: OfficeInTest, clock: Clock) -> None:
    await first_admin(office)
    found = await office.read(logged_in, clock.utc_ms, Lifetime().whole_ms)
    assert [one.name for one in found] == ["Anna"]

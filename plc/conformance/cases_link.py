"""Section 8, tests 26 to 35, and faults.md 14 to 30: the connection, broken at every point of the cycle."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from plc.conformance.bench import Bench, refused
from plc.conformance.case import APPLIANCE, CaseFailed
from plc.conformance.fake_plc import ACK, TRIGGER, Piece
from plc.fault_proxy import Side
from plc.registers import Control, Reason, Status

case = APPLIANCE.case
BUSY = Status.ACQUIRING | Status.SYSTEM_BUSY


@dataclass(slots=True)
class Cycle:
    """One part past the camera, as its test goes through it."""

    bench: Bench
    piece: Piece
    id: int = 0

    async def to(self, point: str) -> None:
        """Go on to this point of the cycle. Raises CaseFailed."""
        plc = self.bench.plc
        if point == "before the trigger":
            return
        self.id = plc.raise_trigger(self.piece)
        await self._seen(point, "after the trigger", lambda: True)
        if point != "after the trigger":
            await self._seen(point, "after the acknowledge", lambda: plc.acked(self.id) or plc.valid_for(self.id))
        if point in ("before the result acknowledge", "after the result acknowledge"):
            await self._seen(point, point, lambda: plc.valid_for(self.id))
        if point == "after the result acknowledge":
            plc.set(ACK)
            plc.set(TRIGGER, False)
            await self._seen(point, point, lambda: not plc.has(Status.RESULTS_VALID))

    async def _seen(self, point: str, what: str, true: Callable[[], bool]) -> None:
        if not await self.bench.plc.until(true, 3.0):
            raise CaseFailed(f"on the way to {point}: {what} never came: {self.bench.shown()}")


POINTS = (  # faults.md 14 to 20; "in inspection" and "before the result" need a slow judge
    "before the trigger", "after the trigger", "after the acknowledge", "in inspection", "before the result",
    "before the result acknowledge", "after the result acknowledge",
)  # fmt: skip


async def at_each_point(
    bench: Bench, what: str, broken: Callable[[], object], healed: Callable[[], object], points: Sequence[str] = POINTS
) -> None:
    """Break the link at each point of a cycle: no PASS afterwards for the part in flight, and the next one passes."""
    for point in points:
        if point in ("in inspection", "before the result"):
            if not bench.can("judge"):
                bench.steps.note(f"{what} {point}", "not tried", "the judge cannot be slowed down", True)
                continue
            bench.here.judge.delay_s = 0.2 if point == "in inspection" else 0.1
        await bench.settle(10)
        cycle = Cycle(bench, bench.good())
        await cycle.to("after the acknowledge" if point in ("in inspection", "before the result") else point)
        if point == "before the result":
            await asyncio.sleep(0.09)  # the judge is done in some milliseconds
        broken()
        passed = _by_a_newer_connection(bench, cycle.id)
        wait = healed()
        if asyncio.iscoroutine(wait):
            await wait
        if bench.can("judge"):
            bench.here.judge.delay_s = 0.0
        await _nothing_passes(bench, f"{what} {point}", cycle.id, passed)
        await bench.plc.release()
        await bench.passes()


def _passed(bench: Bench, id_: int, after: int = -1) -> int:
    """How often a PASS was told for this id, by connections newer than `after`."""
    told = [told for t in bench.checker.triggers if t.id == id_ for told in zip(t.verdicts, t.told_on, strict=True)]
    return sum(verdict == (1, 0) and connection > after for verdict, connection in told)


async def _nothing_passes(bench: Bench, what: str, id_: int, passed: Callable[[], int], before: int = 0) -> None:
    """After the link has come back the id is refused; `passed` is still what it was before."""
    plc = bench.plc
    plc.distrust()
    back = await plc.until(lambda: plc.linked and plc.hears, 10)
    bench.steps.check(what, "the link comes back", bench.shown(), back)
    if not id_ or not Control(plc.ctrl["CONTROL"]) & TRIGGER:
        return
    came = await plc.answered(id_, 2.0)
    standing = refused(Reason.LINK_LOST), refused(Reason.STALE_TRIGGER)
    bench.steps.check(
        f"{what}; id {id_} still stands", "4/107, or 4/103 where it was never seen", came, came in standing
    )
    again = passed() > before
    bench.steps.check(f"the same, id {id_}", "no PASS across the session", "PASS" if again else "none", not again)


def _by_a_newer_connection(bench: Bench, id_: int) -> Callable[[], int]:
    """PASS told by connections made from now on.

    Not PASS told from now on: what a connection had sent before it broke may reach the PLC's memory after that, and is
    of its own session.
    """
    return partial(_passed, bench, id_, bench.port.connection)


@case("26")
async def the_link_is_cut_at_each_point_of_the_cycle(bench: Bench) -> None:
    for down_s in (0.02, 0.5, bench.of_profile(3, 30, 30)):
        if down_s > 1 and bench.plan.profile == "quick":
            await _cut_once(bench, down_s)
            continue
        await at_each_point(
            bench, f"cut for {1000 * down_s:.0f} ms", partial(_down, bench), partial(_up, bench, down_s)
        )


async def _cut_once(bench: Bench, down_s: float) -> None:
    """The long cut, at the one point where a judge is quickest: a trigger stands."""
    await bench.settle(10)
    cycle = Cycle(bench, bench.good())
    await cycle.to("after the acknowledge")
    _down(bench)
    passed = _by_a_newer_connection(bench, cycle.id)
    await _up(bench, down_s)
    await _nothing_passes(bench, f"cut for {down_s:.0f} s", cycle.id, passed)
    await bench.plc.release()
    await bench.passes()


def _down(bench: Bench) -> None:
    bench.proxy.refuse = True
    bench.proxy.cut()
    ended(bench, "the link was cut")


async def _up(bench: Bench, after_s: float) -> None:
    await asyncio.sleep(after_s)
    bench.proxy.refuse = False


def ended(bench: Bench, why: str) -> None:
    """The appliance's session ends: what is in flight may end unanswered, and what STAT shows is old."""
    bench.checker.session(why)
    bench.plc.distrust()


@case("27")
async def a_reset_at_each_point_of_the_cycle(bench: Bench) -> None:
    def reset() -> None:
        bench.proxy.reset()
        ended(bench, "the link was reset")

    await at_each_point(bench, "RST", reset, lambda: None)


@case("28")
async def a_black_hole_is_detected_in_time_and_nothing_passes_through_it(bench: Bench) -> None:
    """No FIN, no RST: only time tells. Client: the request times out; server: the owner is silent."""
    settings = bench.appliance.settings
    limit_s = (settings.request_timeout_s if bench.direction == "client" else settings.comm_timeout_s) + 1
    wait_s = limit_s if bench.direction == "client" else settings.comm_timeout_s + 0.4

    def vanish() -> None:
        bench.proxy.black_hole()
        ended(bench, "the link was a black hole")

    def heal() -> object:
        return _healed(bench, wait_s)

    await at_each_point(bench, "black hole", vanish, heal, _points(bench))


def _points(bench: Bench) -> Sequence[str]:
    """A silent fault costs a comm_timeout at each point: the quick profile tries those in which a part is in flight."""
    return POINTS[1:6:2] if bench.direction == "server" and bench.plan.profile == "quick" else POINTS


async def _healed(bench: Bench, after_s: float) -> None:
    """The connection is given up by who notices; the next one finds a whole link."""
    counts = bench.proxy.counts
    begun, before = time.monotonic(), counts["accepted"] + counts["refused"]
    if bench.direction == "client":
        await bench.plc.until(lambda: counts["accepted"] + counts["refused"] > before, after_s + 1)
        took_s = time.monotonic() - begun
        bench.steps.check(
            "a black hole", f"noticed within {after_s:g} s: it connects anew", f"{took_s:.2f} s", took_s <= after_s
        )
    else:
        await asyncio.sleep(after_s)
    bench.proxy.black_hole(False)
    bench.proxy.reset()


@case("28")
async def a_half_open_connection_is_left_and_nothing_passes_through_it(bench: Bench) -> None:
    """The other end lost its power: its socket is gone and nobody tells the appliance."""
    gone = Side.SERVER if bench.direction == "client" else Side.CLIENT

    def lose() -> None:
        bench.proxy.half_open(gone)
        bench.proxy.refuse = bench.direction == "server"  # a PLC without power is away for some time
        ended(bench, "half-open")

    away_s = bench.appliance.settings.comm_timeout_s + 0.4 if bench.direction == "server" else 0.0
    await at_each_point(bench, "half-open", lose, lambda: _up(bench, away_s), _points(bench))


@case("29")
async def a_peer_that_sends_byte_by_byte_delays_but_never_confuses(bench: Bench) -> None:
    lane = bench.proxy.replies if bench.direction == "client" else bench.proxy.requests
    lane.drip_s = 0.0005
    await bench.plc.until(lambda: False, 0.5)
    for _ in range(3):
        await bench.plc.inspect(bench.good())
    bench.steps.note(
        "three parts, one byte each 0.5 ms", "each passes or is a reject", [str(s) for s in bench.plc.seen], True
    )
    lane.drip_s = 0.05  # a frame takes seconds: longer than any timeout
    await bench.plc.until(lambda: False, 2.0)
    ended(bench, "the link was too slow")
    bench.proxy.heal()
    bench.proxy.reset()
    await bench.settle(10)
    await bench.passes()


@case("30")
async def a_reply_after_the_timeout_never_answers_the_next_request(bench: Bench) -> None:
    settings = bench.appliance.settings
    late_s = (settings.request_timeout_s if bench.direction == "client" else 1.0) + 0.15
    for _ in range(3):
        await bench.settle(10)
        id_ = bench.plc.raise_trigger(bench.good(), may_pass=False)
        bench.proxy.replies.delay_s = late_s
        ended(bench, "replies came too late")
        await bench.plc.until(lambda: False, late_s + 0.3)
        bench.proxy.heal()
        await bench.never_passes(f"id {id_}, every reply {1000 * late_s:.0f} ms late", id_, 0.5)
        await bench.plc.release()
    await bench.settle(10)
    await bench.passes()


@case("30")
async def slow_and_uneven_traffic_holds_the_deadline_or_rejects(bench: Bench) -> None:
    """faults.md 30: 500 ms of delay, jitter."""
    for delay_s, jitter_s in ((0.02, 0.02), (0.1, 0.05), (0.5, 0.1)):
        bench.proxy.requests.delay_s, bench.proxy.requests.jitter_s = delay_s / 2, jitter_s / 2
        bench.proxy.replies.delay_s, bench.proxy.replies.jitter_s = delay_s / 2, jitter_s / 2
        for _ in range(3 if delay_s < 0.5 else 1):
            if bench.plc.is_ready():
                await bench.plc.inspect(bench.good())
            else:
                await bench.plc.until(lambda: False, 0.2)
        shown = [str(seen) for seen in bench.plc.seen] or "not READY"
        bench.steps.note(
            f"delay {1000 * delay_s:.0f} ms, jitter {1000 * jitter_s:.0f} ms",
            "its own verdict or a reject",
            shown,
            True,
        )
        bench.plc.seen.clear()
    ended(bench, "the link was too slow")
    bench.proxy.heal()
    await bench.settle(10)
    await bench.passes()


@case("34")
async def bytes_of_an_old_session_that_arrive_after_the_new_one_never_pass_a_part(bench: Bench) -> None:
    proxy, plc = bench.proxy, bench.plc
    for point in ("after the trigger", "after the acknowledge"):
        await bench.settle(10)
        cycle = Cycle(bench, bench.good())
        if point == "after the trigger":
            proxy.requests.hold = True
            await cycle.to("after the trigger")
            await asyncio.sleep(0.1)
        else:
            if bench.can("judge"):  # else what is held back may be the part's own verdict, sent in its own session
                bench.here.judge.delay_s = 0.2
            await cycle.to("after the acknowledge")
            proxy.requests.hold = True
            await asyncio.sleep(0.1)
        proxy.orphan()
        if bench.direction == "server":  # the old session ends by silence; until then its verdict is still its own
            proxy.refuse = True
            await plc.until(lambda: False, bench.appliance.settings.comm_timeout_s + 0.4)
            proxy.refuse = False
        ended(bench, "the session's requests were held back")
        proxy.requests.hold = False
        passed = partial(_passed, bench, cycle.id) if bench.can("judge") else _by_a_newer_connection(bench, cycle.id)
        told = passed()
        await plc.until(lambda: plc.linked and plc.hears, 5)
        delivered = await proxy.deliver_held()
        await plc.until(lambda: False, 0.2)  # two heartbeats: what was old is overwritten
        bench.steps.check(
            f"requests held back {point}", "some, delivered after the new session", delivered, delivered > 0
        )
        if bench.can("judge"):
            bench.here.judge.delay_s = 0.0
        await _nothing_passes(bench, "old bytes after the new session", cycle.id, passed, told)
        await plc.release()
        proxy.heal()
        await bench.settle(10)
        await bench.passes()


@case("35")
async def a_write_that_arrives_twice_changes_nothing(bench: Bench) -> None:
    for number in range(3):
        bench.proxy.requests.duplicate = 1000
        piece = bench.bad() if number % 2 else bench.good()
        seen = await bench.plc.inspect(piece)
        bench.steps.check(
            "every request twice", "the part's own verdict, once", seen, seen.good == piece.good and seen.code != 0
        )
    bench.proxy.heal()
    await bench.passes()


@case("35")
async def requests_that_change_places_never_pass_a_wrong_part(bench: Bench) -> None:
    """With one request in flight nothing overtakes: it arrives late and alone."""
    for _ in range(3):
        bench.proxy.requests.reorder = 3
        await bench.plc.inspect(bench.good())
    bench.steps.note(
        "requests held until the next one overtakes",
        "its own verdict or a reject",
        [str(s) for s in bench.plc.seen],
        True,
    )
    ended(bench, "requests changed places")
    bench.proxy.heal()
    await bench.settle(10)
    await bench.passes()

"""What the PLC commands of the appliance: another recipe, a self test, counters. Section 6 of the contract."""

from __future__ import annotations

import structlog

from inspector.core.alarm_kinds import Kind
from inspector.core.errors import InspectorError, StoreError
from inspector.judging import FAILURES, NO_RECIPE_ACTIVE, NOBODY, Failure, Judging
from inspector.stations import PLC, Running, entry_of
from inspector.store.journal import BEHIND_S
from plc.commands import CommandRequest
from plc.registers import Command, CommandResult, OfflineReason

log = structlog.get_logger(__name__)
TOO_LATE = OfflineReason.NO_RECIPE, Kind.RECIPE_LATE.of()


async def obey_forever(running: Running) -> None:
    """Take the PLC's commands of one station and answer each. A bug propagates: the process ends."""
    while True:
        await obey(await running.port.command(), running)


async def obey(request: CommandRequest, running: Running) -> None:
    """On record before anything is done.

    Where that fails a change of recipe goes on: it has a transaction of its own, and says what fails there.
    """
    on_record = await _note(request, running)
    match request.command:
        case Command.PREPARE_RECIPE:
            await change_over(request, running)
        case Command.UNPREPARE_RECIPE:
            await _unprepare(request, running)
        case _ if not on_record:
            _answer(request, running, CommandResult.LOAD_FAILED)
        case Command.SELF_TEST:
            _answer(request, running, await _self_test(running))
        case Command.RESET_COUNTERS:
            _answer(request, running, await _reset_counters(request, running))
        case _:
            _answer(request, running, CommandResult.NOT_ALLOWED)


async def _note(request: CommandRequest, running: Running) -> bool:
    """False: the record could not be written."""
    journal, clock = running.shared.journal, running.shared.clock
    try:
        await journal.until(journal.note(PLC, *entry_of(request, running.section.id)), clock.monotonic_s() + BEHIND_S)
    except (StoreError, TimeoutError) as exc:
        log.error("a command of the PLC is not on record", command=request.command.name, error=str(exc) or "late")
        return False
    return True


async def change_over(request: CommandRequest, running: Running) -> None:
    """Prepare the recipe, put it on record, then let it judge. Whatever fails: no recipe judges, and a text says why.

    On record before it is active: a start after a power cut comes up with this one, whole, or with the former.
    """
    number, shared = request.arg, running.shared
    running.take(NOBODY)
    shared.failpoint("preparing")
    try:
        judging = await shared.judges.prepare(running.section, number, PLC, f"command {request.id}")
        if judging.recipe.camera:
            await running.station.camera.set_up(judging.recipe.camera)
        shared.failpoint("prepared")
        await _record(running, judging, CommandResult.OK, request)
    except FAILURES as exc:
        failure = Failure.of(exc, f"change-over to recipe {number}")
        running.health.recipe_fails(failure.reason, failure.why)
        await _record_failure(running, number, failure.result, request)
        _answer(request, running, failure.result)
        return
    shared.failpoint("recorded")
    await _activate(request, running, judging)


async def _activate(request: CommandRequest, running: Running, judging: Judging) -> None:
    """Line, page and PLC learn of it in one go; an answer that comes too late is taken back."""
    handshake, now_s = running.port.handshake, running.shared.clock.monotonic_s()
    recipe = judging.recipe
    running.take(judging)
    if handshake.answer(request, CommandResult.OK, now_s, recipe.number, judging.settings_checksum):
        running.health.recipe_holds()
        running.tell_health()
        log.info("changed over", station=running.section.id, recipe=recipe.number, revision=recipe.revision)
        return
    running.take(NOBODY)
    running.health.recipe_fails(*TOO_LATE)
    await _record_failure(running, 0, CommandResult.OK, request)


async def _unprepare(request: CommandRequest, running: Running) -> None:
    """No recipe judges, also after a restart."""
    running.take(NOBODY)
    running.health.recipe_fails(*NO_RECIPE_ACTIVE)
    try:
        await _record(running, NOBODY, CommandResult.OK, request)
    except StoreError as exc:
        log.error("unprepared, but not on record", error=str(exc))
        _answer(request, running, CommandResult.LOAD_FAILED)
        return
    running.port.handshake.answer(request, CommandResult.OK, running.shared.clock.monotonic_s(), 0, 0)


async def _self_test(running: Running) -> CommandResult:
    """Bundle and golden pictures once more. Failed: not ready until a self test or a change-over succeeds."""
    judging = running.judging
    if judging.recipe.number == 0:
        return CommandResult.NOT_ALLOWED
    try:
        await running.shared.judges.self_test(judging)
    except FAILURES as exc:
        failure = Failure.of(exc, "self test")
        running.health.recipe_fails(OfflineReason.CHECK_DUE, failure.why)
        return failure.result
    running.health.recipe_holds()
    return CommandResult.OK


async def _reset_counters(request: CommandRequest, running: Running) -> CommandResult:
    try:
        await running.results.begin_period(PLC, f"command {request.id} of station {running.section.id}")
    except StoreError as exc:
        log.error("counters not begun anew", error=str(exc))
        return CommandResult.LOAD_FAILED
    return CommandResult.OK


def _answer(request: CommandRequest, running: Running, result: CommandResult) -> None:
    running.tell_health()  # first: the PLC shall not see READY between the answer and what it means
    running.port.handshake.answer(request, result, running.shared.clock.monotonic_s())


async def _record(running: Running, judging: Judging, result: CommandResult, request: CommandRequest) -> None:
    recipe, judges = judging.recipe, running.shared.judges
    await judges.record(running.section, recipe.number, recipe.revision, result, PLC, f"command {request.id}")


async def _record_failure(running: Running, number: int, result: CommandResult, request: CommandRequest) -> None:
    """For the audit; a store that cannot take it drops READY by itself."""
    try:
        await running.shared.judges.record(running.section, number, 0, result, PLC, f"command {request.id}")
    except InspectorError as exc:
        log.error("change-over not on record", error=str(exc))

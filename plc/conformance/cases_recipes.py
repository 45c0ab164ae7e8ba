"""Section 8, test 54: recipes by number, as far as the wire can judge. A corrupt hash and a power cut need hooks."""

from __future__ import annotations

from plc.conformance.bench import Bench
from plc.conformance.case import APPLIANCE
from plc.conformance.checker import named
from plc.conformance.fake_plc import ENABLE
from plc.registers import Command, CommandResult, Control, Status

case = APPLIANCE.case
LOAD_S = 30.0  # load, verify, warm up, golden check
ANSWERED = Status.COMMAND_COMPLETED | Status.COMMAND_FAILED
NOBODYS_RECIPE = 64_999


async def command(bench: Bench, id_: int, command_: Command, arg: int) -> str:
    """EXECUTE_COMMAND up until the answer, then down until it is taken away. Returns the answer in words."""
    plc = bench.plc
    plc.ctrl["COMMAND"], plc.ctrl["COMMAND_ARG"], plc.ctrl["COMMAND_ID"] = command_, arg, id_
    await plc.scanned(2)
    plc.set(Control.EXECUTE_COMMAND)
    sent = f"{command_.name} {arg}, COMMAND_ID {id_}"
    await bench.happens(sent, "an answer", lambda: plc.has(ANSWERED) and plc.stat["COMMAND_ID_ACK"] == id_, LOAD_S)
    came = f"{named(plc.status & ANSWERED)}, COMMAND_RESULT {plc.stat['COMMAND_RESULT']}"
    plc.set(Control.EXECUTE_COMMAND, False)
    await bench.happens("EXECUTE_COMMAND = 0", "the answer is taken away", lambda: not plc.has(ANSWERED))
    return came


def answer(result: CommandResult) -> str:
    bit = Status.COMMAND_COMPLETED if result is CommandResult.OK else Status.COMMAND_FAILED
    return f"{named(bit)}, COMMAND_RESULT {int(result)}"


@case("54")
async def a_recipe_is_changed_by_number_and_judges_from_then_on(bench: Bench) -> None:
    plc, steps, recipe = bench.plc, bench.steps, bench.appliance.settings.recipe
    await bench.passes()
    first = plc.ctrl["COMMAND_ID"] + 1
    came = await command(bench, first, Command.PREPARE_RECIPE, recipe)
    steps.equal("PrepareRecipe while TRIGGER_ENABLE = 1", answer(CommandResult.NOT_ALLOWED), came)
    plc.ctrl["CONTROL"] = Control(0)
    free = Status.TRIGGER_READY | Status.SYSTEM_BUSY
    await bench.happens("TRIGGER_ENABLE = 0", "READY = 0, SYSTEM_BUSY = 0", lambda: not plc.status & free)
    came = await command(bench, first + 1, Command.PREPARE_RECIPE, NOBODYS_RECIPE)
    steps.equal("PrepareRecipe of a number that is none", answer(CommandResult.UNKNOWN_RECIPE), came)
    came = await command(bench, first + 2, Command.PREPARE_RECIPE, recipe)
    steps.equal(f"PrepareRecipe {recipe}", answer(CommandResult.OK), came)
    steps.equal("ACTIVE_RECIPE", recipe, plc.stat["ACTIVE_RECIPE"])
    again = await command(bench, first + 2, Command.PREPARE_RECIPE, NOBODYS_RECIPE)
    steps.equal("the same COMMAND_ID again, with another number", "the same answer, not executed", _same(came, again))
    steps.equal("ACTIVE_RECIPE", recipe, plc.stat["ACTIVE_RECIPE"])
    plc.ctrl["RECIPE_EXPECTED"] = recipe
    plc.ctrl["CONTROL"] = ENABLE
    await bench.passes()


def _same(came: str, again: str) -> str:
    return "the same answer, not executed" if came == again else again

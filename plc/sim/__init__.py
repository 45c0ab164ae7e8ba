"""A PLC that plays a line: the contract's function blocks as a scan cycle, on a belt, with faults on demand."""

from plc.sim.belt import Belt, BeltConfig
from plc.sim.inspect import good
from plc.sim.line import SimLine
from plc.sim.parts import Habits, NewPart, SimConfig, SimResult, TrackConfig, part_ids
from plc.sim.plc import SimPlc
from plc.sim.program import Inputs, PlcProgram
from plc.sim.script import ScriptError, parse, usage

__all__ = [
    "Belt", "BeltConfig", "Habits", "Inputs", "NewPart", "PlcProgram", "ScriptError", "SimConfig", "SimLine", "SimPlc",
    "SimResult", "TrackConfig", "good", "parse", "part_ids", "usage",
]  # fmt: skip

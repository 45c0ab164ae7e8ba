"""What the daemon gives for a support bundle, over the control socket."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from inspector.logs import recent
from plc.images import Image
from plc.station import StationBase, StationPort


class Told(Protocol):
    """A station, as far as its registers go."""

    @property
    def name(self) -> str: ...

    @property
    def port(self) -> StationPort: ...


def support_view(stations: Sequence[Told]) -> dict[str, Any]:
    """The newest log lines, and what each station writes into its PLC's memory, by name."""
    return {"log": recent(), "registers": {station.name: _registers(station.port) for station in stations}}


def _registers(port: StationPort) -> dict[str, Any]:
    found = {"STAT": values(port.handshake.stat)}
    if isinstance(port, StationBase):
        found["DIAG"] = values(port.diag_image())
    return found


def values(image: Image) -> dict[str, int | str]:
    """Every register of a block by its name."""
    return {
        register.name: image.text(register.name) if register.kind == "string" else image[register.name]
        for register in image.block.registers
    }

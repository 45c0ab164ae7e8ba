"""What carries a connection to a PLC. The contract above it is the same."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from plc.wire import Wire


@dataclass(frozen=True, slots=True)
class TransportConfig:
    """Where the PLC is."""

    host: str = "127.0.0.1"
    port: int = 502
    unit_id: int = 1

    @property
    def where(self) -> str:
        """For people."""
        return f"{self.host}:{self.port}"


async def connect_wire(
    transport: TransportConfig, timeout_s: float, now: Callable[[], float], rtt_s: deque[float]
) -> Wire:
    """timeout_s: for connecting and for each answer. Round-trip times go to rtt_s. Raises LinkFault."""
    return await Wire.connect(transport.host, transport.port, transport.unit_id, timeout_s, now, rtt_s)

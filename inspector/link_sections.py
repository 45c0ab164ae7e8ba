"""Sections of a link that is not plain TCP: the files of TLS, and a serial line."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from inspector.section import FilePath, Section
from plc.serial_port import SerialConfig
from plc.tls import TlsFiles

BLOCKS = {"ctrl_base": 20, "stat_base": 44, "diag_base": 40, "ident_base": 30}  # registers of each block


class TlsConfig(Section):
    """PEM files of Modbus/TCP Security; none is asked for a password."""

    ca: FilePath = Field(description="the authority that signed the other side's certificate; no other is trusted")
    certificate: FilePath = Field(description="ours, with its chain")
    key: FilePath
    server_name: str = Field(default="", max_length=253, description="client: the name in the PLC's certificate")
    write_roles: tuple[str, ...] | None = Field(default=None, description="server: roles that may write; none: any")
    allow_names: tuple[str, ...] | None = Field(
        default=None, description="server: names in the certificates of those that may connect; none: any"
    )

    @property
    def files(self) -> TlsFiles:
        return TlsFiles(self.ca, self.certificate, self.key)


class SerialLineConfig(Section):
    """A serial line for Modbus RTU; the PLC must be set alike."""

    device: str = Field(min_length=1, max_length=256, description="best a name under /dev/serial/by-id")
    baud: int = Field(default=115_200, ge=1200, le=4_000_000)
    parity: Literal["none", "even", "odd"] = "even"
    stop_bits: Literal[1, 2] = 1
    quiet_ms: float = Field(default=500, ge=0, le=10_000, description="silence before the first request of a session")

    @property
    def port(self) -> SerialConfig:
        return SerialConfig(self.device, self.baud, self.parity, self.stop_bits, self.quiet_ms / 1000)

    @property
    def poll_ms(self) -> float:
        """What one read of CTRL takes on the line."""
        return 1000 * self.port.exchange_s(8, 5 + 2 * BLOCKS["ctrl_base"])

    @property
    def write_ms(self) -> float:
        """What one write of STAT takes on the line."""
        return 1000 * self.port.exchange_s(9 + 2 * BLOCKS["stat_base"], 8)

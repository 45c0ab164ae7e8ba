"""Sections of the links to PLCs: plain TCP, TLS with its files, a serial line."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from inspector.section import FilePath, Section
from inspector.toml_file import wrong_key
from plc.serial_port import SerialConfig
from plc.tls import PORT as TLS_PORT
from plc.tls import TlsFiles
from plc.transport import TransportConfig

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


def _peer(text: str) -> str:
    ipaddress.ip_network(text, strict=False)
    return text


class LinkConfig(Section):
    """One connection to a PLC (client), or one address where PLCs find us (server)."""

    name: str = Field(default="plc", min_length=1, max_length=32)
    mode: Literal["client", "server"] = "client"
    transport: Literal["tcp", "tls", "rtu"] = "tcp"
    host: str = Field(default="", max_length=253, description="the PLC; server: where to listen; needed but for rtu")
    port: int = Field(default=502, ge=1, le=65535)
    unit_id: int = Field(default=1, ge=0, le=255)
    word_order: Literal["big", "little"] = "big"
    poll_ms: float = Field(default=5, ge=1, le=100)
    armed_poll_ms: float = Field(default=2, ge=1, le=100)
    request_timeout_ms: float = Field(default=250, ge=10, le=5000)
    reconnect_min_ms: float = Field(default=100, ge=10, le=10_000)
    reconnect_max_ms: float = Field(default=2000, ge=10, le=60_000)
    heartbeat_ms: float = Field(default=100, ge=20, le=1000)
    heartbeat_timeout_ms: float = Field(default=500, ge=60, le=10_000)
    publish: Literal["two_phase", "single"] = "two_phase"
    allow_peers: tuple[Annotated[str, AfterValidator(_peer)], ...] = Field(
        default=(), max_length=64, description="server: addresses and networks that may connect; empty: any"
    )
    max_connections: int = Field(default=4, ge=1, le=32, description="server")
    comm_timeout_ms: float = Field(default=1000, ge=100, le=60_000, description="server: a silent owner is released")
    tls: TlsConfig | None = None
    serial: SerialLineConfig | None = None

    @property
    def carrier(self) -> TransportConfig:
        """Where and over what the PLC is asked (client)."""
        files, name = (self.tls.files, self.tls.server_name) if self.tls is not None else (None, "")
        line = self.serial.port if self.serial is not None else None
        return TransportConfig(self.transport, self.host, self.at_port, self.unit_id, files, name, line)

    @property
    def at_port(self) -> int:
        """TLS has a port of its own. (No validator before the others: behind one, strict lists are no tuples.)"""
        return TLS_PORT if self.transport == "tls" and "port" not in self.model_fields_set else self.port

    @model_validator(mode="after")
    def _carried(self) -> Self:
        """Each transport has its own keys, and needs them."""
        for kind, key, what in (("tls", "tls", self.tls), ("rtu", "serial", self.serial)):
            if (self.transport == kind) != (what is not None):
                text = f'belongs to transport = "{kind}"' if what is not None else f'is missing; "{kind}" needs it'
                raise wrong_key(text, key)
        if self.serial is None:
            if not self.host:
                raise wrong_key("is missing; it has no default", "host")
            return self
        if self.host or "port" in self.model_fields_set:
            raise wrong_key("a serial line has none; remove it", "host" if self.host else "port")
        if not 1 <= self.unit_id <= 247:
            raise wrong_key("is 1 to 247 on a serial line", "unit_id")
        if self.mode == "client":  # a server keeps no time of its own on the line
            self._fits_on(self.serial)
        return self

    def _fits_on(self, line: SerialLineConfig) -> None:
        if line.quiet_ms < self.request_timeout_ms:
            text = f"must be at least request_timeout_ms = {self.request_timeout_ms:g}: a late answer is over by then"
            raise wrong_key(text, "serial", "quiet_ms")
        busy_ms = line.poll_ms + 2 * line.write_ms
        if busy_ms > self.heartbeat_ms:
            text = (
                f"too slow: a poll and two writes keep the line busy for {busy_ms:.0f} ms, longer than "
                f"heartbeat_ms = {self.heartbeat_ms:g}"
            )
            raise wrong_key(text, "serial", "baud")
        if self.request_timeout_ms < 2 * line.write_ms:
            text = f"must be at least {2 * line.write_ms:.0f}, twice what the longest answer takes on this line"
            raise wrong_key(text, "request_timeout_ms")

    @model_validator(mode="after")
    def _rules(self) -> Self:
        if self.mode == "client" and _is_any_address(self.host):
            raise wrong_key("is an any-address; a client needs the address of the PLC", "host")
        if self.mode == "server" and self.host and _is_any_address(self.host) and not self.allow_peers:
            raise wrong_key("listens at every address of this box: name the PLCs in allow_peers", "host")
        if self.heartbeat_timeout_ms < 3 * self.heartbeat_ms:
            text = f"must be at least 3 x heartbeat_ms = {3 * self.heartbeat_ms:g}: one late beat is no dead PLC"
            raise wrong_key(text, "heartbeat_timeout_ms")
        if self.reconnect_max_ms < self.reconnect_min_ms:
            raise wrong_key("must not be below reconnect_min_ms", "reconnect_max_ms")
        return self


class PlcConfig(Section):
    links: tuple[LinkConfig, ...] = Field(min_length=1)


def _is_any_address(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_unspecified
    except ValueError:
        return False  # a name

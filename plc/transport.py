"""What carries a connection to a PLC: TCP, TLS or a serial line. The contract above it is the same."""

from __future__ import annotations

import asyncio
import math
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from plc.rtu_wire import RtuWire
from plc.serial_port import SerialConfig
from plc.tls import HANDSHAKE_S, FileWatch, TlsError, TlsFiles, client_context, explain, notices, parse_certificate
from plc.wire import LinkFault, Streams, StreamWire, Wire, nobody

TransportKind = Literal["tcp", "tls", "rtu"]
AGAIN_S = 3600.0  # a certificate comes nearer to its end by itself


@dataclass(frozen=True, slots=True)
class TransportConfig:
    """Where the PLC is. host and port: tcp and tls. unit_id: on a serial line the PLC's address, 1..247.

    server_name: what the PLC's certificate is made out to, where that is not `host`.
    """

    kind: TransportKind = "tcp"
    host: str = "127.0.0.1"
    port: int = 502
    unit_id: int = 1
    tls: TlsFiles | None = None
    server_name: str = ""
    serial: SerialConfig | None = None

    def __post_init__(self) -> None:
        if (self.kind == "tls") != (self.tls is not None) or (self.kind == "rtu") != (self.serial is not None):
            raise ValueError("certificates are for tls, a serial line is for rtu")
        if self.kind == "rtu" and not 1 <= self.unit_id <= 247:
            raise ValueError(f"units on a serial line are 1 to 247, not {self.unit_id}")

    @property
    def where(self) -> str:
        """For people."""
        if self.serial is not None:
            return f"unit {self.unit_id} on {self.serial.device}"
        return f"{self.host}:{self.port}" + (" (TLS)" if self.kind == "tls" else "")


async def connect_wire(
    transport: TransportConfig, timeout_s: float, now: Callable[[], float], rtt_s: deque[float]
) -> Wire:
    """timeout_s: for each answer, and for connecting without TLS. Round-trip times go to rtt_s. Raises LinkFault."""
    if transport.serial is not None:
        return await RtuWire.open(transport.serial, transport.unit_id, timeout_s, now, rtt_s)
    if transport.tls is None:
        return await Wire.connect(transport.host, transport.port, transport.unit_id, timeout_s, now, rtt_s)
    wire = StreamWire(await _secured(transport, transport.tls), transport.unit_id, timeout_s, now, rtt_s)
    wire.notice = _notice(transport.tls, wire)
    return wire


async def _secured(transport: TransportConfig, files: TlsFiles) -> Streams:
    """The context is made anew each time: new certificates count from the next connection on."""
    try:
        context = client_context(files)
        name = transport.server_name or transport.host
        async with asyncio.timeout(HANDSHAKE_S):
            return await asyncio.open_connection(transport.host, transport.port, ssl=context, server_hostname=name)
    except TlsError as exc:
        raise LinkFault(str(exc)) from exc
    except ssl.SSLError as exc:
        raise LinkFault(f"{transport.where}: {explain(exc)}") from exc
    except (ConnectionResetError, ConnectionAbortedError) as exc:
        hint = "it may speak no TLS, or not accept our certificate"
        raise LinkFault(f"{transport.where} hung up while connecting: {hint}") from exc
    except OSError as exc:
        raise nobody(transport.where, exc) from exc


def _notice(files: TlsFiles, wire: StreamWire) -> str:
    """Certificates that will expire soon: ours, the authority's, the PLC's; and why the files would not do again."""
    der, now = wire.peer_certificate, datetime.now(UTC)
    try:
        found = [*notices(files, now), parse_certificate(der).notice(now) if der is not None else ""]
    except TlsError as exc:
        return str(exc)
    return "; ".join(text for text in found if text)


class CertificateWatch:
    """What a person should see to about the certificates of a connection, also while it stands for months.

    Quick unless a file has changed or AGAIN_S have passed, then milliseconds. now: monotonic seconds.
    """

    def __init__(self, transport: TransportConfig) -> None:
        self._files = transport.tls
        self._watch = FileWatch(transport.tls) if transport.tls is not None else None
        self._of: Wire | None = None
        self._looked_s, self._notice = -math.inf, ""

    def notice(self, wire: Wire | None, now: float) -> str:
        """wire: the connection, if there is one."""
        if self._files is None or self._watch is None:
            return ""
        if self._watch.changed() or wire is not self._of or now - self._looked_s > AGAIN_S:
            self._of, self._looked_s = wire, now
            self._notice = self._look(self._files, wire)
        return self._notice

    def _look(self, files: TlsFiles, wire: Wire | None) -> str:
        try:
            client_context(files)
        except TlsError as exc:
            return f"{exc}; the next connection will fail"
        if isinstance(wire, StreamWire):
            return _notice(files, wire)
        return "; ".join(notices(files, datetime.now(UTC)))

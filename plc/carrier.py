"""What carries a command's connection: the options that `monitor`, `poke` and `sim` share, named as in [plc.links]."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from plc.serial_port import SerialConfig
from plc.tls import TlsFiles

Parity = Literal["none", "even", "odd"]
QUIET_S = 0.5
TLS, RTU = "TLS", "serial line"  # panels of --help

TlsOption = Annotated[
    bool,
    typer.Option(
        "--tls",
        help="Modbus/TCP Security, port 802 if none is given; needs --ca, --cert and --key",
        rich_help_panel=TLS,
    ),
]
CaOption = Annotated[
    Path | None,
    typer.Option(
        "--ca",
        help="PEM file of the authority that signed the other side's certificate",
        dir_okay=False,
        rich_help_panel=TLS,
    ),
]
CertOption = Annotated[
    Path | None,
    typer.Option("--cert", help="PEM file of our certificate, with its chain", dir_okay=False, rich_help_panel=TLS),
]
KeyOption = Annotated[
    Path | None,
    typer.Option("--key", help="PEM file of its key, not encrypted", dir_okay=False, rich_help_panel=TLS),
]
NameOption = Annotated[
    str,
    typer.Option(
        "--server-name",
        help="what the other side's certificate is made out to, where that is not HOST",
        rich_help_panel=TLS,
    ),
]
BaudOption = Annotated[
    int, typer.Option("--baud", help="speed of the line", min=1200, max=4_000_000, rich_help_panel=RTU)
]
ParityOption = Annotated[Parity, typer.Option("--parity", help="of the line", rich_help_panel=RTU)]
StopOption = Annotated[int, typer.Option("--stop-bits", help="of the line", min=1, max=2, rich_help_panel=RTU)]


class CarrierProblem(ValueError):
    """Options that do not go together; the text says which."""


@dataclass(frozen=True, slots=True)
class Carrier:
    """As asked for on the command line. Raises CarrierProblem: certificates without --tls, or not all of them."""

    tls: bool = False
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    server_name: str = ""
    baud: int = 115_200
    parity: Parity = "even"
    stop_bits: int = 1

    def __post_init__(self) -> None:
        files = {"--ca": self.ca, "--cert": self.cert, "--key": self.key}
        missing = [name for name, path in files.items() if path is None]
        if self.tls and missing:
            raise CarrierProblem(f"--tls needs {', '.join(missing)}: PEM files, as in [plc.links.tls]")
        if not self.tls and (self.server_name or len(missing) < len(files)):
            raise CarrierProblem("--ca, --cert, --key and --server-name belong to --tls: give it too, or none of them")

    @property
    def files(self) -> TlsFiles | None:
        """None: without --tls."""
        if self.ca is None or self.cert is None or self.key is None:
            return None
        return TlsFiles(self.ca, self.cert, self.key)

    def line(self, device: str) -> SerialConfig:
        """Raises CarrierProblem: --tls on a serial line."""
        if self.tls:
            raise CarrierProblem(f"{device} is a serial line: it has no --tls")
        return SerialConfig(device, self.baud, self.parity, 1 if self.stop_bits == 1 else 2, QUIET_S)


PLAIN = Carrier()


def is_device(where: str) -> bool:
    """/dev/ttyUSB0 or COM3, not HOST:PORT."""
    return "/" in where or (where[:3].upper() == "COM" and where[3:].isdigit())

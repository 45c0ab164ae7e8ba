"""What carries a command's connection: the options that `monitor`, `poke` and `sim` share, named as in [plc.links]."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial, wraps
from inspect import Parameter, signature
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import typer

from plc.serial_port import SerialConfig
from plc.tls import TlsFiles

Parity = Literal["none", "even", "odd"]
QUIET_S = 0.5
TLS, RTU = "TLS", "serial line"  # panels of --help


def _tls(name: str, text: str, **bounds: Any) -> Any:
    return typer.Option(name, help=text, rich_help_panel=TLS, **bounds)


def _rtu(name: str, text: str, **bounds: Any) -> Any:
    return typer.Option(name, help=text, rich_help_panel=RTU, **bounds)


class CarrierProblem(ValueError):
    """Options that do not go together; the text says which."""


@dataclass(frozen=True, slots=True)
class Carrier:
    """As asked for on the command line: each field is an option of a command that takes_carrier.

    Raises CarrierProblem: certificates without --tls, or not all of them.
    """

    tls: Annotated[
        bool, _tls("--tls", "Modbus/TCP Security, port 802 if none is given; needs --ca, --cert and --key")
    ] = False
    ca: Annotated[
        Path | None, _tls("--ca", "PEM file of the authority that signed the other side's certificate", dir_okay=False)
    ] = None
    cert: Annotated[Path | None, _tls("--cert", "PEM file of our certificate, with its chain", dir_okay=False)] = None
    key: Annotated[Path | None, _tls("--key", "PEM file of its key, not encrypted", dir_okay=False)] = None
    server_name: Annotated[
        str, _tls("--server-name", "what the other side's certificate is made out to, where that is not HOST")
    ] = ""
    baud: Annotated[int, _rtu("--baud", "speed of the line", min=1200, max=4_000_000)] = 115_200
    parity: Annotated[Parity, _rtu("--parity", "of the line")] = "even"
    stop_bits: Annotated[int, _rtu("--stop-bits", "of the line", min=1, max=2)] = 1

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
MakeCarrier = Callable[[], Carrier]  # raises CarrierProblem: to be called where the command tells of what is wrong


def takes_carrier(command: Callable[..., None]) -> Callable[..., None]:
    """`command` with the options of a Carrier in place of its keyword parameter `carrier`, which is a MakeCarrier."""
    types = get_type_hints(Carrier, include_extras=True)
    options = [
        Parameter(field.name, Parameter.KEYWORD_ONLY, default=field.default, annotation=types[field.name])
        for field in fields(Carrier)
    ]

    @wraps(command)
    def with_options(**given: Any) -> None:
        asked = {option.name: given.pop(option.name) for option in options}
        command(**given, carrier=partial(Carrier, **asked))

    own = signature(command, eval_str=True)
    taken = [
        parameter
        for named in own.parameters.values()
        for parameter in (options if named.name == "carrier" else [named])
    ]
    with_options.__signature__ = own.replace(parameters=taken)  # type: ignore[attr-defined]  # what Typer asks
    return with_options


def is_device(where: str) -> bool:
    """/dev/ttyUSB0 or COM3, not HOST:PORT."""
    return "/" in where or (where[:3].upper() == "COM" and where[3:].isdigit())

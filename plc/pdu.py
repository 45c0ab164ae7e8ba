"""What a Modbus server answers: one request's PDU to its response's, whatever carries it (TCP, TLS or a serial line).

Requests are taken apart here, for pymodbus' decoder logs each one that it does not like; responses are its classes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pymodbus.pdu import ExceptionResponse, ModbusPDU
from pymodbus.pdu.mei_message import ReadDeviceInformationResponse
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersResponse,
    ReadInputRegistersResponse,
    WriteMultipleRegistersResponse,
    WriteSingleRegisterResponse,
)

READ_HOLDING, READ_INPUT, WRITE_ONE, WRITE_MANY, ENCAPSULATED = 3, 4, 6, 16, 43
ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE, DEVICE_FAILURE = 1, 2, 3, 4
MAX_PDU = 253  # Modbus application protocol 1.1b3, section 4.1
MAX_READ, MAX_WRITE = 125, 123
DEVICE_IDENTIFICATION = 14  # MEI type of function 43
REGULAR, SPECIFIC = 2, 4  # ReadDevId codes; 1 is basic, 3 extended
_CONFORMITY = 0x82  # regular identification, stream and individual access


class Refused(Exception):
    """Answer with this exception code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exception {code}")
        self.code = code


@dataclass(slots=True, eq=False)
class Peer:
    """Who asks, and how old the request in hand may be.

    name: for texts, "10.0.0.5:4711". since_s: it was sent after that moment, as far as the connection tells: what came
    before it was answered then. waited_s: how long it may have lain here unread, because we stood still.
    """

    name: str
    since_s: float = 0.0
    waited_s: float = 0.0


Read = Callable[[int, int], Sequence[int]]  # address, count; raises Refused
Write = Callable[[int, list[int]], None]  # address, words; raises Refused


def answer(body: bytes, read: Read, write: Write, identity: Mapping[int, bytes] | None = None) -> ModbusPDU:
    """Never raises for what a peer sends: unknown functions, bad addresses and bad counts are exceptions 1, 2 and 3.

    identity: objects of the device identification (function 43/14); None: that function is unknown.
    """
    function = body[0]
    try:
        if function in (READ_HOLDING, READ_INPUT):
            return _read(function, body, read)
        if function == WRITE_ONE:
            return _write_one(body, write)
        if function == WRITE_MANY:
            return _write_many(body, write)
        if function == ENCAPSULATED and identity is not None:
            return _identify(body, identity)
        raise Refused(ILLEGAL_FUNCTION)
    except Refused as exc:
        return ExceptionResponse(function & 0x7F, exc.code)


def _read(function: int, body: bytes, read: Read) -> ModbusPDU:
    if len(body) != 5:
        raise Refused(ILLEGAL_VALUE)
    address, count = struct.unpack(">HH", body[1:])
    if not 1 <= count <= MAX_READ:
        raise Refused(ILLEGAL_VALUE)
    words = list(read(address, count))
    kind = ReadHoldingRegistersResponse if function == READ_HOLDING else ReadInputRegistersResponse
    return kind(registers=words)


def _write_one(body: bytes, write: Write) -> ModbusPDU:
    if len(body) != 5:
        raise Refused(ILLEGAL_VALUE)
    address, word = struct.unpack(">HH", body[1:])
    write(address, [word])
    return WriteSingleRegisterResponse(address=address, registers=[word])


def _write_many(body: bytes, write: Write) -> ModbusPDU:
    if len(body) < 6:
        raise Refused(ILLEGAL_VALUE)
    address, count, size = struct.unpack(">HHB", body[1:6])
    if not 1 <= count <= MAX_WRITE or size != 2 * count or len(body) != 6 + size:
        raise Refused(ILLEGAL_VALUE)
    write(address, list(struct.unpack(f">{count}H", body[6:])))
    return WriteMultipleRegistersResponse(address=address, count=count)


def _identify(body: bytes, identity: Mapping[int, bytes]) -> ModbusPDU:
    if len(body) < 2 or body[1] != DEVICE_IDENTIFICATION:
        raise Refused(ILLEGAL_FUNCTION)
    if len(body) != 4 or not 1 <= body[2] <= SPECIFIC:
        raise Refused(ILLEGAL_VALUE)
    code, first = body[2], body[3]
    if code == SPECIFIC:
        if first not in identity:
            raise Refused(ILLEGAL_ADDRESS)
        found = {first: identity[first]}
    else:
        last = 2 if code == 1 else 6
        first = first if first in identity and first <= last else 0  # an unknown one begins anew, says the protocol
        found = {n: identity[n] for n in sorted(identity) if first <= n <= last}
    response = ReadDeviceInformationResponse(read_code=min(code, REGULAR) if code != SPECIFIC else code)
    response.information, response.conformity = dict(found), _CONFORMITY
    return response

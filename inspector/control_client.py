"""The side of the control socket that asks: the page, the commands at the box, the demo."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from inspector.control_wire import MAX_REPLY, ControlError, Params, encode


class ControlClient:
    """One connection to the daemon, for one task at a time. Made by `connect_control`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, actor: str) -> None:
        self._reader, self._writer, self._actor = reader, writer, actor
        self._early: list[Mapping[str, Any]] = []  # events that came between a request and its reply
        self._id = 0

    async def call(self, method: str, params: Params | None = None) -> Any:
        """Ask, and return the result. Raises ControlError: refused; ConnectionError: the daemon is gone."""
        self._id += 1
        request = {"id": self._id, "method": method, "params": dict(params or {}), "actor": self._actor}
        self._writer.write(encode(request))
        await self._writer.drain()
        while "result" not in (message := await self._read()) and "error" not in message:
            self._early.append(message)
        if message["id"] not in (self._id, None):
            raise ControlError(f"a reply to request {message['id']} in place of {self._id}")
        if "error" in message:
            raise ControlError(message["error"]["text"])
        return message["result"]

    async def status(self) -> Mapping[str, Any]:
        """Subscribe, and the status as it is now: no event can fall between the two."""
        await self.call("subscribe")
        found: Mapping[str, Any] = await self.call("status")
        return found

    async def recent(self, station: str = "") -> list[Mapping[str, Any]]:
        """The last parts of one station, newest first; without a name those of each. Raises ControlError: unknown."""
        found: list[Mapping[str, Any]] = await self.call("recent", {"station": station} if station else {})
        return found

    async def events(self) -> AsyncIterator[tuple[str, Mapping[str, Any]]]:
        """(event, data) for ever, once subscribed. Raises ConnectionError."""
        while True:
            message = self._early.pop(0) if self._early else await self._read()
            if "event" in message:
                yield message["event"], message["data"]

    async def _read(self) -> Mapping[str, Any]:
        line = await self._reader.readline()
        if not line.endswith(b"\n"):
            raise ConnectionResetError("the daemon closed the socket")
        message: Mapping[str, Any] = json.loads(line)
        return message


@asynccontextmanager
async def connect_control(path: Path, actor: str) -> AsyncIterator[ControlClient]:
    """Connect to the daemon at `path`; `actor` is who asks, for the audit. Raises OSError."""
    reader, writer = await asyncio.open_unix_connection(path, limit=MAX_REPLY)
    try:
        yield ControlClient(reader, writer, actor)
    finally:
        writer.close()

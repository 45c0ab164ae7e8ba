"""The daemon's control socket as the feed sees it."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

MAX_LINE = 4 * 1024 * 1024


class _Line:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._early: deque[Mapping[str, Any]] = deque()
        self._id = 0

    async def status(self) -> Mapping[str, Any]:
        await self._call("subscribe")
        found: Mapping[str, Any] = await self._call("status")
        return found

    async def recent(self) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = await self._call("recent")
        return found

    async def events(self) -> AsyncIterator[tuple[str, Mapping[str, Any]]]:
        while True:
            message = self._early.popleft() if self._early else await self._read()
            if "event" in message:
                yield message["event"], message["data"]

    async def _call(self, method: str) -> Any:
        self._id += 1
        request = {"v": 1, "id": self._id, "method": method, "params": {}, "actor": "web"}
        self._writer.write(json.dumps(request).encode() + b"\n")
        while True:
            message = await self._read()
            if message.get("id") == self._id:
                return message["result"]
            self._early.append(message)

    async def _read(self) -> Mapping[str, Any]:
        line = await self._reader.readline()
        if not line:
            raise ConnectionResetError("the daemon closed the socket")
        message: Mapping[str, Any] = json.loads(line)
        return message


@asynccontextmanager
async def connect(path: Path) -> AsyncIterator[_Line]:
    reader, writer = await asyncio.open_unix_connection(path, limit=MAX_LINE)
    try:
        yield _Line(reader, writer)
    finally:
        writer.close()

"""What the cameras see, asked of the daemon: one question at a time, whoever looks and however many they are."""

from __future__ import annotations

import asyncio
import base64
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from inspector.core.errors import InspectorError

EVERY_S = 0.18  # what was seen a moment ago is shown to the next who asks
ANSWER_S = 4.0  # the daemon ends a camera that hangs for longer
PICTURES = 32  # in memory, some 50 kB each: those that browsers are about to fetch
WAITING = 16  # who may wait for their turn


class NoLook(InspectorError):
    """Nothing can be seen now; the text says why. gone: the daemon cannot be reached."""

    def __init__(self, text: str, *, gone: bool = False) -> None:
        super().__init__(text)
        self.gone = gone


class Asked(Protocol):
    """One open connection to the daemon."""

    async def call(self, method: str, params: Mapping[str, Any] | None = None) -> Any: ...


@dataclass(frozen=True, slots=True)
class Look:
    """The daemon's answer without its picture, and the name that the picture has here; None: it is a part's."""

    said: Mapping[str, Any]
    name: str | None


class Looks:
    """connect: a new connection to the daemon."""

    def __init__(
        self,
        connect: Callable[[], AbstractAsyncContextManager[Asked]],
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connect, self._monotonic_s = connect, monotonic_s
        self._one_at_a_time = asyncio.Lock()
        self._waiting = self._count = 0
        self._pictures: OrderedDict[str, bytes] = OrderedDict()
        self._last: tuple[tuple[object, ...], float, Look] | None = None

    async def look(self, station: str, roi: Sequence[int] | None) -> Look:
        """What a station's camera sees. Raises NoLook."""
        if self._waiting >= WAITING:
            raise NoLook("too many look at once")
        self._waiting += 1
        try:
            async with self._one_at_a_time:
                return await self._look(station, None if roi is None else list(roi))
        finally:
            self._waiting -= 1

    def picture(self, name: str) -> bytes | None:
        """A JPEG that was seen a moment ago."""
        return self._pictures.get(name)

    async def _look(self, station: str, roi: list[int] | None) -> Look:
        of = (station, roi)
        if self._last is not None and self._last[0] == of and self._monotonic_s() - self._last[1] < EVERY_S:
            return self._last[2]
        said = dict(await self._ask({"station": station, "roi": roi}))
        jpeg, name = said.pop("jpeg", None), None
        if jpeg is not None:
            self._count += 1
            name = f"{self._count:010d}.jpg"
            self._pictures[name] = base64.b64decode(jpeg)
            while len(self._pictures) > PICTURES:
                self._pictures.popitem(last=False)
        self._last = of, self._monotonic_s(), Look(said, name)
        return self._last[2]

    async def _ask(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            async with asyncio.timeout(ANSWER_S), self._connect() as daemon:
                found: Mapping[str, Any] = await daemon.call("look", params)
                return found
        except (OSError, TimeoutError, ValueError) as exc:
            raise NoLook("the daemon does not answer", gone=True) from exc
        except InspectorError as exc:  # it was asked and said no: the camera's own words
            raise NoLook(str(exc)) from exc

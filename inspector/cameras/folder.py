"""A camera that replays the pictures of a folder: for trials, and for tests on real pictures."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from inspector.bitmap import read_bitmap
from inspector.core.errors import CameraError, CameraLost, CameraTimeout
from inspector.core.ports import Clock
from inspector.core.types import Frame, Image, Proof, Trigger
from inspector.pictures import FORMATS, SUFFIXES, PictureError, read_picture
from inspector.threads import DeviceThread

SETTLED_NS = 2_000_000_000  # file systems stamp in coarse steps: a folder that changed just now may change once more


class Shelf:
    """The pictures of a folder in the order of their names; looks again when the folder has changed.

    A name is picked up as soon as it is there: copy under a hidden name and rename, or a half-written file is read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._names: list[str] = []
        self._stamp_ns: int | None = None

    def names(self) -> list[str]:
        """Sorted, not empty. Raises CameraLost: the folder is missing, not readable or holds no picture."""
        try:
            stamp_ns = self.folder.stat().st_mtime_ns
            if stamp_ns != self._stamp_ns:
                self._names = sorted(p.name for p in self.folder.iterdir() if _is_picture(p))
                self._stamp_ns = stamp_ns if time.time_ns() - stamp_ns > SETTLED_NS else None
        except OSError as exc:
            text = (
                f"folder camera: {self.folder} cannot be read ({exc.strerror}): correct [camera] folder, or create it"
            )
            raise CameraLost(text) from exc
        if not self._names:
            raise CameraLost(f"folder camera: {self.folder} holds no {FORMATS} picture: copy some there")
        return self._names


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


@dataclass(slots=True)
class FolderCamera:
    """Stamps its exposures itself, so they count as simulated (contract, P12).

    pick: `next` shows one after another in the order of names and begins again; `part_id` shows picture number PART_ID,
    the first being 1.
    """

    folder: Path
    clock: Clock
    thread: DeviceThread
    pick: Literal["next", "part_id"] = "next"
    max_megapixels: float = 64
    grab_timeout_s: float = 0.1
    simulated: bool = True
    temperature_c: float | None = None
    _frame_id: int = 0
    _shown: str = ""  # the name before: files that come later find their place behind it
    _shelf: Shelf = field(init=False)

    def __post_init__(self) -> None:
        self._shelf = Shelf(self.folder)

    async def grab(self, trigger: Trigger) -> Frame:
        """Raises CameraTimeout; CameraLost: no pictures at all; CameraError: this part has none that can be read."""
        self._frame_id += 1
        return await self._frame_of(trigger.seq, self._frame_id, lambda: self._read(self._choose(trigger.part_id)))

    async def look(self) -> Frame:
        """The picture that the next part gets (pick = "part_id": that the last one got), and it stays the next."""
        return await self._frame_of(0, self._frame_id, lambda: self._read(self._coming()))

    async def _frame_of(self, seq: int, frame_id: int, read: Callable[[], Image]) -> Frame:
        exposed_s = self.clock.monotonic_s()
        try:
            async with self.clock.deadline(exposed_s + self.grab_timeout_s):
                image = await self.thread.call(read)
        except TimeoutError as exc:
            raise CameraTimeout(f"folder camera: no picture within {self.grab_timeout_s:g} s") from exc
        return Frame(image, seq, exposed_s, 0, Proof.SIMULATED, frame_id)

    async def set_up(self, settings: Mapping[str, float]) -> None:
        """A recipe has no settings for it."""

    async def alive(self) -> None:
        await self.thread.call(self._shelf.names)

    def _choose(self, part_id: int) -> str:
        names = self._shelf.names()
        if self.pick == "next":
            self._shown = self._coming()
        elif 1 <= part_id <= len(names):
            self._shown = names[part_id - 1]
        else:
            raise CameraError(f"folder camera: no picture for PART_ID {part_id}; {self.folder} holds {len(names)}")
        return self._shown

    def _coming(self) -> str:
        names = self._shelf.names()
        if self.pick == "next":
            return names[bisect_right(names, self._shown) % len(names)]
        return self._shown or names[0]

    def _read(self, name: str) -> Image:
        try:
            file, most = self.folder / name, self.max_megapixels
            image = read_bitmap(file, max_megapixels=most)
            if image is None:
                image = read_picture(file, max_megapixels=most)
        except PictureError as exc:
            raise CameraError(f"folder camera: {exc}") from exc
        image.flags.writeable = False
        return image

"""The pictures of the filmstrip: small, and kept in memory, so that a hundred of them open at once."""

from __future__ import annotations

from base64 import b64encode
from collections import OrderedDict

import cv2
import numpy as np

from inspector.store.previews import size_within
from inspector.web.media import NoPicture

LONGEST_SIDE = 196  # pixels; twice of what is shown, for fine screens
KEPT = 256  # for each station: the filmstrip, the last FAIL, and what a second screen's older ones still ask for
QUALITY = 80


class Thumbs:
    """By the part's number; the oldest gives way. `make` runs on the pictures' thread, `get` anywhere."""

    def __init__(self) -> None:
        self._kept: OrderedDict[int, bytes] = OrderedDict()

    def get(self, no: int) -> bytes | None:
        return self._kept.get(no)

    def address_of(self, no: int) -> str:
        """Where a page finds it: in the address itself if it is in memory, so that it comes with the page."""
        data = self._kept.get(no)
        return f"/thumb/{no}" if data is None else f"data:image/jpeg;base64,{b64encode(data).decode()}"

    def make(self, no: int, picture: bytes, kept: int = KEPT) -> bytes:
        """picture: a JPEG or PNG that the daemon wrote. Returns the small JPEG. Raises NoPicture: it is none.

        kept: so many stay in memory.
        """
        try:
            half = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_REDUCED_COLOR_2)
            if half is None:
                raise NoPicture(f"the picture of {no} cannot be read")
            small = cv2.resize(half, size_within(LONGEST_SIDE, half.shape), interpolation=cv2.INTER_AREA)
            ok, data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        except cv2.error as exc:
            raise NoPicture(f"the picture of {no} cannot be read") from exc
        if not ok:
            raise NoPicture(f"the picture of {no} cannot be written")
        self._kept[no] = found = data.tobytes()
        while len(self._kept) > kept:
            self._kept.popitem(last=False)
        return found

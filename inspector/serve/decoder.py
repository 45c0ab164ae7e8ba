"""Decodes uploads in a child process with bounds: a picture that kills it, hangs it or eats memory costs a 415."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import structlog

from inspector.core.errors import InspectorError
from inspector.core.types import Image
from inspector.serve.declined import Declined
from inspector.serve.decode_child import REPLY, REQUEST, Status, receive_exactly
from inspector.web.said import Said
from inspector.web.words import Text

log = structlog.get_logger(__name__)

UPLOADS = ((b"\xff\xd8\xff", "JPEG"), (b"\x89PNG\r\n\x1a\n", "PNG"))  # fewer than our own files may be
START_S = 20.0  # a busy machine


class DecoderLost(InspectorError):
    """The child cannot be started."""


@dataclass(frozen=True, slots=True)
class DecodeBounds:
    """What one picture may take."""

    max_megapixels: float = 64
    max_bytes: int = 32_000_000
    timeout_s: float = 5.0


class Decoder:
    """Use from one thread, which must live as long: the child ends with the thread that started it."""

    def __init__(self, sizes: Sequence[tuple[int, int]], bounds: DecodeBounds) -> None:
        self.sizes, self.bounds = tuple(sizes), bounds
        self._child: subprocess.Popen[bytes] | None = None
        self._sock: socket.socket | None = None

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child else None

    def start(self) -> None:
        """Start the child and wait until it is ready. Raises DecoderLost."""
        arguments = json.dumps(
            {
                "sizes": self.sizes,
                "max_megapixels": self.bounds.max_megapixels,
                "address_bytes": self._address_bytes(),
            }
        )
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}  # else it reserves memory for every core
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._child = subprocess.Popen(
                    [sys.executable, "-m", "inspector.serve.decode_child", arguments],
                    stdin=theirs.fileno(), stdout=subprocess.DEVNULL, env=environment,
                )  # fmt: skip
            self._sock = ours
            receive_exactly(ours, REPLY.size, time.monotonic() + START_S)
        except (OSError, EOFError) as exc:
            ours.close()
            self.close()
            raise DecoderLost(f"the process that decodes uploads does not start: {exc}") from exc

    def decode(self, data: bytes) -> Image:
        """(H, W, 3) uint8 RGB, of one of our sizes.

        Raises Declined: 415 not a picture, or its decoder failed; 413 too many pixels; 422 of a size not wanted.
        Raises DecoderLost.
        """
        if not any(data.startswith(magic) for magic, _ in UPLOADS):
            raise Declined(415, "not_picture")
        if self._sock is None:
            self.start()
        try:
            status, size, payload = self._ask(data)
        except (OSError, EOFError) as exc:  # TimeoutError is an OSError
            code = self._end()
            log.warning("the decoding process was lost on an upload", error=str(exc), returncode=code)
            raise Declined(415, "bounds", todo="not_picture") from exc
        return self._image(status, size, payload)

    def _ask(self, data: bytes) -> tuple[Status, tuple[int, int], bytearray]:
        if self._sock is None:
            raise EOFError("closed")
        by_s = time.monotonic() + self.bounds.timeout_s
        self._sock.settimeout(self.bounds.timeout_s)
        self._sock.sendall(REQUEST.pack(len(data)))
        self._sock.sendall(data)
        status, height, width, length = REPLY.unpack(receive_exactly(self._sock, REPLY.size, by_s))
        if status not in list(Status) or length > max(1 << 16, *(h * w * 3 for h, w in self.sizes)):
            raise EOFError("the decoding process does not keep the protocol")  # another may command it by now
        return Status(status), (height, width), receive_exactly(self._sock, length, by_s)

    def _image(self, status: Status, size: tuple[int, int], payload: bytearray) -> Image:
        match status:
            case Status.PIXELS if size in self.sizes and len(payload) == size[0] * size[1] * 3:
                return np.frombuffer(payload, np.uint8).reshape(*size, 3)
            case Status.TOO_MANY_PIXELS:
                raise Declined(413, "pixels", detail=Said(payload.decode(errors="replace")))
            case Status.WRONG_SIZE:
                raise Declined(422, "size", size=f"{size[1]} x {size[0]}", wanted=self.wanted)
        why = payload.decode(errors="replace") or status.name
        raise Declined(415, "undecodable", todo="not_picture", detail=Said(why))

    def _address_bytes(self) -> int:
        """Pixels as coefficients, decoded, turned, converted, copied out, 4 bytes each; the file; some for the rest."""
        pixels = max(h * w for h, w in self.sizes)
        return 32 * pixels + 4 * self.bounds.max_bytes + (64 << 20)

    @property
    def wanted(self) -> Text:
        """The sizes in words, width first."""
        names = ("serve.wanted.whole", "serve.wanted.view")
        told = {f"{w} x {h}": name for (h, w), name in zip(self.sizes, names, strict=True)}  # of equal ones the view
        one, *other = [Text(name, size=size) for size, name in told.items()]
        return Text("serve.wanted.or", one=one, other=other[0]) if other else one

    def close(self) -> None:
        """End the child; from any thread, also while another one decodes."""
        if self._child is not None:
            self._child.kill()
        self._end()

    def _end(self) -> int | None:
        child, self._child, sock, self._sock = self._child, None, self._sock, None
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        if child is None:
            return None
        child.kill()
        return child.wait()

"""What the handlers of `inspector serve` share: judge, decoder, and the bound on how many are served at once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog
from fastapi.responses import HTMLResponse, Response

from inspector.bundle.keys import TrustedKey
from inspector.core.errors import ConfigError
from inspector.core.manifest import Manifest
from inspector.core.types import Image
from inspector.serve.declined import Declined
from inspector.serve.decoder import DecodeBounds, Decoder, DecoderLost
from inspector.serve.judge import Judge, unready
from inspector.serve.present import class_rows, client_words, score_rows
from inspector.threads import DeviceThread
from inspector.web import site
from inspector.web.guard import LOCAL_NAMES, is_loopback
from inspector.web.said import Said
from inspector.web.words import Text, readable

log = structlog.get_logger(__name__)

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """All of `inspector serve`'s options."""

    bundle: Path
    keys: tuple[TrustedKey, ...]
    host: str = "127.0.0.1"
    port: int = 8000
    threads: int = 2
    max_megapixels: float = 64
    max_mb: float = 32
    most_at_once: int = 16  # requests in all: uploading, waiting, being judged; bounds memory
    decode_timeout_s: float = 5.0

    @property
    def max_bytes(self) -> int:
        return int(self.max_mb * 1e6)

    @property
    def names(self) -> frozenset[str] | None:
        """Host names that are answered; None: any, as --host was chosen to be reached."""
        return LOCAL_NAMES if is_loopback(self.host) else None


class Service:
    """The collaborators of the handlers. Open it once; close() from the same thread."""

    def __init__(self, settings: ServeSettings) -> None:
        self.settings, self.judge = settings, Judge()
        self.decoder: Decoder | None = None
        self._decoding = DeviceThread("decode")
        self._inside = 0
        self._environment = site.environment(TEMPLATES)

    async def open(self, folder: Path) -> None:
        """Verify and load into `folder`. Raises BundleError, ModelError, ConfigError, DecoderLost."""
        st = self.settings
        manifest = await self.judge.open(st.bundle, st.keys, folder, st.threads)
        view = manifest.view
        if view.camera_height * view.camera_width > st.max_megapixels * 1e6:
            text = f"--max-megapixels {st.max_megapixels:g} is less than the bundle's {view.camera_width} x "
            raise ConfigError(f"{text}{view.camera_height} pixels: raise it")
        sizes = [(view.camera_height, view.camera_width), (view.roi[3], view.roi[2])]
        decoder = Decoder(sizes, DecodeBounds(st.max_megapixels, st.max_bytes, st.decode_timeout_s))
        await self._decoding.call(decoder.start)
        self.decoder = decoder
        log.info("ready", bundle=manifest.bundle_id, url=f"http://{st.host}:{st.port}/")

    @property
    def not_ready(self) -> Text | None:
        """Why no picture is judged now; None where one would be."""
        if self.judge.hangs:
            return Text("declined.hangs")
        return self.judge.not_ready or (Text("unready.decoder") if self.decoder is None else None)

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place among the requests that are served at once. Raises Declined: 503."""
        if why := self.not_ready:
            raise unready(why)
        if self._inside >= self.settings.most_at_once:
            raise Declined(503, "busy", retry_after_s=1)
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1

    async def decode(self, data: bytes) -> tuple[Image, float]:
        """The picture, and the milliseconds that it took. Raises Declined."""
        decoder = self.decoder
        if decoder is None:
            raise unready(self.not_ready)

        def timed() -> tuple[Image, float]:
            began_s = time.monotonic()
            return decoder.decode(data), (time.monotonic() - began_s) * 1000

        try:
            return await self._decoding.call(timed)
        except DecoderLost as exc:
            log.error("decoder lost", error=str(exc))
            raise unready(Said(exc)) from exc

    def page(self) -> Response:
        manifest = self.judge.manifest if not self.not_ready else None
        template = self._environment.get_template("serve.html")
        return HTMLResponse(template.render(words=client_words(), **self._values(manifest)))

    def _values(self, manifest: Manifest | None) -> dict[str, object]:
        if manifest is None or self.decoder is None:
            return {"bundle": "", "product": "", "wanted": "", "classes": [], "scores": [], "max_mb": ""}
        return {
            "bundle": manifest.bundle_id, "product": readable(manifest.product), "classes": class_rows(manifest),
            "scores": score_rows(manifest), "wanted": self.decoder.wanted,
            "max_mb": f"{self.settings.max_mb:g}",
        }  # fmt: skip

    def close(self) -> None:
        """End child and threads."""
        if self.decoder is not None:
            self.decoder.close()
        self._decoding.close()
        self.judge.close()

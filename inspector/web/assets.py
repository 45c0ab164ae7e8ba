"""The page's own files, in memory: scripts, style sheets, signs. A screen asks for a dozen of them as it opens."""

from __future__ import annotations

import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

KEPT = "public, max-age=31536000, immutable"  # its path changes with it
ASKED_AGAIN = "no-cache"  # kept, and asked for again, which mostly gives 304 and no body


@dataclass(frozen=True, slots=True)
class Asset:
    body: bytes
    kind: str  # media type
    tag: str  # ETag


def read_assets(folder: Path) -> dict[str, Asset]:
    """Every file below `folder`, by its path there."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): _asset(path.name, path.read_bytes()) for path in files}


def _asset(name: str, body: bytes) -> Asset:
    kind = "text/javascript" if name.endswith(".js") else mimetypes.guess_type(name)[0]  # no matter what /etc says
    return Asset(body, kind or "application/octet-stream", f'"{hashlib.sha256(body).hexdigest()[:24]}"')


class Assets:
    """Answers below the path where it is mounted, to GET and HEAD.

    `base+line.css` is both sheets as one, in this order.
    version: a path may begin with it (`<version>/line.js`, and with that all that this script imports). A browser keeps
    such an answer for good, as another version has other paths.
    """

    def __init__(self, folder: Path, version: str) -> None:
        self._files, self._version = read_assets(folder), version

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix(scope.get("root_path", "")).removeprefix("/")
        unversioned = path.removeprefix(f"{self._version}/")
        found = self._files.get(unversioned) or self._joined(unversioned)
        if found is None:
            raise HTTPException(404)
        headers = {"etag": found.tag, "cache-control": ASKED_AGAIN if unversioned == path else KEPT}
        known = Headers(scope=scope).get("if-none-match", "")
        answer = Response(found.body, media_type=found.kind, headers=headers)
        if found.tag in known:
            answer = Response(status_code=304, headers=headers)
        await answer(scope, receive, send)

    def _joined(self, path: str) -> Asset | None:
        """Several style sheets, each of them once."""
        names = [f"{name}.css" for name in path.removesuffix(".css").split("+")]
        if not path.endswith(".css") or len(set(names)) < len(names) or not set(names) <= self._files.keys():
            return None
        return _asset(path, b"\n".join(self._files[name].body for name in names))

"""What goes over the daemon's control socket: JSON, one message a line.

Request {v, id, method, params, actor}, reply {v, id, result} or {v, id, error: {code, text}}; after `subscribe` the
peer also gets {v, event, data}.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inspector.core.errors import InspectorError

VERSION = 1
MAX_REQUEST = 64 * 1024  # bytes of a line
MAX_REPLY = 4 * 1024 * 1024
_KEYS = {"v", "id", "method", "params", "actor"}

Params = Mapping[str, Any]


class ControlError(InspectorError):
    """The request was refused, or the daemon cannot be reached; the text is for the person who asked."""


class Malformed(Exception):
    """Not a request of this protocol: the peer is of another version, or broken."""


@dataclass(frozen=True, slots=True)
class Request:
    id: int
    method: str
    params: Params
    actor: str


def parse(line: bytes) -> Request:
    """Raises Malformed."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as exc:
        raise Malformed("not a line of JSON") from exc
    if not isinstance(found, dict) or set(found) != _KEYS:
        raise Malformed(f"a request has exactly the keys {', '.join(sorted(_KEYS))}")
    if type(found["v"]) is not int or found["v"] != VERSION:
        raise Malformed(f"version {found['v']!r}, this daemon speaks {VERSION}")
    id_, method, params, actor = found["id"], found["method"], found["params"], found["actor"]
    if not isinstance(id_, int) or isinstance(id_, bool) or not 0 <= id_ < 2**53:
        raise Malformed("id must be a whole number")
    if not isinstance(method, str) or not isinstance(params, dict):
        raise Malformed("method must be a string and params an object")
    if not isinstance(actor, str) or not 0 < len(actor) <= 64 or not actor.isprintable():
        raise Malformed("actor must be 1 to 64 printable characters")
    return Request(id_, method, params, actor)


def encode(message: Mapping[str, Any]) -> bytes:
    return json.dumps({"v": VERSION, **message}, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def error(id_: int | None, code: str, text: str) -> bytes:
    return encode({"id": id_, "error": {"code": code, "text": text}})

"""A look at model.xml before OpenVINO's parser may see it: known crashes need depth, entities or absurd sizes."""

from __future__ import annotations

from math import prod
from xml.parsers import expat

from inspector.core.errors import BundleError

MAX_XML = 32 << 20  # bytes
MAX_DEPTH = 32  # an IR of ours has 7
MAX_ELEMENTS = 1_000_000
MAX_DIM, MAX_TENSOR = 1 << 24, 1 << 28  # elements


def check_xml(xml: bytes, weights: int) -> None:
    """weights: the size of model.bin in bytes. Raises BundleError: not an IR that we hand to the parser."""
    if len(xml) > MAX_XML:
        raise BundleError("model.xml is too large")
    look = _Look(weights)
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = look.doctype
    parser.StartElementHandler = look.start
    parser.EndElementHandler = look.end
    parser.CharacterDataHandler = look.text
    try:
        parser.Parse(xml, True)
    except (expat.ExpatError, ValueError) as exc:
        raise BundleError(f"model.xml is no IR: {exc}") from exc


class _Look:
    def __init__(self, weights: int) -> None:
        self._weights, self._depth, self._elements = weights, 0, 0
        self._dim: str | None = None  # the digits of the <dim> that is open
        self._dims: list[int] = []  # of the port that is open

    def doctype(self, *_: object) -> None:
        raise BundleError("model.xml declares a document type; an IR has none")

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        self._elements += 1
        if self._depth > MAX_DEPTH or self._elements > MAX_ELEMENTS:
            raise BundleError("model.xml is nested too deeply, or has too many elements")
        if self._depth == 1 and name != "net":
            raise BundleError("model.xml is no IR: its root is not <net>")
        if name == "port":
            self._dims = []
        elif name == "dim":
            self._dim = ""
        elif name == "data" and {"offset", "size"} <= attributes.keys():
            start, size = int(attributes["offset"]), int(attributes["size"])
            if not 0 <= start <= start + size <= self._weights:
                raise BundleError("model.xml points beyond model.bin")

    def text(self, text: str) -> None:
        if self._dim is not None:
            self._dim += text

    def end(self, name: str) -> None:
        self._depth -= 1
        if name == "dim" and self._dim is not None:
            self._dims.append(int(self._dim))
            self._dim = None
        elif name == "port" and (
            not all(-1 <= d <= MAX_DIM for d in self._dims) or prod(d for d in self._dims if d > 0) > MAX_TENSOR
        ):
            raise BundleError(f"model.xml has a tensor of {' x '.join(map(str, self._dims))}")

"""Read a TOML file into a pydantic model; whatever is wrong is told with the file, the line and what to do."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from inspector.core.errors import ConfigError

MAX_BYTES = 128 * 1024
MAX_DOTS = 100  # in a line: tomllib's memory grows with the square of a dotted key's depth
MAX_SHOWN = 20  # errors told at once
Loc = tuple[str | int, ...]
M = TypeVar("M", bound=BaseModel)

_PART = r"""\s*(?:"([^"]*)"|'([^']*)'|([A-Za-z0-9_-]+))\s*"""
_KEY = re.compile(rf"{_PART}(?:\.{_PART})*=")
_HEADER = re.compile(r"\s*(\[\[?)([^\[\]]+)\]")
_NAME = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|([A-Za-z0-9_-]+))\s*(?:\.|=|$)""")


def wrong_key(text: str, *key: str | int) -> PydanticCustomError:
    """For a validator that looks at several keys: `key` names the one to change, seen from the model that raises."""
    return PydanticCustomError("rule", "{text}", {"text": text, "key": key})


def read_model(path: Path, model: type[M]) -> M:
    """The file as `model`, strictly typed: TOML has types of its own, so "5" is no number and true is no 1.

    The validation context holds `folder`, the file's own. Raises ConfigError.
    """
    text = _read(path)
    for number, line in enumerate(text.splitlines(), 1):
        if line.count(".") > MAX_DOTS:
            raise ConfigError(f"{path}:{number}: not a configuration of ours: nested too deeply")
    try:
        raw = tomllib.loads(text)
        content = json.dumps(raw, default=str)  # JSON mode: strict, yet enums, tuples and paths come from text
    except (ValueError, RecursionError) as exc:  # ValueError: tomllib's own error, and numbers of too many digits
        told = "nested too deeply" if isinstance(exc, RecursionError) else str(exc)
        raise ConfigError(f"{path}: not valid TOML: {told}") from exc
    try:
        return model.model_validate_json(content, strict=True, context={"folder": path.absolute().parent})
    except ValidationError as exc:
        raise ConfigError(_explain(path, text, exc, model)) from exc


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise ConfigError(f"{path}: larger than {MAX_BYTES // 1024} KiB, so not a configuration of ours")
        return raw.decode("utf-8-sig")
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{path}: not text in UTF-8 (byte {exc.start}); save it as UTF-8") from exc


def _explain(path: Path, text: str, exc: ValidationError, model: type[BaseModel]) -> str:
    errors = exc.errors(include_url=False)
    if len(errors) == 1 and errors[0]["type"] == "json_invalid":  # the JSON reader's own bound on depth
        return f"{path}: not valid TOML: nested too deeply"
    errors = [e for e in errors if not (e["type"] == "too_short" and _has_inner(e["loc"], errors))]
    found = [_tell(path, text, error, model) for error in errors[:MAX_SHOWN]]
    if len(errors) > MAX_SHOWN:
        found.append(f"{path}: and {len(errors) - MAX_SHOWN} more")
    return "\n".join(found)


def _has_inner(loc: Loc, errors: Sequence[ErrorDetails]) -> bool:
    """A list is called too short because its element is wrong: the inner error says it better."""
    return any(len(e["loc"]) > len(loc) and e["loc"][: len(loc)] == loc for e in errors)


def _tell(path: Path, text: str, error: ErrorDetails, model: type[BaseModel]) -> str:
    context = error.get("ctx", {})
    loc = tuple(p for p in error["loc"] if p != "[key]") + tuple(context.get("key", ()))
    loc = without_tags(loc, model)
    line = line_of(text, loc)
    where = f"{path}:{line}" if line else str(path)
    return f"{where}: {told(loc)}: {_message(error, loc, model)}"[:500]


def _message(error: ErrorDetails, loc: Loc, model: type[BaseModel]) -> str:
    match error["type"]:
        case "extra_forbidden":
            near = difflib.get_close_matches(str(loc[-1]), known_keys(loc[:-1], model), 1)
            return f"unknown key; did you mean {near[0]!r}?" if near else "unknown key; remove it"
        case "missing":
            return "is missing; it has no default"
        case "union_tag_not_found" | "union_tag_invalid":
            return f"kind must be one of {error.get('ctx', {}).get('expected_tags', '')}".rstrip()
        case "rule" | "value_error":
            return error["msg"].removeprefix("Value error, ")
    shown = repr(error["input"])
    return f"{error['msg']}; found {shown if len(shown) <= 60 else shown[:57] + '...'}"


def told(loc: Loc) -> str:
    """("stations", 0, "id") -> "stations[1].id": people count from 1."""
    text = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in loc)
    return text.removeprefix(".") or "configuration"


def without_tags(loc: Loc, model: type[BaseModel]) -> Loc:
    """pydantic puts the tag of a union into the place of an error; the file has no such level."""
    kept: list[str | int] = []
    fields: Any = model.model_fields
    for index, part in enumerate(loc):
        tagged = index > 0 and isinstance(part, str) and _is_tag(loc[:index], part, fields)
        if not tagged:
            kept.append(part)
    return tuple(kept)


def _is_tag(at: Loc, part: str, fields: Mapping[str, Any]) -> bool:
    """at: the place before `part`; the element of a list has the name of the list."""
    name = next((str(step) for step in reversed(at) if isinstance(step, str)), "")
    field = fields.get(name)
    key = None if field is None else field.discriminator or _discriminator(field.annotation)
    return (
        field is not None
        and key is not None
        and part
        in {value for option in _models(field.annotation) for value in _literals(option.model_fields[key].annotation)}
    )


def _discriminator(annotation: Any) -> str | None:
    """Of a union inside a list."""
    for inner in (*getattr(annotation, "__metadata__", ()), *getattr(annotation, "__args__", ())):
        found = getattr(inner, "discriminator", None) or _discriminator(inner)
        if isinstance(found, str):
            return found
    return None


def known_keys(loc: Loc, model: type[BaseModel]) -> list[str]:
    """The keys that may stand at a place, over all kinds of it."""
    models = [model]
    for part in loc:
        if isinstance(part, str):
            fields = [one.model_fields[part] for one in models if part in one.model_fields]
            models = [inner for field in fields for inner in _models(field.annotation)]
    return [name for one in models for name in one.model_fields]


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in getattr(annotation, "__args__", ()) for model in _models(argument)]


def _literals(annotation: Any) -> tuple[str, ...]:
    return tuple(a for a in getattr(annotation, "__args__", ()) if isinstance(a, str))


def line_of(text: str, loc: Sequence[str | int]) -> int | None:
    """The line, from 1, of the deepest part of `loc` that is written down; None: nothing of it is."""
    table: Loc = ()
    counts: dict[Loc, int] = {}
    best: tuple[int, int | None] = (0, None)
    inside: str | None = None  # the quotes of a text over several lines
    for number, line in enumerate(text.splitlines(), 1):
        if inside is not None:
            inside = None if inside in line else inside
            continue
        header = _HEADER.match(line)
        if header:
            table = _enter(_names(header[2]), header[1] == "[[", counts)
            here = table
        elif _KEY.match(line):
            here = (*table, *_names(line))
        else:
            continue
        inside = next((q for q in ('"""', "'''") if not header and line.count(q) % 2), None)
        if here and len(here) > best[0] and tuple(loc[: len(here)]) == here:
            best = (len(here), number)
    return best[1]


def _enter(names: Loc, is_array: bool, counts: dict[Loc, int]) -> Loc:
    """The place of a table header: `[[a]]` is the next element of a, `[a.b]` lies in its newest."""
    place: Loc = ()
    for depth, name in enumerate(names, 1):
        place = (*place, name)
        if is_array and depth == len(names):
            counts[place] = counts.get(place, -1) + 1
        if place in counts:
            place = (*place, counts[place])
    return place


def _names(dotted: str) -> Loc:
    """The parts of a dotted key, up to its `=` or its end."""
    names: list[str] = []
    position = 0
    while found := _NAME.match(dotted, position):
        names.append(next(group for group in found.groups() if group is not None))
        position = found.end()
        if not found[0].endswith("."):
            break
    return tuple(names)

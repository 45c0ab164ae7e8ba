"""Whatever stands in a configuration file: it is taken, or it is a ConfigError; never another exception."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from inspector import camera_sections, link_sections, sections
from inspector.config import AppConfig, load_config
from inspector.core.errors import ConfigError
from tests.unit.inspector.test_config import BASE

pytestmark = pytest.mark.slow


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "station.toml"


PLACES: Mapping[tuple[str | int, ...], type[BaseModel]] = {
    (): AppConfig, ("paths",): sections.PathsConfig, ("plc",): link_sections.PlcConfig,
    ("store",): sections.StoreConfig, ("archive",): sections.ArchiveConfig,
    ("plc", "links", 0): link_sections.LinkConfig, ("plc", "links", 0, "tls"): link_sections.TlsConfig,
    ("plc", "links", 0, "serial"): link_sections.SerialLineConfig,
    ("stations", 0): sections.StationConfig, ("web",): sections.WebConfig,
    ("camera",): camera_sections.RenderedConfig, ("bundle",): sections.BundleConfig,
    ("recipes", 0): sections.RecipeConfig, ("recipes", 0, "limits"): sections.LimitOverrides,
    ("recipes", 0, "zones", 0): sections.ZoneConfig, ("model",): sections.ModelConfig, ("log",): sections.LogConfig,
    ("health",): sections.HealthConfig, ("test",): sections.TestConfig,
}  # fmt: skip
KEYS_THERE = [(place, key) for place, model in PLACES.items() for key in model.model_fields]

ANY_KEY = st.text(max_size=12).filter(lambda text: no_surrogates(text))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.dates() | st.times()
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def toml(value: Any) -> str:
    """As TOML writes it, in one line."""
    match value:
        case None:
            return '""'
        case bool():
            return str(value).lower()
        case str():
            return '"' + "".join(c if c.isalnum() and c.isascii() else f"\\U{ord(c):08x}" for c in value) + '"'
        case list():
            return "[" + ", ".join(map(toml, value)) + "]"
        case dict():
            return "{ " + ", ".join(f"{toml(k)} = {toml(v)}" for k, v in value.items()) + " }"
        case float():
            return repr(value)
    return str(value)


def no_surrogates(value: Any) -> bool:
    match value:
        case str():
            return all(not 0xD800 <= ord(c) <= 0xDFFF for c in value)
        case list():
            return all(map(no_surrogates, value))
        case dict():
            return all(map(no_surrogates, [*value.keys(), *value.values()]))
    return True


ZONE = {"name": "z", "box": [0, 0, 1, 1], "brightness": [1, 2], "contrast": [1, 2], "sharpness": [1, 2]}


def told(file: Path) -> str:
    """What is said against the file; "" where it is taken. Any other exception than ConfigError is a bug."""
    try:
        load_config(file)
    except ConfigError as exc:
        return str(exc)
    return ""


def write_with(file: Path, place: tuple[str | int, ...], key: str, value: Any) -> None:
    """The valid station, but for one value."""
    tree = tomllib.loads(BASE) | {"recipes": [{"zones": [dict(ZONE)]}]}
    at: Any = tree
    for step in place:
        at = at.setdefault(step, {}) if isinstance(at, dict) else at[step]
    at[key] = value
    file.write_text("\n".join(f"{toml(k)} = {toml(v)}" for k, v in tree.items()), encoding="utf-8")


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.sampled_from(KEYS_THERE), value=VALUES.filter(no_surrogates))
def test_whatever_stands_under_a_key_is_taken_or_a_config_error(file: Path, where: Any, value: Any) -> None:
    write_with(file, *where, value)
    assert (told(file) or str(file)).startswith(str(file))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.sampled_from(list(PLACES)), key=ANY_KEY, value=VALUES.filter(no_surrogates))
def test_an_unknown_key_is_never_taken(file: Path, place: tuple[str | int, ...], key: str, value: Any) -> None:
    write_with(file, place, key, value)
    assume(key not in PLACES[place].model_fields)
    assert told(file).startswith(str(file))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, len(BASE)), junk=st.binary(max_size=12), cut=st.integers(0, 40))
def test_a_damaged_file_is_taken_or_a_config_error(file: Path, at: int, junk: bytes, cut: int) -> None:
    raw = BASE.encode()
    file.write_bytes(raw[:at] + junk + raw[at + cut :])
    assert (told(file) or str(file)).startswith(str(file))

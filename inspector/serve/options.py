"""From the command line to the service's settings."""

from __future__ import annotations

import tomllib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from inspector.bundle.keys import TrustedKey, load_keys
from inspector.core.errors import ConfigError
from inspector.sections import DEMO_BUNDLE, PACKAGED_DEMO

DEMO_STATION = DEMO_BUNDLE.with_name("demo.toml")


def bundle_and_keys(bundle: str, keys: Sequence[str]) -> tuple[Path, tuple[TrustedKey, ...]]:
    """The bundle's path, and who may have approved it. The packaged demo bundle brings its own key, and only its own.

    Raises ConfigError: no key or one that cannot be used, or no bundle.
    """
    if bundle == PACKAGED_DEMO:
        return DEMO_BUNDLE, load_keys(keys or _demo_keys())
    if not keys:
        raise ConfigError("--key is missing: whose approval counts? 64 hex digits, or the path of a public key's file")
    trusted = load_keys(keys)
    if not Path(bundle).is_file():
        raise ConfigError(f'there is no bundle {bundle}: --bundle takes the path of a .bundle, or "{PACKAGED_DEMO}"')
    return Path(bundle), trusted


def _demo_keys() -> list[str]:
    """The key that the demo's own station trusts; its file is a template, whose gaps do not matter here."""
    template = DEMO_STATION.read_text(encoding="utf-8")
    station: dict[str, Any] = tomllib.loads(template.format_map(defaultdict(int)))
    keys: list[str] = station["bundle"]["trusted_keys"]
    return keys

"""A signed tiny bundle, and keys."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from inspector.bundle.keys import TrustedKey
from tests.support.tiny_bundle import make_bundle, make_key, trusted_key


@pytest.fixture(scope="session")
def key() -> Ed25519PrivateKey:
    return make_key()


@pytest.fixture(scope="session")
def trusted(key: Ed25519PrivateKey) -> list[TrustedKey]:
    return [trusted_key(key)]


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory, key: Ed25519PrivateKey) -> bytes:
    """The bytes of a bundle that every box with `trusted` takes."""
    return make_bundle(tmp_path_factory.mktemp("whole") / "tiny.bundle", key).read_bytes()


@pytest.fixture
def tar(tmp_path: Path, whole: bytes) -> Path:
    path = tmp_path / "tiny.bundle"
    path.write_bytes(whole)
    return path


@pytest.fixture
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stops here is the process, not the kernel; that files are made durable in time has a test of its own."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)

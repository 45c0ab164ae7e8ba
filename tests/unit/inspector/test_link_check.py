"""`inspector check` looks at what a TLS or serial link needs before a start does."""

from __future__ import annotations

from pathlib import Path

import pytest

from inspector.checkup import Found, check_station
from inspector.config import load_config
from tests.support.certificates import make_test_ca


def link_of(config: str, tmp_path: Path, *changes: tuple[str, str]) -> Found:
    text = Path(f"configs/{config}.toml").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "station.toml").write_text(text)
    return next(found for found in check_station(load_config(tmp_path / "station.toml")) if found.what == "link")


def test_certificates_that_are_not_there_are_named(tmp_path):
    found = link_of("secure", tmp_path)
    assert not found.ok and "plant-ca.pem: cannot be read: No such file" in found.text


@pytest.mark.parametrize(("days", "told"), [(200.1, "200 days left"), (9.1, "expires in 9 days")])
def test_the_days_that_a_certificate_has_left_are_told(tmp_path, days, told):
    files = make_test_ca(tmp_path / "ca").issue("inspector", role="inspector", days=days)
    found = link_of(
        "secure", tmp_path, ("../keys/plant-ca.pem", str(files.ca)), ("../keys/inspector.pem", str(files.certificate)),
        ("../keys/inspector.key", str(files.key)),
    )  # fmt: skip
    assert found.ok and told in found.text and "role 'inspector'" in found.text


def test_a_serial_port_is_looked_for(tmp_path):
    missing = ("/dev/ttyUSB0", str(tmp_path / "ttyUSB9"))
    found = link_of("serial-line", tmp_path, missing)
    assert not found.ok and "ttyUSB9 is not there" in found.text
    (tmp_path / "ttyUSB9").touch()
    found = link_of("serial-line", tmp_path, missing)
    assert found.ok and "115200 baud" in found.text

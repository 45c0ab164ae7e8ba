from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from edge_deploy.cli import app, share_of, target_of
from edge_deploy.errors import DeployError
from edge_deploy.options import BuildOptions
from edge_deploy.pack import keygen
from edge_deploy.parity import WHAT_TO_DO
from edge_deploy.quantize import CALIBRATION_IMAGES


@pytest.mark.parametrize(("text", "share"), [("0.5%", 0.005), ("0.5 %", 0.005), ("0.02", 0.02)])
def test_an_overkill_is_given_in_percent_or_as_a_share(text: str, share: float) -> None:
    assert share_of(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["0", "100%", "half", "-1%", "nan"])
def test_an_overkill_that_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        share_of(text)


@pytest.mark.parametrize("command", ["build", "calibrate", "add-spots", "export", "approve", "keygen", "inspect"])
def test_each_command_shows_how_it_is_used(command: str) -> None:
    shown = CliRunner().invoke(app, [command, "--help"])
    assert shown.exit_code == 0
    assert f"inspector-deploy {command}" in " ".join(shown.stdout.split())


@pytest.mark.parametrize(("text", "value"), [("50:1", 50.0), ("1:4", 0.25), ("3.5:0.7", 5.0)])
def test_a_cost_says_what_an_escape_is_worth_in_overkills(text: str, value: float) -> None:
    target = target_of(None, None, text)
    assert target is not None and target.value == pytest.approx(value)


@pytest.mark.parametrize("text", ["50", "50:0", "0:1", "-1:-2", "a:b", "1:2:3", "inf:1", "nan:1"])
def test_a_cost_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="--cost"):
        target_of(None, None, text)


def test_a_build_may_promise_one_thing_or_nothing() -> None:
    assert target_of(None, None, None) is None
    with pytest.raises(typer.BadParameter, match="exclude each other"):
        target_of("1%", "1%", None)


def test_help_does_not_wait_for_torch() -> None:
    program = "import sys; import edge_deploy.cli; sys.exit('torch' in sys.modules or 'openvino' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_what_the_parity_gate_advises_is_an_option_of_the_build(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[BuildOptions] = []

    def build(run: Path, data: Path, out: Path, options: BuildOptions, steps: Any) -> Any:
        asked.append(options)
        raise DeployError("enough")

    monkeypatch.setattr("edge_deploy.build.build", build)
    command = ["build", str(tmp_path), "--data", str(tmp_path), "--out", str(tmp_path / "x.bundle")]
    for extra in ([], ["--quantisation-images", "900"]):
        assert "enough" in CliRunner().invoke(app, [*command, *extra]).output
    assert [options.quantisation_images for options in asked] == [CALIBRATION_IMAGES, 900]
    options = {option for command in get_command(app).commands.values() for p in command.params for option in p.opts}
    for advice in WHAT_TO_DO.values():
        assert set(re.findall(r"--[a-z0-9-]+", advice)) <= options


def test_a_folder_without_a_run_says_what_to_do(tmp_path: Path) -> None:
    told = CliRunner().invoke(
        app, ["build", str(tmp_path), "--data", str(tmp_path), "--out", str(tmp_path / "x.bundle")]
    )
    assert told.exit_code == 1
    assert "make one with: inspector-train fit" in told.output


def test_what_is_no_bundle_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.bundle").write_bytes(b"not a tar")
    told = CliRunner().invoke(app, ["inspect", str(tmp_path / "x.bundle")])
    assert told.exit_code == 1
    assert "x.bundle is no bundle" in told.output


def test_a_bundle_that_was_not_built_yet_is_not_called_a_bad_one(tmp_path: Path) -> None:
    assert CliRunner().invoke(app, ["keygen", str(tmp_path)]).exit_code == 0
    told = CliRunner().invoke(app, ["approve", str(tmp_path / "x.bundle"), "--key", str(tmp_path / "approve.key")])
    assert told.exit_code == 1
    assert re.search(r"there is no bundle \S*x\.bundle: inspector-deploy build writes one", told.output)


def test_a_key_pair_is_never_overwritten(tmp_path: Path) -> None:
    assert CliRunner().invoke(app, ["keygen", str(tmp_path)]).exit_code == 0
    assert "never overwritten" in CliRunner().invoke(app, ["keygen", str(tmp_path)]).output


def approved(tmp_path: Path, *more: str, key: str = "approve.key", typed: str = "") -> str:
    """What `approve` says of a bundle that is there, on one line."""
    (tmp_path / "x.bundle").write_bytes(b"not looked into before the key")
    command = ["approve", str(tmp_path / "x.bundle"), "--key", str(tmp_path / key), *more]
    told = CliRunner().invoke(app, command, input=typed)
    assert told.exit_code == 1 and "Errno" not in told.output and "Traceback" not in told.output
    return " ".join(told.output.split())


@pytest.mark.parametrize("more", [(), ("--with-passphrase",)])
def test_a_key_that_is_not_there_is_named_before_anybody_types_a_passphrase(
    tmp_path: Path, more: tuple[str, ...]
) -> None:
    told = approved(tmp_path, *more)
    assert "there is no key" in told and "inspector-deploy keygen makes" in told and "passphrase" not in told


def test_a_key_that_cannot_be_used_says_what_to_do(tmp_path: Path) -> None:
    bare, sealed = tmp_path / "bare", tmp_path / "sealed"
    keygen(bare)
    keygen(sealed, "open sesame")
    (tmp_path / "text.key").write_text("hello")
    assert "add --with-passphrase" in approved(tmp_path, key="sealed/approve.key")
    assert "leave --with-passphrase out" in approved(tmp_path, "--with-passphrase", key="bare/approve.key", typed="x\n")
    wrong = approved(tmp_path, "--with-passphrase", key="sealed/approve.key", typed="open barley\n")
    assert "the passphrase is another" in wrong
    for other in ("text.key", "bare/approve.pub"):
        assert "is no private key; name approve.key" in approved(tmp_path, key=other)

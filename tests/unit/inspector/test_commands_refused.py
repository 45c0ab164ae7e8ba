"""Commands that are given what is not there say so, and what to do, before any work."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from inspector.bundle.keys import load_key
from inspector.commands import predict
from inspector.core.errors import ConfigError
from inspector.pictures import PictureError
from inspector.serve.options import bundle_and_keys
from inspector.web.said import in_words
from inspector.web.words import LANGUAGES, speaking

KEY = "11" * 32


def test_a_picture_that_is_not_there_is_named_and_no_empty_table_is_shown(tmp_path: Path) -> None:
    seen = Console(record=True)
    with pytest.raises(PictureError, match=r"there is no picture .*nofile\.png: name files \(JPEG, PNG"):
        predict([tmp_path / "nofile.png"], tmp_path / "not-opened.bundle", (), 1, False, seen)
    assert seen.export_text() == ""


def test_a_bundle_that_is_not_there_is_named_with_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r'there is no bundle .*x\.bundle: --bundle takes .* or "demo"'):
        bundle_and_keys(str(tmp_path / "x.bundle"), [KEY])


@pytest.mark.parametrize("bundle", ["demo", "x.bundle"])
def test_a_key_that_is_not_there_is_named_without_a_number_of_the_system(tmp_path: Path, bundle: str) -> None:
    with pytest.raises(ConfigError) as told:
        bundle_and_keys(bundle, [str(tmp_path / "approve.pub")])
    said = str(told.value)
    assert "no file: name the approve.pub of `inspector-deploy keygen`" in said and "Errno" not in said


def test_the_private_half_and_a_folder_are_no_public_key(tmp_path: Path) -> None:
    (tmp_path / "approve.key").write_text("-----BEGIN PRIVATE KEY-----\nMC4=\n-----END PRIVATE KEY-----\n")
    with pytest.raises(ConfigError, match=r"name approve\.pub, not approve\.key"):
        load_key("approve.key", tmp_path)
    with pytest.raises(ConfigError, match="Is a directory") as told:
        load_key(str(tmp_path))
    assert "Errno" not in str(told.value)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_says_it_in_the_persons_language_too(tmp_path: Path, language: str) -> None:
    with pytest.raises(ConfigError) as told, speaking(language):
        load_key("keys/none.pub", tmp_path)
    with speaking(language):
        assert "keys/none.pub" in in_words(told.value)
        assert (in_words(told.value) == str(told.value)) is (language == "en")

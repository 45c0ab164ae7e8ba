"""CIFAR-10 for beginners: class folders that `inspector-train fit` takes, also without internet."""

from __future__ import annotations

from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torchvision
from PIL import Image as Pil
from typer.testing import CliRunner

from training.cli import app
from training.data import scan
from training.sample import ACCEPTABLE, ARCHIVE, CIFAR10


class Drawn:
    """In place of torchvision's class: 12 pictures of each label, each of its own."""

    url = torchvision.datasets.CIFAR10.url
    asked: list[tuple[str, bool]] = []  # noqa: RUF012 - emptied by each test

    def __init__(self, root: str, train: bool, download: bool) -> None:
        self.asked.append((root, download))
        rng = np.random.default_rng(int(train))
        self.items = [(Pil.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)), i % 10) for i in range(120)]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> object:
        return iter(self.items)


def test_the_sample_is_a_data_folder_with_a_word_on_what_to_do_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torchvision.datasets.CIFAR10", Drawn)
    Drawn.asked.clear()
    out = tmp_path / "cifar"
    done = CliRunner().invoke(app, ["sample", "cifar10", str(out), "--per-class", "10"])
    assert done.exit_code == 0, done.output
    assert "140 pictures" in done.output
    assert Drawn.asked == [(str(tmp_path), True)] * 2
    data = scan(out)
    assert [len(data.of(split)) for split in ("train", "val", "test")] == [100, 20, 20]
    assert tuple(entry.name for entry in data.classes) == CIFAR10
    assert [entry.name for entry in data.classes if entry.acceptable] == [ACCEPTABLE]
    assert "inspector-train fit cifar --out runs/first" in (out / "README.md").read_text()
    again = CliRunner().invoke(app, ["sample", "cifar10", str(out)])
    assert "is not empty" in again.output
    folder = CliRunner().invoke(app, ["sample", "cifar10", str(tmp_path / "b"), "--from", str(tmp_path)])
    assert folder.exit_code == 0
    assert Drawn.asked[-1] == (str(tmp_path), False)


def test_without_internet_the_sample_says_what_to_fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_name(*_: object, **__: object) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setattr("urllib.request.urlopen", no_name)
    done = CliRunner().invoke(app, ["sample", "cifar10", str(tmp_path / "cifar")])
    assert done.exit_code == 1
    assert ARCHIVE in done.output and "--from FOLDER" in done.output
    missing = CliRunner().invoke(app, ["sample", "cifar10", str(tmp_path / "cifar"), "--from", str(tmp_path)])
    assert missing.exit_code == 1
    assert "--from FOLDER" in missing.output


def test_an_archive_that_is_not_the_published_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_name(*_: object, **__: object) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setattr("urllib.request.urlopen", no_name)
    (tmp_path / ARCHIVE).write_bytes(b"not an archive")
    done = CliRunner().invoke(app, ["sample", "cifar10", str(tmp_path / "cifar"), "--from", str(tmp_path)])
    assert done.exit_code == 1
    assert "--from FOLDER" in done.output

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest

from inspector.web import media
from inspector.web.media import NoPicture, read_below, read_named


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "secret.png").write_bytes(b"secret")
    inside = tmp_path / "previews"
    (inside / "2026" / "11").mkdir(parents=True)
    (inside / "00000001.jpg").write_bytes(b"picture")
    (inside / "2026" / "11" / "1.png").write_bytes(b"kept")
    (inside / "away.png").symlink_to(tmp_path / "secret.png")
    (inside / "out").symlink_to(tmp_path)
    (inside / "folder.png").mkdir()
    os.mkfifo(inside / "pipe.png")
    return inside


def open_files() -> list[str]:
    """Of this process."""
    found = []
    for fd in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # that of the listing itself, and what others close just now
            found.append(os.readlink(f"/proc/self/fd/{fd}"))
    return found


def test_a_picture_is_read_by_its_name(folder: Path) -> None:
    assert read_named(folder, "00000001.jpg") == (b"picture", "image/jpeg")
    assert read_below(folder, "2026/11/1.png") == (b"kept", "image/png")


@pytest.mark.parametrize(
    "name",
    [
        "../secret.png", "..%2fsecret.png", "/etc/passwd", "2026/11/1.png", ".hidden.png", "a..b.png", "", "x.svg",
        "x.png\n", "x\0.png", "x.jpg.txt", "away.png", "folder.png", "pipe.png", "missing.png", "é.png",
        "a" * 200 + ".png", "-.png",
    ],
)  # fmt: skip
def test_a_name_that_is_not_a_plain_file_right_in_the_folder_gives_nothing(folder: Path, name: str) -> None:
    with pytest.raises(NoPicture):
        read_named(folder, name)


@pytest.mark.parametrize("path", ["../secret.png", "out/secret.png", "2026/../../secret.png", "/1.png", "2026//1.png"])
def test_a_path_of_the_record_leads_only_below_the_archive(folder: Path, path: str) -> None:
    with pytest.raises(NoPicture):
        read_below(folder, path)


def test_a_file_that_is_too_large_for_a_picture_is_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "MAX_BYTES", len(b"picture") - 1)
    with pytest.raises(NoPicture):
        read_named(folder, "00000001.jpg")
    assert read_below(folder, "2026/11/1.png") == (b"kept", "image/png")


def test_reading_leaves_no_file_open(folder: Path) -> None:
    for name in ("00000001.jpg", "pipe.png", "folder.png", "away.png", "missing.png"):
        try:
            read_named(folder, name)
        except NoPicture:
            continue
    assert not [path for path in open_files() if path.startswith(str(folder))]

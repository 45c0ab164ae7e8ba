"""Whatever comes on a stick in place of a bundle is refused, and nothing of it reaches the disk."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspector.bundle.tar import MAX_MEMBERS, Member, header_of, read_members
from inspector.bundle.verify import verify
from inspector.core.errors import BundleError
from tests.support.tiny_bundle import sign_files, tiny_files, tiny_manifest

Edit = Callable[[tarfile.TarInfo], None]


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tar")


def members_of(content: bytes, scratch: Path) -> list[Member]:
    path = scratch / "x.tar"
    path.write_bytes(content)
    source = os.open(path, os.O_RDONLY)
    try:
        return read_members(source, 256 << 20)
    finally:
        os.close(source)


def tar_of(edit: Edit = lambda info: None, name: str = "model.bin", format: int = tarfile.USTAR_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:", format=format) as tar:
        info = tarfile.TarInfo(name)
        info.size = 5
        edit(info)
        tar.addfile(info, io.BytesIO(b"12345"))
    return out.getvalue()


def refused(content: bytes, scratch: Path, match: str) -> None:
    with pytest.raises(BundleError, match=match):
        members_of(content, scratch)


def test_a_plain_file_is_read_as_pythons_tarfile_writes_it(scratch):
    assert members_of(tar_of(), scratch) == [Member("model.bin", 5, 512)]
    assert header_of("model.bin", 5) == tar_of()[:512]


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/passwd", "a/b", "./x", "..", ".hidden", "-rf", "a\\b", "b\x1b[2Jx", "ä", " x", "x\n"]
)
def test_a_name_that_is_not_flat_is_refused(scratch, name):
    refused(tar_of(name=name), scratch, "no flat file name")


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE,
     tarfile.CONTTYPE, tarfile.GNUTYPE_SPARSE, tarfile.AREGTYPE, b"x", b"g", b"L", b"K", b"V"],
)  # fmt: skip
def test_links_devices_and_extensions_are_refused(scratch, kind):
    content = bytearray(tar_of())
    content[156:157] = kind
    content[148:156] = b"%06o\0 " % (sum(content[:148]) + 256 + sum(content[156:512]))
    refused(bytes(content), scratch, "no plain file")


def test_pax_headers_are_refused(scratch):
    def long(info: tarfile.TarInfo) -> None:
        info.pax_headers = {"path": "../../evil"}

    refused(tar_of(long, format=tarfile.PAX_FORMAT), scratch, "no plain file")


@pytest.mark.parametrize(
    "edit",
    [lambda i: setattr(i, "mode", 0o4755), lambda i: setattr(i, "uid", 1000), lambda i: setattr(i, "mtime", 1),
     lambda i: setattr(i, "uname", "root"), lambda i: setattr(i, "linkname", "/etc")],
)  # fmt: skip
def test_a_header_says_nothing_but_name_and_size(scratch, edit):
    refused(tar_of(edit), scratch, "the header of model.bin is off")


def test_ten_claimed_gigabytes_are_refused_without_reading_them(scratch):
    too_large = header_of("model.bin", 0o77777777777) + bytes(20 * 512)
    refused(too_large, scratch, "too many or too large")


@pytest.mark.parametrize("field", [b"-0000000001", b"0x000000010", b"\x80\x00\x00\x00\x00\x00\x00\x00\x00\x10\x00"])
def test_a_size_that_is_no_plain_octal_number_is_refused(scratch, field):
    header = bytearray(header_of("model.bin", 0))
    header[124:135] = field
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + 256 + sum(header[156:]))
    refused(bytes(header) + bytes(19 * 512), scratch, "no octal number")


def test_a_million_entries_are_refused_after_a_few(scratch):
    refused(b"".join(header_of(f"f{i}", 0) for i in range(MAX_MEMBERS + 1)), scratch, "too many")


def test_two_files_of_one_name_are_refused(scratch):
    twice = header_of("a", 0) * 2
    refused(twice + bytes(10240 - len(twice)), scratch, "one name")


def test_nothing_may_hide_behind_a_file_or_the_end(scratch):
    hidden = bytearray(tar_of())
    hidden[512 + 5] = 1
    refused(bytes(hidden), scratch, "more behind model.bin")
    refused(tar_of() + bytes(512), scratch, "more behind its end")
    late = bytearray(tar_of())
    late[-1] = 1
    refused(bytes(late), scratch, "more behind its end")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=1100))
def test_any_bytes_are_refused_in_words(scratch, content):
    refused(content, scratch, ".")


@settings(max_examples=100, deadline=None)
@given(st.binary(min_size=512, max_size=512))
def test_any_header_is_read_as_it_would_be_written_or_refused(scratch, header):
    content = header + bytes(10240 - 512)
    try:
        members = members_of(content, scratch)
    except BundleError:
        return
    assert not members or header == header_of(members[0].name, members[0].size)


def test_a_pipe_in_place_of_a_bundle_is_refused_at_once(tmp_path, trusted):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BundleError, match="no plain file"):
        verify(tmp_path / "pipe", trusted, tmp_path / "out")


def test_a_signed_manifest_does_not_make_a_traversal_right(tmp_path, key, trusted):
    files = {**tiny_files(), "x" * 60: b"1"}
    manifest = tiny_manifest()
    path = sign_files(tmp_path / "t.bundle", key, manifest, files)
    content = path.read_bytes().replace(header_of("x" * 60, 1), tar_of(name="../../../../../evil")[:512])
    path.write_bytes(content)
    with pytest.raises(BundleError):
        verify(path, trusted, tmp_path / "box" / "out")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["t.bundle"]

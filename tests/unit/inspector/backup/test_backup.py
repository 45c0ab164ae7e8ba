"""One file holds the box, and a fresh box becomes it again; what is damaged, newer or foreign changes nothing."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import os
import shutil
import stat
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from structlog.testing import capture_logs

from inspector.backup import shelf
from inspector.backup.crypt import MAGIC, PIECE, SALT, TAG, Decrypting, Encrypting, new_key
from inspector.backup.errors import BackupError
from inspector.backup.make import last_run, make
from inspector.backup.pace import Pace
from inspector.backup.pack import Pack
from inspector.backup.places import RESTORING, require_whole
from inspector.backup.restore import restore
from inspector.backup.snapshot import snapshot
from inspector.backup.unpack import Head, read
from inspector.bundle.golden import replay
from inspector.bundle.slots import Slots
from inspector.bundle.verify import VerifiedBundle
from inspector.core.errors import ConfigError
from inspector.core.types import JudgedBy
from inspector.model import load_model
from inspector.store import audit
from inspector.store.rescue import note_of
from inspector.threads import DeviceThread
from tests.support.box import MONTH, BoxOnDisk, configure, lived_in, rows_of_all
from tests.support.disks import quick_folder
from tests.support.live_line import KEY
from tests.support.office import make_hashes_cheap
from tests.support.patience import be_patient
from tests.support.store import part, store
from tests.support.tiny_bundle import tiny_manifest, trusted_key

PRODUCT = tiny_manifest().product


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    make_hashes_cheap(monkeypatch)


@pytest.fixture(scope="module")
def lived() -> Iterator[BoxOnDisk]:
    with quick_folder() as folder, pytest.MonkeyPatch.context() as patch:
        make_hashes_cheap(patch)
        be_patient(patch.setattr)
        yield asyncio.run(lived_in(folder / "box", folder / "stick"))


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    with quick_folder() as folder:
        yield folder


@pytest.fixture
def box(lived: BoxOnDisk, tmp_path: Path) -> BoxOnDisk:
    shutil.copytree(lived.folder, tmp_path / "box", symlinks=True)
    return configure(tmp_path / "box", tmp_path / "stick")


def active(box: BoxOnDisk) -> VerifiedBundle:
    found = Slots(box.state / "bundles").active([trusted_key(KEY)], PRODUCT)
    assert found is not None
    return found


def golden_scores(box: BoxOnDisk) -> list[Any]:
    bundle, thread = active(box), DeviceThread("model")
    try:
        _, _, width, height = bundle.manifest.view.roi
        by = JudgedBy(bundle.manifest.bundle_id)
        model = load_model(bundle, (height, width), threads=1, judged_by=by, thread=thread)
        return [(row.file, row.got.label, row.got.confidence, row.got.novelty_score)
                for row in replay(bundle, model.predict_blocking).rows]  # fmt: skip
    finally:
        thread.close()


async def test_a_wiped_box_is_the_same_again_after_one_command(box: BoxOnDisk) -> None:
    before, scores = rows_of_all(box.results), golden_scores(box)
    made = make(box.cfg, box.config)
    shutil.rmtree(box.folder)
    with capture_logs() as told:
        restore(made.path, None, None)
    assert not [line for line in told if line["log_level"] == "warning"], "a new box gave no numbers out before"
    assert rows_of_all(box.results) == before and (box.state / f"results-{MONTH}.db").exists()
    assert golden_scores(box) == scores
    entries, flaws, _ = audit.check_file(box.office / "office.db")
    assert entries == 3 and flaws == []
    async with store(box.results) as results:
        assert (await part(results, 900)).no > max(row[0] for row in before)


def owners(folder: Path) -> dict[str, tuple[str, str]]:
    everything = (folder, *folder.rglob("*"))
    return {str(path.relative_to(folder)): (path.owner(), path.group()) for path in everything if not path.is_symlink()}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files to others")
def test_on_a_new_box_daemon_and_page_own_what_they_must_write(box: BoxOnDisk) -> None:
    users = {box.state: "daemon", box.office: "nobody"}  # any two that every Linux has
    for folder, user in users.items():
        for path in (folder, *folder.rglob("*")):
            shutil.chown(path, user, "daemon")
    made = make(box.cfg, box.config)
    shutil.rmtree(box.folder)
    restore(made.path, None, None)
    for folder, user in users.items():
        found = owners(folder)
        assert set(found.values()) == {(user, "daemon")}, found
        assert stat.S_IMODE(folder.stat().st_mode) == 0o750


async def test_numbers_go_on_above_what_was_given_out_after_the_backup(box: BoxOnDisk) -> None:
    made = make(box.cfg, box.config)
    async with store(box.results) as results:
        for seq in range(100, 108):
            newest = (await part(results, seq)).no
    box.results.with_suffix(".numbers").write_text("7000000\n")  # as many were given out since, says the disk
    restore(made.path, None, None)
    async with store(box.results) as results:
        assert (await part(results, 900)).no > 7_000_000 > newest


async def test_a_box_that_replaces_another_skips_as_many_numbers_as_could_have_been_given_out(
    box: BoxOnDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make(box.cfg, box.config)
    newest = max(row[0] for row in rows_of_all(box.results))
    shutil.rmtree(box.folder)
    now = time.time()
    monkeypatch.setattr("inspector.backup.numbers.time.time", lambda: now + 86_400)
    restore(made.path, None, None)
    async with store(box.results) as results:
        assert (await part(results, 900)).no > newest + 86_400 * 50


def test_what_was_there_is_kept_aside_whole(box: BoxOnDisk) -> None:
    made = make(box.cfg, box.config)
    db = apsw.Connection(str(box.results))
    db.execute("DELETE FROM inspections WHERE no > 5")
    db.close()
    fewer = rows_of_all(box.results)
    box.config.write_text(box.config.read_text() + "# changed since\n")
    restore(made.path, None, None)
    assert len(rows_of_all(box.results)) > len(fewer)
    (aside,) = box.state.glob("before-restore-*")
    assert rows_of_all(aside / "results.db") == fewer and (aside / "bundles").is_dir()
    (former,) = box.folder.glob("station.toml.before-restore-*")
    assert former.read_text().endswith("# changed since\n")
    assert not list(box.folder.rglob("*.restore")) and not (box.state / RESTORING).exists()


def test_no_log_in_and_no_code_of_then_is_good_after_a_restore(box: BoxOnDisk) -> None:
    made = make(box.cfg, box.config)
    restore(made.path, None, None)
    db = apsw.Connection(str(box.office / "office.db"))
    assert db.execute("SELECT count(*) FROM sessions").get == 0
    assert db.execute("SELECT count(*) FROM people WHERE code_hash IS NOT NULL").get == 0
    assert db.execute("SELECT action FROM audit ORDER BY number DESC LIMIT 1").get == "box.restored"
    assert db.execute("SELECT count(password_hash) FROM people").get == 1
    db.close()


async def test_a_box_that_runs_is_not_restored_over(box: BoxOnDisk) -> None:
    made = make(box.cfg, box.config)
    async with store(box.results):
        with pytest.raises(BackupError, match="stop it first"):
            restore(made.path, None, None)
    assert not list(box.state.glob("before-restore-*")) and not (box.state / ".restore").exists()


def tampered(file: Path, change: Any) -> Path:
    """The backup with its members changed by `change` (name, content) -> content."""
    out = file.with_name(file.name.replace("inspector-", "inspector-x-"))
    with tarfile.open(file) as tar, tarfile.open(out, "w:gz") as new:
        for info in tar:
            content = change(info.name, tar.extractfile(info).read())  # type: ignore[union-attr]
            info.size = len(content)
            new.addfile(info, io.BytesIO(content))
    return out


@pytest.mark.parametrize(
    "newer", [{"version": "99.0.0"}, {"format": 2}, {"schemas": {"results": 999}}, {"schemas": {"office": 999}}]
)
def test_a_backup_of_a_newer_version_is_refused_in_words(box: BoxOnDisk, newer: dict[str, Any]) -> None:
    made = make(box.cfg, box.config)
    file = tampered(made.path, lambda n, c: json.dumps({**json.loads(c), **newer}).encode() if n == "head.json" else c)
    before = sorted(box.folder.rglob("*"))
    with pytest.raises(BackupError, match=r"newer than this one .*: install that version or a newer one"):
        restore(file, None, None)
    assert sorted(box.folder.rglob("*")) == before


def test_a_backup_cut_short_anywhere_or_changed_is_refused_and_changes_nothing(box: BoxOnDisk) -> None:
    made = make(box.cfg, box.config)
    content = made.path.read_bytes()
    before = sorted((p, p.stat().st_mtime_ns) for p in box.folder.rglob("*"))
    bad = made.path.with_name("bad.tar.gz")
    for share in (0, 0.01, 0.3, 0.7, 0.99):
        bad.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(BackupError):
            restore(bad, None, None)
    for at in (0.2, 0.5, 0.8):
        place = int(len(content) * at)
        bad.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        with pytest.raises(BackupError):
            restore(bad, None, None)
    with pytest.raises(BackupError, match="not those of its manifest"):
        restore(tampered(made.path, lambda n, c: c + b"x" if n == "results.numbers" else c), None, None)
    assert sorted((p, p.stat().st_mtime_ns) for p in box.folder.rglob("*")) == before


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "bundles/../x", "named/../../x", "results.db/x"])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    file = tmp_path / "evil.tar.gz"
    with Pack(file, None, Pace(1000)) as pack:
        pack.add_bytes("head.json", Head("0.1.0", 1, "box7", "/etc/inspector/station.toml", {}).as_json())
        pack.add_bytes(name, b"x")
    taken: list[str] = []
    with pytest.raises(BackupError, match="damaged, or not one of ours: '"):
        read(file, None, lambda member, _: taken.append(member))
    assert taken == []


def test_a_stream_that_ends_behind_a_whole_piece_is_cut_short(tmp_path: Path) -> None:
    out, key = io.BytesIO(), os.urandom(32)
    sealing = Encrypting(out, key)
    sealing.write(os.urandom(3 * PIECE))
    sealing.finish()
    whole = out.getvalue()[len(MAGIC) :]
    assert len(Decrypting(io.BytesIO(whole), key).read()) == 3 * PIECE
    for pieces in (1, 2):
        with pytest.raises(BackupError, match="cannot be decrypted"):
            Decrypting(io.BytesIO(whole[: SALT + pieces * (PIECE + TAG)]), key).read()
    swapped = whole[:SALT] + whole[SALT + PIECE + TAG : SALT + 2 * (PIECE + TAG)] + whole[SALT : SALT + PIECE + TAG]
    with pytest.raises(BackupError, match="cannot be decrypted"):
        Decrypting(io.BytesIO(swapped), key).read()


def test_a_copy_ends_and_is_of_one_moment_though_another_commits_between_any_two_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "a.db"
    line = apsw.Connection(str(source))
    line.pragma("journal_mode", "wal")
    line.execute("CREATE TABLE t (x)")
    with line:
        line.executemany("INSERT INTO t VALUES (?)", [(bytes(3000),) for _ in range(60)])
    steps = [0]

    def commits(_: int) -> None:
        steps[0] += 1
        assert steps[0] < 500, "it begins anew for ever"
        line.execute("INSERT INTO t VALUES (1)")

    monkeypatch.setattr("inspector.backup.snapshot.PAGES", 1)
    snapshot(source, tmp_path / "b.db", Pace(10_000, commits))
    copy = apsw.Connection(str(tmp_path / "b.db"))
    assert copy.execute("SELECT count(*) FROM t").get == 60 and steps[0] > 50
    copy.close()
    line.close()


def test_a_link_in_a_backup_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "evil.tar.gz"
    with gzip.open(file, "wb") as packed, tarfile.open(fileobj=packed, mode="w") as tar:
        info = tarfile.TarInfo("head.json")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/shadow"
        tar.addfile(info)
    with pytest.raises(BackupError, match="not one of ours"):
        read(file, None)


async def test_private_keys_are_in_an_encrypted_backup_alone_and_come_back_with_it(tmp_path: Path) -> None:
    key = tmp_path / "backup.key"
    new_key(key)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    box = await lived_in(tmp_path / "box", tmp_path / "stick", tls=True)
    private = (box.folder / "tls" / "box7.key").read_bytes()
    plain = make(box.cfg, box.config)
    assert any("box7.key: a private key" in line for line in plain.left_out)
    with gzip.open(plain.path) as stream:
        assert private not in stream.read()
    box.config.write_text(box.config.read_text().replace("mb_per_s", f'key = "{key}"\nmb_per_s'))
    sealed = make(box.cfg, box.config)
    assert sealed.left_out == () and sealed.path.name.endswith(".tar.gz.enc")
    with pytest.raises(BackupError, match="encrypted: name its key"):
        read(sealed.path, None)
    other = tmp_path / "other.key"
    new_key(other)
    with pytest.raises(BackupError, match="this is not its key"):
        read(sealed.path, other)
    cut = tmp_path / "cut.tar.gz.enc"
    cut.write_bytes(sealed.path.read_bytes()[:5000])
    with pytest.raises(BackupError, match="or the file is cut short"):
        read(cut, key)
    shutil.rmtree(box.folder)
    restore(sealed.path, None, key)
    assert (box.folder / "tls" / "box7.key").read_bytes() == private


async def test_an_encrypted_backup_that_was_changed_or_cut_is_refused(tmp_path: Path) -> None:
    key = tmp_path / "backup.key"
    new_key(key)
    box = await lived_in(tmp_path / "box", tmp_path / "stick", parts=3, backup=f'key = "{key}"')
    content = (made := make(box.cfg, box.config)).path.read_bytes()
    for bad in (content[:-1], content[: len(content) // 2], content[:-20] + b"x" + content[-19:], content + b"x"):
        made.path.write_bytes(bad)
        with pytest.raises(BackupError, match="cannot be decrypted"):
            read(made.path, key)


def test_a_stick_that_was_pulled_is_told_and_noted(box: BoxOnDisk) -> None:
    gone = box.cfg.paths.model_copy(update={"state": box.state / "nowhere"})
    with pytest.raises(BackupError, match="has the daemon run with this configuration"):
        make(box.cfg.model_copy(update={"paths": gone}), box.config)
    shutil.rmtree(box.sticks)
    with pytest.raises(BackupError, match="is the stick in"):
        make(box.cfg, box.config)
    noted = last_run(box.state)
    assert noted is not None and noted["ok"] is False and "is the stick in" in noted["text"]


def test_a_run_that_fails_half_way_leaves_nothing_behind(box: BoxOnDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", str(box.sticks))

    monkeypatch.setattr("inspector.backup.make._add_bundles", full)
    with pytest.raises(BackupError, match="No space left"):
        make(box.cfg, box.config)
    assert list(box.sticks.iterdir()) == [] and {p.name for p in (box.folder / "state-backup").iterdir()} == {
        "lock", "last.json",
    }  # fmt: skip


def test_a_damaged_record_is_not_backed_up_over_the_good_one(box: BoxOnDisk) -> None:
    good = make(box.cfg, box.config)
    data = bytearray(box.results.read_bytes())
    for page in range(3, len(data) // 4096):
        data[4096 * page : 4096 * page + 4096] = os.urandom(4096)
    box.results.write_bytes(data)
    with pytest.raises(BackupError, match=r"damaged|malformed|cannot be copied"):
        make(box.cfg, box.config)
    assert list(box.sticks.iterdir()) == [good.path]
    read(good.path, None)


def test_a_damage_that_only_a_check_finds_stops_the_backup_too(box: BoxOnDisk) -> None:
    data = bytearray(box.results.read_bytes())
    data[36:40] = (7).to_bytes(4, "big")  # pages that are free, by the head: there are none
    box.results.write_bytes(data)
    with pytest.raises(BackupError, match="the record is damaged, and no backup of it was made"):
        make(box.cfg, box.config)


def test_the_oldest_go_and_those_of_a_clock_that_was_ahead_go_first(box: BoxOnDisk, tmp_path: Path) -> None:
    now = time.time_ns() // 1_000_000
    for days in (-3, -2, -1, 3650):
        (box.sticks / shelf.name_of(now + days * 86_400_000, encrypted=False)).write_bytes(b"x")
    (box.sticks / "inspector-otherbox-20200101T000000Z.tar.gz").write_bytes(b"x")
    (box.sticks / "holiday.jpg").write_bytes(b"x")
    (box.sticks / f"inspector-{shelf.box_name()}-99999999T999999Z.tar.gz").write_bytes(b"x")
    box.config.write_text(box.config.read_text().replace("mb_per_s", "keep = 3\nmb_per_s"))
    made = make(box.cfg, box.config)
    kept = shelf.kept_in(box.sticks)
    assert [round((now - one.utc_ms) / 86_400_000) for one in kept] == [0, 1, 2] and kept[0].path == made.path
    assert len(list(box.sticks.iterdir())) == 6
    assert (shelf.age_h(kept, now) or 0) < 0.1


async def test_a_backup_beside_a_line_that_records_is_of_one_moment_and_ends(box: BoxOnDisk) -> None:
    async with store(box.results) as results:
        newest = 0
        made: list[Any] = []
        worker = threading.Thread(target=lambda: made.append(make(box.cfg, box.config)))
        worker.start()
        for seq in range(200, 400):
            newest = (await part(results, seq)).no
            if not worker.is_alive():
                break
        worker.join()
    restored = box.folder.parent / "other"
    whole = read(made[0].path, None)
    assert whole.files["results.db"]["size"] > 0
    shutil.move(box.folder, restored)
    restore(made[0].path, None, None)
    numbers = [row[0] for row in rows_of_all(box.results)]
    assert numbers == list(range(1, len(numbers) + 1)) and numbers[-1] <= newest


def test_a_restore_that_was_interrupted_keeps_daemon_and_page_from_starting_and_begins_anew(
    box: BoxOnDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, before = make(box.cfg, box.config), rows_of_all(box.results)
    renames, real = [0], os.rename

    def cut(source: Any, target: Any) -> None:
        renames[0] += 1
        if renames[0] == 4:
            raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr("inspector.backup.restore.os.rename", cut)
    with pytest.raises(KeyboardInterrupt):
        restore(made.path, None, None)
    monkeypatch.undo()
    with pytest.raises(ConfigError, match="a restore was interrupted"):
        require_whole(box.state)
    restore(made.path, None, None)
    require_whole(box.state)
    assert rows_of_all(box.results) == before


def test_a_restore_is_no_way_back_to_an_older_bundle(box: BoxOnDisk) -> None:
    made = make(box.cfg, box.config)
    floor = box.state / "bundles" / PRODUCT / "floor.json"
    then = json.loads(floor.read_text())
    floor.write_text(json.dumps({**then, "version": then["version"] + 5}))
    restore(made.path, None, None)
    assert json.loads(floor.read_text())["version"] == then["version"] + 5


def test_a_restore_that_was_ended_is_no_way_back_to_an_older_bundle_either(box: BoxOnDisk) -> None:
    """Killed between two renames: what was there is aside, and nothing is in its place yet."""
    made = make(box.cfg, box.config)
    bundles = box.state / "bundles"
    floor = bundles / PRODUCT / "floor.json"
    then = json.loads(floor.read_text())
    floor.write_text(json.dumps({**then, "version": then["version"] + 5}))
    aside = box.state / "before-restore-20260101T000000Z"
    aside.mkdir()
    bundles.rename(aside / "bundles")
    restore(made.path, None, None)
    assert json.loads(floor.read_text())["version"] == then["version"] + 5


async def test_a_record_that_is_restored_is_not_set_aside_for_the_one_before(box: BoxOnDisk) -> None:
    """A start that was setting a broken record aside was ended, and then a person restored a backup."""
    made, before = make(box.cfg, box.config), rows_of_all(box.results)
    note_of(box.results).write_text("results.broken-20260501T000000Z.db")
    office = box.cfg.paths.office_folder / "office.db"
    note_of(office).write_text("office.broken-20260501T000000Z.db")
    restore(made.path, None, None)
    assert not note_of(box.results).exists() and not note_of(office).exists()
    async with store(box.results):
        pass
    assert rows_of_all(box.results) == before


def all_of(file: Path) -> bytes:
    with gzip.open(file) as packed:
        return packed.read()


@pytest.mark.parametrize("name", ["web.csr", "web.pem"])
def test_a_link_in_the_pages_folder_brings_no_foreign_file_into_a_backup(box: BoxOnDisk, name: str) -> None:
    """The page's user makes the link, and root the backup, which may read everything."""
    foreign = box.folder / "shadow"
    foreign.write_text("root:a-hash-of-roots-password")
    (box.office / name).symlink_to(foreign)
    made = make(box.cfg, box.config)
    assert b"a-hash-of-roots-password" not in all_of(made.path)
    assert made.left_out == (f"{box.office / name}: is a link, which is not followed",)


def planted(box: BoxOnDisk, place: Path) -> None:
    """What lay there lies elsewhere, and a link to it in its place."""
    foreign = box.folder / "foreign"
    place.rename(foreign)
    place.symlink_to(foreign)


@pytest.mark.parametrize("place", [
    "state-web/office.db", "state/results.db", f"state/results-{MONTH}.db", "state/results.numbers",
    "state/bundles", f"state/bundles/{PRODUCT}", f"state/bundles/{PRODUCT}/a",
    f"state/bundles/{PRODUCT}/a/manifest.json",
])  # fmt: skip
def test_no_backup_is_made_of_a_box_where_somebody_made_a_link(box: BoxOnDisk, place: str) -> None:
    planted(box, box.folder / place)
    with pytest.raises(BackupError, match="link"):
        make(box.cfg, box.config)
    assert not list(box.sticks.iterdir()) and not (box.folder / "state-backup" / "office.db").exists()


def test_a_pipe_in_the_pages_folder_does_not_hold_up_a_backup(box: BoxOnDisk) -> None:
    os.mkfifo(box.office / "web.csr")
    assert make(box.cfg, box.config).left_out == (f"{box.office / 'web.csr'}: is no file",)


def test_a_folder_that_is_reached_by_a_link_is_backed_up(box: BoxOnDisk) -> None:
    """As an administrator moves it to another disk: the links on the way to our folders are theirs."""
    for name in ("state", "state-web"):
        planted(box, box.folder / name)
        (box.folder / "foreign").rename(box.folder / f"{name}-elsewhere")
        (box.folder / name).unlink()
        (box.folder / name).symlink_to(box.folder / f"{name}-elsewhere")
    assert "office.db" in read(make(box.cfg, box.config).path, None).files


def test_a_restore_gives_nobody_a_foreign_file(box: BoxOnDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock of the page's that is a link: root would open what it names, and give it to the page's user."""
    made = make(box.cfg, box.config)
    foreign = box.folder / "shadow"
    foreign.write_text("root")
    lock = box.office / "office.lock"
    lock.unlink(missing_ok=True)
    lock.symlink_to(foreign)
    given: list[Path] = []
    monkeypatch.setattr("inspector.backup.restore.os.geteuid", lambda: 0)
    monkeypatch.setattr(os, "chown", lambda path, *_, **__: given.append(Path(path).resolve()))
    with pytest.raises(BackupError, match=r"office\.lock is a link"):
        restore(made.path, None, None)
    assert foreign not in given

"""`inspector hold`, `reconcile`, `export month` and `forget` against the real daemon."""

from __future__ import annotations

import asyncio
import sys
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from inspector.retention_commands import export_month, forget_month
from inspector.store.farewell import sha256_of
from tests.support.live_line import START_S, LiveLine, live_line
from tests.support.months import Calendar, file_all, filed, keep_few, parts

pytestmark = [pytest.mark.slow]


async def command(line: LiveLine, *words: str) -> tuple[int, str]:
    """Exit status and what it said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "inspector", *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode()


async def test_at_the_box_a_lot_is_held_and_released_and_a_month_goes_after_its_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with live_line(tmp_path) as line:
        line.configure()
        line.db.parent.mkdir(parents=True)
        clock = Calendar()
        with monkeypatch.context() as patch:
            keep_few(patch)
            async with filed(line.db, clock) as (results, filing):
                await parts(results, clock, ["2026-01-10"] * 5 + ["2026-03-01"] * 3)
                await file_all(filing)
        month = line.db.with_name("results-2026-01.db")
        await line.start()
        await line.ready()
        config = str(line.config)

        status, said = await command(line, "hold", config, "L-1", "--reason", "complaint")
        assert status == 0 and said.startswith("lot L-1 is on hold\nNo part of it is on record yet.")
        status, said = await command(line, "hold", config, "L-1", "--reason", "again")
        assert status == 1 and "error: lot L-1 is on hold already" in said
        status, said = await command(line, "hold", config, "L-1", "--release", "--reason", "closed")
        assert (status, said) == (0, "lot L-1 is released\n")
        db = apsw.Connection(str(line.db), flags=apsw.SQLITE_OPEN_READONLY)
        entries = list(db.execute("SELECT held, actor, reason FROM lot_holds ORDER BY n"))
        db.close()
        assert [(held, reason) for held, _, reason in entries] == [(1, "complaint"), (0, "closed")]
        assert all(actor.endswith(" at the box") for _, actor, _ in entries)

        status, said = await command(line, "reconcile", config)
        assert status == 0 and "compared" in said

        out = tmp_path / "usb"
        status, said = await command(line, "export", "month", config, "2026-01", "--out", str(out))
        assert status == 0 and sha256_of(month) in said
        exported = out / month.name
        assert (out / f"{month.name}.sha256").read_text() == f"{sha256_of(exported)}  {month.name}\n"
        forget = ("forget", config, "2026-01", "--reason", "on the server", "--export")
        (out / "other.db").write_bytes(exported.read_bytes()[:-1])
        status, said = await command(line, *forget, str(out / "other.db"))
        assert status == 1 and "export it again" in said and month.exists()
        status, said = await command(line, *forget, str(exported))
        assert status == 0 and "5 rows" in said and not month.exists()
        await line.good()
        async with asyncio.timeout(START_S):  # the PLC's program stood still while the commands ran
            while (await line.status())["alarms"]:
                await line.sim.idle_for(0.1)


def test_without_a_daemon_and_without_a_month_nothing_is_said_to_be_done(tmp_path: Path) -> None:
    from inspector.asking import NoDaemon
    from inspector.config import load_config
    from inspector.retention_commands import MonthError, ask
    from inspector.store.farewell import FarewellError

    cfg = load_config(Path("configs/usb-camera.toml")).model_copy(
        update={"paths": load_config(Path("configs/usb-camera.toml")).paths.model_copy(
            update={"state": tmp_path, "run": tmp_path}
        )}
    )  # fmt: skip
    with pytest.raises(NoDaemon, match="does not run, or with another configuration: nobody listens at"):
        ask(cfg, "hold_lot", {"lot": "A", "reason": "x"})
    for month in ("2026-05", "x", "2026-13"):
        with pytest.raises(FarewellError):
            export_month(cfg, month, tmp_path / "out")
    month = tmp_path / "results-2026-05.db"
    month.write_bytes(b"x" * 4096)
    with pytest.raises(MonthError, match="is damaged, and was not exported"):
        export_month(cfg, "2026-05", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    month.unlink()
    with closing(apsw.Connection(str(month))) as db:
        db.execute("CREATE TABLE inspections (no INTEGER PRIMARY KEY)")
    export_month(cfg, "2026-05", tmp_path / "out")
    with pytest.raises(MonthError, match="already"):
        export_month(cfg, "2026-05", tmp_path / "out")
    with pytest.raises(MonthError, match="cannot be read"):
        forget_month(cfg, "2026-05", tmp_path / "nothing", "x", with_pictures=False)
    (tmp_path / "linked.db").hardlink_to(month)
    (tmp_path / "named.db").symlink_to(month)
    for itself in (month, tmp_path / "linked.db", tmp_path / "named.db"):
        with pytest.raises(MonthError, match="own file"):
            forget_month(cfg, "2026-05", itself, "x", with_pictures=False)

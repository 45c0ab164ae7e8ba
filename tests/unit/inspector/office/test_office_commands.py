from __future__ import annotations

import asyncio
import re
from pathlib import Path

import apsw
import pytest

from inspector.cli import main
from inspector.demo.processes import config_text
from inspector.office.office import Office
from tests.support.office import PASSWORD, first_admin, someone


def told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[object, str]:
    """Exit status and all that a command says."""
    monkeypatch.setattr("sys.argv", ["inspector", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    return ended.value.code, said.out + said.err


@pytest.fixture
def config(tmp_path: Path) -> str:
    file = tmp_path / "box.toml"
    file.write_text(config_text(1, tmp_path))
    return str(file)


async def lived_in(path: Path) -> None:
    office = Office(path)
    await first_admin(office)
    await someone(office, "Boris", [])
    office.close()


def test_the_check_of_the_audit_says_which_entry_and_ends_with_status_1(
    config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    database = tmp_path / "state-web" / "office.db"
    asyncio.run(lived_in(database))
    capsys.readouterr()
    status, said = told(monkeypatch, capsys, "audit", "check", config)
    head = re.search(r"accounts: whole: 3 entries, head (3:[0-9a-f]{64})\nline: nothing yet", said)
    assert status == 0 and head is not None
    assert told(monkeypatch, capsys, "audit", "check", config, "--head", head[1])[0] == 0
    assert (
        "accounts: broken: entry 3 is not the one"
        in told(monkeypatch, capsys, "audit", "check", config, "--head", "3:" + "0" * 64)[1]
    )
    assert "error: --head" in told(monkeypatch, capsys, "audit", "check", config, "--head", "3")[1]
    db = apsw.Connection(str(database))
    db.execute("DROP TRIGGER audit_stays; UPDATE audit SET what = 'Boris: admin' WHERE number = 2")
    db.close()
    assert told(monkeypatch, capsys, "audit", "check", config) == (
        1, "accounts: broken: entry 2 was changed: its hash is of another content\n"
        f"line: nothing yet, there is no {tmp_path / 'state' / 'results.db'}\n",
    )  # fmt: skip


def test_a_box_without_accounts_has_no_audit_to_check(
    config: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, said = told(monkeypatch, capsys, "audit", "check", config)
    assert status == 1 and "cannot be opened" in said


def test_the_certificate_is_made_and_its_request_named(
    config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, said = told(monkeypatch, capsys, "certificate", config, "--name", "box7.plant")
    assert status == 0 and str(tmp_path / "state-web" / "web.csr") in said and re.search("SHA-256 +[0-9A-F:]{95}", said)
    again = told(monkeypatch, capsys, "certificate", config)[1]
    assert again == said and told(monkeypatch, capsys, "certificate", config, "--renew")[1] != said


def test_the_last_admin_who_forgot_gets_a_code_from_who_has_the_box(
    config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    database = tmp_path / "state-web" / "office.db"
    asyncio.run(lived_in(database))
    capsys.readouterr()
    assert "there are Anna, Boris" in told(monkeypatch, capsys, "code", config, "Nobody")[1]
    status, said = told(monkeypatch, capsys, "code", config, "anna")
    found = re.search(r"[A-Z2-9]{4}(?:-[A-Z2-9]{4}){3}", said)
    assert status == 0 and found is not None

    async def back() -> None:
        office = Office(database)
        try:
            assert await office.first_code() is None, "nobody else may make themselves the first admin meanwhile"
            with pytest.raises(SystemExit):
                main()  # the page runs: it is the only writer
            token = await office.choose_password("Anna", found[0], PASSWORD, "here")
            assert await office.visitor(token) is not None
        finally:
            office.close()

    asyncio.run(back())
    assert "another process writes it" in capsys.readouterr().err


def test_names_that_the_certificate_there_has_not_are_no_success(
    config: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told(monkeypatch, capsys, "certificate", config)[0] == 0  # as the page's first start makes it
    named = ("--name", "box7.plant", "--name", "192.168.20.7")
    status, said = told(monkeypatch, capsys, "certificate", config, *named)
    assert status == 1 and "not made out to box7.plant, 192.168.20.7: --renew makes another" in said
    assert told(monkeypatch, capsys, "certificate", config, "--renew", *named)[0] == 0
    assert told(monkeypatch, capsys, "certificate", config, *named)[0] == 0

"""The numbers on the screens are those that SQL gives on the file which the page itself exports."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from inspector.demo.parts import Kind
from inspector.office.person import Role
from tests.support.office import make_hashes_cheap
from tests.support.page import site_in
from tests.support.reviewing import COLLECT, NEAR, REJECT, SAMPLE, TEST, Part, write_parts
from tests.support.visitors import HTML, Browser, people_of
from tests.unit.inspector.web.test_web_export import read_csv

PARTS = [
    *(Part(kind, REJECT, lot=f"L{n % 3}", serial=f"S{n}") for n, kind in enumerate((Kind.SCRATCH, Kind.DENT) * 4)),
    *(Part(Kind.STAIN, REJECT, lot="L1") for _ in range(3)),
    *(Part(Kind.EMPTY, lot="L2") for _ in range(2)),
    *(Part(Kind.GOOD, SAMPLE, lot="L0", serial=f"P{n}") for n in range(3)),
    *(Part(Kind.GOOD, NEAR, lot="L1") for _ in range(2)),
    *(Part(Kind.GOOD, lot="L2") for _ in range(5)),
    *(Part(Kind.DENT, TEST, test_part=True) for _ in range(2)),
    *(
        Part(kind, COLLECT, lot=f"L{n % 2}")
        for n, kind in enumerate((Kind.SCRATCH, Kind.DENT, Kind.SCRATCH, Kind.DENT) * 2)
    ),
]
COLLECTED = range(len(PARTS) - 7, len(PARTS) + 1)  # their numbers
DEFECTS = {Kind.SCRATCH: "scratch", Kind.DENT: "dent"}


class Export:
    """The page's CSV of all rows as a table `t`; an empty cell is NULL."""

    def __init__(self, body: bytes) -> None:
        rows = read_csv(body)
        self._db = sqlite3.connect(":memory:")
        self._db.execute(f"CREATE TABLE t ({', '.join(f'{name} NUMERIC' for name in rows[0])})")
        places = ", ".join("?" * len(rows[0]))
        self._db.executemany(f"INSERT INTO t VALUES ({places})", [[v or None for v in row.values()] for row in rows])

    def count(self, where: str) -> int:
        (found,) = self._db.execute(f"SELECT count(*) FROM t WHERE {where}").fetchone()
        return int(found)

    def each(self, sql: str) -> list[tuple[object, ...]]:
        return list(self._db.execute(sql))

    def close(self) -> None:
        self._db.close()


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    make_hashes_cheap(monkeypatch)


async def exported(browser: Browser) -> Export:
    answer = await browser.get("/history.csv")
    assert answer.status_code == 200
    return Export(answer.content)


def listed(answer: httpx.Response) -> int:
    """Rows of the history's table."""
    return len(re.findall(r'<td class="num" data-is="Record"><a href="/part/', answer.text))


async def test_history_review_timing_and_collect_show_the_numbers_of_the_exported_rows(
    tmp_path: Path, cheap: None
) -> None:
    await write_parts(tmp_path, PARTS)
    site = site_in(tmp_path)
    try:
        async with people_of(site, [[Role.ADMIN]]) as (browser,):
            browser.headers["x-csrf-token"] = await browser.token()
            with closing(await exported(browser)) as rows:
                for code, count in rows.each("SELECT published_code, count(*) FROM t GROUP BY published_code"):
                    assert listed(await browser.get(f"/history?verdict={code}", headers=HTML)) == count
                for label, count in rows.each("SELECT label, count(*) FROM t WHERE label IS NOT NULL GROUP BY label"):
                    assert listed(await browser.get(f"/history?label={label}", headers=HTML)) == count
                assert listed(await browser.get("/history?picture=1", headers=HTML)) == rows.count("image IS NOT NULL")

                review = (await browser.get("/review?days=1", headers=HTML)).text
                rejected, passed = (rows.count(f"published_code {sign} 1 AND NOT test_part") for sign in ("!=", "="))
                assert f"{rejected} rejected, {passed} passed" in review and rejected == 21 and passed == 10
                for queue, kind in (("reject", "reject"), ("near", "near"), ("sample", "pass"), ("collect", "collect")):
                    waiting = (await browser.get(f"/review/queue?queue={queue}&days=1")).json()
                    assert waiting["total"] == rows.count(f"image LIKE '{kind}/%' AND NOT test_part")

                timing = (await browser.get("/timing", headers=HTML)).text
                whole = re.search(r'<tr class="whole">.*?</tr>', timing, re.S)
                cycles = rows.count("kind = 'accepted' AND elapsed_ms IS NOT NULL")
                assert whole is not None and f'<td class="num">{cycles}</td>' in whole[0]

                for no in COLLECTED:
                    said = {"no": no, "label": DEFECTS[PARTS[no - 1].kind], "ticket": str(no)}
                    assert (await browser.post("/review/label", json=said)).status_code == 200
                collected = (await browser.get("/collect/progress")).json()["lots"]
                by_lot = "SELECT lot, label, count(*) FROM t WHERE image LIKE 'collect/%' GROUP BY lot, label"
                assert sorted(map(tuple, collected)) == sorted(rows.each(by_lot))
    finally:
        site.close()

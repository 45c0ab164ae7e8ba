"""A box of two stations in a real browser: each screen follows its own, and sees at once what the other one shows."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest

from inspector.demo.parts import Kind, kind_of
from inspector.demo.processes import daemon, last_words
from plc.sim import SimPlc
from tests.support import boxes
from tests.support.browser import Open
from tests.support.fake_daemon import FakeDaemon
from tests.support.looking import AXE, SERIOUS
from tests.support.office import PASSWORD, make_hashes_cheap
from tests.support.page import page_process, site_in, until
from tests.support.record import write_record
from tests.support.reviewing import REJECT, Part, write_parts
from tests.support.shown import LONG_MS

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]
PHONE = (390, 844)
OVER_THE_EDGE = """() => {
    const of = (id) => document.querySelector(id).getBoundingClientRect(), verdict = of('#verdict');
    const texts = ['#verdict-word', '#verdict-text', '#verdict-hint', '#verdict-facts'];
    const inside = texts.filter((id) => of(id).bottom > verdict.bottom);
    const below = ['.counts', '.states', '#alarms-card', '.who'].filter((id) => of(id).bottom > innerHeight);
    const lines = of('.who').top > of('nav').bottom - 1 ? ['two lines of links'] : [];
    return [...inside, ...below, ...lines];
}"""
WORDS = """() => {
    const word = document.querySelector('#verdict-word');
    window.words = new Set([word.textContent]);
    const seen = new MutationObserver(() => window.words.add(word.textContent));
    seen.observe(word, {childList: true, characterData: true, subtree: true});
}"""
BOTH = """() => {
    const of = (id) => document.querySelector(id), word = of('#verdict-word');
    window.both = [];
    new MutationObserver(() => both.push([word.textContent, of('#stations [aria-current] .word').textContent]))
        .observe(word, {childList: true, characterData: true, subtree: true});
}"""
STAIN = next(p for p in range(1, 2000) if kind_of(p) is Kind.STAIN)


async def scanned(plcs: Sequence[SimPlc], wanted: Coroutine[Any, Any, Any]) -> Any:
    """What `wanted` gives, while these PLCs go on."""
    task = asyncio.ensure_future(wanted)
    while not task.done():
        await asyncio.gather(*(plc.idle_for(0.02) for plc in plcs))
    return await task


async def shows(page: Any, word: str, tabs: Sequence[str] = ()) -> None:
    """Wait for the big word, and for the words of the stations."""
    ask = """([word, tabs]) => document.querySelector('#verdict-word').textContent === word
        && [...document.querySelectorAll('#stations .word')].map(w => w.textContent).join() === tabs.join()"""
    await page.wait_for_function(ask, arg=[word, list(tabs)], timeout=LONG_MS, polling=20)


async def test_a_fail_at_one_station_never_changes_the_word_of_the_other_which_sees_it_and_both_go_stale(
    tmp_path: Path, open_page: Open, shots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inspector.web.feed.SILENT_S", 600.0)  # after it a daemon that is silent is OFFLINE
    config, state = tmp_path / "box.toml", tmp_path / "state"
    site = site_in(tmp_path / "run", results_db=state / "results.db", archive=state / "pictures", office=tmp_path)
    async with boxes.two_plcs() as (one, two):
        boxes.write_box(tmp_path, one.port, [boxes.station(1), boxes.station(2)])
        async with daemon(config) as process, page_process(site) as origin:
            both = [one, two]
            assert await boxes.until(both, lambda: boxes.ready(one) and boxes.ready(two)), last_words(
                tmp_path / "daemon.log"
            )
            await asyncio.gather(boxes.play(one, boxes.GOOD[:2]), boxes.play(two, boxes.GOOD[:2]))
            left = await scanned(both, open_page(origin, "/?station=st1"))
            right = await scanned(both, open_page(origin, "/?station=st2"))
            for seen in (left, right):
                await scanned(both, shows(seen.page, "PASS", ["PASS", "PASS"]))
            await scanned(both, left.page.evaluate(WORDS))

            (bad,) = await scanned([one], boxes.play(two, [STAIN]))
            assert bad.verdict == "reject", bad
            await scanned(both, shows(right.page, "FAIL", ["PASS", "FAIL"]))
            await scanned(both, shows(left.page, "PASS", ["PASS", "FAIL"]))
            (good,) = await scanned([two], boxes.play(one, [boxes.GOOD[2]]))
            assert good.verdict == "good", good
            await scanned(both, shows(right.page, "FAIL", ["PASS", "FAIL"]))
            await scanned(
                both, left.page.wait_for_function("() => document.querySelectorAll('#strip li').length === 3")
            )
            words = await scanned(both, left.page.evaluate("[...window.words]"))
            assert not {"FAIL", "FAULT"} & set(words), "nothing of station 2 was ever said here"
            numbers = "[...document.querySelectorAll('#strip li')].map(li => Number(li.dataset.no))"
            strips = [await scanned(both, seen.page.evaluate(numbers)) for seen in (left, right)]
            assert sorted(strips[0] + strips[1]) == list(range(1, 7)) and not set(strips[0]) & set(strips[1])
            pinned = [await scanned(both, seen.page.get_attribute("#pinned", "data-no")) for seen in (left, right)]
            assert pinned == [None, str(strips[1][0])]
            assert await scanned(both, right.page.text_content("#count-total")) == "3"
            await scanned(both, right.page.screenshot(path=shots / "station-2-fail.png"))
            await scanned(both, left.page.screenshot(path=shots / "station-1-beside-a-fail.png"))

            process.send_signal(signal.SIGSTOP)
            try:
                for seen in (left, right):
                    await shows(seen.page, "STALE", ["STALE", "STALE"])
            finally:
                process.send_signal(signal.SIGCONT)
            for seen in (left, right):
                assert seen.errors == [] and seen.foreign == []
                await seen.page.close()


async def test_the_tab_of_a_screens_own_station_changes_with_its_big_word_and_not_after_it(
    tmp_path: Path, open_page: Open
) -> None:
    fake, site = FakeDaemon(tmp_path), site_in(tmp_path)
    fake.changes, fake.others = {"station": "left"}, {"right": {}}
    fake.part(Kind.GOOD, station="right")
    await fake.start()
    async with page_process(site) as origin:
        await until(lambda: site.feed.up)
        seen = await open_page(origin, "/?station=right")
        await shows(seen.page, "PASS", ["READY", "PASS"])
        await seen.page.evaluate(BOTH)
        for kind, word in ((Kind.SCRATCH, "FAIL"), (Kind.EMPTY, "FAULT"), (Kind.GOOD, "PASS")):
            fake.part(kind, station="right")
            await seen.page.wait_for_function("(w) => both.at(-1)?.[0] === w", arg=word)
        assert await seen.page.evaluate("both") == [[word, word] for word in ("FAIL", "FAULT", "PASS")]
        assert seen.errors == []
        await seen.page.close()
    await fake.stop()


async def test_tabs_fit_every_screen_say_what_the_others_show_and_lead_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_page: Open, shots: Path
) -> None:
    make_hashes_cheap(monkeypatch)
    await write_record(tmp_path, [])
    fake, site = FakeDaemon(tmp_path), site_in(tmp_path)
    names = ["Infeed-left", "Infeed-right", *(f"Cell-{n}" for n in range(3, 8)), "a-station-whose-name-has-thirty2"]
    fake.changes = {"station": names[0], "offline_reason": 0}
    tally = {**fake.tally("reset", "1"), "plc_parts": 41}
    other = {**tally, "counts": {**tally["counts"], "triggers": 41}}
    fake.others = {name: {"tallies": [other]} for name in names[1:]} | {
        names[3]: {"ready": False, "offline_reason": 4}, names[5]: {"mode": "monitor"},
    }  # fmt: skip
    await fake.start()
    token = await site.office.begin_first(await site.office.first_code() or "", "Anna", PASSWORD, "setup")
    async with page_process(site) as origin:
        await until(lambda: site.feed.up)
        for name, kind in zip(names[:3], (Kind.GOOD, Kind.SCRATCH, Kind.EMPTY), strict=True):
            fake.part(kind, station=name)
        fake.part(Kind.GOOD, station=names[5], code=4, reason=114)
        measured = "zone bottom_right: sharpness 12345.6 is outside 1000.0 to 10000.0"
        fake.part(Kind.EMPTY, station=names[2], reason=102, measured=measured)  # as half a part is told
        tabs = ["PASS", "FAIL", "FAULT", "NOT READY", "READY", "MONITOR", "READY", "READY"]
        seen = await open_page(origin)
        await seen.page.context.add_cookies([{"name": "inspector-local", "value": token, "url": origin}])
        await seen.page.reload()
        await seen.page.wait_for_url(f"{origin}/?station={names[0]}")  # the address says which
        await shows(seen.page, "PASS", tabs)
        assert await seen.page.evaluate(OVER_THE_EDGE) == [], "a panel shows all, also to who is logged in"
        assert await seen.page.evaluate("document.documentElement.scrollHeight <= innerHeight")
        await seen.page.evaluate(AXE)
        for scheme in ("light", "dark"):
            await seen.page.emulate_media(color_scheme=scheme)
            assert await seen.page.evaluate(SERIOUS, None) == []
            await seen.page.screenshot(path=shots / f"line-eight-stations-{scheme}.png")
        await seen.page.click(f"#stations [data-station={names[1]}]")
        await seen.page.wait_for_url(f"{origin}/?station={names[1]}")
        await shows(seen.page, "FAIL", tabs)
        assert await seen.page.text_content("#station") == names[1]
        await seen.page.check("input[value=reset]")
        await seen.page.wait_for_function("() => document.querySelector('#count-total').textContent === '41'")
        await seen.page.click("#reset")
        await seen.page.click("#reset-form .main")
        await seen.page.wait_for_selector("#reset-dialog", state="hidden")
        assert fake.resets == [("Anna", {"station": names[1], "why": ""})], "a reset is of the station of the screen"
        await seen.page.click("nav[aria-label=Pages] a[href='/history']")
        await seen.page.wait_for_url("**/history")
        await seen.page.click("nav[aria-label=Pages] a[href='/']")
        await seen.page.wait_for_url(f"{origin}/?station={names[1]}")  # from another page to the station of before
        await seen.page.goto(f"{origin}/language/zh?to=/?station={names[1]}")
        await seen.page.wait_for_selector("#stations [data-sign=notready] .word:text('未就绪')")
        await seen.page.screenshot(path=shots / "line-eight-stations-zh.png")
        for language, told in (("zh", "实测右下：清晰度 12345.6"), ("en", "bottom right: sharpness 12345.6")):
            await seen.page.goto(f"{origin}/language/{language}?to=/?station={names[2]}")
            await seen.page.wait_for_selector(f"#verdict-hint:has-text('{told}')")
            assert await seen.page.evaluate(OVER_THE_EDGE) == [], "what was measured fits beside the word"
            await seen.page.screenshot(path=shots / f"line-picture-unfit-{language}.png")
        phone = await open_page(origin, f"/?station={names[1]}", size=PHONE)
        await shows(phone.page, "FAIL", tabs)
        assert await phone.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        await phone.page.screenshot(path=shots / "line-eight-stations-phone.png")
        for one in (seen, phone):
            assert one.errors == [] and one.foreign == []
        await seen.page.close()
        await fake.stop()
        alone = FakeDaemon(tmp_path)
        await alone.start()
        await phone.page.wait_for_selector(f"text=This box has no station “{names[1]}”", timeout=LONG_MS)
        await phone.page.screenshot(path=shots / "no-station-phone.png")
        await phone.page.click("text='Line 1'")
        await shows(phone.page, "READY")
        await phone.page.close()
        await alone.stop()


async def test_timing_offers_the_stations_and_review_says_of_which_one_a_picture_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_page: Open, shots: Path
) -> None:
    make_hashes_cheap(monkeypatch)
    for station in ("Infeed-left", "Infeed-right"):
        await write_parts(tmp_path, [Part(Kind.SCRATCH, REJECT, lot="L-2026-47", serial="SN-000001")] * 3, station)
    fake, site = FakeDaemon(tmp_path), site_in(tmp_path)
    fake.changes, fake.others = {"station": "Infeed-left"}, {"Infeed-right": {}}
    await fake.start()
    token = await site.office.begin_first(await site.office.first_code() or "", "Anna", PASSWORD, "setup")
    async with page_process(site) as origin:
        await until(lambda: site.feed.up)
        for name, size in {"panel": (1280, 800), "phone": PHONE}.items():
            seen = await open_page(origin, "/timing", size=size)
            await seen.page.context.add_cookies([{"name": "inspector-local", "value": token, "url": origin}])
            await seen.page.wait_for_selector("#slowest tbody tr:nth-child(6)")
            await seen.page.select_option("select[name=station]", "Infeed-right")
            await seen.page.click(".filters button")
            await seen.page.wait_for_function("() => document.querySelectorAll('#slowest tbody tr').length === 3")
            assert "station=Infeed-right" in seen.page.url
            told = "[...document.querySelectorAll('#slowest tbody td:nth-child(3)')].map((td) => td.textContent)"
            assert await seen.page.evaluate(told) == ["Infeed-right"] * 3
            await fits(seen.page)
            await seen.page.screenshot(path=shots / f"timing-of-a-station-{name}.png")
            await seen.page.goto(f"{origin}/review")
            await seen.page.wait_for_selector("#stage[data-shown='6']")
            assert (await seen.page.inner_text("#facts")).split("\n")[:2] == ["Station", "Infeed-right"]
            await fits(seen.page)
            if name == "panel":
                below = "document.querySelector('.work').getBoundingClientRect().bottom - innerHeight"
                assert await seen.page.evaluate(below) <= 0, "a panel PC shows picture and keys without scrolling"
            await seen.page.screenshot(path=shots / f"review-of-a-station-{name}.png")
            assert seen.errors == [] and seen.foreign == []
            await seen.page.close()
    await fake.stop()


async def fits(page: Any) -> None:
    """No scrolling to the side, and nothing serious for axe in light or dark."""
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await page.evaluate(AXE)
    for scheme in ("dark", "light"):
        await page.emulate_media(color_scheme=scheme)
        assert await page.evaluate(SERIOUS, None) == []

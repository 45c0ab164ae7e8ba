"""Help beside each screen, and a page for each code that the box gives, in the language of who asks."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pytest

from inspector.core.alarm_kinds import KINDS
from inspector.demo.parts import Kind as Drawn
from inspector.office.person import Role
from inspector.web.alarm_views import alarm_view
from inspector.web.help import KIND, SCREENS
from inspector.web.site import Site
from inspector.web.words import speaking, word
from plc.registers import OfflineReason, Reason
from tests.support.record import Entry, write_record
from tests.support.visitors import browser_of, people_of


async def test_each_screen_leads_to_its_own_help(site: Site) -> None:
    async with people_of(site, [list(Role)]) as (person,):
        text = (await person.get("/help")).text
        addresses = set(re.findall(r'<a href="(/[a-z]*)"', text)) - {"/help", "/me"}
        assert len(addresses) >= 10
        for address in addresses:
            leads_to = re.findall(r'class="top-help" href="/help#([a-z]+)"', (await person.get(address)).text)
            assert len(leads_to) == 1 and f'id="{leads_to[0]}"' in text, address
        assert all(f'<section class="card" id="{screen}">' in text for screen in SCREENS)


@pytest.mark.parametrize(("language", "means"), [("en", "What it means"), ("zh", "含义")])
async def test_each_code_has_a_page_of_its_own(site: Site, language: str, means: str) -> None:
    counts = {kind: len(codes()) for kind, (codes, _) in KIND.items()}
    assert counts == {"reason": len(Reason), "offline": len(OfflineReason), "alarm": len(KINDS)}
    async with browser_of(site) as browser:
        await browser.get(f"/language/{language}")
        for kind, (codes, _) in KIND.items():
            with speaking(language):
                names = [name for _, name in codes()]
            assert len(set(names)) == len(names), "two things have two names"
            for code, name in codes():
                shown = await browser.get(f"/help/{kind}/{code}")
                assert shown.status_code == 200 and "{" not in shown.text.split("<main")[1], (kind, code, name)
        assert means in (await browser.get("/help/reason/103")).text


@pytest.mark.parametrize(("language", "do"), [("en", "What to do"), ("zh", "处理方法")])
async def test_the_page_of_each_reason_says_what_it_means_and_what_to_do(site: Site, language: str, do: str) -> None:
    async with browser_of(site) as browser:
        await browser.get(f"/language/{language}")
        actions = set()
        for reason in Reason:
            text = (await browser.get(f"/help/reason/{int(reason)}")).text
            (means, action) = map(unescape, re.findall(r"<dd>(.+?)</dd>", text))
            assert f"<dt>{do}</dt>" in text and means != action and len(action) > 5, reason
            with speaking(language):
                assert action == word(f"reason.{reason.name.lower()}.action"), "that of another reason"
            actions.add(action)
        assert len(actions) == len(Reason), "what to do of one is said of another too"


async def test_an_alarm_and_the_reason_of_a_part_lead_to_the_pages_of_their_codes(site: Site, tmp_path: Path) -> None:
    await write_record(tmp_path, [Entry(101), Entry(102, Drawn.SCRATCH)])
    async with browser_of(site) as browser:
        for kind in KINDS.values():
            shown = alarm_view({"id": kind.place, "key": kind.key, "params": dict.fromkeys(kind.params, "x")})
            assert (await browser.get(shown["help"])).status_code == 200
        assert alarm_view({"id": "martian", "key": "martian"})["help"] == ""
        scratched = (await browser.get("/part/2")).text
        (address,) = re.findall(r'class="result-why"><a href="(/help/reason/[0-9]+)">', scratched)
        assert (await browser.get(address)).status_code == 200
        assert '<p class="result-why"><a' not in (await browser.get("/part/1")).text


@pytest.mark.parametrize("path", ["/help/reason/999", "/help/alarm/nothing", "/help/other/1", "/help/reason/x"])
async def test_a_code_that_there_is_not_has_none(site: Site, path: str) -> None:
    async with browser_of(site) as browser:
        assert (await browser.get(path)).status_code == 404

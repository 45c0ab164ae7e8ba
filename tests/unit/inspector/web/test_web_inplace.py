"""What htmx is given: a piece for the element that asks, and never a page; what it says of itself lets nobody in."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from inspector.office.person import Role
from inspector.web.roles import BY_ITSELF, ROUTES
from inspector.web.site import TEMPLATES, Site
from tests.support.record import line_of, write_record
from tests.support.visitors import HTML, browser_of, people_of

HERE = "http://127.0.0.1:8080"


def asks(target: str, page: str = "/history") -> dict[str, str]:
    """As htmx asks for what goes into an element of `page`."""
    return {"hx-request": "true", "hx-target": target, "hx-current-url": HERE + page}


def is_piece(answer: httpx.Response) -> bool:
    return answer.headers.get("x-piece") == "1" and "<html" not in answer.text


async def test_the_element_that_asks_gets_its_piece_and_everybody_else_the_page(site: Site, tmp_path: Path) -> None:
    await write_record(tmp_path, line_of(3))
    async with browser_of(site) as visitor:
        found = await visitor.get("/history?verdict=1&lot=&before=", headers=asks("found"))
        assert is_piece(found) and found.headers["hx-push-url"] == "/history?verdict=1"
        restored = {"hx-request": "true", "hx-history-restore-request": "true", "hx-current-url": HERE + "/history"}
        for headers in (HTML, restored, asks("other"), asks(""), {"hx-target": "found"}):
            whole = await visitor.get("/history", headers=headers)
            assert whole.text.startswith("<!doctype html>") and "x-piece" not in whole.headers
        wrong = await visitor.get("/history?part_id=1e9", headers=asks("found"))
        assert wrong.status_code == 400 and is_piece(wrong) and "cannot be read" in wrong.text


async def test_who_is_logged_out_gets_a_notice_with_the_way_back_and_never_the_page_to_log_in(site: Site) -> None:
    async with browser_of(site) as visitor:
        for page, way in (
            ("/maintenance?trend=cpu_temp", "/log-in?next=/maintenance%3Ftrend%3Dcpu_temp"),
            ("//evil.example/x", "/log-in?next=//evil.example/x"),  # where it leads after log-in: own_path says no
        ):
            answer = await visitor.get("/maintenance/measures", headers=asks("measures", page))
            assert answer.status_code == 401 and is_piece(answer) and f'href="{way}"' in answer.text
            assert answer.headers["hx-retarget"] == "#notice" and "You are not logged in" in answer.text
        broken = {**asks("measures"), "hx-current-url": "http://[", "accept": "text/html"}
        assert (await visitor.get("/maintenance/measures", headers=broken)).status_code == 401


async def test_who_may_not_and_what_is_not_there_is_told_in_place(site: Site, tmp_path: Path) -> None:
    await write_record(tmp_path, line_of(3))
    async with people_of(site, [{Role.OPERATOR}]) as (operator,):
        for path, status, text in (
            ("/admin", 403, "Your roles do not allow this"), ("/part/999", 404, "no such page"),
            ("/nothing", 404, "no such page"),
        ):  # fmt: skip
            answer = await operator.get(path, headers=asks("people"))
            assert answer.status_code == status and is_piece(answer) and text in answer.text
            assert answer.headers["hx-retarget"] == "#notice" and "Log in" not in answer.text


@pytest.mark.parametrize("more", [{}, asks("people", "/admin")], ids=["form", "htmx"])
@pytest.mark.parametrize(
    "forged", [{"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}, {"x-csrf-token": "0" * 64}, {}],
    ids=["site", "origin", "token", "nothing"],
)  # fmt: skip
async def test_a_forged_write_is_refused_with_and_without_the_headers_of_htmx(
    site: Site, forged: dict[str, str], more: dict[str, str]
) -> None:
    async with people_of(site, [{Role.ADMIN}]) as (admin,):
        foreign = "origin" in forged or "sec-fetch-site" in forged
        token = {"csrf": await admin.token()} if foreign else {}
        answer = await admin.post("/admin/people", data={"name": "eve", **token}, headers={**forged, **more})
        assert answer.status_code == 403 and "eve" not in (await admin.get("/admin", headers=HTML)).text


async def test_a_write_in_place_shows_the_piece_of_the_page_that_it_leads_to(site: Site) -> None:
    async with people_of(site, [{Role.ADMIN}]) as (admin,):
        headers = {**asks("people", "/admin"), "x-csrf-token": await admin.token()}
        added = await admin.post("/admin/people", data={"name": "eve", "roles": "quality"}, headers=headers)
        assert is_piece(added) and 'class="code-text"' in added.text
        led = await admin.post("/admin/people/1/roles", data={"roles": "admin"}, headers=headers, follow_redirects=True)
        assert is_piece(led) and led.request.method == "GET" and 'id="announced"' in led.text
        again = await admin.post("/admin/people", data={"name": "eve"}, headers=headers)
        assert again.status_code == 400 and is_piece(again) and 'role="alert"' in again.text


def test_what_an_open_page_asks_for_by_itself_keeps_no_session_alive() -> None:
    asked = {
        (template.name, path)
        for template in TEMPLATES.glob("*.html")
        for path in {route for method, route in ROUTES if method == "GET"} - BY_ITSELF
        if f'hx-get="{path}" hx-trigger="' in template.read_text("utf-8")
    }
    assert asked == set()
    assert {"/alarms/list", "/maintenance/measures", "/storage/room"} <= BY_ITSELF

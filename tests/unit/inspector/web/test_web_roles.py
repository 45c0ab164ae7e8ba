"""Who may do what: the table is whole, and every request is held to it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.routing import BaseRoute, Mount

from inspector.demo.parts import Kind
from inspector.office.person import Role
from inspector.web import app as page
from inspector.web import roles
from inspector.web.roles import BY_ITSELF, ROUTES, Open, allows, find
from inspector.web.site import Site
from tests.support.office import make_hashes_cheap
from tests.support.page import site_in
from tests.support.record import Entry, write_record
from tests.support.visitors import HTML, browser_of, people_of

VALUES = {"kind": "alarm", "code": "camera", "no": "999", "name": "0000000001.jpg", "path": "line.js"}
PART = {
    "no": 1, "sign": "fail", "word": "FAIL", "text": "", "part_id": "1", "time": "", "preview": None, "image": True,
    "urgent": False,
}  # fmt: skip
WHO: list[frozenset[Role]] = [frozenset(), *(frozenset({role}) for role in Role)]


def routes_of(application: FastAPI) -> Iterator[tuple[str, str]]:
    """(method, template) of everything that the application answers to."""

    def walk(found: list[BaseRoute]) -> Iterator[tuple[str, str]]:
        for route in found:
            if (router := getattr(route, "original_router", None)) is not None:
                yield from walk(router.routes)
            elif isinstance(route, Mount):
                yield "GET", route.path + "/{path:path}"
            else:
                yield from ((method, route.path) for method in sorted(route.methods - {"HEAD"}))  # type: ignore[attr-defined]

    yield from walk(application.router.routes)


def path_of(template: str) -> str:
    return re.sub(r"\{(\w+)(?::\w+)?\}", lambda m: VALUES[m[1]], template)


def application_of(site: Site) -> FastAPI:
    """What stands inside all the layers."""
    inner: Any = page.create_app(site)
    while not isinstance(inner, FastAPI):
        inner = inner._app
    return inner


def test_every_route_of_the_application_is_in_the_table_and_the_table_holds_no_other(site: Site) -> None:
    routes = list(routes_of(application_of(site)))
    assert len(routes) > 20
    assert {("POST" if m not in ("GET", "POST") else m, p) for m, p in routes} == set(ROUTES)


def test_a_path_is_held_to_the_rule_of_the_very_route_that_answers_it(site: Site) -> None:
    answering: dict[str, str] = {}
    for _, template in routes_of(application_of(site)):
        pattern = re.sub(r"\\\{\w+:path\\\}", ".*", re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template)))
        for _, other in ROUTES:
            if re.fullmatch(pattern, path_of(other)):
                answering.setdefault(other, template)  # the application takes the first that fits
    for _, template in ROUTES:
        place = find(path_of(template))
        assert place is not None and place.template == template == answering[template]


async def test_a_route_that_is_not_in_the_table_is_not_served(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    from inspector.web.pages import router

    before = list(router.routes)
    router.add_api_route("/forgotten", lambda: "secret", methods=["GET", "POST"])
    try:
        async with browser_of(site) as browser:
            answer = await browser.get("/forgotten")
            assert answer.status_code == 404 and "secret" not in answer.text
            assert (await browser.post("/forgotten")).status_code == 405
    finally:
        router.routes[:] = before


def test_no_write_is_open_but_coming_in() -> None:
    for (method, template), rule in ROUTES.items():
        if method != "GET":
            assert rule not in (Open.ASSET, Open.LOOK), template
            if rule is Open.DOOR:
                assert template in ("/log-in", "/first-start", "/new-password")


def test_a_rule_lets_in_who_has_one_of_its_roles_and_nobody_else() -> None:
    rule = frozenset({Role.QUALITY, Role.ML})
    people = [roles.Person(1, "p", held, "en") for held in WHO]
    assert [allows(rule, p, anyone_looks=True) for p in people] == [bool(rule & held) for held in WHO]
    assert not allows(rule, None, anyone_looks=True)
    assert not allows(Open.KNOWN, None, anyone_looks=True) and allows(Open.KNOWN, people[0], anyone_looks=False)
    assert allows(Open.LOOK, None, anyone_looks=True) and not allows(Open.LOOK, None, anyone_looks=False)


@pytest.mark.parametrize("view", ["anyone", "logged_in"])
async def test_every_route_as_every_role(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, view: str) -> None:
    make_hashes_cheap(monkeypatch)
    site, wrong = site_in(tmp_path, view=view), []
    async with people_of(site, WHO) as browsers, browser_of(site) as stranger:
        people = [None, *[await site.office.visitor(b.cookies["inspector-local"]) for b in browsers]]
        for (method, template), rule in ROUTES.items():
            if template in ("/events", "/log-out"):  # one does not end, the other ends the session; both have own tests
                continue
            for person, browser in zip(people, [stranger, *browsers], strict=True):
                answer = await browser.request(method, path_of(template), headers=HTML)  # a write has no token
                let_in = allows(rule, person, anyone_looks=view == "anyone")
                if not let_in:
                    expected = answer.status_code in ((303, 401) if person is None else (403,))
                elif method == "GET":
                    sent_away = answer.headers.get("location", "").startswith("/log-in?")
                    expected = answer.status_code not in (401, 403) and not sent_away
                else:
                    expected = answer.status_code == 403 and "not of this log-in" in answer.text
                if not expected:
                    wrong.append((method, template, person and sorted(person.roles), answer.status_code))
    site.close()
    assert wrong == []


async def test_the_stream_and_the_pictures_follow_the_same_rule(tmp_path: Path) -> None:
    site = site_in(tmp_path, view="logged_in")
    async with browser_of(site) as stranger:
        for path in ("/events", "/preview/0000000001.jpg", "/picture/1"):
            assert (await stranger.get(path)).status_code == 401
        answer = await stranger.get("/history?label=dent", headers=HTML)
        assert (answer.status_code, answer.headers["location"]) == (303, "/log-in?next=/history%3Flabel%3Ddent")
        assert (await stranger.get("/healthz")).status_code == 200
    site.close()


async def test_where_pictures_are_for_who_is_logged_in_a_stranger_sees_the_line_and_none_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_hashes_cheap(monkeypatch)
    await write_record(tmp_path, [Entry(1, Kind.SCRATCH, heat=True), Entry(2, Kind.DENT)])
    site = site_in(tmp_path, pictures="logged_in")
    site.feed.strip().set_last_fail(lambda: {**PART, "no": 2})
    pictures = ("/picture/1", "/heat/1", "/thumb/1", "/preview/0000000001.jpg")
    try:
        async with people_of(site, [[]]) as (known,), browser_of(site) as stranger:
            assert (await known.get("/thumb/2")).status_code == 200, "in memory from here on"
            for path in pictures:
                assert (await stranger.get(path)).status_code == 401, path
                assert (await known.get(path)).status_code in (200, 404), path
            for path, shows in (("/", "data:image/jpeg"), ("/part/1", 'src="/picture/1"')):
                for browser in (stranger, known):
                    shown = await browser.get(path, headers=HTML)
                    assert shown.status_code == 200 and (shows in shown.text) is (browser is known), path
            assert "Log in to see pictures" in (await stranger.get("/part/1")).text
            assert "<img" not in (await stranger.get("/part/1")).text
    finally:
        site.close()


async def test_a_handler_has_the_person_from_one_place(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    from inspector.web.access import person_of

    seen: list[object] = []
    real = page.pages.site_of

    def watched(request: object) -> Site:
        seen.append(person_of(request))  # type: ignore[arg-type]
        return real(request)  # type: ignore[arg-type]

    monkeypatch.setattr(page.pages, "site_of", watched)
    async with people_of(site, [[Role.ML]]) as (browser,), browser_of(site) as stranger:
        await browser.get("/")
        await stranger.get("/")
    assert seen[-2].name == "p0" and seen[-1] is None  # type: ignore[union-attr]


async def test_what_an_open_screen_asks_by_itself_keeps_no_log_in_from_ending(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "/events" in BY_ITSELF and not {"/", "/history", "/me"} & BY_ITSELF
    touched: dict[str, bool] = {}
    async with people_of(site, [Role]) as (browser,):
        visitor = site.office.visitor

        async def noted(token: str, *, touch: bool = True) -> roles.Person | None:
            touched[asked] = touch
            return await visitor(token, touch=touch)

        monkeypatch.setattr(site.office, "visitor", noted)
        for method, template in ROUTES:
            if method == "GET" and ROUTES[method, template] is not Open.ASSET and template != "/events":
                asked = template
                await browser.get(path_of(template), headers=HTML)
    alone = {template for template, touch in touched.items() if not touch}
    assert alone == BY_ITSELF - {"/events"}
    asked_by_scripts = {"/preview/{name}", "/thumb/{no}", "/alarms/record", "/controls/state", "/review/queue"}
    assert asked_by_scripts | {"/collect/look", "/collect/look/{name}", "/collect/progress"} <= alone


async def test_a_parts_page_names_who_was_logged_in_when_it_came_to_people_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_hashes_cheap(monkeypatch)
    await write_record(tmp_path, [Entry(1)], pictures=False)
    site = site_in(tmp_path)
    try:
        async with people_of(site, [[Role.OPERATOR]]) as (known,), browser_of(site) as stranger:
            await write_record(tmp_path, [Entry(2)], pictures=False)
            before, after = [(await known.get(f"/part/{no}", headers=HTML)).text for no in (1, 2)]
            assert "<dt>Logged in then</dt><dd>nobody</dd>" in before
            assert re.search(r"<dt>Logged in then</dt><dd>Anna, since [\d: -]+; p0, since [\d: -]+</dd>", after)
            assert "Logged in then" not in (await stranger.get("/part/2", headers=HTML)).text
    finally:
        site.close()


@pytest.mark.parametrize("no", ["9223372036854775808", "9" * 30, "-1"])
async def test_a_number_that_no_database_takes_is_of_nothing_that_there_is(tmp_path: Path, no: str) -> None:
    await write_record(tmp_path, [Entry(101)])
    site = site_in(tmp_path)
    async with people_of(site, [[Role.ADMIN]]) as (admin,):
        for page in ("part", "picture", "heat", "thumb"):
            assert (await admin.get(f"/{page}/{no}")).status_code == 404, page
        for what in ("roles", "disabled", "code"):
            assert (await admin.submit(f"/admin/people/{no}/{what}", {})).status_code == 404, what
    site.close()

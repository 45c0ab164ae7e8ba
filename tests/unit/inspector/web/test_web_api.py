"""The whole API, asked at random by schemathesis as every role: it never fails, and lets nobody do what they may not.

The schema is made from the application itself, so that a new route is asked too: its path from FastAPI, the names of
its query and form fields from what the page's handlers and templates read.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import apsw
import pytest
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from hypothesis import HealthCheck, Phase, given, settings

from inspector.office.person import Person, Role
from inspector.office.sessions import csrf_of
from inspector.web import app as page
from inspector.web.access import CSRF_HEADER
from inspector.web.filters import FIELDS
from inspector.web.roles import ROUTES, Open, Rule, allows, find, rule_of
from inspector.web.site import Site
from tests.support.disks import quick_folder
from tests.support.fake_daemon import FakeDaemon
from tests.support.office import PASSWORD, make_hashes_cheap
from tests.support.page import site_in, until
from tests.support.patience import be_patient
from tests.support.screens import WITHOUT_END, furnish
from tests.support.visitors import HTML, Browser, browser_of

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed (extra `dev`)")

WHO: list[Role | None] = [None, *Role]
EXAMPLES_EACH = 3
NO_FIELDS = frozenset({"accept", "host", "origin", "csrf"})
LIKELY = {"no": ["1", "3", "2", "999999"], "name": ["en", "zh", "0000000001.jpg", "Anna", "p-admin"]}
VALUES = [
    "",
    "1",
    "-1",
    "yes",
    "good",
    "dent",
    "2026-11-24T06:00",
    "18446744073709551616",
    "1e999",
    "NaN",
    "../x",
    "\0",
    "零",
]


def fields_of(source: str) -> list[str]:
    """Names that the handlers of a module read from a query, a form or a JSON body."""
    read = re.findall(r"(?:\.get\(|\.getlist\(|\bsent\[|query_params, )\"([a-z_]+)\"", source)
    named = set(read) - NO_FIELDS
    return sorted(named | set(FIELDS if "form_of(request.query_params)" in source else ()))


def sources_of(application: FastAPI) -> dict[str, str]:
    """Template -> the module that answers to it."""
    found: dict[str, str] = {}

    def walk(routes: Sequence[Any]) -> None:
        for route in routes:
            if (router := getattr(route, "original_router", None)) is not None:
                walk(router.routes)
            elif (endpoint := getattr(route, "endpoint", None)) is not None:
                found[route.path] = Path(inspect.getfile(endpoint)).read_text("utf-8")

    walk(application.router.routes)
    return found


def schema_of(site: Site) -> dict[str, Any]:
    """OpenAPI of the application, with what its handlers read from query and body."""
    inner: Any = page.create_app(site)
    while not isinstance(inner, FastAPI):
        inner = inner._app
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # GET and HEAD of one function share an id
        made = get_openapi(title="page", version="1", routes=inner.routes)
    text = {"anyOf": [{"enum": VALUES}, {"type": "string", "maxLength": 40}]}
    anything = {"anyOf": [text, {"type": "integer"}, {"type": "array", "items": text, "maxItems": 4}, {"type": "null"}]}
    sources = sources_of(inner)
    for template, methods in made["paths"].items():
        names = fields_of(sources[template])
        methods.pop("head", None)
        for method, operation in methods.items():
            for parameter in operation.get("parameters", []):
                parameter["schema"] = {"anyOf": [{"enum": LIKELY.get(parameter["name"], ["1"])}, text]}
            operation.setdefault("parameters", []).extend({"name": n, "in": "query", "schema": text} for n in names)
            if method == "post":
                form = {"type": "object", "properties": dict.fromkeys(names, text), "maxProperties": 8}
                sent = {"type": "object", "properties": dict.fromkeys(names, anything), "maxProperties": 8}
                operation["requestBody"] = {"content": {
                    "application/x-www-form-urlencoded": {"schema": form}, "application/json": {"schema": sent},
                }}  # fmt: skip
            operation["operationId"] = f"{method} {template}"
    return made


class Box:
    """The page with a line that has run, and a browser of each role; all on one loop."""

    def __init__(self, run: Path) -> None:
        self.run, self.site = run, site_in(run)
        self.browsers: dict[Role | None, Browser] = {}
        self._made = 0

    async def begin(self) -> FakeDaemon:
        daemon = await furnish(self.run)
        await daemon.start()
        office = self.site.office
        await office.begin_first(await office.first_code() or "", "Anna", PASSWORD, "setup")
        self.browsers = {who: browser_of(self.site) for who in WHO}
        feed = asyncio.create_task(self.site.feed.run())
        await until(lambda: self.site.feed.ready)
        feed.cancel()  # what the daemon said is known; between two tests the loop stands still: it would seem silent
        await asyncio.wait([feed])
        return daemon

    async def answered(self) -> None:
        """The daemon's end of whatever the page has asked it is closed."""
        await until(lambda: not any("ControlServer._accept" in repr(each.get_coro()) for each in asyncio.all_tasks()))
        for _ in range(3):  # turns in which the closed connections go
            await asyncio.sleep(0)

    async def end(self, daemon: FakeDaemon) -> None:
        for browser in self.browsers.values():
            await browser.aclose()
        await daemon.stop()
        self.site.close()

    async def person(self, role: Role | None) -> Person | None:
        """Who holds this role, logged in: anew where somebody ended their session."""
        if role is None:
            return None
        browser, office = self.browsers[role], self.site.office
        found = await office.visitor(browser.cookies.get("inspector-local", ""))
        if found is not None and found.roles == {role}:
            return found
        self._made += 1
        name = f"p-{role}-{self._made}"
        _, code = await office.add("Anna", name, [role])
        token = await office.choose_password(name, code, PASSWORD, name)
        browser.cookies.clear()
        browser.cookies.set("inspector-local", token)
        return await office.visitor(token)

    def written(self) -> str:
        """Changes with all that the page and the line keep, but for when a session was last used."""
        digest = hashlib.sha256()
        for name in ("office.db", "results.db"):
            db = apsw.Connection(str(self.run / name), flags=apsw.SQLITE_OPEN_READONLY)
            tables = [t for (t,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]
            for table in tables:
                if table not in ("sessions", "sqlite_sequence"):
                    digest.update(repr(list(db.execute(f"SELECT * FROM {table}"))).encode())
            db.close()
        return digest.hexdigest()


@pytest.fixture(scope="module")
def box() -> Iterator[tuple[asyncio.Runner, Box]]:
    with pytest.MonkeyPatch.context() as patch, asyncio.Runner() as runner, quick_folder() as run:
        make_hashes_cheap(patch)
        be_patient(patch.setattr)
        made = Box(run)
        daemon = runner.run(made.begin())
        yield runner, made
        runner.run(made.end(daemon))


def sent(case: Any) -> dict[str, Any]:
    """What schemathesis thought of, as httpx takes it."""
    asked: dict[str, Any] = {"params": {k: v for k, v in (case.query or {}).items() if v is not None}}
    if isinstance(case.body, dict):
        form = case.media_type == "application/x-www-form-urlencoded"
        asked["data" if form else "json"] = case.body
    return asked


async def ask(box: Box, case: Any, role: Role | None) -> tuple[int, str, str]:
    """(status, where it sends us, the path as it came) of one request, with the token that our own pages would send."""
    browser = box.browsers[role]
    if role is None and "inspector-local" not in browser.cookies:
        await browser.get("/log-in", headers=HTML)
    headers = {CSRF_HEADER: csrf_of(browser.cookies.get("inspector-local", "")), **HTML}
    answer = await browser.request(case.method, case.formatted_path, headers=headers, **sent(case))
    return answer.status_code, answer.headers.get("location", ""), answer.request.url.path


def is_right(rule: Rule | None, allowed: bool, role: Role | None, status: int, location: str) -> bool:
    """True if this status is one that the table of routes and roles has for this person."""
    if rule is None:
        return status in (403, 404, 405)
    if not allowed:
        return status == 403 if role is not None else status == 401 or location.startswith("/log-in")
    if status == 403:  # a wrong password
        return rule is Open.DOOR or rule is Open.KNOWN
    return status not in (401, 500) and status < 504 and not location.startswith("/log-in?next=")


async def wrongs(box: Box, case: Any) -> list[str]:
    """Ask as everybody, those first who may not: what they send changes nothing."""
    place = find(box.browsers[None].build_request(case.method, case.formatted_path).url.path)
    rule = rule_of(case.method, place) if place is not None else None
    people = {role: await box.person(role) for role in WHO}
    may = {role: rule is not None and allows(rule, people[role], anyone_looks=True) for role in WHO}
    found, before = list[str](), box.written()
    for role in sorted(WHO, key=lambda role: may[role]):
        if may[role]:
            if before:
                found += [f"{case.method} {case.path} as nobody or another role: written"] * (box.written() != before)
                before = ""
            await box.person(role)
        status, location, path = await ask(box, case, role)
        if not is_right(rule, may[role], role, status, location):
            found.append(f"{case.method} {path} {sent(case)} as {role or 'nobody'}: {status} {location}")
    return found


OPERATIONS = sorted((method, template) for method, template in ROUTES if template not in WITHOUT_END)


@pytest.fixture(scope="module")
def schema(box: tuple[asyncio.Runner, Box]) -> Any:
    return schemathesis.openapi.from_dict(schema_of(box[1].site))


def test_the_schema_has_every_route_of_the_table(schema: Any) -> None:
    known = {(method.upper(), path) for path, methods in schema.raw_schema["paths"].items() for method in methods}
    assert {(m, t) for m, t in OPERATIONS if not t.startswith("/static")} <= known
    paths = schema.raw_schema["paths"]
    body = paths["/review/label"]["post"]["requestBody"]["content"]["application/json"]["schema"]["properties"]
    assert {"label", "no", "ticket"} <= set(body)
    assert {"verdict", "serial", "before"} <= {p["name"] for p in paths["/history"]["get"]["parameters"]}


@pytest.mark.parametrize(("method", "template"), [o for o in OPERATIONS if not o[1].startswith("/static")])
def test_whatever_is_asked_nothing_fails_and_nobody_does_what_they_may_not(
    box: tuple[asyncio.Runner, Box], schema: Any, method: str, template: str
) -> None:
    runner, made = box

    @settings(
        max_examples=EXAMPLES_EACH, deadline=None, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck), phases=[Phase.generate],
    )  # fmt: skip
    @given(case=schema[template][method].as_strategy())
    def at_random(case: Any) -> None:
        assert runner.run(wrongs(made, case)) == []

    try:
        at_random()
    finally:
        runner.run(made.answered())

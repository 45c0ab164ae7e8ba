"""What a person does about accounts, in a browser without scripts; and what a page elsewhere cannot do."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from inspector.core.errors import StoreError
from inspector.office.office import Office, now_utc_ms
from inspector.office.person import Role
from inspector.office.presence import logged_in
from inspector.office.sessions import csrf_of
from inspector.web import body, words
from inspector.web.site import Site
from tests.support.office import PASSWORD, make_hashes_cheap
from tests.support.page import site_in
from tests.support.visitors import HTML, Browser, browser_of, people_of

AFAR = "192.0.2.7"
CODE = re.compile(r"[A-Z2-9]{4}(?:-[A-Z2-9]{4}){3}")


@pytest.fixture
async def admin(site: Site) -> AsyncIterator[Browser]:
    """Anna, logged in at the box."""
    await site.office.begin_first(await site.office.first_code() or "", "Anna", PASSWORD, "setup")
    async with browser_of(site) as browser:
        assert (await browser.log_in("Anna")).status_code == 303
        yield browser


async def test_the_first_start_asks_for_the_code_and_ends_on_the_page_of_people(site: Site) -> None:
    async with browser_of(site) as browser:
        answer = await browser.get("/log-in")
        assert (answer.status_code, answer.headers["location"]) == (303, "/first-start")
        form = {"name": "Anna", "password": PASSWORD, "again": PASSWORD}
        wrong = await browser.submit("/first-start", {**form, "code": "AAAA"}, page="/first-start")
        assert wrong.status_code == 403 and "not the code" in wrong.text and 'value="Anna"' in wrong.text
        code = await site.office.first_code()
        differ = await browser.submit("/first-start", {**form, "code": code, "again": "x"}, page="/first-start")
        assert differ.status_code == 400 and PASSWORD not in differ.text
        done = await browser.submit("/first-start", {**form, "code": code}, page="/first-start")
        assert (done.status_code, done.headers["location"]) == (303, "/admin")
        assert "Anna" in (await browser.get("/admin")).text
        assert (await browser.get("/first-start")).headers["location"] == "/log-in"


async def test_a_person_is_added_chooses_a_password_and_is_who_the_page_says(admin: Browser, site: Site) -> None:
    shown = await admin.submit("/admin/people", {"name": "Boris", "roles": ["quality", "ml"]}, page="/admin")
    code = CODE.search(shown.text)
    assert code is not None and CODE.search((await admin.get("/admin")).text) is None, "shown once"
    async with browser_of(site) as browser:
        form = {"name": "Boris", "code": code[0], "password": PASSWORD, "again": PASSWORD}
        assert (await browser.submit("/new-password", form, page="/new-password")).status_code == 303
        line = await browser.get("/")
        assert ">Boris</a>" in line.text and "/admin" not in line.text
        refused = await browser.get("/admin", headers=HTML)
        assert refused.status_code == 403 and "roles do not allow" in refused.text
        mine = await browser.get("/me")
        assert "Models, Quality" in mine.text


async def test_a_role_change_logs_out_at_once_and_is_on_the_audit_page(admin: Browser, site: Site) -> None:
    async with people_of(site, [[Role.OPERATOR]]) as (operator,):
        assert (await operator.get("/me")).status_code == 200
        await admin.submit("/admin/people/2/roles", {"roles": ["operator", "admin"]}, page="/admin")
        assert (await operator.get("/me", headers=HTML)).headers["location"] == "/log-in?next=/me"
        assert (await operator.log_in("p0")).status_code == 303
        assert (await operator.get("/admin")).status_code == 200
    audit = await admin.get("/admin/audit?check=1")
    assert "changed roles" in audit.text and "p0: Operator -&gt; Administrator, Operator" in audit.text
    assert "The chain is whole" in audit.text


async def test_disabling_and_a_new_code_end_a_session_and_the_last_admin_stays(admin: Browser, site: Site) -> None:
    async with people_of(site, [[], []]) as (one, two):
        await admin.submit("/admin/people/2/disabled", {"disabled": "yes"}, page="/admin")
        shown = await admin.submit("/admin/people/3/code", page="/admin")
        assert CODE.search(shown.text)
        for browser in (one, two):
            assert (await browser.get("/me")).status_code == 401
        wrong = await one.log_in("p0")
        assert wrong.status_code == 403 and "Name or password is wrong" in wrong.text
    for path, fields in (("disabled", {"disabled": "yes"}), ("roles", {}), ("code", {})):
        answer = await admin.submit(f"/admin/people/1/{path}", fields, page="/admin")
        assert answer.status_code == 400 and "must be left" in answer.text
    for fields in ({"name": "anna"}, {"name": "plc"}, {"name": "Eve", "roles": ["root"]}):
        assert (await admin.submit("/admin/people", fields, page="/admin")).status_code == 400


async def test_a_one_time_code_typed_as_a_password_is_told_by_its_form_whoever_there_is(
    admin: Browser, site: Site
) -> None:
    _, code = await site.office.add("Anna", "bo", [])

    async def told(name: str, typed: str) -> str:
        async with browser_of(site, client="127.0.0.2") as browser:
            answer = await browser.submit("/log-in", {"name": name, "password": typed}, page="/log-in")
        assert answer.status_code == 403
        return re.sub(r'name="(csrf|name)" (value|content)="[^"]*"|"x-csrf-token": "[^"]*"', "", answer.text)

    right, of_nobody = await told("bo", code), await told("nobody", "abcd efgh jkmn pqrs")
    assert right == of_nobody and 'id="is-code"' in right and 'href="/new-password"' in right
    assert 'id="is-code"' not in await told("bo", "a plain wrong password")


async def test_an_own_password_and_language(admin: Browser, site: Site) -> None:
    form = {"old": "wrong wrong wrong", "password": "another good password", "again": "another good password"}
    assert (await admin.submit("/me/password", form, page="/me")).status_code == 400
    before = admin.cookies["inspector-local"]
    answer = await admin.submit("/me/password", {**form, "old": PASSWORD}, page="/me")
    assert answer.headers["location"] == "/me?done=password" and admin.cookies["inspector-local"] != before
    assert await site.office.visitor(before) is None
    assert "was changed" in (await admin.get("/me?done=password")).text
    assert (await admin.submit("/me/language", {"language": "xx"}, page="/me")).status_code == 400
    await admin.submit("/me/language", {"language": "zh"}, page="/me")
    assert "我的账户" in (await admin.get("/me")).text
    async with browser_of(site) as elsewhere:
        form = {"name": "Anna", "password": "another good password"}
        await elsewhere.submit("/log-in", form, page="/log-in")
        assert "我的账户" in (await elsewhere.get("/me")).text
    await admin.submit("/me/language", {"language": ""}, page="/me")
    assert "My account" in (await admin.get("/me")).text


async def test_log_out_ends_the_session_and_not_only_the_cookie(admin: Browser, site: Site) -> None:
    token = admin.cookies["inspector-local"]
    answer = await admin.submit("/log-out")
    assert answer.status_code == 303 and "inspector-local" not in admin.cookies
    admin.cookies.set("inspector-local", token)
    assert (await admin.get("/me")).status_code == 401


async def test_who_logs_in_anew_over_an_open_session_is_there_still_and_the_former_session_is_over(
    admin: Browser, site: Site
) -> None:
    former = admin.cookies["inspector-local"]
    await admin.submit("/log-in", {"name": "Anna", "password": PASSWORD}, page="/me")  # from a tab that was older
    assert (await admin.get("/me")).status_code == 200 and await site.office.visitor(former) is None
    present = await site.office.read(logged_in, now_utc_ms(), site.office.life.whole_ms)
    assert [one.name for one in present] == ["Anna"]


async def test_a_token_from_before_log_in_is_no_session_after_it(site: Site, admin: Browser) -> None:
    async with browser_of(site) as browser:
        browser.cookies.set("inspector-local", "chosen-by-somebody-else", domain="127.0.0.1", path="/")
        await browser.log_in("Anna")
        assert await site.office.visitor("chosen-by-somebody-else") is None
        assert "chosen-by-somebody-else" not in list(browser.cookies.jar)[-1].value  # type: ignore[operator]


@pytest.mark.parametrize(
    ("wanted", "gone_to"),
    [
        ("/history?label=dent", "/history?label=dent"), ("//evil.example/", "/"), ("https://evil.example", "/"),
        ("/\\evil.example", "/"), ("javascript:alert(1)", "/"),
        ("/history?\r\nx: y", "/"),
    ],
)  # fmt: skip
async def test_log_in_leads_on_to_pages_of_ours_only(site: Site, admin: Browser, wanted: str, gone_to: str) -> None:
    async with browser_of(site) as browser:
        form = {"name": "Anna", "password": PASSWORD, "next": wanted}
        assert (await browser.submit("/log-in", form, page="/log-in")).headers["location"] == gone_to


async def test_after_some_wrong_passwords_the_page_says_how_long_to_wait(
    site: Site, admin: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site.office, "_monotonic_s", lambda: 1000.0)  # all within one moment
    async with browser_of(site, client="127.0.0.2") as browser:
        for _ in range(3):
            assert (await browser.log_in("Anna", "wrong")).status_code == 403
        answer = await browser.log_in("Anna", PASSWORD)
        assert answer.status_code == 429 and "Try again in 1 s" in answer.text
        assert (await browser.get("/")).status_code == 200, "the line screen is never locked"


# --- where one may log in --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base_url", "client", "private"),
    [
        ("http://127.0.0.1:8080", "127.0.0.1", True), ("http://localhost:8080", "::1", True),
        ("https://box7.plant", AFAR, True), ("http://box7.plant", AFAR, False),
        ("http://127.0.0.1:8080", AFAR, False),  # a Host is easily said
        ("http://box7.plant", "127.0.0.1", False),  # through a proxy without TLS
    ],
)  # fmt: skip
async def test_log_in_is_over_tls_or_at_the_box_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, base_url: str, client: str, private: bool
) -> None:
    make_hashes_cheap(monkeypatch)
    site = site_in(tmp_path, host="0.0.0.0", allow_remote_view=True)
    token = await site.office.begin_first(await site.office.first_code() or "", "Anna", PASSWORD, "setup")
    async with browser_of(site, base_url, client) as browser:
        answer = await browser.get("/log-in")
        assert answer.status_code == (200 if private else 403)
        assert ("https://" in answer.text and "tls = true" in answer.text) is not private
        assert ("set-cookie" in answer.headers) is private
        for name in ("inspector-local", "__Host-inspector"):
            browser.cookies.set(name, token)
        assert (await browser.get("/admin", headers=HTML)).status_code == (200 if private else 403)
        line = await browser.get("/")
        assert line.status_code == 200 and (">Anna</a>" in line.text) is private
    site.close()


async def test_the_cookie_over_tls_is_bound_to_host_and_tls_and_out_of_reach_of_scripts(
    site: Site, admin: Browser
) -> None:
    async with browser_of(site, "https://localhost", AFAR) as browser:
        asked = await browser.get("/log-in")
        answer = await browser.log_in("Anna")
    for cookie in (asked.headers["set-cookie"], answer.headers["set-cookie"]):
        value, *flags = cookie.split("; ")
        assert value.startswith("__Host-inspector=")
        assert {flag.lower() for flag in flags} == {"httponly", "secure", "path=/", "samesite=strict"}


# --- what a page elsewhere, or a stranger, sends ---------------------------------------------------------------------


async def test_a_write_without_the_token_of_its_own_session_is_refused(admin: Browser, site: Site) -> None:
    async with people_of(site, [[Role.ADMIN]]) as (other,):
        foreign = await other.token()
    for token in (None, "", "0" * 64, foreign):
        answer = await admin.post(
            "/admin/people", data={"name": "Eve", **({"csrf": token} if token is not None else {})}
        )
        assert answer.status_code == 403
        answer = await admin.post("/admin/people", data={"name": "Eve"}, headers={"x-csrf-token": token or ""})
        assert answer.status_code == 403
    assert "Eve" not in (await admin.get("/admin")).text
    good = await admin.post("/admin/people", data={"name": "Eve"}, headers={"x-csrf-token": await admin.token()})
    assert good.status_code == 200 and "Eve" in good.text


async def test_the_token_of_no_cookie_which_anybody_can_make_logs_nobody_in(admin: Browser, site: Site) -> None:
    async with browser_of(site) as browser:
        form = {"name": "Anna", "password": PASSWORD, "csrf": csrf_of("")}
        assert (await browser.post("/log-in", data=form)).status_code == 403 and not browser.cookies


async def test_a_script_is_refused_in_words_that_it_can_show_and_a_form_on_a_page(admin: Browser, site: Site) -> None:
    """A page from before its person logged in anew asked again and again, as it could not read the answer."""
    async with people_of(site, [[Role.OPERATOR]]) as (operator,):
        stale = {"x-csrf-token": "0" * 64}
        for browser, path, headers, error in (
            (operator, "/alarms/ack", stale, "load this page again"),
            (operator, "/review/label", {"x-csrf-token": await operator.token()}, "roles do not allow"),
        ):
            answer = await browser.post(path, json={}, headers={"accept": "*/*", **headers})
            assert error in answer.json()["error"], path
        shown = await operator.post("/alarms/ack", headers={**HTML, **stale})
        assert shown.status_code == 403 and "not of this log-in" in shown.text and shown.text.startswith("<!doctype")
    async with browser_of(site) as stranger:
        told = await stranger.post("/storage/hold", headers={"accept": "*/*"})
        assert told.status_code == 401 and told.json()["error"] == "Log in first"
        form = await stranger.post("/storage/hold", headers=HTML)
        assert (form.status_code, form.headers["location"]) == (303, "/log-in"), "no bare JSON before a person's eyes"


@pytest.mark.parametrize(
    ("headers", "taken"),
    [
        ({}, True), ({"origin": "http://127.0.0.1:8080"}, True), ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "same-origin", "origin": "null"}, True), ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "same-site"}, False), ({"origin": "https://evil.example"}, False),
        ({"origin": "null"}, False), ({"origin": "http://["}, False),
        ({"origin": "http://127.0.0.1:8081"}, False), ({"sec-fetch-site": "same-origin", "origin": "http://x"}, False),
        ({"sec-fetch-site": "cross-site", "origin": "http://127.0.0.1:8080"}, False),
    ],
)  # fmt: skip
async def test_a_write_of_another_origin_is_refused_though_it_had_the_token(
    admin: Browser, headers: dict[str, str], taken: bool
) -> None:
    answer = await admin.submit("/admin/people", {"name": "Eve"}, headers=headers)
    assert answer.status_code == (200 if taken else 403)


async def test_a_body_that_is_too_large_or_too_slow_is_refused(
    admin: Browser, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = {"x-csrf-token": await admin.token()}
    declared = await admin.post("/admin/people", content=b"x", headers={**token, "content-length": "99999999999"})
    assert declared.status_code == 413

    async def large() -> AsyncIterator[bytes]:  # and it ends: without its bound the page would take all memory here
        for _ in range(2 * body.MAX_BYTES // 65536):
            yield b"x" * 65536

    form = {"content-type": "application/x-www-form-urlencoded"}
    for headers in (form, {**form, **token}):  # read for its token; read by the handler
        assert (await admin.post("/admin/people", content=large(), headers=headers)).status_code == 413

    async def slow() -> AsyncIterator[bytes]:
        yield b"name="
        await asyncio.sleep(600)

    with monkeypatch.context() as hasty:
        hasty.setattr(body, "BODY_S", 0.05)
        for headers in (form, {**form, **token}):
            assert (await admin.post("/admin/people", content=slow(), headers=headers)).status_code == 408
    many = "&".join(f"a{n}=1" for n in range(1000))
    assert (await admin.post("/admin/people", content=many, headers=form)).status_code == 400


async def test_what_a_person_typed_is_shown_as_text(admin: Browser) -> None:
    answer = await admin.submit("/admin/people", {"name": '"><script>alert(1)</script>'}, page="/admin")
    assert answer.status_code == 400 and "<script>alert" not in answer.text


async def test_accounts_that_cannot_be_read_leave_the_line_screen_as_it_was(
    site: Site, admin: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise StoreError("at sector 7")

    monkeypatch.setattr(Office, "read", broken)
    monkeypatch.setattr(Office, "write", broken)
    assert (await admin.get("/")).status_code == 200
    answer = await admin.get("/log-in")
    assert answer.status_code == 503 and "The line goes on" in answer.text and "sector" not in answer.text


async def test_a_screen_of_a_log_in_that_ended_ends_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from inspector.web import stream
    from tests.support.page import browser_at, page_process, until

    make_hashes_cheap(monkeypatch)
    monkeypatch.setattr(stream, "CHECK_S", 0.05)
    site = site_in(tmp_path, view="logged_in")
    token = await site.office.begin_first(await site.office.first_code() or "", "Anna", PASSWORD, "setup")
    async with page_process(site) as origin, browser_at(origin) as client:
        client.cookies.set("inspector-local", token)
        async with client.stream("GET", "/events") as answer:
            lines = answer.aiter_lines()
            assert await anext(lines) == "event: hello"
            await site.office.log_out(token, "Anna")
            await until(lambda: not site.feed.screens)
            site.feed.strip().set_last_fail(lambda: {"no": 1, "word": "new"})
            site.feed.refresh("")
            async with asyncio.timeout(60):
                assert not [line async for line in lines if "new" in line]
        assert (await client.get("/events")).status_code == 401


def test_every_text_of_a_refusal_an_action_and_a_role_is_there_in_both_languages() -> None:
    english, chinese = words.read_catalog("en"), words.read_catalog("zh")
    sources = "".join(p.read_text() for p in (words.FOLDER.parents[1] / "office").glob("*.py"))
    sources += (words.FOLDER.parent / "accounts.py").read_text()
    keys = set(re.findall(r'Refused\("([a-z.]+)"', sources))
    keys |= {
        f"audit.{action}"
        for action in re.findall(r'"((?:person|password)\.[a-z]+|login|logout|login\.failed)"', sources)
    }
    keys -= {"audit.password.short", "audit.password.long", "audit.password.name", "audit.password.wrong"}
    keys -= {"audit.password.differ"}
    keys |= {f"role.{role}{end}" for role in Role for end in ("", ".hint")}
    assert len(keys) > 35 and keys <= english.keys()
    own = set(re.findall(r'^"([^"]+)"', (words.FOLDER / "en" / "accounts.toml").read_text(), re.MULTILINE))
    assert own <= chinese.keys()
    for key in own:
        assert set(re.findall(r"\{\w+\}", english[key])) == set(re.findall(r"\{\w+\}", chinese[key])), key

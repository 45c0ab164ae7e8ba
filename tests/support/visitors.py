"""Browsers of people, as tests use them: cookies kept, forms sent with their token."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import httpx

from inspector.office.person import Role
from inspector.web.app import create_app
from inspector.web.site import Site
from tests.support.office import PASSWORD

HTML = {"accept": "text/html,*/*"}
_CSRF = re.compile(r'<meta name="csrf" content="([0-9a-f]*)">')


class Browser(httpx.AsyncClient):
    """Reads the token from the page it looks at, as our own forms and scripts have it."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**{"timeout": 120, **more})  # a password's hash takes long on cores that others use as well

    async def token(self, page: str = "/") -> str:
        """What the page `page` would show with a write."""
        found = _CSRF.search((await self.get(page, headers=HTML)).text)
        assert found is not None, f"{page} has no token"
        return found[1]

    async def submit(
        self, path: str, fields: dict[str, Any] | None = None, *, page: str = "/", **more: Any
    ) -> httpx.Response:
        """Send a form of `page`."""
        return await self.post(path, data={**(fields or {}), "csrf": await self.token(page)}, **more)

    async def log_in(self, name: str, password: str = PASSWORD) -> httpx.Response:
        return await self.submit("/log-in", {"name": name, "password": password}, page="/log-in")


def browser_of(site: Site, base_url: str = "http://127.0.0.1:8080", client: str = "127.0.0.1") -> Browser:
    """A browser at `client`'s address that asks `site` without a server between."""
    transport = httpx.ASGITransport(app=create_app(site), raise_app_exceptions=False, client=(client, 50_000))
    return Browser(transport=transport, base_url=base_url)


@asynccontextmanager
async def people_of(site: Site, roles: Iterable[Iterable[Role]]) -> AsyncIterator[list[Browser]]:
    """Browsers of people with these roles, logged in; the first person made is the admin Anna."""
    office, browsers = site.office, list[Browser]()
    if (code := await office.first_code()) is not None:
        await office.begin_first(code, "Anna", PASSWORD, "setup")
    try:
        for number, held in enumerate(roles):
            name = f"p{number}"
            _, code = await office.add("Anna", name, held)
            await office.choose_password(name, code, PASSWORD, name)
            browsers.append(browser_of(site))
            assert (await browsers[-1].log_in(name)).status_code == 303
        yield browsers
    finally:
        for browser in browsers:
            await browser.aclose()

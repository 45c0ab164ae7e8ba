"""Which language a request is answered in: the visitor's own choice, else the browser's, else English."""

from __future__ import annotations

from contextvars import ContextVar
from urllib.parse import quote, urlencode, urlsplit

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import RedirectResponse, Response
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from inspector.web.guard import OWN_PAGES, READ
from inspector.web.words import LANGUAGES, language, speaking, word

COOKIE = "language"
KEPT_S = 365 * 24 * 3600
MOST_WISHES = 20  # of a browser's list; the rest is not looked at

router = APIRouter()
_shown: ContextVar[str] = ContextVar("shown", default="/")  # path and query of the page that is being answered


class Speech:
    """The layer that lets all inside it speak the language of its request, the answers of the guard too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        token = _shown.set(_address(scope))
        try:
            with speaking(language_of(HTTPConnection(scope))):
                await self._app(scope, receive, send)
        finally:
            _shown.reset(token)


def language_of(request: HTTPConnection) -> str:
    """One of LANGUAGES: as chosen in this browser, else as it asks by Accept-Language, else the first."""
    chosen = request.cookies.get(COOKIE, "")
    return chosen if chosen in LANGUAGES else preferred(request.headers.get("accept-language", ""))


def preferred(wishes: str) -> str:
    """The language of ours that Accept-Language wishes most: "zh-CN,zh;q=0.9,en;q=0.8" -> zh."""
    best, most = LANGUAGES[0], 0.0
    for wish in wishes.split(",")[:MOST_WISHES]:
        tag, _, weight = wish.partition(";")
        name, share = tag.strip().partition("-")[0].lower(), _share(weight)
        if name in LANGUAGES and share > most:
            best, most = name, share
    return best


def _share(weight: str) -> float:
    """The q of one wish, 0..1; one that cannot be read is not wished for."""
    if not weight.strip():
        return 1.0
    name, _, number = weight.partition("=")
    try:
        share = float(number)
    except ValueError:
        return 0.0
    return share if name.strip() == "q" and 0 <= share <= 1 else 0.0


def choices() -> list[tuple[str, str, str]]:
    """(language, its own name, address that chooses it) of those that this page is not in."""
    return [
        (other, word(f"language.{other}"), f"/language/{other}?{urlencode({'to': _shown.get()})}")
        for other in LANGUAGES
        if other != language()
    ]


@router.get("/language/{name}")
async def choose(request: Request, name: str, to: str = "/") -> Response:
    """Keep the choice in this browser, and go back to where it was made."""
    if name not in LANGUAGES:
        raise HTTPException(404)
    if request.headers.get("sec-fetch-site", "none") not in OWN_PAGES:
        raise HTTPException(403)  # a page elsewhere has no say in it
    answer = RedirectResponse(own_path(to), 303)
    keep(answer, name)
    return answer


def keep(answer: Response, name: str) -> None:
    """This browser asks in that language from now on; "": as it wishes by itself."""
    if name:
        answer.set_cookie(COOKIE, name, max_age=KEPT_S, httponly=True, samesite="lax")
    else:
        answer.delete_cookie(COOKIE, httponly=True, samesite="lax")


def own_path(to: str) -> str:
    """`to` where it is a path on this site, else the first page. Browsers read a backslash as a slash."""
    try:
        parts = urlsplit(to)
    except ValueError:
        return "/"
    plain = to.startswith("/") and not to.startswith("//") and to.isprintable() and "\\" not in to
    return to if plain and not parts.scheme and not parts.netloc else "/"


def _address(scope: Scope) -> str:
    """What is being looked at; after a form was sent, the first page, as its own address may only take forms."""
    if scope["method"] not in READ or scope["path"].startswith("/language/"):
        return "/"
    query = scope["query_string"].decode("latin-1")
    path = quote(scope["path"])
    return f"{path}?{query}" if query else path

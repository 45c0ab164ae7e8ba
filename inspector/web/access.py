"""Who asks, and may they: the layer between the guard and the handlers. No request gets to a handler around it.

The visitor is that of the running task, as the language is, so that a template may show who is logged in without each
handler handing it on.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial
from urllib.parse import quote, urlsplit

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inspector.core.errors import StoreError
from inspector.office.office import Office
from inspector.office.person import Person
from inspector.office.sessions import csrf_of, is_csrf, new_token
from inspector.web.body import BadBody, Bounded, form_field
from inspector.web.guard import LOCAL_NAMES, READ, host_name, is_loopback
from inspector.web.roles import BY_ITSELF, Open, Place, Rule, allows, find, rule_of
from inspector.web.words import has_word, word

log = structlog.get_logger(__name__)

TLS_COOKIE, LOCAL_COOKIE = "__Host-inspector", "inspector-local"
CSRF_HEADER, CSRF_FIELD = "x-csrf-token", "csrf"
LOG_IN = "/log-in"


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks. token: of their cookie, "" without one; it need not be that of a session.

    target: id of the element that htmx puts the answer into; "": a whole page is asked for. open_page: path and query
    of the page that it is in. They decide how an answer looks, never whether there is one.
    """

    person: Person | None = None
    token: str = ""
    private: bool = False  # nobody else reads what they send: TLS, or the box itself
    anyone_looks: bool = True
    anyone_sees: bool = True
    target: str = ""
    open_page: str = ""

    @property
    def csrf(self) -> str:
        """What their forms and scripts show with each write."""
        return csrf_of(self.token) if self.token else ""

    def may(self, method: str, path: str) -> bool:
        """True if they would be let through: for links and buttons."""
        place = find(path)
        return self.passes(rule_of(method, place) if place is not None else None)

    def passes(self, rule: Rule | None) -> bool:
        """True if this rule lets them through; None: no rule, and nobody."""
        may = {"anyone_looks": self.anyone_looks, "anyone_sees": self.anyone_sees}
        return rule is not None and allows(rule, self.person, **may)

    @property
    def sees(self) -> bool:
        """True if they may see pictures of parts."""
        return self.passes(Open.PICTURE)


_visitor: ContextVar[Visitor] = ContextVar("visitor", default=Visitor())  # noqa: B039 - it never changes


def visitor() -> Visitor:
    """Of the running task."""
    return _visitor.get()


def person_of(request: Request) -> Person | None:
    """Who is logged in; None: nobody."""
    found: Visitor = request.state.visitor
    return found.person


def visitor_of(request: Request) -> Visitor:
    found: Visitor = request.state.visitor
    return found


def known_person(request: Request) -> Person:
    """Who is logged in, in a handler whose rule lets nobody else in."""
    person = person_of(request)
    if person is None:
        raise RuntimeError(f"{request.url.path} has a rule that lets people in who are not logged in")
    return person


async def may_still(request: Request) -> bool:
    """True while who opened a lasting answer would be let in anew."""
    found: bool = await request.state.ask_again()
    return found


def log_in_link(then: str) -> str:
    """Where one logs in, to be at the path `then` after it."""
    return f"{LOG_IN}?next={quote(then, safe='/')}"


def _in_place(scope: Scope) -> tuple[str, str]:
    """What htmx says of the page that it is in: the element that asks, and path and query."""
    headers = Headers(scope=scope)
    if headers.get("hx-request") != "true":
        return "", ""
    try:
        _, _, path, query, _ = urlsplit(headers.get("hx-current-url", ""))
    except ValueError:
        path = query = ""
    return headers.get("hx-target", ""), f"{path}?{query}" if query else path


def address_of(request: Request) -> str:
    return request.client.host if request.client is not None else ""


def is_private(scope: Scope) -> bool:
    """True over TLS, and at the box itself. A name that is not this machine's own came through a proxy without TLS."""
    if scope["scheme"] == "https":
        return True
    client = scope.get("client")
    name = host_name(Headers(scope=scope).get("host", ""))
    return client is not None and is_loopback(client[0]) and name in LOCAL_NAMES


def remember(response: Response, request: Request, token: str) -> None:
    """Give the browser its token: sent with our own pages' requests alone, and out of reach of any script."""
    tls = request.url.scheme == "https"
    name = TLS_COOKIE if tls else LOCAL_COOKIE  # a browser takes __Host- over TLS only
    response.set_cookie(name, token, path="/", secure=tls, httponly=True, samesite="strict")


def forget(response: Response, request: Request) -> None:
    tls = request.url.scheme == "https"
    name = TLS_COOKIE if tls else LOCAL_COOKIE
    response.delete_cookie(name, path="/", secure=tls, httponly=True, samesite="strict")


def _with_token(scope: Scope, send: Send, token: str) -> Send:
    """`send` that gives the browser its token with the answer."""
    given = Response()
    remember(given, Request(scope), token)

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).append("set-cookie", given.headers["set-cookie"])
        await send(message)

    return sending


class Access:
    """Resolves the place and the visitor, and lets through what roles.py allows.

    anyone_looks: without log-in, the line and its record may be seen; anyone_sees: with pictures. refuse: the page that
    says a status and, by a key of the words, why.
    """

    def __init__(
        self,
        app: ASGIApp,
        office: Office,
        *,
        anyone_looks: bool,
        anyone_sees: bool,
        refuse: Callable[[int, str], Response],
    ) -> None:
        self._app, self._office, self._refuse = app, office, refuse
        self._stranger = Visitor(anyone_looks=anyone_looks, anyone_sees=anyone_sees)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        place = find(scope["path"])
        rule = rule_of(scope["method"], place) if place is not None else None
        target, open_page = _in_place(scope)
        who = replace(await self._who(scope, place, rule), target=target, open_page=open_page)
        fresh = rule is Open.DOOR and who.private and not who.token and scope["method"] in READ
        if fresh:  # a form that nobody is logged in for needs a token as well
            who = replace(who, token=new_token())
        scope.setdefault("state", {}).update(visitor=who, ask_again=partial(self._allowed, scope, place, rule))
        mark = _visitor.set(who)
        try:
            answer, receive = await self._choose(scope, receive, who, rule)
            await answer(scope, receive, send if not fresh else _with_token(scope, send, who.token))
        finally:
            _visitor.reset(mark)

    async def _allowed(self, scope: Scope, place: Place | None, rule: Rule | None) -> bool:
        return (await self._who(scope, place, rule)).passes(rule)

    async def _who(self, scope: Scope, place: Place | None, rule: Rule | None) -> Visitor:
        private = is_private(scope)
        if rule is Open.ASSET or not private:  # what anybody on the way can read proves nobody
            return replace(self._stranger, private=private)
        name = TLS_COOKIE if scope["scheme"] == "https" else LOCAL_COOKIE
        token = HTTPConnection(scope).cookies.get(name, "")
        person = None
        if token:
            by_itself = place is not None and place.template in BY_ITSELF
            try:
                person = await self._office.visitor(token, touch=not by_itself)
            except StoreError as exc:  # nobody is known then; the line screen goes on
                log.error("accounts cannot be read", error=str(exc))
        return replace(self._stranger, person=person, token=token, private=private)

    async def _choose(self, scope: Scope, receive: Receive, who: Visitor, rule: Rule | None) -> tuple[ASGIApp, Receive]:
        if rule is None:
            return self._refused(scope, 404, "error.404"), receive
        if rule not in (Open.ASSET, Open.LOOK, Open.PICTURE) and not who.private:
            return self._refused(scope, 403, "error.insecure"), receive
        if not who.passes(rule):
            return self._not_known(scope) if who.person is None else self._refused(scope, 403, "error.role"), receive
        if scope["method"] in READ:
            return self._app, receive
        try:
            bounded = Bounded(scope, receive)
            shown = Headers(scope=scope).get(CSRF_HEADER) or await form_field(scope, bounded, CSRF_FIELD)
        except BadBody as exc:
            answer = self._refused(scope, exc.status_code, f"error.{exc.status_code}")
            answer.headers["connection"] = "close"  # with the rest of it unread
            return answer, receive
        if not who.token or not is_csrf(who.token, shown):
            log.warning("write refused: no token of ours", path=scope["path"])
            return self._refused(scope, 403, "error.csrf"), receive
        return self._app, bounded

    def _refused(self, scope: Scope, status: int, key: str) -> Response:
        """A page for a person, who sent a form or follows a link; a script of ours can show a text alone."""
        if scope["method"] in READ or visitor().target or _is_for_a_person(scope):
            return self._refuse(status, key)
        alone = f"{key}.script"
        return JSONResponse({"error": word(alone if has_word(alone) else key)}, status)

    def _not_known(self, scope: Scope) -> Response:
        """A person is asked to log in; a script or picture is told that it must, and so is an open page."""
        if visitor().target:
            return self._refuse(401, "inplace.expired")
        if not _is_for_a_person(scope):
            return JSONResponse({"error": word("error.401")}, 401)
        if scope["method"] not in READ:
            return RedirectResponse(LOG_IN, 303)
        wanted = scope["path"] + (f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else "")
        return RedirectResponse(log_in_link(wanted), 303)


def _is_for_a_person(scope: Scope) -> bool:
    return "text/html" in Headers(scope=scope).get("accept", "")

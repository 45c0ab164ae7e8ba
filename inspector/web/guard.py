"""What every answer carries and no request gets past: headers, allowed methods, the name and origin of ours."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inspector.web.words import word

CSP = (
    "default-src 'self'; script-src 'self'; style-src 'self'; connect-src 'self'; font-src 'self'; "
    "img-src 'self' data:; "  # small pictures come with the page itself
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": CSP,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), usb=(), payment=()",
}
READ = frozenset({"GET", "HEAD"})
OWN_PAGES = frozenset({"same-origin", "none"})  # Sec-Fetch-Site, which every browser of today sends
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


def is_loopback(host: str) -> bool:
    """True if only this machine can reach a server bound to `host`; a name other than localhost counts as remote."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def read_only(_: str) -> Collection[str]:
    """For pages that only read."""
    return READ


def _plain(status: int, headers: Mapping[str, str]) -> ASGIApp:
    return PlainTextResponse(word(f"error.{status}"), status, headers)


class Guard:
    """The outermost layer, around the error pages too. Raises nothing; answers 405 and 403 itself, by `refuse`.

    names: the Host names answered to (a page elsewhere that points a name of its own at 127.0.0.1 must not read us);
    None: any, for a page that was opened to the network on purpose. methods: what a path takes; what is not reading is
    taken from programs and from our own pages, not from a page elsewhere.
    """

    def __init__(
        self,
        app: ASGIApp,
        names: Iterable[str] | None,
        methods: Callable[[str], Collection[str]] = read_only,
        refuse: Callable[[int, Mapping[str, str]], ASGIApp] = _plain,
    ) -> None:
        self._app, self._methods, self._refuse = app, methods, refuse
        self._names = None if names is None else frozenset(n.lower() for n in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
            await send(message)

        await self._choose(scope)(scope, receive, send_guarded)

    def _choose(self, scope: Scope) -> ASGIApp:
        headers = Headers(scope=scope)
        allowed = self._methods(scope["path"])
        if scope["method"] not in allowed:
            return self._refuse(405, {"allow": ", ".join(sorted(allowed))})
        foreign = scope["method"] not in READ and _is_foreign(headers)
        if foreign or (self._names is not None and host_name(headers.get("host", "")) not in self._names):
            return self._refuse(403, {})
        return self._app


def _is_foreign(headers: Headers) -> bool:
    """True if a browser says that another origin's page asks. Programs say nothing.

    A form of ours may name its origin "null", as our pages send no referrer; its site is told beside it, then.
    """
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None and site not in OWN_PAGES:
        return True
    if origin is None or (origin == "null" and site is not None):
        return False
    try:
        return urlsplit(origin).netloc.lower() != headers.get("host", "").lower()
    except ValueError:
        return True


def host_name(host: str) -> str:
    """`Host` without its port: 127.0.0.1:8080 -> 127.0.0.1, [::1]:8080 -> [::1]."""
    if host.startswith("["):
        return host.partition("]")[0].lower() + "]"
    return host.partition(":")[0].lower()

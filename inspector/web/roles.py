"""Who may do what on the page: each method and path, once. What is not in this table is not served.

Enforced for every request by access.py, before any handler; a test fails for a route of the application that is missing
here, and for a line here that no route answers to. HEAD goes with GET.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from starlette.routing import compile_path

from inspector.office.person import Person, Role
from inspector.web.guard import READ


class Open(Enum):
    """Rules that no role decides."""

    ASSET = "asset"  # style sheets, signs of life: whoever reaches the address, and nobody is asked who they are
    LOOK = "look"  # whoever may look: anyone, or who is logged in, as [web] view says
    PICTURE = "picture"  # of those the ones who may see pictures of parts, as [web] pictures says
    DOOR = "door"  # anyone, over TLS or at the box itself: where one logs in
    KNOWN = "known"  # who is logged in, whatever their roles


Rule = Open | frozenset[Role]
ADMIN = frozenset({Role.ADMIN})
QUALITY = frozenset({Role.QUALITY, Role.ADMIN})
CONTROLLERS = frozenset({Role.CONTROLS, Role.ADMIN})
ON_THE_LINE = frozenset(set(Role) - {Role.ML})  # who sees to the line: what is done there is in their name
REVIEWERS = frozenset({Role.QUALITY, Role.ML, Role.ADMIN})
SETTERS = frozenset({Role.CONTROLS, Role.MAINTENANCE, Role.ML, Role.ADMIN})  # who sets a station up
MAINTAINERS = frozenset({Role.MAINTENANCE, Role.ADMIN})

ROUTES: Mapping[tuple[str, str], Rule] = {
    ("GET", "/static/{path:path}"): Open.ASSET,
    ("GET", "/favicon.ico"): Open.ASSET,
    ("GET", "/healthz"): Open.ASSET,
    ("GET", "/readyz"): Open.ASSET,
    ("GET", "/language/{name}"): Open.ASSET,  # keeps a choice in the browser
    # the line and its record
    ("GET", "/"): Open.LOOK,
    ("GET", "/events"): Open.LOOK,
    ("GET", "/preview/{name}"): Open.PICTURE,
    ("GET", "/thumb/{no}"): Open.PICTURE,
    ("POST", "/counts/reset"): ON_THE_LINE,
    ("GET", "/picture/{no}"): Open.PICTURE,
    ("GET", "/heat/{no}"): Open.PICTURE,
    ("GET", "/alarms"): Open.LOOK,
    ("GET", "/alarms/list"): Open.LOOK,
    ("GET", "/alarms/shelved"): Open.LOOK,
    ("GET", "/alarms/record"): Open.LOOK,
    ("POST", "/alarms/ack"): ON_THE_LINE,
    ("POST", "/alarms/shelve"): ON_THE_LINE,
    ("POST", "/alarms/unshelve"): ON_THE_LINE,
    ("GET", "/history"): Open.LOOK,
    ("GET", "/history.csv"): Open.LOOK,
    ("GET", "/history.xlsx"): Open.LOOK,
    ("GET", "/timing"): Open.LOOK,
    ("GET", "/timing.csv"): Open.LOOK,
    ("GET", "/part/{no}"): Open.LOOK,
    ("GET", "/help"): Open.LOOK,
    ("GET", "/help/{kind}/{code}"): Open.LOOK,
    # review
    ("GET", "/review"): Open.KNOWN,
    ("GET", "/review/queue"): Open.KNOWN,
    ("POST", "/review/label"): REVIEWERS,
    ("POST", "/review/undo"): REVIEWERS,
    ("POST", "/review/truth"): REVIEWERS,
    ("POST", "/review/truth/undo"): REVIEWERS,
    # what is kept
    ("GET", "/storage"): Open.KNOWN,
    ("GET", "/storage/room"): Open.KNOWN,
    ("POST", "/storage/hold"): QUALITY,
    ("POST", "/storage/release"): QUALITY,
    # controls
    ("GET", "/controls"): Open.KNOWN,
    ("GET", "/controls/state"): Open.KNOWN,
    ("GET", "/controls/changes.csv"): Open.KNOWN,
    ("POST", "/controls/offline"): CONTROLLERS,
    ("POST", "/controls/online"): CONTROLLERS,
    ("POST", "/controls/force"): CONTROLLERS,
    ("POST", "/controls/release"): CONTROLLERS,
    ("POST", "/controls/run"): CONTROLLERS,
    ("POST", "/controls/abort"): CONTROLLERS,
    # collect
    ("GET", "/collect"): Open.KNOWN,
    ("GET", "/collect/look"): Open.KNOWN,
    ("GET", "/collect/look/{name}"): Open.KNOWN,
    ("GET", "/collect/progress"): Open.KNOWN,
    ("POST", "/collect/target"): REVIEWERS,
    ("POST", "/collect/region"): SETTERS,
    ("POST", "/collect/dataset"): REVIEWERS,
    # the box itself
    ("GET", "/maintenance"): Open.KNOWN,
    ("GET", "/maintenance/measures"): Open.KNOWN,
    ("GET", "/maintenance/backups"): Open.KNOWN,
    ("GET", "/maintenance/support.zip"): MAINTAINERS,
    ("POST", "/maintenance/backup"): MAINTAINERS,
    # coming and going
    ("GET", "/first-start"): Open.DOOR,
    ("POST", "/first-start"): Open.DOOR,
    ("GET", "/log-in"): Open.DOOR,
    ("POST", "/log-in"): Open.DOOR,
    ("GET", "/new-password"): Open.DOOR,
    ("POST", "/new-password"): Open.DOOR,
    ("POST", "/log-out"): Open.KNOWN,
    ("GET", "/me"): Open.KNOWN,
    ("POST", "/me/password"): Open.KNOWN,
    ("POST", "/me/language"): Open.KNOWN,
    # people
    ("GET", "/admin"): ADMIN,
    ("POST", "/admin/people"): ADMIN,
    ("POST", "/admin/people/{no}/roles"): ADMIN,
    ("POST", "/admin/people/{no}/disabled"): ADMIN,
    ("POST", "/admin/people/{no}/code"): ADMIN,
    ("GET", "/admin/audit"): ADMIN,
}
# Asked by an open screen itself: they keep no session from ending of idleness.
BY_ITSELF = frozenset(
    {"/events", "/preview/{name}", "/thumb/{no}", "/alarms/record", "/controls/state", "/review/queue"}
    | {"/collect/look", "/collect/look/{name}", "/collect/progress"}
    | {"/alarms/list", "/alarms/shelved", "/maintenance/measures", "/maintenance/backups", "/storage/room"}
)


@dataclass(frozen=True, slots=True)
class Place:
    """A path template and the rule of each method."""

    template: str
    pattern: re.Pattern[str]
    rules: Mapping[str, Rule]


def find(path: str) -> Place | None:
    """The place that answers to a path; None: there is none."""
    return next((place for place in _places() if place.pattern.match(path)), None)


def methods_of(path: str) -> frozenset[str]:
    """What may be asked of a path; of one that there is not, reading, which is answered with 404."""
    place = find(path)
    if place is None:
        return READ
    return frozenset(place.rules) | ({"HEAD"} if "GET" in place.rules else frozenset())


def rule_of(method: str, place: Place) -> Rule | None:
    return place.rules.get("GET" if method == "HEAD" else method)


def allows(rule: Rule, person: Person | None, *, anyone_looks: bool, anyone_sees: bool = True) -> bool:
    """True if this rule lets this person (None: not logged in) through."""
    match rule:
        case Open.ASSET | Open.DOOR:
            return True
        case Open.LOOK:
            return anyone_looks or person is not None
        case Open.PICTURE:
            return (anyone_looks and anyone_sees) or person is not None
        case Open.KNOWN:
            return person is not None
        case _:
            return person is not None and not rule.isdisjoint(person.roles)


@lru_cache(maxsize=1)
def _places() -> tuple[Place, ...]:
    """Plain paths before templates, as the application has them."""
    rules: dict[str, dict[str, Rule]] = {}
    for (method, template), rule in ROUTES.items():
        rules.setdefault(template, {})[method] = rule
    ordered = sorted(rules, key=lambda template: template.count("{"))
    return tuple(Place(t, compile_path(t)[0], rules[t]) for t in ordered)

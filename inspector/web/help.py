"""/help: what each screen is for and how it is worked, and a page for each code that the box gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

from inspector.core.alarm_kinds import KINDS
from inspector.web.pages import site_of
from inspector.web.present import View
from inspector.web.words import has_word, offline_words, reason_words, word
from plc.registers import OfflineReason, Reason

SCREENS = (
    "line", "history", "part", "review", "collect", "alarms", "controls", "timing", "storage", "maintenance", "admin",
)  # fmt: skip
GAP = "\N{HORIZONTAL ELLIPSIS}"  # where an alarm names what it met
router = APIRouter()
readable = partial(router.api_route, methods=["GET", "HEAD"])


@readable("/help")
async def help_page(request: Request) -> Response:
    screens = [(screen, word(f"title.{screen}"), word(f"help.{screen}"), list(_steps(screen))) for screen in SCREENS]
    lists = [(kind, word(f"help.of.{kind}"), codes()) for kind, (codes, _) in KIND.items()]
    return site_of(request).page("help.html", here="help", screens=screens, lists=lists)


@readable("/help/{kind}/{code}")
async def code_page(request: Request, kind: str, code: str) -> Response:
    """One REASON, OFFLINE_REASON or alarm. Others are 404."""
    if kind not in KIND or code not in dict(KIND[kind][0]()):
        raise HTTPException(404)
    return site_of(request).page("help_code.html", here="help", of=word(f"help.of.{kind}"), **KIND[kind][1](code))


def _steps(screen: str) -> Iterator[str]:
    number = 1
    while has_word(key := f"help.{screen}.{number}"):
        yield word(key)
        number += 1


def _reasons() -> list[tuple[str, str]]:
    return [(str(int(reason)), reason_words(int(reason)).text) for reason in Reason]


def _reason(code: str) -> View:
    said, action = reason_words(int(code)), word(f"reason.{Reason(int(code)).name.lower()}.action")
    pairs = [(word("help.sense"), said.hint), (word("help.action"), action)]
    return {"title": said.text, "code": f"REASON {code}", "pairs": pairs}


def _offline() -> list[tuple[str, str]]:
    return [(str(int(reason)), offline_words(int(reason)).text) for reason in OfflineReason]


def _not_ready(code: str) -> View:
    said = offline_words(int(code))
    return {"title": said.text, "code": f"OFFLINE_REASON {code}", "pairs": [(word("help.means"), said.hint)]}


def _alarms() -> list[tuple[str, str]]:
    return [(key, word(f"alarm.{key}")) for key in KINDS]


def _alarm(code: str) -> View:
    gaps = dict.fromkeys(KINDS[code].params, GAP)
    texts = {part: word(f"alarm.{code}.{part}", **gaps) for part in ("cause", "consequence", "action")}
    pairs = [(word(f"help.{part}"), text) for part, text in texts.items()]
    return {"title": word(f"alarm.{code}"), "code": word(f"priority.{KINDS[code].priority}"), "pairs": pairs}


Codes = Callable[[], list[tuple[str, str]]]
KIND: Mapping[str, tuple[Codes, Callable[[str], View]]] = {
    "reason": (_reasons, _reason), "offline": (_offline, _not_ready), "alarm": (_alarms, _alarm),
}  # fmt: skip

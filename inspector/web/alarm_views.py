"""Alarms in words, from the daemon's messages and its journal, in the language of the task. Pure, but for one."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from typing import Any

from inspector.core.alarm_kinds import CRITICAL, HIGH, KINDS, LOW, MEDIUM, OF_THE_BOX
from inspector.core.alarms import BOX, UNHEEDED, Change, Event, Phase
from inspector.office.office import Office
from inspector.store.alarm_history import DAY_MS, RATE_MS, Record
from inspector.web.present import UNKNOWN, Message, View, clock_time, date_time, help_of, percent
from inspector.web.said import in_words
from inspector.web.who import NAMED, Who, who_of
from inspector.web.words import has_word, word

MINUTES = (15, 60, 240, 480)  # that one may shelve for
BUSY, FLOOD = 2, 10  # alarms in ten minutes: more than BUSY are too many to deal with
RANKS = (CRITICAL, HIGH, MEDIUM, LOW)
AIM = {LOW: 0.80, MEDIUM: 0.15, HIGH: 0.05}  # shares, ISA-18.2; what is critical counts with HIGH


def alarm_view(alarm: Message, first: str = "", who: Who = NAMED) -> View:
    """One alarm of the status message, with all its texts. first: of several stations; "": there is one."""
    id_, phase = str(alarm["id"]), str(alarm.get("phase", ""))
    priority, until = str(alarm.get("priority", HIGH)), alarm.get("shelved_until_utc_ms")
    over = alarm.get("ending") is True or phase == Phase.CLEARED  # what follows from it is true no more
    by, why = str(alarm.get("shelved_by", "")), str(alarm.get("shelved_why", ""))
    return {
        "id": id_,
        "name": name_of(alarm, who),
        "help": help_of("alarm", alarm.get("key")),
        "station": station_text(whose(alarm, first)),
        "cause": _said(alarm, ".cause", who),
        "consequence": "" if over else _said(alarm, ".consequence", who),
        "action": _said(alarm, ".action", who),
        "priority": priority,
        "priority_text": _known(f"priority.{priority}", priority),
        "since": word("alarms.since", time=moment(alarm.get("since_utc_ms"))),
        "phase": phase,
        "phase_text": _phase_text(alarm, phase, who),
        "changed_utc_ms": alarm.get("changed_utc_ms"),
        "shelved": until is not None,
        "until": word("alarms.until", time=moment(until)) if until is not None else "",
        "why": word("alarms.shelved.why", actor=who(by), why=why) if until is not None else "",
        "may_ack": phase in UNHEEDED,
        "may_shelve": until is None and priority != CRITICAL,
    }


def alarms_view(status: Message, own: str = "", who: Who = NAMED) -> View:
    """For the screens: the list, what is wrong now and nobody took note of first, by priority; what is shelved; how
    many nobody took note of; and a mark, which is another when any of it reads otherwise, and the same for everybody.

    own: the station of the screen, whose alarms come before those of others that are as urgent.
    """
    stations = status.get("stations") or []
    first = str(stations[0]["station"]) if stations else ""
    told = status.get("alarm_list") or []
    marked = [alarm_view(alarm, first) for alarm in told]
    mark = hashlib.sha256(json.dumps(marked).encode()).hexdigest()[:16]
    views = marked if who.names else [alarm_view(alarm, first, who) for alarm in told]
    found = [(whose(alarm, first), view) for alarm, view in zip(told, views, strict=True)]
    found.sort(
        key=lambda each: (
            not each[1]["may_ack"], each[1]["phase"] == Phase.CLEARED, _rank(each[1]["priority"]),
            each[0] not in ("", own),
        )
    )  # fmt: skip
    return {
        "alarms": [view for _, view in found if not view["shelved"]],
        "shelved": [view for _, view in found if view["shelved"]],
        "unheeded": unheeded(status),
        "known": bool(status),
        "mark": mark,
    }


async def alarms_for(office: Office, status: Message, own: str = "") -> View:
    """The same for the visitor of the task, who may not know people by name."""
    who = await who_of(office, actors_in(status.get("alarm_list") or []))
    return alarms_view(status, own, who)


def alarms_told(status: Message) -> View:
    """For the stream: how many there are, and the mark by which a screen knows that it shows them all."""
    view = alarms_view(status)
    ids = {name: [alarm["id"] for alarm in view[name]] for name in ("alarms", "shelved")}
    return {**ids, "unheeded": view["unheeded"], "alarm_mark": view["mark"]}


def unheeded(status: Message) -> int:
    """How many alarms on the list nobody took note of."""
    found = status.get("alarm_list") or []
    return sum(a.get("phase") in UNHEEDED and a.get("shelved_until_utc_ms") is None for a in found)


def actors_in(alarms: Iterable[Message]) -> list[str]:
    """Whom their texts name."""
    named = ((a.get("actor"), a.get("shelved_by"), (a.get("params") or {}).get("actor")) for a in alarms)
    return [str(actor) for actors in named for actor in actors if actor]


def name_of(alarm: Message, who: Who = NAMED) -> str:
    return _said(alarm, "", who)


def whose(alarm: Message, first: str) -> str:
    """The station that it is of in a box of several; "": the box's own. first: the one that no id has before it."""
    station, _, _ = str(alarm["id"]).rpartition(".")
    return station or ("" if KINDS.get(str(alarm.get("key", ""))) in OF_THE_BOX else first)


def station_text(station: str) -> str:
    return word("alarms.station", station=station) if station else ""


def moment(utc_ms: int | None) -> str:
    """The time of day; the date too where it is not today's."""
    text, today = date_time(utc_ms), date_time(int(time.time() * 1000))
    return clock_time(utc_ms) if text[:10] == today[:10] else text


def record_view(record: Record, first: str = "", who: Who = NAMED) -> View:
    """Rates, shares and journal of the page. first: of several stations; "": there is one."""
    return {
        "rates": [
            _rate("alarms.rate.now", record.now, str(record.now)),
            _rate("alarms.rate.mean", mean := record.day * RATE_MS / DAY_MS, f"{mean:.2f}"),
            _rate("alarms.rate.most", record.most, str(record.most)),
        ],
        "shares": _shares(record.by_priority),
        "often": [(name_of({"key": key}), count) for key, count in record.often],
        "journal": [_line(change, first, who) for change in record.journal],
    }


def shelf_times() -> list[tuple[int, str]]:
    """(minutes, text) that one may choose from."""
    return [
        (m, word("alarms.for.h", n=m // 60) if m >= 60 else word("alarms.for.min", n=m)) for m in MINUTES
    ]  # fmt: skip


def _rank(priority: str) -> int:
    """Most urgent first; one of another version than ours before all."""
    return RANKS.index(priority) if priority in RANKS else -1


def _said(alarm: Message, part: str, who: Who) -> str:
    """A text of the alarm's kind; of one of another version than ours what the log says: better than none. It may name
    people, and is for who may know them.
    """
    key, params = str(alarm.get("key", "")), alarm.get("params") or {}
    kind = KINDS.get(key)
    if kind is not None and (not part or kind.params == params.keys()):
        said = {name: _value(name, value, who) for name, value in params.items()}
        return word(f"alarm.{key}{part}", **said)
    return word(f"alarm.unknown{part}", detail=f"{key}: {alarm.get('cause', '')}" if who.names else key)


def _value(name: str, value: object, who: Who) -> object:
    match name:
        case "detail":
            return in_words(value)
        case "actor":
            return who(str(value))
        case _:
            return value


def _known(key: str, otherwise: str) -> str:
    return word(key) if has_word(key) else otherwise


def _phase_text(alarm: Message, phase: str, who: Who) -> str:
    if alarm.get("ending") is True:
        return word("alarms.phase.ending")
    if phase == Phase.ACKNOWLEDGED and alarm.get("event") == Event.ACKNOWLEDGED:
        return word("alarms.phase.acknowledged.by", actor=who(str(alarm["actor"])))
    return _known(f"alarms.phase.{phase}", phase)


def _rate(key: str, count: float, text: str) -> View:
    state = "flood" if count >= FLOOD else "busy" if count > BUSY else "calm"
    return {"name": word(key), "text": text, "state": state, "state_text": word(f"alarms.rate.{state}")}


def _shares(by_priority: Mapping[str, int]) -> list[View]:
    total = sum(by_priority.values())
    counts = {HIGH: total - by_priority.get(MEDIUM, 0) - by_priority.get(LOW, 0)}
    counts |= {priority: by_priority.get(priority, 0) for priority in (MEDIUM, LOW)}
    return [
        {
            "name": word(f"alarms.shares.{priority}"), "count": count, "aim": percent(AIM[priority]),
            "share": percent(count / total) if total else UNKNOWN, "part": round(100 * count / total) if total else 0,
            "aim_part": round(100 * AIM[priority]),
        }
        for priority, count in counts.items()
    ]  # fmt: skip


def _line(change: Change, first: str, who: Who) -> View:
    alarm: dict[str, Any] = {"key": change.key, "params": change.params, "cause": change.cause}
    return {
        "time": date_time(change.utc_ms),
        "name": name_of(alarm, who),
        "station": station_text(whose({**alarm, "id": change.id}, first)),
        "cause": _said(alarm, ".cause", who),
        "priority_text": _known(f"priority.{change.priority}", change.priority),
        "event": str(change.event),
        "event_text": _event_text(change),
        "who": word("alarms.box") if change.actor == BOX else who(change.actor),
        "why": change.shelved_why if change.event is Event.SHELVED else "",
    }


def _event_text(change: Change) -> str:
    if change.event is Event.SHELVED:
        return word("alarms.event.shelved", time=moment(change.shelved_until_utc_ms))
    return _known(f"alarms.event.{change.event}", str(change.event))

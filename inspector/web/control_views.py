"""Both register images, their changes and a dry run as the page Controls shows them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from inspector.web.present import View, result_text
from inspector.web.said import in_words
from inspector.web.words import has_word, offline_words, word
from plc.changes import Change, Edge, edges
from plc.images import Image, WordOrder
from plc.registers import CTRL, RECORD, STAT, Block, Register
from plc.values import BITS, set_bits, spelled

Message = Mapping[str, Any]
GROUPS = ("ctrl", "stat", "record")
_ORDERS: Mapping[str, WordOrder] = {"big": "big", "little": "little"}
_RUN_SIGNS = {"done": "pass", "failed": "fault", "aborted": "fault", "starting": "waiting", "running": "waiting"}


def registers_of(group: str) -> list[Register]:
    """CTRL, or what of STAT tells the station's state, or a part's record."""
    if group == "ctrl":
        return list(CTRL.registers)
    return [r for r in STAT.registers if (r.offset in RECORD or r.name.startswith("RES_")) == (group == "record")]


def bits_of(register: Register) -> list[str]:
    """Names of a register's bits; none where they have none."""
    return [str(bit.name) for bit in BITS.get(register.name, ())]


def group_view(group: str) -> View:
    """A table of the page before it is filled."""
    registers = [
        {"name": r.name, "meaning": word(f"register.{r.name}"), "bits": bits_of(r)} for r in registers_of(group)
    ]  # fmt: skip
    block = "ctrl" if group == "ctrl" else "stat"
    title, hint = word(f"controls.{group}"), word(f"controls.{group}.hint")
    return {"name": group, "title": title, "hint": hint, "block": block, "registers": registers}


def value_text(name: str, spelled_out: str) -> str:
    """A register's value as the table spells it, its word in the language of the task."""
    number, _, said = spelled_out.partition(" ")
    key = f"code.{name.rpartition('.')[2]}.{number}"
    return f"{number} {word(key)}" if said and has_word(key) else spelled_out


def image_view(words: Sequence[int], block: Block, word_order: str) -> View:
    """By register name: value as people read it, raw words in hex, bits that are set. Nothing seen yet: {}."""
    if len(words) != block.size:
        return {}
    image, found = Image(block, words, _ORDERS[word_order]), dict[str, View]()
    for register in block.registers:
        raw = image.words[register.offset : register.offset + register.length]
        bits = set_bits(register.name, image[register.name]) if register.name in BITS else []
        value = "" if register.name in BITS else value_text(register.name, spelled(image, register))
        found[register.name] = {"value": value, "hex": " ".join(f"{w:04X}" for w in raw), "bits": bits}
    return found


def state_view(found: Message) -> View:
    """Where the station stands, in words; the images; and what is forced."""
    offline, connected = found["offline"] is True, found["connected"] is True
    number = int(found["offline_reason"])
    key = "offline" if offline else "online" if number == 0 else "notready"
    why = offline_words(number).text if number else ""
    held = word("controls.held", person=found["held_by"]) if found["held_by"] else ""
    left = int(found["forced_left_s"])
    return {
        "station": str(found["station"]), "offline": offline, "held": bool(found["held_by"]), "state": key,
        "word": word(f"controls.state.{key}"), "why": held or why, "connected": connected,
        "link": in_words(str(found["text"])), "may_force": found["may_force"] is True, "no": int(found["no"]),
        "age": _age(found["ctrl_age_ms"]), "beat": _age(found["plc_beat_ms"]),
        "ctrl": image_view(found["ctrl"], CTRL, found["word_order"]),
        "stat": image_view(found["stat"], STAT, found["word_order"]),
        "forced": [
            {"name": name, "text": f"{name.removeprefix('STAT.')} = {value}"} for name, value in found["forced"].items()
        ],
        "forced_text": word("controls.forced.text", person=found["forced_by"], minutes=left // 60, seconds=left % 60),
    }  # fmt: skip


def _age(age_ms: int | None) -> str:
    if age_ms is None:
        return word("controls.never")
    return word("controls.ago", seconds=f"{age_ms / 1000:.1f}")


def changes_of(found: Message) -> tuple[list[Change], WordOrder]:
    """What the daemon sent, unpacked. Raises ValueError."""
    packed = [
        Change(int(no), int(ms), str(block), bytes.fromhex(old), bytes.fromhex(new))
        for no, ms, block, old, new in found["changes"]
    ]
    return packed, _ORDERS[found["word_order"]]


def edges_of(changes: Iterable[Change], word_order: WordOrder, wanted: str) -> list[Edge]:
    """Oldest first; wanted: a piece of the name, "" for all."""
    piece = wanted.strip().upper()
    return [edge for change in changes for edge in edges(change, word_order) if piece in edge.name]


def edge_view(edge: Edge) -> View:
    return {
        "no": edge.no, "time": utc_moment(edge.utc_ms), "writer": word(f"controls.writer.{edge.writer}"),
        "side": edge.writer, "name": edge.name, "before": value_text(edge.name, edge.before),
        "after": value_text(edge.name, edge.after),
    }  # fmt: skip


def utc_moment(utc_ms: int) -> str:
    """2026-11-26 03:45:12.123 in UTC, whatever the station's own time: it is compared with the PLC's trace."""
    return datetime.fromtimestamp(utc_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def run_view(state: Message) -> View:
    """A dry run: how far it is, and what came of it."""
    name = str(state.get("state", "none"))
    done, parts = int(state.get("done", 0)), int(state.get("parts", 0))
    summary = state.get("summary")
    why = in_words(state.get("why") or "")
    return {
        "state": name, "busy": name in ("starting", "running"), "sign": _RUN_SIGNS.get(name, "waiting"),
        "word": word(f"controls.run.{name}") if has_word(f"controls.run.{name}") else name, "why": why,
        "done": done, "parts": parts, "count": word("controls.run.count", done=done, parts=parts) if parts else "",
        "codes": [
            {"code": result_text(int(code)) if code != "0" else word("controls.run.noresult"), "count": count}
            for code, count in sorted((state.get("codes") or {}).items())
        ],
        "figures": [] if not isinstance(summary, Mapping) else _figures(summary),
        "agree": isinstance(summary, Mapping) and _agrees(summary),
    }  # fmt: skip


def _agrees(summary: Message) -> bool:
    """Every part was triggered, recorded and read, with one result."""
    return bool(summary["triggers"] == summary["rows"] == summary["plc_results"] and summary["mismatches"] == 0)


def _figures(summary: Message) -> list[tuple[str, str]]:
    counts = [(key, str(summary[key])) for key in ("triggers", "rows", "plc_results", "mismatches")]
    times = [(key, _ms(summary["cycle_ms"][key])) for key in ("p50", "p95", "p99", "p100")]
    took = ("took", word("controls.age", seconds=summary["took_s"]))
    slowest = [
        (word("controls.run.slowest", part=part["part_id"], id=part["trigger_id"]), _ms(part["ms"]))
        for part in summary["slowest"]
    ]
    return [*((word(f"controls.run.{key}"), value) for key, value in (*counts, *times, took)), *slowest]


def _ms(value: float | None) -> str:
    return "–" if value is None else word("milliseconds", number=f"{value:.1f}")

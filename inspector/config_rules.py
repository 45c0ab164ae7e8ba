"""What holds between the sections of a configuration: names that must meet, places apart, times that can work."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import TYPE_CHECKING, Any

from inspector.camera_sections import CameraConfig, OpenCvConfig
from inspector.core.types import Mode
from inspector.link_sections import BLOCKS, LinkConfig
from inspector.sections import StationConfig
from inspector.toml_file import wrong_key

if TYPE_CHECKING:
    from inspector.config import AppConfig

Key = tuple[str | int, ...]


def check(cfg: AppConfig) -> None:
    """Raises a pydantic error that names the key to change."""
    _each_once(cfg)
    for index, station in enumerate(cfg.stations):
        _names(cfg, index, station)
    _apart(cfg)
    _recipes(cfg)
    for index, station in enumerate(cfg.stations):
        _times(cfg, index, station)
        if cfg.bundle is None and station.mode is not Mode.COLLECT:
            text = f'"{station.mode}" needs a [bundle]; an empty box starts with mode = "collect"'
            raise wrong_key(text, "stations", index, "mode")
    _test(cfg)


def camera_settings(camera: CameraConfig) -> dict[str, float]:
    """The camera's own settings that the picture depends on, by name; a recipe may set others."""
    found: dict[str, Any] = camera.model_dump(include={"exposure_us", "width", "height", "fps", "settings"})
    return {**{k: float(v) for k, v in found.items() if isinstance(v, int | float)}, **found.get("settings", {})}


def _each_once(cfg: AppConfig) -> None:
    if cfg.camera is not None and cfg.cameras:
        raise wrong_key("write [camera] for one camera or [[cameras]] for several, not both", "cameras")
    if not cfg.all_cameras:
        raise wrong_key("is missing; it has no default", "camera")
    named = {
        ("stations", "id"): [s.id for s in cfg.stations], ("plc", "links", "name"): [n.name for n in cfg.plc.links],
        ("cameras", "id"): [c.id for c in cfg.all_cameras], ("recipes", "name"): [r.name for r in cfg.recipes],
    }  # fmt: skip
    for (*place, key), names in named.items():
        for index, name in enumerate(names):
            if name in names[:index]:
                raise wrong_key(f"{name!r} is the name of another one already", *place, index, key)
    used: dict[str, str] = {}
    for index, station in enumerate(cfg.stations):
        camera = station.cameras[0]
        if camera in used:
            text = f"camera {camera!r} is that of station {used[camera]!r} already: a station needs one of its own"
            raise wrong_key(text, "stations", index, "cameras")
        used[camera] = station.id


def _names(cfg: AppConfig, index: int, st: StationConfig) -> None:
    links = [link.name for link in cfg.plc.links]
    if ("link" in st.model_fields_set or len(links) > 1) and st.link not in links:
        text = f"there is no link {st.link!r}; [[plc.links]] has {_listed(links)}"
        raise wrong_key(text, "stations", index, "link")
    if st.cameras[0] not in {camera.id for camera in cfg.all_cameras}:
        section = "[[cameras]]" if cfg.cameras else "[camera]"
        have = _listed(camera.id for camera in cfg.all_cameras)
        raise wrong_key(
            f"there is no camera {st.cameras[0]!r}; {section} has id = {have}", "stations", index, "cameras"
        )
    known = [recipe.name for recipe in cfg.recipes]
    if any(name not in known for name in st.recipes.values()):
        text = f"there is no such recipe; [[recipes]] has {_listed(known)}"
        raise wrong_key(text, "stations", index, "recipes")


def _listed(names: Any) -> str:
    return ", ".join(map(repr, names))


def _apart(cfg: AppConfig) -> None:
    """Stations of one link: other numbers, other places."""
    for (_, one), (second, two) in combinations(enumerate(cfg.stations), 2):
        link = cfg.link_of(two)
        if cfg.link_of(one) is not link:
            continue
        if one.number == two.number:
            text = f"{two.number} is the number of station {one.id!r} on link {link.name!r} already"
            raise wrong_key(text, "stations", second, "number")
        if link.mode == "client":
            for theirs, ours in _overlaps(one, two):
                text = f"{ours} overlaps {theirs} of station {one.id!r} in the PLC's memory"
                raise wrong_key(text, "stations", second, ours)
    used = [cfg.link_of(st) for st in cfg.stations]
    for index, link in enumerate(cfg.plc.links):
        if not any(link is other for other in used):
            raise wrong_key("no station uses it; name it in one's link, or remove it", "plc", "links", index)
    for index, st in enumerate(cfg.stations):
        if cfg.link_of(st).mode == "server":
            for key in BLOCKS:
                if key in st.model_fields_set:
                    text = f"is for a client; a server has station {st.number} at {200 * (st.number - 1)}"
                    raise wrong_key(text, "stations", index, key)


def _overlaps(one: StationConfig, two: StationConfig) -> Iterator[tuple[str, str]]:
    for theirs, their_size in BLOCKS.items():
        for ours, our_size in BLOCKS.items():
            a, b = getattr(one, theirs), getattr(two, ours)
            if a < b + our_size and b < a + their_size:
                yield theirs, ours


def _recipes(cfg: AppConfig) -> None:
    for index, recipe in enumerate(cfg.recipes):
        if recipe.camera and not all(isinstance(c, OpenCvConfig) for c in _cameras_of(cfg, recipe.name)):
            raise wrong_key("only an opencv camera takes settings from a recipe", "recipes", index, "camera")
    meant: dict[int, tuple[str, str, dict[str, float]]] = {}  # number -> station, recipe, camera set-up
    for index, st in enumerate(cfg.stations):
        own = camera_settings(cfg.camera_of(st))
        if len({frozenset({*own, *recipe.camera}) for recipe in cfg.recipes_of(st).values()}) > 1:
            text = "its recipes name different camera settings; each must name all, or one keeps what another set"
            raise wrong_key(text, "stations", index, "recipes")
        for number, recipe in cfg.recipes_of(st).items():
            station, name, setup = meant.setdefault(number, (st.id, recipe.name, own))
            if (name, setup) != (recipe.name, own):
                text = f"{number} means another recipe or camera set-up at station {station!r}: a number is one of both"
                raise wrong_key(text, "stations", index, "recipes")


def _cameras_of(cfg: AppConfig, recipe: str) -> list[CameraConfig]:
    """Of the stations that may use this recipe; where none does, of all."""
    users = [st for st in cfg.stations if recipe in {r.name for r in cfg.recipes_of(st).values()}]
    return [cfg.camera_of(st) for st in users or cfg.stations]


def _times(cfg: AppConfig, index: int, st: StationConfig) -> None:
    link, camera, age_key = cfg.link_of(st), cfg.camera_of(st), ("stations", index, "max_trigger_age_ms")
    if link.mode == "client" and st.max_trigger_age_ms < 2 * link.poll_ms:
        text = f"must be at least 2 x poll_ms = {2 * link.poll_ms:g}, or no trigger would ever be fresh"
        raise wrong_key(text, *age_key)
    if camera.grab_timeout_ms >= st.deadline_ms:
        text = f"must be below deadline_ms = {st.deadline_ms:g}, or a late frame leaves no time to answer"
        raise wrong_key(text, *_camera_key(cfg, camera), "grab_timeout_ms")
    if st.belt_mm_s is not None and st.position_tolerance_mm is not None:
        exposure_us = getattr(camera, "exposure_us", 0)
        moved_mm = st.belt_mm_s * (st.max_trigger_age_ms / 1e3 + exposure_us / 1e6)
        if moved_mm > st.position_tolerance_mm:
            text = (
                f"the part moves {moved_mm:.1f} mm within max_trigger_age_ms and the exposure, more than "
                f"position_tolerance_mm = {st.position_tolerance_mm:g}: shorten them, or slow down"
            )
            raise wrong_key(text, *age_key)


def _camera_key(cfg: AppConfig, camera: CameraConfig) -> Key:
    return ("camera",) if camera is cfg.camera else ("cameras", cfg.cameras.index(camera))


def _test(cfg: AppConfig) -> None:
    if cfg.test.camera_faults and cfg.faulty_camera.kind != "rendered":
        raise wrong_key("only the rendered camera fails on demand", "test", "camera_faults")


def link_of(links: tuple[LinkConfig, ...], st: StationConfig) -> LinkConfig:
    """The link that a station names; where there is one only, that."""
    return next((link for link in links if link.name == st.link), links[0])

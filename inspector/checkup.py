"""`inspector check`: everything that would keep a station from starting, found before it starts. Changes nothing."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from inspector.bundle.checks import require_fit
from inspector.bundle.golden import check_limits, replay
from inspector.bundle.keys import load_keys
from inspector.bundle.verify import VerifiedBundle, verify
from inspector.camera_sections import CameraConfig, FolderConfig, OpenCvConfig
from inspector.check_ports import look_at_page, look_at_server
from inspector.compose import bounds_of
from inspector.config import AppConfig
from inspector.config_rules import camera_settings
from inspector.core.errors import ConfigError, InspectorError
from inspector.core.types import JudgedBy
from inspector.link_sections import LinkConfig
from inspector.model import load_model
from inspector.office.held_out import pictures_in
from inspector.pictures import SUFFIXES
from inspector.recipes import Recipe, Revision, content_of, recipe_of
from inspector.threads import DeviceThread
from plc.tls import ServerTls, TlsError, client_context, notices, read_certificate


@dataclass(frozen=True, slots=True)
class Found:
    """One thing that was looked at; text: what it is, or what is wrong and what to do."""

    what: str
    ok: bool
    text: str


def check_station(cfg: AppConfig) -> Iterator[Found]:
    """Each finding as soon as it is known; the bundle takes seconds."""
    for st in cfg.stations:
        link = cfg.link_of(st)
        plc = f"PLC {link.carrier.where}" if link.mode == "client" else f"listens at {link.carrier.where}"
        yield Found("configuration", True, f"station {st.id}, mode {st.mode}, {plc}")
    for link in cfg.plc.links:
        if link.transport != "tcp":
            yield _tried("link", partial(_link, link))
        if link.mode == "server" and link.transport != "rtu":
            yield _tried("port", partial(look_at_server, cfg, link))
    yield _tried("paths", lambda: _paths(cfg))
    yield _tried("room", lambda: _room(cfg))
    for camera in cfg.all_cameras:
        yield _tried("camera", partial(_camera, camera))
    if cfg.bundle is not None:
        yield _tried("bundle", lambda: _bundle(cfg))
    yield _tried("page", lambda: look_at_page(cfg))
    yield _tried("backup", lambda: _backup(cfg))
    if cfg.review.leave_out:
        yield _tried("dataset", lambda: _left_out(cfg))


def _tried(what: str, look: Callable[[], str]) -> Found:
    try:
        return Found(what, True, look())
    except InspectorError as exc:
        return Found(what, False, str(exc))


def _paths(cfg: AppConfig) -> str:
    for folder in (cfg.paths.state, cfg.paths.run):
        nearest = _nearest(folder)
        if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
            raise ConfigError(f"[paths] {nearest} is not a folder that this user may write in; change its owner")
    return f"state in {cfg.paths.state.resolve()}, run in {cfg.paths.run.resolve()}"


def _room(cfg: AppConfig) -> str:
    """Pictures give way as soon as less is free than is asked for: where it is less already, none is kept for long."""
    folder = _nearest(cfg.paths.state)
    disk = os.statvfs(folder)
    total, free = (blocks * disk.f_frsize for blocks in (disk.f_blocks, disk.f_bavail))
    begin, _ = bounds_of(cfg).marks(total)
    told = f"{free / 1e9:.1f} GB free of {total / 1e9:.1f} GB at {folder}; pictures give way below {begin / 1e9:.1f} GB"
    if free < begin:
        raise ConfigError(f"[archive] {told}: they would go at once. Make room, or lower begin_free_gb or min_free_gb")
    return told


def _nearest(folder: Path) -> Path:
    """It, or what it will be made in."""
    return next(p for p in (folder, *folder.absolute().parents) if p.exists())


def _link(link: LinkConfig) -> str:
    """Certificates and how long they are good, or the serial port. The PLC is not asked: the daemon may be at it."""
    if link.serial is not None and not Path(link.serial.device).exists():
        raise ConfigError(f"[plc.links.serial] {link.serial.device} is not there; look into /dev/serial/by-id")
    if link.tls is None:
        return f"{link.carrier.where} at {link.serial.baud} baud" if link.serial is not None else link.carrier.where
    try:
        if link.mode == "client":
            client_context(link.tls.files)
        else:
            ServerTls(link.tls.files)
        found, now = read_certificate(link.tls.certificate), datetime.now(UTC)
        ending = notices(link.tls.files, now)
    except TlsError as exc:
        raise ConfigError(f"[plc.links.tls] {exc}") from exc
    role = f", role {found.role!r}" if found.role is not None else ""
    return "; ".join([f"certificate {found.name!r}{role}, {found.days_left(now):.0f} days left", *ending])


def _camera(camera: CameraConfig) -> str:
    """Whether it is there. It is not opened: the daemon may be using it."""
    if isinstance(camera, FolderConfig):
        folder = camera.folder
        pictures = [p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES] if folder.is_dir() else []
        if not pictures:
            raise ConfigError(f"[camera] folder {folder} holds no pictures; copy some there, or correct the path")
        return f"{len(pictures)} pictures in {folder}"
    if isinstance(camera, OpenCvConfig):
        if camera.device is not None and not Path(f"/dev/video{camera.device}").exists():
            raise ConfigError(f"[camera] /dev/video{camera.device} is not there; `inspector camera list` shows what is")
        if camera.file is not None and not camera.file.is_file():
            raise ConfigError(f"[camera] {camera.file} is not there")
    return f"kind {camera.kind}"


def _bundle(cfg: AppConfig) -> str:
    """As at a start: verified, the recipe inside its signed limits, loaded, golden pictures replayed."""
    section = cfg.bundle
    if section is None:
        raise ConfigError("no [bundle]")
    thread = DeviceThread("model")
    try:
        with tempfile.TemporaryDirectory(prefix="inspector-check-") as folder:
            bundle = verify(section.path, load_keys(section.trusted_keys, section.revoked_keys), Path(folder) / "b")
            recipes = _recipes(cfg, bundle)
            _, _, width, height = bundle.manifest.view.roi
            by = JudgedBy(bundle.manifest.bundle_id)
            model = load_model(bundle, (height, width), threads=cfg.model.threads, judged_by=by, thread=thread)
            report = replay(bundle, model.predict_blocking)
            for recipe in recipes:
                if recipe.limits is not None:
                    check_limits(report, recipe.limits)
    finally:
        thread.close()
    return f"{bundle.manifest.bundle_id}, signature good, {len(report.rows)} golden pictures come out as signed"


def _recipes(cfg: AppConfig, bundle: VerifiedBundle) -> list[Recipe]:
    """All that the PLC may ask for. Raises RecipeError, BundleError."""
    found = []
    for st in cfg.stations:
        for number, section in cfg.recipes_of(st).items():
            content = content_of(section, camera_settings(cfg.camera_of(st)))
            require_fit(bundle.manifest, product=content.product or None)
            found.append(recipe_of(Revision(number, 1, content, 0, "check", "check"), bundle.manifest))
    return found


def _backup(cfg: AppConfig) -> str:
    """Whether there is a place for it, and a key that can be read."""
    section = cfg.backup
    if section.folder is None:
        return "none: no [backup] folder is named"
    if not section.folder.is_dir():
        raise ConfigError(f"[backup] {section.folder} is not there: is the stick in, or the network folder mounted?")
    if section.key is not None and not section.key.exists():
        raise ConfigError(f"[backup] {section.key} is not there; `inspector backup-key` makes one")
    return f"to {section.folder}, {'encrypted' if section.key is not None else 'without private keys'}"


def _left_out(cfg: AppConfig) -> str:
    """Raises ExportError: there is nothing where the pictures should be, so no dataset can be made."""
    count = sum(1 for _ in pictures_in(cfg.review.leave_out))
    return f"kept free of {count} pictures in {', '.join(map(str, cfg.review.leave_out))}"

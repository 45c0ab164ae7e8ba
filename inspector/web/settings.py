"""What the page needs of the configuration, and no more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from inspector.config import AppConfig
from inspector.core.errors import ConfigError
from inspector.office.certificate import KeyPair, own_pair
from inspector.office.held_out import SLOTS
from inspector.office.sessions import Lifetime
from inspector.sections import BundleConfig
from inspector.web.guard import LOCAL_NAMES, is_loopback


@dataclass(frozen=True, slots=True)
class WebSettings:
    """Where to listen and what to read. Of the paths, only `office` is written; the others are the daemon's."""

    socket: Path  # the daemon's control socket
    previews: Path  # folder of the last pictures, small
    results_db: Path
    archive: Path  # folder of the kept pictures
    office: Path  # folder of office.db and of the box's own certificate
    host: str = "127.0.0.1"
    port: int = 8080
    allow_remote_view: bool = False  # anyone on that network may look, without log-in
    view: Literal["anyone", "logged_in"] | None = None  # None: anyone, where the network is not let in without it
    pictures: Literal["anyone", "logged_in"] = "anyone"  # of those who may look
    more_names: tuple[str, ...] = ()  # that a proxy on this box serves us under
    tls: KeyPair | None = None
    life: Lifetime = field(default_factory=Lifetime)
    backups: Path | None = None  # folder of backups; listed alone
    config: Mapping[str, Any] = field(default_factory=dict)  # as it was read, for the support bundle
    two_people: bool = False  # a label is settled once two people agree
    bundle: BundleConfig | None = None  # whose golden pictures no dataset may hold
    class_names: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # as people say, by language
    leave_out: tuple[Path, ...] = ()  # folders whose pictures no dataset may hold

    def checked(self) -> WebSettings:
        """Raises ConfigError: an address that others can reach, without the permission written down."""
        if self.is_reached and not self.allow_remote_view and self.view != "logged_in":
            where = f"host = {self.host!r}" if not is_loopback(self.host) else f"names = {list(self.more_names)}"
            raise ConfigError(
                f"[web] {where} lets the network look at this page without log-in; keep 127.0.0.1, or write "
                'allow_remote_view = true beside it, or view = "logged_in"'
            )
        if self.view == "logged_in" and not is_loopback(self.host) and self.tls is None:
            raise ConfigError(f'[web] host = {self.host!r} with view = "logged_in" needs tls = true to log in over')
        return self

    @property
    def slots(self) -> Path:
        """Folder of the installed bundles."""
        return self.results_db.with_name(SLOTS)

    @property
    def is_reached(self) -> bool:
        """True if others than this box reach the page."""
        return not is_loopback(self.host) or bool(self.more_names)

    @property
    def anyone_looks(self) -> bool:
        """True if the line and its record are shown without log-in."""
        return self.view != "logged_in"

    @property
    def anyone_sees(self) -> bool:
        """True if pictures of parts are shown without log-in, too."""
        return self.anyone_looks and self.pictures == "anyone"

    @property
    def names(self) -> frozenset[str] | None:
        """Host names that are answered; None: any."""
        if self.allow_remote_view or not is_loopback(self.host):
            return None
        return LOCAL_NAMES | {self.host, *self.more_names}

    @property
    def url(self) -> str:
        return f"{'https' if self.tls is not None else 'http'}://{self.host}:{self.port}/"


def settings_of(cfg: AppConfig) -> WebSettings:
    """The page's part of the configuration. Raises ConfigError."""
    return WebSettings(
        socket=cfg.paths.run / "control.sock",
        previews=cfg.paths.run / "previews",
        results_db=cfg.paths.state / "results.db",
        archive=cfg.paths.state / "pictures",
        host=cfg.web.host,
        port=cfg.web.port,
        office=cfg.paths.office_folder,
        allow_remote_view=cfg.web.allow_remote_view,
        view=cfg.web.view,
        pictures=cfg.web.pictures,
        more_names=cfg.web.names,
        tls=_pair_of(cfg),
        life=Lifetime(int(cfg.web.idle_min * 60_000), int(cfg.web.session_h * 3_600_000)),
        two_people=cfg.review.two_people,
        bundle=cfg.bundle,
        leave_out=cfg.review.leave_out,
        class_names=cfg.classes.model_dump(),
        backups=cfg.backup.folder,
        config=cfg.model_dump(mode="json", exclude_unset=True),
    ).checked()


def _pair_of(cfg: AppConfig) -> KeyPair | None:
    """Certificate and key: those that are named, else the box's own; None: no TLS."""
    web = cfg.web
    if web.certificate is not None and web.key is not None:
        return KeyPair(web.certificate, web.key)
    return own_pair(cfg.paths.office_folder) if web.tls else None

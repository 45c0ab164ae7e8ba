"""What the page needs of the configuration, and no more."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from inspector.config import AppConfig
from inspector.core.errors import ConfigError
from inspector.web.guard import LOCAL_NAMES, is_loopback


@dataclass(frozen=True, slots=True)
class WebSettings:
    """Where to listen and what to read. All paths exist only while the daemon has made them; none is written."""

    socket: Path  # the daemon's control socket
    previews: Path  # folder of the last pictures, small
    results_db: Path
    archive: Path  # folder of the kept pictures
    host: str = "127.0.0.1"
    port: int = 8080
    allow_remote_view: bool = False  # anyone on that network may look; there is no log-in on these pages

    def checked(self) -> WebSettings:
        """Raises ConfigError: an address that others can reach, without the permission written down."""
        if not is_loopback(self.host) and not self.allow_remote_view:
            raise ConfigError(
                f"[web] host = {self.host!r} lets the network look at this page, which has no log-in; keep 127.0.0.1, "
                "or write allow_remote_view = true beside it"
            )
        return self

    @property
    def names(self) -> frozenset[str] | None:
        """Host names that are answered; None: any."""
        return None if self.allow_remote_view else LOCAL_NAMES | {self.host}


def settings_of(cfg: AppConfig) -> WebSettings:
    """The page's part of the configuration. Raises ConfigError."""
    return WebSettings(
        socket=cfg.paths.run / "control.sock",
        previews=cfg.paths.run / "previews",
        results_db=cfg.paths.state / "results.db",
        archive=cfg.paths.state / "pictures",
        host=cfg.web.host,
        port=cfg.web.port,
        allow_remote_view=cfg.web.allow_remote_view,
    ).checked()

"""Whether the addresses that a station listens at are free, or taken by its own processes, which may be running."""

from __future__ import annotations

import errno
import http.client
import json
import socket
import ssl
from pathlib import Path

from inspector.config import AppConfig
from inspector.core.errors import ConfigError
from inspector.link_sections import LinkConfig
from inspector.web.settings import settings_of

ANSWER_S = 2.0
ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # where who listens everywhere is asked


def look_at_page(cfg: AppConfig) -> str:
    """Raises ConfigError: the page could not be served."""
    settings = settings_of(cfg)
    if _is_free(settings.host, settings.port, "[web]"):
        return f"{settings.url} (inspector web)"
    if not _is_our_page(settings.host, settings.port, settings.tls is not None):
        raise ConfigError(_taken("[web]", settings.host, settings.port))
    return f"{settings.url} (inspector web answers there now; if it is of another station, choose another [web] port)"


def look_at_server(cfg: AppConfig, link: LinkConfig) -> str:
    """Of a link where PLCs find us. Raises ConfigError: the daemon could not listen there."""
    if _is_free(link.host, link.at_port, "[[plc.links]]"):
        return f"{link.carrier.where} is free"
    if not _daemon_runs(cfg.paths.run / "control.sock"):
        raise ConfigError(_taken("[[plc.links]]", link.host, link.at_port))
    return f"{link.carrier.where} is taken, as this station's daemon runs now"


def _taken(section: str, host: str, port: int) -> str:
    return (
        f"{section} {host}:{port} is taken by another process (`ss -ltnp` as root shows which): stop that, "
        "or choose another port"
    )


def _is_free(host: str, port: int, section: str) -> bool:
    """True, too, where this user may not try: a port below 1024 is the service's. Raises ConfigError: no such address.

    Bound and let go without a moment of listening, so nobody can have connected.
    """
    host = host.strip("[]")
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as ours do: what only ended just now is free
        try:
            sock.bind((host, port))
        except OSError as exc:
            if exc.errno in (errno.EADDRINUSE, errno.EACCES):
                return exc.errno == errno.EACCES
            raise ConfigError(f"{section} cannot listen on {host}:{port}: {exc.strerror or exc}") from exc
    return True


def _is_our_page(host: str, port: int, tls: bool) -> bool:
    """True where an inspector's page answers. Its certificate is not looked at: nothing is told to it."""
    at = ANY.get(host.strip("[]"), host.strip("[]"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    asked = (
        http.client.HTTPSConnection(at, port, timeout=ANSWER_S, context=context)
        if tls
        else http.client.HTTPConnection(at, port, timeout=ANSWER_S)
    )
    try:
        asked.request("GET", "/healthz")
        return bool(json.loads(asked.getresponse().read(1000)) == {"status": "ok"})
    except (OSError, http.client.HTTPException, ValueError):
        return False
    finally:
        asked.close()


def _daemon_runs(control: Path) -> bool:
    """True, too, where the control socket is there and not for this user."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(ANSWER_S)
        try:
            sock.connect(str(control))
        except PermissionError:
            return True
        except OSError:
            return False
    return True

"""From [[plc.links]] to connections: a client that polls the PLC, or a server that the PLC finds us at."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from inspector.core.errors import ConfigError
from inspector.link_sections import LinkConfig
from inspector.sections import StationConfig
from plc.client import ClientLink
from plc.client import LinkConfig as ClientConfig
from plc.handshake import Handshake, HandshakeConfig
from plc.server_link import ServerConfig, ServerLink
from plc.station import Link, StationPlace
from plc.tls import ServerTls, TlsError


def open_link(section: LinkConfig, places: Sequence[StationPlace]) -> Link:
    """One link with its stations, in their order; it connects or listens once it runs."""
    if section.mode == "server":
        return ServerLink(
            ServerConfig(
                host=section.host, port=section.at_port, allow_peers=section.allow_peers,
                max_connections=section.max_connections, comm_timeout_s=section.comm_timeout_ms / 1000,
                heartbeat_s=section.heartbeat_ms / 1000, word_order=section.word_order,
                serial=section.serial.port if section.serial is not None else None, unit_id=section.unit_id,
            ),
            places, tls=_server_tls(section),
        )  # fmt: skip
    return ClientLink(
        ClientConfig(
            host=section.host, port=section.at_port, unit_id=section.unit_id, word_order=section.word_order,
            poll_s=section.poll_ms / 1000, armed_poll_s=section.armed_poll_ms / 1000,
            request_timeout_s=section.request_timeout_ms / 1000,
            reconnect_min_s=section.reconnect_min_ms / 1000, reconnect_max_s=section.reconnect_max_ms / 1000,
            heartbeat_s=section.heartbeat_ms / 1000, two_phase=section.publish == "two_phase",
            transport=section.carrier,
        ),
        places,
    )  # fmt: skip


def _server_tls(section: LinkConfig) -> ServerTls | None:
    """Raises ConfigError: certificate or key cannot be used."""
    if section.tls is None:
        return None
    roles, names = section.tls.write_roles, section.tls.allow_names
    try:
        return ServerTls(
            section.tls.files, write_roles=None if roles is None else frozenset(roles),
            allow_names=None if names is None else frozenset(names),
        )  # fmt: skip
    except TlsError as exc:
        raise ConfigError(f"[plc.links.tls] {exc}") from exc


def handshake_config(st: StationConfig, link: LinkConfig, recipe: int, settings_checksum: int) -> HandshakeConfig:
    """recipe: the number that is active at the start; 0: none."""
    return HandshakeConfig(
        st.number, st.max_trigger_age_ms / 1000, st.deadline_ms / 1000, st.ack_timeout_ms / 1000,
        link.heartbeat_timeout_ms / 1000, recipe, link.word_order, settings_checksum=settings_checksum,
    )  # fmt: skip


def place_of(st: StationConfig, handshake: Handshake, diag: Callable[[], dict[str, int]]) -> StationPlace:
    return StationPlace(handshake, st.ctrl_base, st.stat_base, st.diag_base, st.ident_base, diag)

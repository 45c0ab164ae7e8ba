"""The file of one station, with times for two cores that others use as well."""

from __future__ import annotations

from pathlib import Path

from plc.sim import SimConfig

START_S = 60.0
PATIENT = SimConfig(ack_timeout_s=8, result_timeout_s=10, heartbeat_timeout_s=2, ready_timeout_s=START_S)
PATIENT_LINK = "request_timeout_ms = 4000\nheartbeat_timeout_ms = 4000"
RENDERED = 'kind = "rendered"'
_STATION = """
[paths]
state = "{state}"
run = "{run}"

[[plc.links]]
{place}
{link}

[[stations]]
id = "st1"
deadline_ms = {deadline_ms}
max_trigger_age_ms = 1500
{station}

[camera]
grab_timeout_ms = {grab_timeout_ms}
{camera}

{more}
"""


def station_text(
    state: Path, run: Path, port: int | None, *,
    deadline_ms: int = 4000, link: str = PATIENT_LINK, station: str = "", camera: str = RENDERED, more: str = "",
) -> str:  # fmt: skip
    """A station `st1` with a PLC at `port` of this box; None: `link` says where it is.

    link, station, camera: more keys of these sections; more: sections after them.
    """
    place = "" if port is None else f'host = "127.0.0.1"\nport = {port}'
    return _STATION.format(
        state=state, run=run, place=place, link=link, deadline_ms=deadline_ms, grab_timeout_ms=deadline_ms // 2,
        station=station, camera=camera, more=more,
    )  # fmt: skip

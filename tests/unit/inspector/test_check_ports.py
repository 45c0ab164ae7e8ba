"""`inspector check` tells a port that another process has from one that the station's own processes have."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import httpx
import pytest

from inspector.check_ports import look_at_page, look_at_server
from inspector.config import AppConfig
from inspector.control import ControlServer
from inspector.core.errors import ConfigError
from tests.support.fake_daemon import unrecorded
from tests.support.page import browser_at, page_process, site_in


def station(folder: Path, *, web: int = 8080, plc: int = 5020, host: str = "127.0.0.1") -> AppConfig:
    return AppConfig.model_validate(
        {
            "paths": {"state": folder / "state", "run": folder / "run"},
            "plc": {"links": [{"host": host, "port": plc, "mode": "server"}]},
            "stations": [{"id": "st1", "mode": "collect"}],
            "camera": {"kind": "rendered"},
            "web": {"port": web},
        }
    )


@pytest.fixture
def taken():
    """A port where somebody else listens, and says nothing."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        sock.settimeout(0.01)
        yield sock.getsockname()[1]


def test_ports_that_are_free_are_told_as_free(tmp_path: Path, free_port: int) -> None:
    cfg = station(tmp_path, web=free_port, plc=free_port)
    assert look_at_page(cfg) == f"http://127.0.0.1:{free_port}/ (inspector web)"
    assert look_at_server(cfg, cfg.plc.links[0]) == f"127.0.0.1:{free_port} is free"


def test_a_port_of_another_process_is_wrong_and_says_how_to_find_it(
    tmp_path: Path, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inspector.check_ports.ANSWER_S", 0.1)
    cfg = station(tmp_path, web=taken, plc=taken)
    told = rf"127\.0\.0\.1:{taken} is taken by another process \(`ss -ltnp`"
    with pytest.raises(ConfigError, match=r"\[web\] " + told):
        look_at_page(cfg)
    with pytest.raises(ConfigError, match=r"\[\[plc\.links\]\] " + told):
        look_at_server(cfg, cfg.plc.links[0])


def test_an_address_that_the_machine_does_not_have_is_wrong(tmp_path: Path) -> None:
    cfg = station(tmp_path, host="192.0.2.77")
    with pytest.raises(ConfigError, match=r"cannot listen on 192\.0\.2\.77:5020: Cannot assign"):
        look_at_server(cfg, cfg.plc.links[0])


async def test_a_station_that_runs_is_not_told_that_its_own_ports_are_taken(tmp_path: Path, taken: int) -> None:
    control = ControlServer(tmp_path / "run" / "control.sock", {}, unrecorded)
    await control.start()
    async with page_process(site_in(tmp_path)) as origin:
        async with browser_at(origin, transport=httpx.AsyncHTTPTransport(retries=5)) as client:
            assert (await client.get("/healthz")).status_code == 200
        cfg = station(tmp_path, web=int(origin.rpartition(":")[2]), plc=taken)
        assert "inspector web answers there now" in await asyncio.to_thread(look_at_page, cfg)
        assert "this station's daemon runs now" in await asyncio.to_thread(look_at_server, cfg, cfg.plc.links[0])
    await control.close()

"""A port for a server that is started by number."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from plc import free_port as module
from plc.free_port import free_port


@pytest.mark.parametrize(
    ("outgoing", "theirs"), [("32768\t60999\n", False), ("20000\t60999\n", False), ("1024\t65535\n", True)]
)
def test_a_port_is_none_of_outgoing_connections_unless_they_have_them_all(
    outgoing: str, theirs: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "range"
    file.write_text(outgoing)
    monkeypatch.setattr(module, "_OUTGOING", file)
    for _ in range(20):
        port = free_port()
        assert theirs or port < int(outgoing.split()[0])
        with socket.create_server(("127.0.0.1", port)):
            pass

"""Free TCP ports, for servers that a test starts by number."""

from __future__ import annotations

from plc.free_port import free_port

a_free_port = free_port

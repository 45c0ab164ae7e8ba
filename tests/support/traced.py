"""A process with every use of the network written down, by strace."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path

import psutil
import pytest

STRACE = shutil.which("strace")
CALLS = "connect,sendto,sendmsg,sendmmsg"
END_S = 30.0
_ADDRESS = re.compile(r'inet_(?:addr\(|pton\(AF_INET6, )"([^"]+)"')
_PORT = re.compile(r"sin6?_port=htons\((\d+)\)")
_UNIX = re.compile(r'sun_path=@?"([^"]*)"')
NAME_SERVICES = ("nscd", "resolve")  # local sockets behind which names are looked up
DNS = 53


class Traced:
    """A running process and what it said to the network so far."""

    def __init__(self, process: subprocess.Popen[bytes], trace: Path) -> None:
        self.process, self._trace = process, trace

    def calls(self) -> list[str]:
        return [line for line in self._trace.read_text(errors="replace").splitlines() if "(" in line]

    def outgoing(self) -> list[str]:
        """Calls that reach beyond this machine, or look up a name wherever that is."""
        return [call for call in self.calls() if is_outgoing(call)]


def is_outgoing(call: str) -> bool:
    """A line of strace that names an address which is not loopback, or a service of names."""
    if any(service in path for path in _UNIX.findall(call) for service in NAME_SERVICES):
        return True
    beyond = any(not ip_address(address).is_loopback for address in _ADDRESS.findall(call))
    return beyond or any(int(port) == DNS for port in _PORT.findall(call))


@contextmanager
def traced(folder: Path, name: str, *command: str) -> Iterator[Traced]:
    """Run `python COMMAND`, all its threads and children traced; ended by SIGTERM. Skips where strace cannot."""
    if STRACE is None:
        pytest.skip("strace is not installed (apt install strace)")
    trace, log = folder / f"{name}.trace", folder / f"{name}.log"
    trace.touch()
    tracer = [STRACE, "-f", "-qq", "--seccomp-bpf", "-s", "64", "-e", f"trace={CALLS}", "-o", str(trace)]
    with log.open("wb") as out:
        process = subprocess.Popen([*tracer, sys.executable, *command], stdout=out, stderr=out)
    try:
        yield Traced(process, trace)
    finally:
        for child in psutil.Process(process.pid).children() if process.poll() is None else []:
            child.terminate()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if "ptrace" in (text := log.read_text(errors="replace")) and "not permitted" in text:
        pytest.skip("this system lets nobody trace")

"""The demo's processes: each a real command in a session of its own, ended in order; none outlives the demo."""

from __future__ import annotations

import asyncio
import ctypes
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from inspector.core.errors import InspectorError

END_S = 5.0  # so long may a process take to end in order
PR_SET_PDEATHSIG = 1  # prctl(2)


class DemoError(InspectorError):
    """A process of the demo did not do its work."""


def config_text(port: int, folder: Path, more: str = "", page_port: int = 8080) -> str:
    """A station like configs/demo.toml, on this PLC's port and in this folder."""
    template = Path(__file__).with_name("demo.toml").read_text(encoding="utf-8")
    return template.format(port=port, page_port=page_port, state=folder / "state", run=folder / "run") + more


@asynccontextmanager
async def child(
    name: str, *arguments: str, log: Path, piped: bool = False
) -> AsyncIterator[asyncio.subprocess.Process]:
    """`python -m NAME ARGUMENTS`, ended by SIGTERM. What it says on stderr goes to `log`."""
    with log.open("ab") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", name, *arguments,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE if piped else out, stderr=out,
            start_new_session=True,  # Ctrl-C reaches the parent alone, which ends all in order
            preexec_fn=_end_with_parent(),
        )  # fmt: skip
    try:
        yield process
    finally:
        await _end(process)


@asynccontextmanager
async def daemon(config: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """`inspector run`, its log beside the configuration."""
    async with child("inspector", "run", str(config), log=config.parent / "daemon.log") as process:
        yield process


def last_words(log: Path) -> str:
    """The end of a log, for an error message."""
    return log.read_text(encoding="utf-8", errors="replace")[-1500:].strip() if log.exists() else ""


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(END_S):
            await process.communicate()  # drains a pipe too, so that nobody waits for us to read
    except TimeoutError:
        process.kill()
        await process.communicate()


def _end_with_parent() -> Callable[[], None]:
    """Runs in the child: it is ended when the parent dies, also where the parent is killed."""
    prctl = ctypes.CDLL(None).prctl  # loaded before the fork
    return lambda: prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

"""`inspector-plc` as a process."""

from __future__ import annotations

import asyncio
import sys


async def plc_command(*arguments: str) -> tuple[int, str, str]:
    """Exit status, stdout and stderr; the loop goes on meanwhile."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "plc.cli", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(240):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert b"Traceback" not in out + err, (out + err).decode()
    return process.returncode or 0, out.decode(), err.decode()

"""What a child process gives up before it touches what came from outside. Call first of all, before threads start."""

from __future__ import annotations

import ctypes
import signal

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
PR_SET_PDEATHSIG = 1


def without_network() -> bool:
    """Leave the network, where the kernel lets an ordinary user do so; the unit's own rules hold in any case."""
    unshare = getattr(ctypes.CDLL(None, use_errno=True), "unshare", None)
    return unshare is not None and unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0


def end_with_parent() -> bool:
    """Be killed when the thread that started this process ends, however it ends (prctl(2); Linux only)."""
    prctl = getattr(ctypes.CDLL(None, use_errno=True), "prctl", None)
    return prctl is not None and prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) == 0

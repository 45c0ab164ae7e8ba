"""OpenVINO's CPU plugin gives its thread a larger stack for signal handlers and frees it with the plugin.

Where a model was compiled on the main thread and its plugin is destroyed on another, the main thread keeps the freed
stack, and the next handled signal ends the interpreter (seen with 2026.4.1 on a CPU with AVX-512; a debugger shows the
fault in the kernel's delivery of SIGTERM). The daemon compiles on the model's own thread, so its main thread is safe.
"""

from __future__ import annotations

import ctypes

SS_DISABLE = 2  # <bits/ss_flags.h>


class _StackT(ctypes.Structure):
    _fields_ = (("ss_sp", ctypes.c_void_p), ("ss_flags", ctypes.c_int), ("ss_size", ctypes.c_size_t))


def drop() -> None:
    """Let this thread's signal handlers run on its ordinary stack. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.sigaltstack(ctypes.byref(_StackT(None, SS_DISABLE, 0)), None) != 0:
        raise OSError(ctypes.get_errno(), "sigaltstack")

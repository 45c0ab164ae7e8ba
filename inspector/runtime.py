"""OpenVINO as we use it: imported late, without telemetry, and only on a CPU that the bundle was qualified for."""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

CPUINFO = Path("/proc/cpuinfo")
ISA_LIMIT = "ONEDNN_MAX_CPU_ISA"  # narrows OpenVINO's CPU plugin too, so one machine can stand for several
_NARROWED: dict[str, frozenset[str]] = {
    "SSE41": frozenset(),
    "AVX": frozenset(),
    "AVX2": frozenset({"avx2"}),
    "AVX2_VNNI": frozenset({"avx2", "avx_vnni"}),
    "AVX512_CORE": frozenset({"avx2"}),
}
_FLAGS = ("avx2", "avx_vnni", "avx512_vnni", "amx_int8")


@lru_cache(maxsize=1)
def openvino() -> Any:
    """The openvino module, imported on first use (half a second) and with its telemetry switched off.

    OpenVINO reports every import to its maker when the package openvino_telemetry is there, as pip puts it. A None in
    sys.modules makes that import fail, and OpenVINO and NNCF then use their own stubs: nothing is sent.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino as module

    return module


def instruction_sets() -> frozenset[str]:
    """The 8-bit instruction sets this process may use, e.g. {"avx2", "avx512_vnni"}."""
    flags: set[str] = set()
    for line in CPUINFO.read_text().splitlines():
        if line.startswith("flags"):
            flags = set(line.split(":", 1)[1].split())
            break
    have = frozenset(flag for flag in _FLAGS if flag in flags)
    limit = os.environ.get(ISA_LIMIT, "").upper()
    return have & _NARROWED[limit] if limit in _NARROWED else have


def cpu_model() -> str:
    """The CPU's name as Linux gives it, for the record."""
    for line in CPUINFO.read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown"

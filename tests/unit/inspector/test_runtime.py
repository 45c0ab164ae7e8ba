from __future__ import annotations

from pathlib import Path

import pytest

from inspector import runtime

CPUINFO = "processor : 0\nmodel name : Example 9\nflags : fpu avx2 avx512_vnni\n\nprocessor : 1\nflags : fpu\n"


@pytest.fixture(autouse=True)
def example_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cpuinfo").write_text(CPUINFO)
    monkeypatch.setattr(runtime, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.delenv(runtime.ISA_LIMIT, raising=False)


def test_the_cpu_says_what_it_can() -> None:
    assert runtime.instruction_sets() == {"avx2", "avx512_vnni"}
    assert runtime.cpu_model() == "Example 9"


def test_a_narrowed_process_has_less(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(runtime.ISA_LIMIT, "AVX2")
    assert runtime.instruction_sets() == {"avx2"}


def test_a_process_narrowed_below_avx2_has_nothing_we_run_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(runtime.ISA_LIMIT, "SSE41")
    assert runtime.instruction_sets() == frozenset()

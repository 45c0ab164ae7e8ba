"""`make bench`: how fast, how large, how soon ready; every figure from one run, interleaved, at 224 px with 2 threads.

Random weights: speed does not depend on what was learned. Writes docs/bench/latest.json; exit status 1 if a bar is
missed.

    python -m tests.bench.bench [--rounds 50] [--minutes 8] [--out docs/bench/latest.json]
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from inspector.runtime import cpu_model, instruction_sets
from plc.free_port import free_port as a_free_port
from tests.bench import line as bench_line
from tests.bench import rows
from tests.bench.exchange import exchange_rows, stations_rows
from tests.bench.fitting import fitting_rows
from tests.bench.line import Line
from tests.bench.models import (
    LEVERS,
    SIDE,
    Graphs,
    Timed,
    bare_call,
    fused_call,
    make_graphs,
    sign_bundle,
    weights_share,
    write_pictures,
)
from tests.bench.rows import Row
from tests.bench.stages import stages_s
from tests.bench.trace_cost import trace_rows
from tests.support.tiny_bundle import make_key, trusted_key
from training.train import source_commit

THREADS = 2
EACH, WARM_UP = 10, 2  # calls of each kind in one round; the first ones of a kind find cold caches and do not count
FEWEST_ROUNDS = 10  # 120 parts: memory is looked at after at least 100
FLAGS = ("avx2", "avx512_vnni", "avx_vnni")
EIGHT_S = 60.0  # of eight stations, for each store
LARGER = 320  # side of a view that has to be resized


def machine() -> list[Row]:
    here = instruction_sets()
    return [
        Row("CPU", cpu_model()), *(Row(flag, "yes" if flag in here else "no") for flag in FLAGS),
        Row("cores", len(os.sched_getaffinity(0))),
        Row("threads", THREADS), Row("openvino", version("openvino")), Row("torch", version("torch")),
        Row("python", platform.python_version()), Row("commit", source_commit() or "unknown"),
        Row("date", datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")),
    ]  # fmt: skip


async def measure(folder: Path, rounds: int, end_mono_s: float, progress: Progress) -> list[Row]:
    """Build, start, measure in rounds until `end_mono_s` at the latest."""
    task = progress.add_task("building models", total=None)
    graphs = make_graphs(folder, lambda text: progress.update(task, description=text))
    key, pictures = make_key(), folder / "pictures"
    files = write_pictures(pictures, 40)
    bundle, public = sign_bundle(graphs, folder / "bench.bundle", key), trusted_key(key).raw.hex()
    state = folder / "line"
    state.mkdir()
    progress.update(task, description="first start")
    async with bench_line.running(state, bundle, public, pictures, THREADS) as line:
        first_s = line.ready_s
    timed = {
        "bare INT8": Timed(bare_call(graphs.int8, THREADS)), "bare FP32": Timed(bare_call(graphs.fp32, THREADS)),
        "fused INT8": Timed(fused_call(graphs.fused, THREADS, SIDE)),
        **{name: Timed(fused_call(path, THREADS, SIDE)) for name, path in graphs.levers.items()},
        f"fused INT8, view {LARGER} px": Timed(fused_call(graphs.fused, THREADS, LARGER)),
        "write and fsync": Timed(lambda: bench_line.write_and_fsync(folder / "plain")),
    }  # fmt: skip
    with tutorial_service(files) as ask:
        timed["tutorial service"] = Timed(ask)
        async with bench_line.running(state, bundle, public, pictures, THREADS) as line:
            progress.update(task, description="measuring", total=rounds)
            for number in range(rounds):
                if number >= FEWEST_ROUNDS and time.monotonic() > end_mono_s:
                    break
                await _round(line, timed)
                progress.advance(task)
            seen = stages_s(line.seen, state / "state" / "results.db")
            found = Measured(graphs, timed, line, first_s, seen).rows()
            found += await trace_rows(folder, rows.p50(line.cycles_s()))
    progress.update(task, description="fitting the heads")
    fitting = await asyncio.to_thread(fitting_rows, graphs, folder, THREADS)
    progress.update(task, description="link")
    link = await exchange_rows(lambda text: progress.update(task, description=text))
    eight = await stations_rows(folder, EIGHT_S, lambda text: progress.update(task, description=text))
    return [*found, *fitting, *link, *eight, *machine()]


async def _round(line: Line, timed: dict[str, Timed]) -> None:
    """Each kind a few times, so that what slows the machine meets all alike; the daemon waits meanwhile."""
    for one in timed.values():
        one.block(EACH, WARM_UP)
        await line.breathe()
    await line.block(EACH, WARM_UP)


class Measured:
    """What was measured, and what it must reach."""

    def __init__(
        self, graphs: Graphs, timed: dict[str, Timed], line: Line, first_s: float, stages: dict[str, list[float]]
    ) -> None:
        self._graphs, self._line, self._first_s, self._stages = graphs, line, first_s, stages
        self._s = {name: one.seconds for name, one in timed.items()}

    def rows(self) -> list[Row]:
        return [*self._graph_rows(), *self._cycle_rows(), *self._daemon_rows()]

    def _graph_rows(self) -> list[Row]:
        s = self._s
        int8 = rows.p50(s["bare INT8"])
        fast = bool(instruction_sets() & {"avx512_vnni", "avx_vnni"})
        return [
            *(row for name in s if name.startswith(("bare", "fused")) for row in rows.milliseconds(name, s[name])),
            rows.at_least("bare FP32 / bare INT8, p50", rows.p50(s["bare FP32"]) / int8, "x", 2.5 if fast else 1.6),
            rows.at_most("fused INT8 / bare INT8, p50", rows.p50(s["fused INT8"]) / int8, "x", 1.15),
            *(Row(f"fused INT8 / bare INT8 with {name}, p50", rows.p50(s[name]) / int8, "x") for name in LEVERS),
            rows.at_most("INT8 weights / FP32 weights", 100 * weights_share(self._graphs), "%", 27),
        ]

    def _cycle_rows(self) -> list[Row]:
        s, stages, cycles = self._s, self._stages, self._line.cycles_s()
        commits = sum(rows.p50(seconds) for name, seconds in stages.items() if "commit" in name)
        bar = 1.25 * 1000 * rows.p50(s["bare INT8"]) + bench_line.POLL_MS + 1000 * commits
        cycle = 1000 * rows.p50(cycles)
        service = 1000 * rows.p50(s["tutorial service"])
        return [
            Row("cycle, p50", cycle, "ms", f"at most {bar:.3g}: 1.25 x bare INT8 + poll + commits", cycle <= bar),
            Row("cycle, p99", 1000 * rows.p99(cycles), "ms"),
            *(row for name, seconds in stages.items() for row in rows.milliseconds(name, seconds)),
            *rows.milliseconds("write and fsync", s["write and fsync"]),
            *rows.milliseconds("tutorial service", s["tutorial service"]),
            Row("tutorial service / cycle, p50", service / cycle, "x"),
        ]  # fmt: skip

    def _daemon_rows(self) -> list[Row]:
        line = self._line
        return [
            rows.at_most("start to READY, bundle new to the box", self._first_s, "s", 3),
            rows.at_most("start to READY, started before", line.ready_s, "s", 3),
            rows.at_most(f"resident memory after {line.parts} parts", line.memory_mb("VmRSS"), "MB", 400),
            Row("resident memory at its highest", line.memory_mb("VmHWM"), "MB"),
        ]


@contextmanager
def tutorial_service(files: list[Path] | tuple[Path, ...]) -> Iterator[Callable[[], None]]:
    """The service as a process; yields a call that sends it the next picture and reads its answer."""
    port = a_free_port()
    command = [sys.executable, "-m", "tests.bench.tutorial", str(port), str(THREADS)]
    bodies = [_multipart(file.read_bytes()) for file in files]
    with subprocess.Popen(command) as process:
        try:
            connection = _connect(port, process)
            turn = iter(range(1 << 30))

            def ask() -> None:
                body = bodies[next(turn) % len(bodies)]
                connection.request("POST", "/predict", body, {"Content-Type": "multipart/form-data; boundary=bench"})
                answer = connection.getresponse()
                if answer.status != 200:
                    raise RuntimeError(f"the tutorial service answered {answer.status}: {answer.read()[:200]!r}")
                answer.read()

            yield ask
            connection.close()
        finally:
            process.terminate()


def _connect(port: int, process: subprocess.Popen[bytes]) -> http.client.HTTPConnection:
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.connect()
        except OSError:
            time.sleep(0.1)
        else:
            return connection
    raise RuntimeError("the tutorial service did not come up")


def _multipart(content: bytes) -> bytes:
    part = b'Content-Disposition: form-data; name="file"; filename="a.bmp"\r\nContent-Type: image/bmp'
    return b"--bench\r\n" + part + b"\r\n\r\n" + content + b"\r\n--bench--\r\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=8, help="begin no further round after so long")
    parser.add_argument("--out", type=Path, default=Path("docs/bench/latest.json"))
    args = parser.parse_args()
    end_mono_s = time.monotonic() + 60 * args.minutes
    console = Console()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with (
        tempfile.TemporaryDirectory(prefix=".bench-", dir=".") as name,
        Progress(*columns, console=console) as bar,
        asyncio.Runner(loop_factory=bench_line.precise_loop) as runner,
    ):
        found = runner.run(measure(Path(name).resolve(), args.rounds, end_mono_s, bar))
    rows.show(found, console)
    rows.write_json(found, args.out)
    console.print(f"written: {args.out}")
    for row in rows.missed(found):
        console.print(f"missed: {row.name} is {row.value:.4g} {row.unit}, {row.bar}", markup=False)
    return 1 if rows.missed(found) else 0


if __name__ == "__main__":
    sys.exit(main())

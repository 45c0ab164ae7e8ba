"""The bundle at work: daemon and simulated PLC as processes, every test picture once, every part counted."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import numpy as np

from plc.free_port import free_port as a_free_port
from plc.registers import Reason, Verdict

DAEMON = (sys.executable, "-m", "inspector", "run")
PLC = (sys.executable, "-c", "from plc.cli import main; main()", "sim")
SECONDS_A_PART = 2.0  # a line that takes longer hangs
END_S = 10.0

CONFIG = """\
[paths]
state = "{state}"
run = "{run}"

[[plc.links]]
name = "plc"
host = "127.0.0.1"
port = {port}

[[stations]]
id = "real"
mode = "inspect"
deadline_ms = 300
max_trigger_age_ms = 200

[camera]
kind = "folder"
folder = "{pictures}"
pick = "part_id"
grab_timeout_ms = 200

[bundle]
file = "{bundle}"
trusted_keys = ["{key}"]

[model]
threads = {threads}
"""


def replay(
    bundle: Path, key: Path, data: Path, folder: Path, acceptable: frozenset[str], threads: int
) -> dict[str, Any]:
    """Every test picture of `data` once, in a shuffled order, PART_ID n being picture n; returns the counts.

    Raises RuntimeError: the line did not come up, or hung; the text ends with the daemon's last words.
    """
    shutil.rmtree(folder, ignore_errors=True)
    truths = _lay_out(data / "test", folder / "pictures")
    port = a_free_port()
    config = folder / "station.toml"
    config.write_text(
        CONFIG.format(
            state=(folder / "state").resolve(),
            run=(folder / "run").resolve(),
            port=port,
            pictures=(folder / "pictures").resolve(),
            bundle=bundle.resolve(),
            key=key.resolve(),
            threads=threads,
        ),
        encoding="utf-8",
    )
    with _daemon(config, folder / "daemon.log"):
        results = _play(port, len(truths), folder / "daemon.log")
    return summary(results, truths, folder / "state" / "results.db", acceptable)


def summary(
    results: Sequence[Mapping[str, Any]], truths: Sequence[str], database: Path, acceptable: frozenset[str]
) -> dict[str, Any]:
    """Counts by verdict and reason, truth against what the PLC did, and every difference between it and the record."""
    db = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READONLY)
    rows = list(db.execute("SELECT trigger_id, part_id, published_code, published_reason FROM inspections"))
    db.close()
    recorded = {(trigger, part): (code, reason) for trigger, part, code, reason in rows}
    differ = [r for r in results if recorded.get((r["trigger_id"], r["part_id"])) != (r["code"], r["reason"])]
    good = [truths[r["part_id"] - 1] in acceptable for r in results]
    passed = [r["verdict"] == "good" for r in results]
    cycles = [1000 * (r["valid_s"] - r["edge_s"]) for r in results if r["valid_s"] is not None]
    codes = Counter(r["code"] for r in results)
    return {
        "triggers": len(results),
        "rows": len(rows),
        "plc_results": len(results) - codes[0],
        "mismatches": len(differ),
        **{verdict.name.lower(): codes[verdict.value] for verdict in Verdict},
        "reasons": {Reason(reason).name: n for reason, n in sorted(Counter(r["reason"] for r in results).items())},
        "escapes": sum(p and not g for p, g in zip(passed, good, strict=True)),
        "unacceptable": good.count(False),
        "overkills": sum(g and not p for p, g in zip(passed, good, strict=True)),
        "acceptable": good.count(True),
        "cycle_ms": {f"p{q}": round(float(np.percentile(cycles, q)), 2) for q in (50, 99)} if cycles else {},
    }


def _lay_out(test: Path, folder: Path) -> list[str]:
    """Copy the test pictures in the order of replay; returns the truth of each, by PART_ID - 1."""
    files = sorted(test.glob("*/*.png"))
    random.Random(0).shuffle(files)
    folder.mkdir(parents=True)
    for number, file in enumerate(files, 1):
        shutil.copy(file, folder / f"{number:05d}_{file.parent.name}.png")
    return [file.parent.name for file in files]


@contextmanager
def _daemon(config: Path, log: Path) -> Iterator[None]:
    """`inspector run` as a process, ended in order. Raises RuntimeError: it did not end by itself on SIGTERM."""
    with log.open("wb") as output:
        process = subprocess.Popen([*DAEMON, str(config)], stdout=output, stderr=output, stdin=subprocess.DEVNULL)
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    if process.returncode != 0:
        raise RuntimeError(f"the daemon ended with {process.returncode}:\n{_last_words(log)}")


def _play(port: int, parts: int, log: Path) -> list[dict[str, Any]]:
    """The simulated PLC as a process: it brings `parts` parts and prints what it read of each."""
    plc = [*PLC, "--port", str(port), "--parts", str(parts)]
    results = []
    with subprocess.Popen(plc, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True) as process:
        try:
            for line in process.stdout or ():
                results.append(json.loads(line))
                if not any(r["code"] for r in results):
                    raise RuntimeError(f"the line gave no result for its first part:\n{_last_words(log)}")
            process.wait(SECONDS_A_PART * parts)
        finally:
            process.kill()
    if len(results) != parts:
        raise RuntimeError(f"the simulated PLC ended after {len(results)} of {parts} parts:\n{_last_words(log)}")
    return results


def _last_words(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-2000:]

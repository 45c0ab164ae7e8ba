"""The simulated line over real Modbus: fault scripts, the belt, and the command as a process."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping

import pytest

from plc.registers import Reason, Verdict
from plc.server_link import ServerConfig, ServerLink
from plc.sim import BeltConfig, SimConfig, SimPlc, SimResult, TrackConfig, parse
from plc.sim.parts import BYPASSED, GOOD, NOT_INSPECTED, REJECT
from tests.support.judging import judged
from tests.support.links import LONG_S, PATIENT, UNHURRIED_S, judging, place

pytestmark = pytest.mark.system
SHORT_S = 2.0  # a limit that a test waits for, and yet does not reach where the machine holds the line up for a moment
SIM = (sys.executable, "-m", "plc.cli", "sim")


async def played(
    *script: str, parts: int = 4, delay_s: float = 0.0, timed: Mapping[str, float] | None = None, **config: float
) -> list[SimResult]:
    """Even (good) parts 2, 4, 6 ... past an appliance that would pass all of them, under a fault script.

    timed: limits of the appliance.
    """
    sim = SimPlc(SimConfig(**{**PATIENT, **config}), script=parse("\n".join(script)))  # type: ignore[arg-type]
    async with judged(sim, **timed or {}) as (line, appliance):
        appliance.delay_s = delay_s
        assert await line.wait_ready(LONG_S)
        return await line.play(range(2, 2 * parts + 2, 2))


def codes(results: list[SimResult]) -> list[tuple[int, int]]:
    return [(r.code, r.reason) for r in results]


PASS = (Verdict.PASS, Reason.NONE)


async def test_a_plc_that_stops_and_runs_again_loses_no_part():
    results = await played("at part 2: stop 700 ms")
    assert [r.plc_verdict for r in results] == [GOOD] * 4


async def test_frozen_ids_pass_nothing_until_they_move_again():
    results = await played("at part 2: freeze ids for 2 parts", parts=5)
    duplicate = (Verdict.NOT_INSPECTED, Reason.DUPLICATE_ID)
    assert codes(results)[:3] == [PASS, duplicate, duplicate]
    assert [r.trigger_id for r in results] == [1, 1, 1, 2, 3]
    assert codes(results)[-1] == PASS


async def test_a_result_that_is_never_acknowledged_is_taken_away_and_the_next_part_is_fine():
    results = await played("at part 2: never ack", timed={"ack_timeout_s": SHORT_S})
    assert [r.plc_verdict for r in results] == [GOOD] * 4


async def test_a_cleared_memory_heals_with_the_next_image():
    results = await played("at part 2 + 20 ms: zero memory", "at part 3: zero memory")
    assert results[0].plc_verdict == results[-1].plc_verdict == GOOD
    assert len(results) == 4


async def test_a_restarted_plc_counts_from_1_and_is_a_new_session():
    results = await played("at part 3: restart retained")
    assert [r.trigger_id for r in results] == [1, 2, 1, 2]
    assert [r.plc_verdict for r in results] == [GOOD] * 4


async def test_a_trigger_that_falls_after_one_scan_still_has_one_verdict():
    results = await played("at part 2: drop trigger after 1 scan for 2 parts", scan_s=0.02, result_timeout_s=SHORT_S)
    assert len(results) == 4
    assert all(r.code in (0, Verdict.PASS) for r in results)


async def test_torn_skipped_and_early_acknowledged_ids_confuse_nobody():
    script = "at 2: tear ids", "at 3: skip 3 ids", "at 4: ack early"
    results = await played(*script, parts=5, result_timeout_s=SHORT_S)
    assert [r.trigger_id for r in results] == [1, 2, 6, 7, 8]
    assert results[1].code in (0, Verdict.PASS), "it depends on the poll whether the id came in time"
    assert codes(results)[2] == codes(results)[4] == PASS


async def test_id_0_is_never_answered():
    results = await played("at 2: zero ids", parts=3, result_timeout_s=SHORT_S)
    assert [r.code for r in results] == [Verdict.PASS, 0, Verdict.PASS]


async def test_an_unplugged_cable_rejects_and_the_line_comes_back():
    results = await played("at part 2 + 5 ms: unplug 300 ms", "at 4: cut link", parts=5, delay_s=0.5)
    assert results[1].plc_verdict in (REJECT, NOT_INSPECTED)
    assert results[3].plc_verdict == NOT_INSPECTED, "READY still stood in the memory, but nobody was there"
    assert results[2].plc_verdict == results[4].plc_verdict == GOOD


async def test_a_held_memory_is_no_news():
    results = await played("at part 2 + 5 ms: hold memory 4 s", parts=3, heartbeat_timeout_s=SHORT_S, delay_s=0.5)
    assert [r.verdict for r in results] == ["good", "reject", "good"]


async def test_a_bouncing_sensor_and_a_part_that_dwells_never_shift_a_verdict():
    results = await played("at 2: bounce", "at 3: dwell 300 ms", parts=4, delay_s=0.5)
    by_part = [(r.part_id, r.verdict) for r in results]
    assert [v for p, v in by_part if p == 4].count("good") == 0, "two pictures of one part: neither counts"
    assert by_part[-2:] == [(6, "good"), (8, "good")]
    assert len(results) == 5


async def test_a_challenge_part_a_wrong_recipe_and_a_missing_signature_never_pass():
    results = await played("at 2: test part 900", "at 3: expect recipe 9", "at 4: hide signature for 2 s", parts=5)
    assert [r.plc_verdict for r in results] == [GOOD, REJECT, NOT_INSPECTED, NOT_INSPECTED, GOOD]
    assert (results[1].part_id, results[1].code) == (900, 6), "it would have passed: the test missed"
    assert codes(results)[2] == (Verdict.NOT_INSPECTED, Reason.RECIPE_MISMATCH)


async def test_set_offline_and_disable_are_rejects_and_end_by_themselves():
    results = await played("at 2: set offline", "at 3: disable", parts=4, ready_timeout_s=SHORT_S)
    assert [r.plc_verdict for r in results] == [GOOD, NOT_INSPECTED, NOT_INSPECTED, GOOD]


async def test_a_by_pass_is_told_as_4():
    results = await played("at 2: bypass")
    assert [r.plc_verdict for r in results] == [GOOD, BYPASSED, GOOD, GOOD]


async def test_a_program_that_claims_good_is_found_out():
    script = "at 2: claim good\nat 3: wait 500 ms"  # the station sees the claim before the next part comes
    sim = SimPlc(SimConfig(**{**PATIENT, "ready_timeout_s": SHORT_S}), script=parse(script))
    async with judged(sim) as (line, appliance):
        assert await line.wait_ready(LONG_S)
        results = await line.play([2, 3, 4])
    assert [(r.verdict, r.plc_verdict) for r in results] == [("good", 1), ("reject", 1), ("reject", 3)]
    assert list(appliance.handshake.wrong_accepts) == [results[1].trigger_id]


async def test_a_moving_belt_sorts_parts_by_their_own_verdicts():
    cfg = SimConfig(lot="LOT7", track=TrackConfig(gate=500), **PATIENT)
    async with judged(SimPlc(cfg)) as (line, appliance):
        assert await line.wait_ready(LONG_S)
        belt = await line.run_belt(BeltConfig(pitch=250, gate=500), range(1, 9))
    assert appliance.handshake.counts["TRIGGERS"] == sum(r.edge_s > 0 for r in line.results)
    assert [r.part_id for r in line.results] == list(range(1, 9))
    passed = {r.part_id for r in line.results if r.verdict == "good"}
    went_on = [p.part_id for p in belt.went_on]
    assert went_on == [r.part_id for r in line.results if r.plc_verdict == GOOD]
    assert set(went_on) <= passed <= {2, 4, 6, 8}, "a late scan may cost a good part, never let a bad one pass"
    assert went_on


async def test_a_belt_whose_ejector_is_stuck_stands_and_says_why():
    told: list[str] = []
    cfg = SimConfig(track=TrackConfig(gate=300), **PATIENT)
    sim = SimPlc(cfg, on_event=told.append, script=parse("at 1: stick ejector for 4 s"))
    async with judged(sim) as (line, _):
        assert await line.wait_ready(LONG_S)
        await line.run_belt(BeltConfig(pitch=300, gate=300), [1])
    assert any("ejector stuck?" in text for text in told), told


async def test_a_belt_and_a_track_that_disagree_about_the_gate_are_refused():
    with pytest.raises(ValueError, match="where the belt's gate is"):
        await SimPlc(SimConfig(track=TrackConfig(gate=100))).run_belt(BeltConfig(gate=300), [1])


async def test_a_change_over_by_the_plc_is_prepared_and_the_next_part_is_judged_with_the_new_recipe():
    told: list[str] = []
    sim = SimPlc(SimConfig(recipe=1, **PATIENT), on_event=told.append, script=parse("at 2: recipe 2\nat 4: recipe 1"))
    async with judged(sim) as (line, appliance):
        assert await line.wait_ready(LONG_S)
        results = await line.play([2, 4, 5, 6])
        assert line.stat()["RECIPE_USED"] == line.ctrl["RECIPE_EXPECTED"] == 1
    assert [r.plc_verdict for r in results] == [GOOD, GOOD, REJECT, GOOD]
    assert [t.record.recipe_used for t in appliance.told] == [1, 2, 2, 1]
    assert [text.split(" in ")[0] for text in told if "changed" in text] == [
        "changed over to recipe 2", "changed over to recipe 1"
    ]  # fmt: skip


async def test_after_a_change_over_that_was_refused_nothing_passes_until_one_succeeds():
    told: list[str] = []
    sim = SimPlc(SimConfig(**PATIENT), on_event=told.append, script=parse("at 2: recipe 77\nat 3: recipe 1"))
    async with judged(sim) as (line, _):
        assert await line.wait_ready(LONG_S)
        results = await line.play([2, 4, 6])
    assert [r.plc_verdict for r in results] == [GOOD, NOT_INSPECTED, GOOD]
    assert any("CHANGE-OVER FAILED to recipe 77" in text and "unknown recipe" in text for text in told), told


async def test_a_belt_stands_while_a_recipe_is_changed_over_and_no_part_is_lost():
    cfg = SimConfig(track=TrackConfig(gate=400), **PATIENT)
    async with judged(SimPlc(cfg, script=parse("at 3: recipe 2"))) as (line, _):
        assert await line.wait_ready(LONG_S)
        belt = await line.run_belt(BeltConfig(pitch=250, gate=400), [2, 4, 6, 8])
    assert [r.part_id for r in line.results] == [2, 4, 6, 8]
    assert {6, 8} & {p.part_id for p in belt.went_on}, "a late scan may cost one of the two that came after it"


async def test_two_stations_share_one_memory_and_one_server():
    first = SimPlc(SimConfig(number=1))
    second = SimPlc(SimConfig(number=2), beside=first, base=200)
    await second.idle_for(0)
    assert first.memory.words[15] == 0x51A1 and first.memory.words[215] == 0x51A2
    assert [first.memory.writable(a) for a in (19, 20, 139, 140, 219, 220, 339, 340)] == [False, True, True, False] * 2


# -- the command -------------------------------------------------------------------------------------------------------


def sim(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*SIM, *arguments], capture_output=True, text=True, timeout=240)


def test_the_command_tells_of_each_part_in_json_or_in_words(free_port):
    done = sim("--port", str(free_port), "--parts", "2", "--ready-s", "0.1")
    assert done.returncode == 0, done.stderr
    first = SimResult(**json.loads(done.stdout.splitlines()[0]))
    assert (first.part_id, first.code, first.plc_verdict) == (1, 0, NOT_INSPECTED)
    assert f"127.0.0.1:{free_port}" in done.stderr
    done = sim("--port", str(free_port), "--parts", "1", "--ready-s", "0.1", "--text", "--fault", "at 1: wait 10 ms")
    assert "part 1      no heartbeat of an appliance     -> reject, not inspected" in done.stdout
    assert "1 parts: no result 1; at the gate: reject, not inspected 1" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--fault", "at 3: freez ids"), '--fault, line 1: unknown fault "freez ids"; did you mean "freeze ids"?'),
        (("--faults", "no/such/file"), "No such file"),
        (("--belt",), "--belt needs --rate"),
        (("--bad-share", "0.2"), "belong together"),
        (("--bad-share", "0.2", "--truth", "no.such:thing"), "--truth no.such:thing: No module named 'no'"),
        (("--belt", "--rate", "100"), "do not fit"),
        (("--connect", "nowhere:port"), "is no HOST:PORT"),
    ],
)
def test_what_cannot_be_played_is_said_before_anything_starts(arguments, says):
    done = sim("--port", "0", *arguments)
    assert done.returncode == 2
    assert says in done.stderr and "Traceback" not in done.stderr


def test_a_script_file_s_errors_name_the_file_and_the_line(tmp_path):
    script = tmp_path / "line.faults"
    script.write_text("# today\nat 3: stop 2 s\nat 4: hold brigde 2\n")
    done = sim("--port", "0", "--faults", str(script))
    assert (done.returncode, f"{script}, line 3: " in done.stderr) == (2, True)


def test_the_truth_of_a_part_is_a_function_that_the_caller_names(free_port):
    truth = ("--bad-share", "0.5", "--truth", "tests.support.judging:is_good")
    done = sim("--port", str(free_port), "--parts", "12", "--ready-s", "0", *truth)
    ids = [json.loads(line)["part_id"] for line in done.stdout.splitlines()]
    assert len(ids) == 12 and 0 < sum(n % 2 for n in ids) < 12


def test_a_taken_port_is_said_in_words():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = sim("--port", str(taken.getsockname()[1]))
    assert done.returncode == 2
    assert "cannot listen on 127.0.0.1" in done.stderr and "Traceback" not in done.stderr


async def test_the_command_plays_the_plc_of_an_appliance_that_serves():
    """Server direction: the simulated PLC is the client, with the same program."""
    link = ServerLink(ServerConfig(port=0, comm_timeout_s=UNHURRIED_S), [place()])
    async with judging(link):
        await link.listening.wait()
        process = await asyncio.create_subprocess_exec(
            *SIM, "--connect", f"127.0.0.1:{link.server.port}", "--parts", "4", "--json",
            "--ack-ms", "20000", "--result-ms", "20000", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        async with asyncio.timeout(60):
            out, err = await process.communicate()
    results = [SimResult(**json.loads(line)) for line in out.decode().splitlines()]
    assert [r.plc_verdict for r in results] == [REJECT, GOOD, REJECT, GOOD], err.decode()


async def test_who_scans_beside_a_part_at_the_camera_makes_no_second_part_of_it():
    async with judged() as (line, appliance):
        appliance.delay_s = 0.1
        assert await line.wait_ready(LONG_S)
        playing = asyncio.create_task(line.play([2]))
        while not playing.done():
            await line.idle_for(0.01)
        (result,) = await playing
    assert result.plc_verdict == GOOD and line.ctrl["PLC_PART_COUNT"] == 1


def test_sigterm_ends_a_line_that_waits_for_an_appliance_at_once(free_port):
    command = [*SIM, "--port", str(free_port), "--parts", "0", "--ready-s", "600"]  # no part could end it
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None and "Ctrl-C ends it" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=240)
    assert (process.returncode, out, err) == (0, "", "")

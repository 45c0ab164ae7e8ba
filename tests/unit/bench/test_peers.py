"""`make bench-peers`: the talk with a peer in another process, turns, and bars; the peer is a few lines of Python."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from tests.bench.peers.__main__ import Turns, quality, reason_to_skip
from tests.bench.peers.child import PATCHCORE, PeerError, patchcore, running

PEER = """
import json, sys
import numpy as np
print(json.dumps({"anomalib": "0", "bank": [7, 8], "fit_s": 0.1}), flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    if "time" in asked:
        print(json.dumps({"seconds": [0.5] * len(asked["time"])}), flush=True)
    else:
        files = asked["score"]
        np.save(asked["maps"], np.ones((len(files), 2, 3)))
        print(json.dumps({"scores": [len(file) for file in files]}), flush=True)
"""


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_peer_is_asked_for_seconds_scores_and_heat_maps(tmp_path: Path) -> None:
    files = [tmp_path / "a.png", tmp_path / "bb.png"]
    with running(python(PEER)) as peer:
        assert peer.facts["bank"] == [7, 8]
        assert peer.seconds(files) == [0.5, 0.5]
        scores, maps = peer.scores(files, tmp_path / "maps.npy")
    assert scores[1] - scores[0] == 1
    assert maps.shape == (2, 2, 3) and maps.dtype == np.float32
    assert peer.process.returncode == 0


def test_a_peer_that_ends_before_it_is_ready_is_an_error_with_its_status() -> None:
    with pytest.raises(PeerError, match="status 3"), running(python("raise SystemExit(3)")):
        pass


def test_a_peer_that_ends_between_two_questions_is_an_error() -> None:
    first = "import sys; print('{}', flush=True); sys.stdin.readline()"
    with pytest.raises(PeerError, match="ended"), running(python(first)) as peer:
        peer.seconds([])


def test_a_peer_that_answers_no_json_is_an_error_that_shows_it() -> None:
    with pytest.raises(PeerError, match="hello"), running(python("print('hello')")):
        pass


def test_the_command_gives_the_peer_everything_it_asks_for() -> None:
    folder = Path("/somewhere")
    command = patchcore(
        folder / "python", folder / "good", folder / "w.safetensors", folder, size=224, landmarks=900, threads=2
    )
    assert command[:2] == ["/somewhere/python", str(PATCHCORE)] and PATCHCORE.is_file()
    given = dict(zip(command[2::2], command[3::2], strict=True))
    assert given["--landmarks"] == "900" and given["--train"] == "/somewhere/good"
    source = PATCHCORE.read_text(encoding="utf-8")
    assert all(f'"{option}"' in source for option in given)


@pytest.mark.parametrize(("theirs_s", "met"), [(0.031, True), (0.029, False)])
def test_both_take_turns_and_ours_is_to_be_three_times_faster(theirs_s: float, met: bool) -> None:
    order: list[str] = []

    def ours() -> list[float]:
        order.append("ours")
        return [0.010, 0.010]

    def theirs() -> list[float]:
        order.append("theirs")
        return [theirs_s, theirs_s]

    turns = Turns()
    turns.play(3, ours, theirs)
    assert order == ["ours", "theirs"] * 3
    ratio = turns.rows()[-1]
    assert ratio.met is met
    assert ratio.bar == "at least 3"


@pytest.mark.parametrize(("worse", "met"), [(0, True), (1, False)])
def test_ours_may_be_half_a_point_of_auroc_below_and_no_more(worse: int, met: bool) -> None:
    truths = ["good"] * 10 + ["crack"] * 10
    theirs = np.r_[np.zeros(10), np.ones(10)]
    ours = theirs.copy()
    ours[:worse] = 2  # one of 10 good pictures above all cracks: 10 points
    difference = quality(truths, ours, theirs)[-1]
    assert difference.met is met
    assert difference.value == pytest.approx(-10 * worse)


def test_a_better_one_of_ours_is_no_miss() -> None:
    truths = ["good", "good", "crack", "crack"]
    assert quality(truths, np.array([0.0, 0, 1, 1]), np.array([1.0, 1, 0, 0]))[-1].met is True


def test_what_is_missing_is_the_reason_to_skip(tmp_path: Path) -> None:
    weights, peer = tmp_path / "w.safetensors", tmp_path / "python"
    assert "holds no magnetic_tile" in (reason_to_skip(tmp_path, str(weights), peer) or "")
    (tmp_path / "magnetic_tile" / "train").mkdir(parents=True)
    assert "--weights FILE" in (reason_to_skip(tmp_path, str(weights), peer) or "")
    weights.touch()
    assert "--peers-python" in (reason_to_skip(tmp_path, str(weights), peer) or "")
    peer.touch()
    assert reason_to_skip(tmp_path, str(weights), peer) is None

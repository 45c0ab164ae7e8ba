"""A model whose numbers are no judgement, in the real daemon. Numbers are those of the fault campaign."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import pytest_asyncio

from inspector.demo.parts import ROI, Kind, render
from inspector.runtime import openvino
from plc.registers import OfflineReason, Reason, Status, Verdict
from plc.sim import SimResult
from tests.support.alarms import action_of
from tests.support.live_line import KEY, LiveLine, live_line, signed_bundle
from tests.support.tiny_bundle import entries_of, sign_files, tiny_files, tiny_manifest

pytestmark = [pytest.mark.fault, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

INFERENCE = (Verdict.NOT_INSPECTED, Reason.INFERENCE)
MARK = 8  # pixels in the corner of the view that break the model below
BREAKS = {"nan": (255, 0, 0), "inf": (0, 255, 0), "constant": (0, 0, 255)}  # RGB of the mark
CONSTANT = {"probabilities": [[1.0, 0.0]], "embedding": [[1.0] * 2048], "novelty_score": [1.0]}  # as of a good part
EACH = 9  # pictures of each name; different parts, so different pictures


def breakable_ir(directory: Path) -> None:
    """The small IR, but a mark in the corner of the view makes its novelty NaN or infinite, or all of it constant."""
    ov = openvino()
    from openvino import opset13 as op

    def ints(*values: int) -> np.ndarray:
        return np.array(values, np.int64)

    model = ov.Core().read_model(directory / "model.xml")
    view = model.inputs[0].get_node()
    corner = op.slice(view, ints(0, 0, 0, 0), ints(1, MARK, MARK, 3), ints(1, 1, 1, 1))
    colour = op.reduce_mean(op.convert(corner, np.float32), ints(1, 2), keep_dims=False)
    nan, inf, constant = op.split(op.greater(colour, np.float32(200)), np.int64(1), 3).outputs()
    flags = [op.reshape(flag, ints(1), False) for flag in (nan, inf, constant)]
    for result in model.get_results():
        source = result.input_value(0)
        name = source.get_any_name()
        source.get_tensor().set_names(set())
        node = source
        if name == "novelty_score":
            node = op.select(flags[0], op.constant(np.array([np.nan], np.float32)), node)
            node = op.select(flags[1], op.constant(np.array([np.inf], np.float32)), node)
        node = op.select(flags[2], op.constant(np.array(CONSTANT[name], np.float32)), node)
        node.output(0).get_tensor().set_names({name})
        result.input(0).replace_source_output(node.output(0))
    ov.save_model(model, directory / "broken.xml", compress_to_fp16=False)


def breakable_bundle(path: Path) -> str:
    """Signed, and right in every check of a start: its golden pictures carry no mark."""
    files = tiny_files()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file in ("model.xml", "model.bin"):
            (folder / file).write_bytes(files[file])
        breakable_ir(folder)
        files |= {f"model.{end}": (folder / f"broken.{end}").read_bytes() for end in ("xml", "bin")}
    sign_files(path, KEY, tiny_manifest(files=entries_of(files)), files)
    return signed_bundle(path)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def line(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LiveLine]:
    folder = tmp_path_factory.mktemp("model")
    pictures = folder / "pictures"
    pictures.mkdir()
    x, y, *_ = ROI
    for name, colour in {"good": None, **BREAKS}.items():
        for number in range(EACH):
            picture = render(number, Kind.GOOD).image.copy()
            if colour is not None:
                picture[y : y + MARK, x : x + MARK] = colour
            cv2.imwrite(str(pictures / f"{name}_{number}.png"), picture[..., ::-1])
    async with live_line(folder) as line:
        camera = f'kind = "folder"\nfolder = "{pictures}"\npick = "part_id"'
        line.configure(camera=camera, bundle=breakable_bundle(folder / "breakable.bundle"))
        await line.start()
        await line.ready()
        yield line


async def shown(line: LiveLine, name: str, number: int) -> SimResult:
    """The part whose picture is this file."""
    names = sorted(p.stem for p in (line.folder / "pictures").iterdir())
    return await line.play(names.index(f"{name}_{number}") + 1)


@pytest.mark.parametrize(
    ("broken", "text"),
    [
        pytest.param("nan", "novelty_score is not finite", id="NaN"),
        pytest.param("inf", "novelty_score is not finite", id="infinite"),
        pytest.param("constant", "inference is stuck", id="constant"),
    ],
)
async def test_a_score_that_is_no_judgement_is_4_109_and_three_in_a_row_stop_the_station_until_it_is_acknowledged(
    line, broken, text
):
    """Row 45, I6. The very first constant answer cannot be told from a true one; the next picture shows it."""
    await shown(line, broken, 0)
    assert (await shown(line, "good", 0)).verdict == "good"
    if broken == "constant":
        await shown(line, broken, 1)
    for number in (2, 3):
        result = await shown(line, broken, number)
        assert (result.code, result.reason) == INFERENCE
        assert line.row(result)["confidence"] is None
    assert (await shown(line, "good", 1)).verdict == "good", "two are not three"
    if broken == "constant":
        await shown(line, broken, 4)
    results = [await shown(line, broken, number) for number in (5, 6, 7)]
    assert [(r.code, r.reason) for r in results] == [INFERENCE] * 3
    alarm = await line.not_ready(OfflineReason.LATCHED_ERROR, text)
    assert "3 parts in a row" in alarm["cause"] and "CLEAR_ERROR" in action_of(alarm)
    stat = line.sim.stat()
    assert stat["STATUS"] & Status.ERROR and stat["ERROR_CODE"] == Reason.INFERENCE
    code, reason = await line.answer(line.raise_trigger(1))
    assert (code, reason) == (Verdict.NOT_INSPECTED, Reason.OFFLINE), "a part that comes all the same"
    await line.sim.idle_for(1)
    assert not line.sim.stat()["STATUS"] & Status.TRIGGER_READY, "nothing but a person brings it back"
    await line.clear_error()
    await line.ready()
    assert (await shown(line, "good", 2)).verdict == "good"


async def test_every_part_of_that_line_has_one_row(line):
    """I1, I2 and I3 over all of the above."""
    counted, rows = await line.counted(), line.checked()
    assert counted["TRIGGERS"] == len(rows) == len(line.sim.results) + len(line.held)

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inspector import model as model_module
from inspector.core.errors import BundleError, ModelError
from inspector.core.types import JudgedBy
from inspector.model import CompiledIr, OpenVinoModel, check_cpu, load_ir, to_prediction
from inspector.runtime import openvino
from inspector.threads import DeviceThread

SIZE = (6, 8)
LABELS = ("good", "dent")


def write_ir(folder: Path, *, score_scale: float = 1.0) -> Path:
    """A tiny IR with the outputs of a bundle: the mean red and green are its classes, the mean blue its novelty."""
    ov = openvino()
    from openvino import opset15 as ops

    view = ops.parameter(ov.PartialShape([1, -1, -1, 3]), ov.Type.u8, name="input")
    mean = ops.reduce_mean(ops.convert(view, "f32"), np.array([1, 2]), keep_dims=False)  # (1, 3)
    parts = ops.split(mean, np.int64(1), 3).outputs()
    probabilities = ops.softmax(ops.concat([parts[0], parts[1]], 1), 1)
    score = ops.multiply(ops.reshape(parts[2], np.array([1]), False), np.float32(score_scale))
    outputs = {"probabilities": probabilities, "embedding": mean, "novelty_score": score}
    results = []
    for name, node in outputs.items():
        node.output(0).get_tensor().set_names({name})
        results.append(ops.result(node))
    folder.mkdir(exist_ok=True)
    ov.save_model(ov.Model(results, [view], "tiny"), folder / "model.xml", compress_to_fp16=False)
    return folder


@pytest.fixture
def ir(tmp_path: Path) -> CompiledIr:
    return load_ir(write_ir(tmp_path), SIZE, threads=1)


@pytest.fixture
def thread() -> Iterator[DeviceThread]:
    one = DeviceThread("model")
    yield one
    one.close()


def view(red: int, green: int, blue: int) -> np.ndarray:
    made = np.empty((*SIZE, 3), np.uint8)
    made[:] = (red, green, blue)
    made.flags.writeable = False  # as a frame is
    return made


async def test_a_view_gives_its_class_and_scores(ir: CompiledIr, thread: DeviceThread) -> None:
    model = OpenVinoModel(ir, LABELS, JudgedBy("disc-1"), thread)
    model.warm_up()
    p = await model.predict(view(10, 12, 77))
    assert (p.label, p.class_id, p.novelty_score) == ("dent", 1, 77.0)
    assert p.confidence == pytest.approx(1 / (1 + np.exp(-2)), abs=1e-6)
    assert p.anomaly_score is None and p.anomaly_map is None
    await model.alive()


def test_an_earlier_prediction_does_not_change_with_the_next_view(ir: CompiledIr) -> None:
    first = ir.infer(view(1, 2, 3))
    kept = first["embedding"].copy()
    ir.infer(view(200, 100, 50))
    np.testing.assert_array_equal(first["embedding"], kept)


@pytest.mark.parametrize("wrong", [np.zeros((5, 8, 3), np.uint8), np.zeros((6, 8), np.uint8), np.zeros((6, 8, 3))])
def test_a_view_of_another_shape_is_a_model_error(ir: CompiledIr, wrong: Any) -> None:
    with pytest.raises(ModelError, match="the model takes"):
        ir.infer(wrong)


def test_an_infinite_score_is_a_model_error(tmp_path: Path) -> None:
    ir = load_ir(write_ir(tmp_path, score_scale=3e38), SIZE, threads=1)
    with pytest.raises(ModelError, match="novelty_score is not finite"):
        to_prediction(ir.infer(view(1, 1, 200)), LABELS)


def test_the_same_numbers_for_another_view_are_a_stuck_inference_and_for_the_same_view_are_right(
    ir: CompiledIr,
) -> None:
    one, other = np.full((*SIZE, 3), 8, np.uint8), np.full((*SIZE, 3), 8, np.uint8)
    other[0, 0], other[0, 1] = 7, 9  # this IR sees only means, so it cannot tell the two apart
    ir.infer(one)
    ir.infer(one)
    for view_of in (other, one):
        with pytest.raises(ModelError, match="stuck"):
            ir.infer(view_of)
    ir.infer(view(1, 2, 3))
    ir.infer(other)


def test_a_missing_output_is_a_model_error(ir: CompiledIr) -> None:
    outputs = {name: value for name, value in ir.infer(view(1, 1, 1)).items() if name != "embedding"}
    with pytest.raises(ModelError, match="no output embedding"):
        to_prediction(outputs, LABELS)


def test_a_class_map_of_another_length_is_a_model_error(ir: CompiledIr) -> None:
    with pytest.raises(ModelError, match="2 classes, its manifest names 3"):
        to_prediction(ir.infer(view(1, 1, 1)), ("a", "b", "c"))


def test_an_anomaly_map_goes_along_when_the_bundle_has_one(ir: CompiledIr) -> None:
    extra = {"anomaly_score": np.array([2.5], np.float32), "anomaly_map": np.ones((1, 4, 5), np.float32)}
    p = to_prediction({**ir.infer(view(1, 1, 1)), **extra}, LABELS)
    assert p.anomaly_score == 2.5
    assert p.anomaly_map is not None and p.anomaly_map.shape == (4, 5)


def test_a_broken_ir_is_a_bundle_error(tmp_path: Path) -> None:
    write_ir(tmp_path)
    (tmp_path / "model.xml").write_text("<net>")
    with pytest.raises(BundleError, match="cannot be compiled"):
        load_ir(tmp_path, SIZE, threads=1)


def test_a_cpu_that_the_bundle_was_not_qualified_for_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_module, "instruction_sets", lambda: frozenset({"avx2"}))
    check_cpu(("avx2",))
    with pytest.raises(BundleError, match="is qualified for avx512_vnni"):
        check_cpu(("avx512_vnni",))

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from edge_deploy.convert import OUTPUTS
from edge_deploy.quantize import TargetCpu, instruction_sets_of
from inspector.model import load_ir
from tests.unit.edge_deploy.conftest import VIEW, Networks, picture


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))


@pytest.mark.parametrize("name", OUTPUTS)
def test_every_output_is_the_same_with_and_without_low_precision_transformations(networks: Networks, name: str) -> None:
    """A pooled tap can be computed wrongly by the CPU plugin while the classes stay right."""
    fast = load_ir(networks.int8, VIEW, threads=2)
    plain = load_ir(networks.int8, VIEW, threads=2, properties={"LP_TRANSFORMS_MODE": "NO"})
    for seed in range(3):
        assert cosine(fast.infer(picture(seed))[name], plain.infer(picture(seed))[name]) > 0.995


@pytest.mark.parametrize("name", OUTPUTS)
def test_int8_follows_fp32_at_every_output(networks: Networks, name: str) -> None:
    int8, fp32 = load_ir(networks.int8, VIEW, threads=2), load_ir(networks.fp32, VIEW, threads=2)
    for seed in range(20, 23):
        assert cosine(int8.infer(picture(seed))[name], fp32.infer(picture(seed))[name]) > 0.99


def test_weights_for_avx2_use_half_the_range_so_that_no_sum_saturates(networks: Networks) -> None:
    constants = [op for op in networks.int8_model.get_ops() if op.get_type_name() == "Constant"]
    weights = [op.data for op in constants if op.get_element_type().get_type_name() == "i8" and op.data.size > 1000]
    assert len(weights) == 54  # 53 convolutions and the classifier
    assert max(int(np.abs(w.astype(np.int16)).max()) for w in weights) <= 64


def test_int8_weights_take_at_most_27_percent_of_fp32s(networks: Networks) -> None:
    int8, fp32 = ((folder / "model.bin").stat().st_size for folder in (networks.int8, networks.fp32))
    assert int8 <= 0.27 * fp32


def test_a_native_build_needs_vnni() -> None:
    assert instruction_sets_of(TargetCpu.AVX2, frozenset({"avx2"})) == ("avx2",)
    assert instruction_sets_of(TargetCpu.NATIVE, frozenset({"avx2", "avx512_vnni"})) == ("avx512_vnni",)
    with pytest.raises(ValueError, match="needs a CPU with VNNI"):
        instruction_sets_of(TargetCpu.NATIVE, frozenset({"avx2"}))


def test_neither_openvino_nor_nncf_loads_telemetry() -> None:
    program = (
        "import sys; from inspector.runtime import openvino; openvino(); import nncf.telemetry.wrapper as w;"
        "import openvino.tools.ovc.telemetry_utils as u;"
        "assert sys.modules['openvino_telemetry'] is None;"
        "assert not any(name.startswith('openvino_telemetry.') for name in sys.modules);"
        "assert not isinstance(w.telemetry, w.NNCFTelemetry);"
        "assert u.tm.__name__.endswith('telemetry_stub')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

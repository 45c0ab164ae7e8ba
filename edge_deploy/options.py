"""What `build` is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edge_deploy.calibrate import CalibrationConfig
from edge_deploy.fit import Detector
from edge_deploy.fuse import SvmConfig
from edge_deploy.golden import GoldenConfig
from edge_deploy.parity import ParityConfig
from edge_deploy.patches import PatchConfig
from edge_deploy.precision import PrecisionConfig
from edge_deploy.quantize import CALIBRATION_IMAGES, TargetCpu
from edge_deploy.zones import ZoneConfig
from training.views import Roi


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """product: None takes the run's. roi: None takes the run's, else the whole picture. sizes: CSV path,size_px.

    hide: kinds of defect that are tried hidden among the good training pictures.
    """

    product: str | None = None
    version: int = 1
    roi: Roi | None = None
    target: TargetCpu = TargetCpu.AVX2
    no_negatives: bool = False
    parents: tuple[str, ...] = ()
    sizes: Path | None = None
    hide: tuple[str, ...] = ()
    threads: int = 2
    quantisation_images: int = CALIBRATION_IMAGES
    detector: Detector = Detector.PATCH
    svm: SvmConfig = field(default_factory=SvmConfig)
    patches: PatchConfig = field(default_factory=PatchConfig)
    calibration: CalibrationConfig = field(default_factory=CalibrationConfig)
    zones: ZoneConfig = field(default_factory=ZoneConfig)
    golden: GoldenConfig = field(default_factory=GoldenConfig)
    parity: ParityConfig = field(default_factory=ParityConfig)
    precision: PrecisionConfig = field(default_factory=PrecisionConfig)

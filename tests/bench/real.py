"""`make real`: the whole product on public pictures, from training to every part counted by the simulated PLC.

Steel strip (xsdd): a classifier. Magnetic tiles: good parts only, on the features of that classifier. Beside them:
detectors compared on one network, methods against rare classes, frozen layers or none, limits on resplits. Each stage
is done once and noted in the state file under runs/real/<weights>; after an interruption the same command goes on.

    python -m tests.bench.real --data ../shared/data --weights ../shared/weights/resnet50_standin.safetensors
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge_deploy.patches import PatchConfig
from edge_deploy.steps import TerminalSteps
from inspector.core.manifest import Manifest
from tests.bench import backbone, imbalance, levers, real_deploy, resplits
from tests.bench.compare import compare, measure_fp32, measure_int8, measure_patchcore
from tests.bench.detectors import Setting, hidden_defects
from tests.bench.peers.child import PYTHON
from tests.bench.real_deploy import Judge, build_and_approve, public_key, read_manifest
from tests.bench.real_line import replay
from tests.bench.real_page import write_section
from tests.bench.real_pictures import STEEL, TABLE, TILE, PictureSet, prepare
from training.choices import Precision
from training.config import FitConfig
from training.oneclass import good_only
from training.runs import RUN, Run, read_run
from training.train import fit, source_commit

Result = dict[str, Any]
OVERKILL = "5%"  # what some hundred good pictures can promise; fixed before the first run
EPOCHS = 12
HIDDEN_KINDS = ("blowhole", "break")  # the two with most pictures beside `uneven`, whose masks are the least certain


@dataclass(frozen=True, slots=True)
class Bench:
    """source: the folder of the picture sets; root: where everything of these weights is kept."""

    source: Path
    weights: str
    root: Path
    threads: int
    page: Path
    peers_python: Path = PYTHON  # of the environment that `make bench-peers` makes

    def data(self, pictures: PictureSet) -> Path:
        return self.root / "data" / pictures.name

    def run(self, pictures: PictureSet) -> Path:
        return self.root / pictures.name

    def bundle(self, pictures: PictureSet) -> Path:
        return self.root / f"{pictures.name}.bundle"

    def line(self, pictures: PictureSet) -> Path:
        return self.root / "line" / pictures.name

    @property
    def compared(self) -> Path:
        """The tiles on the weights as they came, and what each detector made of them."""
        return self.root / "compared"

    @property
    def backbones(self) -> Path:
        """Steel classifiers with other layers frozen, and tiles on their features."""
        return self.root / "backbones"


def pictures_of_one_size(bench: Bench) -> Result:
    return {one.name: prepare(bench.source / one.name, bench.data(one), one) for one in (STEEL, TILE)}


def train_steel(bench: Bench) -> Result:
    """Classifier on the set's own split; stem to layer3 stay as they are, unless the start is random."""
    cfg = FitConfig(
        data=bench.data(STEEL),
        out=bench.run(STEEL),
        product="steel",
        weights=bench.weights,
        network_size=(STEEL.network, STEEL.network),
        epochs=EPOCHS,
        precision=_fast_precision(),
        data_licence=STEEL.licence,
        threads=bench.threads,
    )
    return _figures(_finished(cfg.out) or fit(cfg))


def take_tiles(bench: Bench) -> Result:
    """Good tiles on the features of the steel run; val is dealt from train by tile."""
    return _take(bench, bench.run(TILE), str(bench.run(STEEL)))


def bundle_steel(bench: Bench) -> Result:
    return _bundle(bench, STEEL)


def bundle_tiles(bench: Bench) -> Result:
    return _bundle(bench, TILE)


def tile_aurocs(bench: Bench) -> Result:
    """AUROC of both scores on the test tiles, with the INT8 graph of the bundle."""
    return real_deploy.tile_aurocs(_judge(bench), TerminalSteps())


def cover_tiles(bench: Bench) -> Result:
    """Held-out good tiles, dealt again and again: does a limit keep its share of overkill?"""
    judge = _judge(bench)
    return resplits.held_out_good(judge.predict, judge.pictures, judge.good, TerminalSteps())


def compare_imbalance(bench: Bench) -> Result:
    """Every method against rare classes, on cached features of steel."""
    cfg = imbalance.config(bench.data(STEEL), bench.weights, bench.threads)
    return imbalance.compare_methods(cfg, bench.root / "imbalance", TerminalSteps())


def train_backbones(bench: Bench) -> Result:
    """The steel classifier with stem to layer3 frozen, and with everything taught."""
    cfg = FitConfig(
        data=bench.data(STEEL),
        out=bench.backbones,
        product="steel",
        weights=bench.weights,
        network_size=backbone.SIZE,
        epochs=backbone.EPOCHS,
        lr=backbone.RATE,
        precision=_fast_precision(),
        data_licence=STEEL.licence,
        threads=bench.threads,
    )
    return backbone.train_both(cfg)


def take_taught(bench: Bench) -> Result:
    """Good tiles on the backbone of which everything was taught on steel."""
    return _take(bench, bench.backbones / "tiles", str(backbone.run_of(backbone.FULL, bench.backbones)))


def compare_backbones(bench: Bench) -> Result:
    full = Setting.of(bench.backbones / "tiles", bench.data(TILE), bench.threads)
    frozen = backbone.run_of(backbone.FROZEN, bench.backbones)
    return backbone.measure_patches(full, _setting(bench), frozen, bench.source / TILE.name, bench.compared)


def take_compared(bench: Bench) -> Result:
    """Good tiles on the weights as they came: the detectors are compared on features that learned nothing of steel."""
    return _take(bench, bench.compared / "run", bench.weights)


def compare_int8(bench: Bench) -> Result:
    return measure_int8(_setting(bench), bench.source / TILE.name, bench.compared)


def compare_fp32(bench: Bench) -> Result:
    return measure_fp32(_setting(bench), bench.source / TILE.name, bench.compared)


def compare_patchcore(bench: Bench) -> Result:
    source, landmarks = bench.source / TILE.name, PatchConfig().landmarks
    return measure_patchcore(_setting(bench), source, bench.compared, bench.peers_python, landmarks)


def compare_all(bench: Bench) -> Result:
    """From random weights the differences stand without a bar."""
    return compare(_setting(bench), bench.source / TILE.name, bench.compared, with_bars=bench.weights != "none")


def compare_levers(bench: Bench) -> Result:
    return levers.measure_levers(_setting(bench), bench.source / TILE.name, bench.compared)


def hide_defects(bench: Bench) -> Result:
    trials = hidden_defects(_setting(bench), HIDDEN_KINDS, PatchConfig())
    return {"trials": [{**asdict(trial), "met": trial.met} for trial in trials]}


def line_steel(bench: Bench) -> Result:
    return _replay(bench, STEEL)


def line_tiles(bench: Bench) -> Result:
    return _replay(bench, TILE)


STAGES: tuple[Callable[[Bench], Result], ...] = (
    pictures_of_one_size,
    train_steel,
    bundle_steel,
    take_tiles,
    bundle_tiles,
    tile_aurocs,
    cover_tiles,
    take_compared,
    compare_int8,
    compare_fp32,
    compare_patchcore,
    compare_all,
    compare_levers,
    hide_defects,
    compare_imbalance,
    line_steel,
    line_tiles,
    train_backbones,
    take_taught,
    compare_backbones,
)


def play(bench: Bench) -> dict[str, Result]:
    """Every stage that is not noted as done (or asks to be made again), in order; then the page."""
    state_file = bench.root / "state.json"
    state: dict[str, Result] = json.loads(state_file.read_text()) if state_file.exists() else {}
    for stage in STAGES:
        name = stage.__name__
        if name in state and not state[name].get("again"):
            print(f"{name}: done before", flush=True)
            continue
        print(f"{name} ...", flush=True)
        begun_s = time.monotonic()
        stage_result = stage(bench)
        made = {"seconds": round(time.monotonic() - begun_s, 1), "commit": source_commit() or "unknown"}
        state[name] = {**stage_result, **made}
        staged = state_file.with_suffix(".new")
        staged.write_text(json.dumps(state, indent=2), encoding="utf-8")
        staged.replace(state_file)
        print(f"{name}: {state[name]['seconds']} s", flush=True)
    write_section(bench.page, state, bench.weights, read_run(bench.run(STEEL)))
    print(f"written: {bench.page}, section 'Real pictures'")
    return state


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with xsdd and magnetic_tile")
    parser.add_argument(
        "--weights", help="imagenet, none, or a file. Default: the file in DATA/../weights, else imagenet"
    )
    parser.add_argument("--runs", type=Path, default=Path("runs/real"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--peers-python", type=Path, default=PYTHON, help="of the environment with anomalib; missing: that row is empty"
    )
    parser.add_argument("--page", type=Path, default=Path("docs/results.md"))
    args = parser.parse_args()
    missing = [one.name for one in (STEEL, TILE) if not (args.data / one.name / "train").is_dir()]
    if missing:
        print(f"skipped: {args.data} holds no {' and no '.join(missing)}. Real pictures are optional; --data FOLDER")
        return 0
    weights = args.weights or weights_beside(args.data)
    root = args.runs / Path(weights).stem
    root.mkdir(parents=True, exist_ok=True)
    play(Bench(args.data, weights, root, args.threads, args.page, args.peers_python))
    return 0


def weights_beside(data: Path) -> str:
    """What --weights is where it is not given."""
    found = sorted((data.parent / "weights").glob("resnet50*.safetensors"))
    return str(found[0]) if found else "imagenet"


def _take(bench: Bench, out: Path, weights: str) -> Result:
    cfg = FitConfig(
        data=bench.data(TILE),
        out=out,
        product="tile",
        weights=weights,
        network_size=(TILE.network, TILE.network),
        group_by=str(bench.data(TILE) / TABLE),
        data_licence=TILE.licence,
    )
    return _figures(_finished(out) or good_only(cfg))


def _bundle(bench: Bench, pictures: PictureSet) -> Result:
    manifest: Manifest = read_manifest(
        build_and_approve(bench.run(pictures), bench.data(pictures), bench.bundle(pictures), bench.root, OVERKILL)
    )
    return {
        "bundle_id": manifest.bundle_id,
        "metrics": dict(manifest.metrics),
        "bounds": [asdict(bound) for bound in manifest.limits.bounds],
        "chosen_by": manifest.limits.chosen_by,
        "calibration": {"good": manifest.calibration.images_good, "groups": manifest.calibration.groups},
    }


def _setting(bench: Bench) -> Setting:
    return Setting.of(bench.compared / "run", bench.data(TILE), bench.threads)


def _judge(bench: Bench) -> Judge:
    return Judge.of(bench.bundle(TILE), bench.data(TILE), bench.run(TILE), bench.threads)


def _fast_precision() -> Precision:
    """Where the CPU has no instructions for it, bfloat16 is slower than float32."""
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    return Precision.BF16 if "avx512_bf16" in flags or "amx_bf16" in flags else Precision.FP32


def _replay(bench: Bench, pictures: PictureSet) -> Result:
    return replay(
        bench.bundle(pictures),
        public_key(bench.root),
        bench.data(pictures),
        bench.line(pictures),
        frozenset(pictures.acceptable),
        bench.threads,
    )


def _finished(run: Path) -> Run | None:
    return read_run(run) if (run / RUN).exists() else None


def _figures(run: Run) -> Result:
    return {"metrics": dict(run.metrics), "initial_weights": run.initial_weights, "dataset": run.dataset.sha256}


if __name__ == "__main__":
    sys.exit(main())

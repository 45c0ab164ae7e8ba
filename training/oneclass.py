"""A run without a classifier: good parts only, and the features of a network that was taught elsewhere.

Nothing is learned here. The build fits its One-Class SVM on the good parts, and novelty alone tells the rest.
"""

from __future__ import annotations

import torch

from training.checkpoint import save_tensors
from training.checks import CHECKS, tell, write_checks
from training.config import FitConfig
from training.data import scan
from training.errors import RunError
from training.model import start_from
from training.runs import METRICS, RUN, SPLITS, WEIGHTS, DatasetInfo, Run, write_json, write_run, write_splits
from training.train import licences, source_commit
from training.views import MEAN, STD

USED = {"data", "product", "weights", "group_by", "roi", "network_size", "seed", "classes", "acceptable"}


def good_only(cfg: FitConfig) -> Run:
    """Write a one-class run into `cfg.out`: the pictures of train (and val, dealt from it where missing) are good ones.

    Other kinds may stand in test, to measure with; they are no classes. Raises TrainingError.
    """
    if (cfg.out / RUN).exists():
        raise RunError(f"{cfg.out} holds a finished run: give another --out")
    data = scan(
        cfg.data, classes=cfg.classes, acceptable=cfg.acceptable, group_by=cfg.group_by, seed=cfg.seed, good_only=True,
        quiet=cfg.quiet,
    )  # fmt: skip
    torch.manual_seed(cfg.seed)  # the head stays as it falls: of one class, its probability is 1 whatever it says
    start = start_from(cfg.weights, len(data.classes), cfg.weights_licence)
    cfg.out.mkdir(parents=True, exist_ok=True)
    write_splits(cfg.out, data.rows)
    write_checks(cfg.out / CHECKS, data.findings)
    tell(data.rows, data.findings, cfg.out / CHECKS, quiet=cfg.quiet)
    save_tensors(cfg.out / WEIGHTS, start.net.state_dict())
    write_json(cfg.out / METRICS, {})
    run = Run(
        schema=1,
        product=cfg.product,
        classes=data.classes,
        network_size=cfg.network_size,
        mean=MEAN,
        std=STD,
        roi=cfg.roi,
        head="linear",
        initial_weights=start.text,
        git_commit=source_commit(),
        seed=cfg.seed,
        config={key: text for key, text in cfg.described().items() if key in USED},
        dataset=DatasetInfo(data.sha256, len(data.rows), SPLITS),
        metrics={},
        licences=licences(cfg.data_licence, data, start),
    )
    write_run(cfg.out, run)
    return run

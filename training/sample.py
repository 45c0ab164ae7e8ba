"""Pictures to try a training with, for those who have none yet: CIFAR-10 as class folders."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from urllib.error import URLError

import torchvision
from PIL import Image

from training.errors import DataError
from training.progress import shown

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
ACCEPTABLE = "automobile"  # stands for the good part
ARCHIVE = "cifar-10-python.tar.gz"
FOLDER = "cifar-10-batches-py"
README = """CIFAR-10 (Krizhevsky, 2009) as class folders: 32 x 32 pixels, a toy.
An automobile plays the good part.

What to do next, in the folder above this one:

    inspector-train preview {name} --out preview.png --size 64 --augment flip-h --augment crop
    inspector-train fit {name} --out runs/first --weights none --size 64 --epochs 10 --augment flip-h
    inspector-deploy build runs/first --data {name} --out first.bundle --no-negatives

With ImageNet weights (--weights imagenet) it learns far faster. Then put your own pictures in such folders.
"""


def sample_cifar10(out: Path, folder: Path | None, per_class: int, *, quiet: bool = False) -> int:
    """Write train/, val/ and test/ of class folders, a class map and a README into `out`. Returns the pictures' number.

    folder: holds cifar-10-python.tar.gz or what is inside it; None: torchvision downloads it (170 MB) beside `out`.
    per_class: pictures of a class in train; val and test get a fifth of that. Raises DataError.
    """
    if out.exists() and any(out.iterdir()):
        raise DataError(f"{out} is not empty: give another folder")
    place = folder or out.parent
    learning, testing = (_load(place, train, download=folder is None) for train in (True, False))
    fifth = max(1, per_class // 5)
    written, seen = 0, Counter[int]()
    for picture, label in shown(learning, "writing train and val", len(learning), quiet=quiet):
        seen[label] += 1
        if seen[label] <= per_class + fifth:
            split = "train" if seen[label] <= per_class else "val"
            written += _write(out, split, label, seen[label], picture)
    seen.clear()
    for picture, label in shown(testing, "writing test", len(testing), quiet=quiet):
        seen[label] += 1
        if seen[label] <= fifth:
            written += _write(out, "test", label, seen[label], picture)
    rows = [{"class_id": i, "class_name": name, "acceptable": name == ACCEPTABLE} for i, name in enumerate(CIFAR10)]
    (out / "classes.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    (out / "README.md").write_text(README.format(name=out.name), encoding="utf-8")
    return written


def _write(out: Path, split: str, label: int, number: int, picture: Image.Image) -> int:
    kind = out / split / CIFAR10[label]
    kind.mkdir(parents=True, exist_ok=True)
    picture.save(kind / f"{number:05d}.png")
    return 1


def _load(place: Path, train: bool, *, download: bool) -> torchvision.datasets.CIFAR10:
    """torchvision checks the archive's hash before it reads it."""
    try:
        return torchvision.datasets.CIFAR10(str(place), train=train, download=download or (place / ARCHIVE).exists())
    except (URLError, OSError, RuntimeError) as exc:
        url = torchvision.datasets.CIFAR10.url
        raise DataError(
            f"CIFAR-10 could not be had from {place if not download else url} ({exc}).\n"
            f"Without internet: fetch {url} on another machine, put {ARCHIVE} (or the folder {FOLDER} inside it) into a"
            " folder, and give that: --from FOLDER"
        ) from exc

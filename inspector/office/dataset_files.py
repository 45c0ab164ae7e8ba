"""A dataset as files: a folder or a ZIP that `inspector-train fit` takes as it is. Whole or not at all.

OUT/train|val|test/CLASS/NO.png   pictures as the camera gave them
OUT/manifest.csv                  path, class, split, group: `inspector-train fit OUT/manifest.csv`
OUT/classes.json                  class ids, and which may pass
OUT/labels.csv                    who said what, when, and the box
OUT/SHA256SUMS                    of every picture and table: `sha256sum --check SHA256SUMS`
OUT/export.json                   what was left out, and the hash that a training will have of it
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from inspector.core.dealing import Split
from inspector.office.dataset import ExportError, Picture, Plan, Watch, counts_of
from inspector.web.export import safe
from inspector.web.media import NoPicture, read_below

SCHEMA = 1
MANIFEST, CLASSES, LABELS, SUMS, EXPORT = "manifest.csv", "classes.json", "labels.csv", "SHA256SUMS", "export.json"
Put = Callable[[str, bytes], None]
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_dataset(plan: Plan, pictures: Path, out: Path, watch: Watch = lambda done, of: None) -> None:
    """Write what was planned to the folder `out`, or to one ZIP where it is called so.

    Raises ExportError: `out` exists, the disk failed, or a picture changed since it was planned.
    """
    with _new_zip(out) if out.suffix.lower() == ".zip" else _new_folder(out) as put:
        for name, data in files_of(plan, pictures, watch):
            put(name, data)


def zip_pieces(plan: Plan, pictures: Path) -> Iterator[bytes]:
    """The same as the bytes of a ZIP, picture by picture, for who sends it on. Raises ExportError."""
    sent = _Pieces()
    with zipfile.ZipFile(sent, "w", zipfile.ZIP_STORED) as held:
        for name, data in files_of(plan, pictures):
            held.writestr(zipfile.ZipInfo(name), data)
            yield sent.take()
    yield sent.take()


def files_of(plan: Plan, pictures: Path, watch: Watch = lambda done, of: None) -> Iterator[tuple[str, bytes]]:
    """Name and content of each file of a dataset. Raises ExportError: a picture changed since it was planned."""
    sums: dict[str, str] = {}
    for done, picture in enumerate(plan.pictures, 1):
        try:
            data, _ = read_below(pictures, picture.row["image"])
        except NoPicture as exc:
            raise ExportError(f"{picture.row['image']} went away meanwhile: export again") from exc
        if hashlib.sha256(data).hexdigest() != picture.sha256:
            raise ExportError(f"{picture.row['image']} changed meanwhile: export again")
        yield picture.path, data
        sums[picture.path] = picture.sha256
        watch(done, len(plan.pictures))
    for name, text in _tables(plan).items():
        yield name, text.encode()
        sums[name] = hashlib.sha256(text.encode()).hexdigest()
    yield SUMS, "".join(f"{digest}  {path}\n" for path, digest in sums.items()).encode()


class _Pieces(io.RawIOBase):
    """What a ZIP is written to where nobody can go back in it."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        taken, self._pieces = b"".join(self._pieces), []
        return taken


def splits_of(earlier: Path) -> Mapping[str, Split]:
    """What the groups of an earlier export were used for; a folder, its manifest, or a ZIP. Raises ExportError."""
    try:
        if earlier.suffix.lower() == ".zip":
            with zipfile.ZipFile(earlier) as held:
                text = held.read(MANIFEST).decode()
        else:
            text = (earlier / MANIFEST if earlier.is_dir() else earlier).read_text(encoding="utf-8")
        rows = list(csv.DictReader(io.StringIO(text)))
        return {row["group"]: _split(row["split"]) for row in rows}
    except (OSError, KeyError, ValueError, zipfile.BadZipFile, csv.Error) as exc:
        raise ExportError(f"{earlier} is no earlier export: {exc}") from exc


def dataset_sha256(pictures: Iterable[Picture]) -> str:
    """As training names the dataset: over the sorted (sha256, label, split) rows."""
    lines = sorted(f"{picture.sha256} {picture.label} {picture.split}\n" for picture in pictures)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _split(name: str) -> Split:
    for split in ("train", "val", "test"):
        if name == split:
            return split
    raise ValueError(f"{name!r} is no split")


def _tables(plan: Plan) -> Mapping[str, str]:
    classes = [
        {"class_id": i, "class_name": name, "acceptable": may_pass} for i, (name, may_pass) in enumerate(plan.classes)
    ]
    about = {
        "schema": SCHEMA,
        "dataset_sha256": dataset_sha256(plan.pictures),
        "pictures": len(plan.pictures),
        "counts": counts_of(plan.pictures),
        "regions": plan.regions,  # x, y, width, height of what is judged
        "left_out": {str(why): list(numbers) for why, numbers in plan.left_out.items()},
    }
    manifest = [(p.path, p.label, p.split, p.group) for p in plan.pictures]
    return {
        MANIFEST: _csv(("path", "class", "split", "group"), manifest),
        CLASSES: json.dumps(classes, ensure_ascii=False, indent=1) + "\n",
        LABELS: _csv(
            ("path", "sha256", "no", "station", "serial", "lot", "part_id", "label", "acceptable", "person", "utc_ms",
             "queue", "x", "y", "w", "h", "note"),
            [map(safe, row) for picture in plan.pictures for row in _said(picture)],
        ),
        EXPORT: json.dumps(about, ensure_ascii=False, indent=1) + "\n",
    }  # fmt: skip


def _said(picture: Picture) -> Iterator[Sequence[object]]:
    row = picture.row
    for label in picture.people:
        said, box = label.said, label.said.box
        sides = ("",) * 4 if box is None else (box.x, box.y, box.w, box.h)
        yield (
            picture.path, picture.sha256, row["no"], row["station"], row["serial"], row["lot"], row["part_id"],
            said.label, "" if said.acceptable is None else int(said.acceptable), said.person, label.utc_ms,
            str(said.queue), *sides, said.note,
        )  # fmt: skip


def _csv(names: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    """Texts that a spreadsheet would take for a formula get an apostrophe in front."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow([f"'{v}" if isinstance(v, str) and v.startswith(_FORMULA) else v for v in row])
    return stream.getvalue()


@contextmanager
def _new_folder(out: Path) -> Iterator[Put]:
    _refuse_existing(out)
    staged = out.with_name(f".{out.name}.new")
    try:
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir(parents=True)

        def put(name: str, data: bytes) -> None:
            path = staged / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                file.write(data)

        yield put
        _refuse_existing(out)
        staged.rename(out)
    except OSError as exc:
        raise ExportError(f"{out} cannot be written: {exc.strerror or exc}") from exc
    finally:
        shutil.rmtree(staged, ignore_errors=True)


@contextmanager
def _new_zip(out: Path) -> Iterator[Put]:
    _refuse_existing(out)
    staged = out.with_name(f".{out.name}.new")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(staged, "w", zipfile.ZIP_STORED) as held:  # PNG does not shrink further
            yield lambda name, data: held.writestr(zipfile.ZipInfo(name), data)
        _refuse_existing(out)
        staged.rename(out)
    except OSError as exc:
        raise ExportError(f"{out} cannot be written: {exc.strerror or exc}") from exc
    finally:
        staged.unlink(missing_ok=True)


def _refuse_existing(out: Path) -> None:
    if out.exists() or out.is_symlink():
        raise ExportError(f"{out} exists already: nothing is overwritten")

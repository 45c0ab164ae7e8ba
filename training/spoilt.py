"""JPEG files whose middle is damaged: they decode without an error, into stripes of wrong brightness and colour.

A JPEG has no checksum. What gives much damage away is that libjpeg stumbles (a code that does not exist, bytes left
over at the end); it warns on stderr, and neither Pillow nor OpenCV passes that on. So the files are decoded once more
by child processes whose stderr is read after each; in this process others write there too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from training.errors import DataError

JPEG = b"\xff\xd8\xff"
# Of libjpeg's warnings (jerror.h) those that speak of the pixels; an odd header is not one of them.
WARNINGS = ("Corrupt JPEG data", "Premature end of JPEG file", "Inconsistent progression sequence")
ENOUGH_FOR_A_CHILD = 50  # files; a child takes half a second to start


def spoilt_jpegs(files: Sequence[Path]) -> dict[Path, str]:
    """Those of `files` that libjpeg stumbles over, and its words; other formats are passed over.

    Much damage cannot be seen at all: docs/training.md has the shares. Raises DataError: the check itself broke.
    """
    jpegs = [file for file in files if _is_jpeg(file)]
    if not jpegs:
        return {}
    children = min(len(os.sched_getaffinity(0)), -(-len(jpegs) // ENOUGH_FOR_A_CHILD))
    found: dict[Path, str] = {}
    with ThreadPoolExecutor(children) as pool:
        for part in pool.map(_ask_a_child, [jpegs[child::children] for child in range(children)]):
            found |= part
    return found


def _is_jpeg(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(len(JPEG)) == JPEG


def _ask_a_child(files: Sequence[Path]) -> dict[Path, str]:
    asked = json.dumps([str(file.resolve()) for file in files])
    done = subprocess.run([sys.executable, "-m", __name__], input=asked, capture_output=True, text=True, check=False)
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["no word"])[-1]
        raise DataError(f"the check for damaged JPEG files ended with status {done.returncode}: {why}")
    words = json.loads(done.stdout)
    return {file: said for file, said in zip(files, words, strict=True) if said}


def words_about(files: Sequence[str]) -> Iterator[str]:
    """What libjpeg says about each file, "" where nothing. Takes this process' stderr while it runs."""
    before = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            for file in files:
                said.seek(0)
                said.truncate()
                # All codes are read, no picture is made of them: a fraction of the time, and the same warnings.
                cv2.imdecode(np.fromfile(file, np.uint8), cv2.IMREAD_REDUCED_GRAYSCALE_8)
                said.seek(0)
                lines = said.read().decode(errors="replace").splitlines()
                yield next((line for line in lines if line.startswith(WARNINGS)), "")
        finally:
            os.dup2(before, 2)
            os.close(before)


if __name__ == "__main__":
    print(json.dumps(list(words_about(json.load(sys.stdin)))))

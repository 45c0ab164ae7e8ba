"""Every text of an error that a page may show is known by its shape, so that it has words in each language."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import inspector
import plc
from inspector.core import errors
from inspector.core.details import SAID
from inspector.core.wording import Wording

ROOT = Path(inspector.__file__).parent
PLC = Path(plc.__file__).parent
ROOM = 6  # alternatives of one text; more are no text but a table

# Errors whose text a page shows: of an alarm, of a part of the station, or as the answer to what somebody asked for.
SHOWN = {
    "AlarmRefused", "BackupError", "BundleError", "CameraError", "CameraLost", "CameraTimeout", "ControlError",
    "DecoderLost", "ExportError", "FarewellError", "ForceRefused", "FrameError", "GoldenError", "HashMismatch",
    "HoldError", "LinkFault", "ModelError", "NameProblem", "NoRoom", "NotDamaged", "PictureError", "RecipeError",
    "StoreBroken", "StoreError", "TlsError", "TooManyPixels", "UnknownRecipe", "ExceptionReply", "_given_up", "_gone",
}  # fmt: skip
# Those of which a page shows words of its own, or nothing: what was asked is not understood, or is asked by programs.
OWN_WORDS = {
    "BadFilter", "FeedFull", "InspectorError", "Malformed", "MonthError", "NoDaemon", "NoLook",
    "NotForReview", "NothingToUndo", "PartError", "Refused", "Unreached", "Unreadable", "_TooMuch", "DemoError",
    "ConfigError", "UnknownStation",
}  # fmt: skip
# Whom else a text is told that becomes one of these, and by which argument of theirs.
TOLD = {"down": 1, "abort": 0, "_stop": 0, "turn_away": 1, "_refuse": 0, "release": 0}
GIVEN = {"detail", "fault"}  # arguments by name, and names in what an alarm is given
# Run by a person in a shell, where all is English; nothing of it reaches the page.
OF_THE_SHELL = (
    "backup/numbers.py", "backup/restore.py", "backup/unpack.py", "cli.py", "commands.py", "control_client.py",
    "control.py", "demo/", "export_rows.py", "office/commands.py", "office/export_command.py", "office/mending.py",
)  # fmt: skip
KEYS = "bundle/keys.py"  # the one place whose ConfigErrors come while the line runs


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def shape(text: str) -> str:
    """Data that stand side by side, as host and port do, are one gap."""
    return re.sub(r"\{\}(:?\{\})+", "{}", text)


def texts(node: ast.AST | None, names: dict[str, list[ast.expr]], depth: int = 0) -> set[str]:
    """What a string expression may come to, each gap as {}; a name is what it was given in the same function."""
    match node:
        case ast.Constant(value=str(value)):
            return {value}
        case ast.JoinedStr(values=values):
            parts = [texts(part, names, depth) for part in values]
        case ast.FormattedValue(value=value, conversion=-1, format_spec=None):
            return texts(value, names, depth)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            parts = [texts(left, names, depth), texts(right, names, depth)]
        case ast.IfExp(body=body, orelse=orelse):
            return texts(body, names, depth) | texts(orelse, names, depth)
        case ast.Name(id=name) if name in names and depth < 3:
            given = set().union(*(texts(value, names, depth + 1) for value in names[name]))
            return given if 0 < len(given) <= ROOM else {"{}"}
        case _:
            return {"{}"}
    return {"".join(each) for each in itertools.product(*parts)}


def given_names(function: ast.AST) -> dict[str, list[ast.expr]]:
    found: dict[str, list[ast.expr]] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            found.setdefault(node.targets[0].id, []).append(node.value)
    return found


def called(node: ast.Call) -> str:
    return node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")


def raised(path: Path, wanted: set[str]) -> Iterator[tuple[int, str]]:
    """Line and shape of each text that one of the wanted errors is made with."""
    functions = [node for node in ast.walk(parsed(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    for function in functions:
        names = given_names(function)
        for node in ast.walk(function):
            for value in worded(node, wanted):
                yield from ((value.lineno, shape(text)) for text in texts(value, names))


def worded(node: ast.AST, wanted: set[str]) -> Iterator[ast.expr]:
    """What becomes a text that a page shows."""
    match node:
        case ast.Call(args=args, keywords=keywords):
            name = called(node)
            if args and name in wanted:
                yield args[-1]
            if name in TOLD and len(args) > TOLD[name]:
                yield args[TOLD[name]]
            yield from (keyword.value for keyword in keywords if keyword.arg in GIVEN)
        case ast.Dict(keys=keys, values=values):
            yield from (
                v for k, v in zip(keys, values, strict=True) if isinstance(k, ast.Constant) and k.value in GIVEN
            )


@cache
def written() -> frozenset[str]:
    """Shapes of all texts in the code of the line, the page and the link, but those that list them."""
    files = [path for root in (ROOT, PLC) for path in root.rglob("*.py") if not path.name.endswith("_texts.py")]
    found: set[str] = set()
    for path in files:
        for function in ast.walk(parsed(path)):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Module | ast.ClassDef):
                continue
            names = given_names(function)
            for node in ast.walk(function):
                if isinstance(node, ast.JoinedStr | ast.BinOp | ast.Constant | ast.IfExp):
                    found |= {shape(text).strip("; ") for text in (*texts(node, names), *texts(node, {}))}
    return frozenset(found)


def shape_of(wording: Wording) -> str:
    return shape(re.sub(r"\{\w+\}", "{}", wording.value))


SHAPES = {shape_of(wording) for wording in SAID}
HEADS = {shape_of(wording).removesuffix("{}") for wording in SAID if wording.value.endswith(("{why}", "{what}"))}
HANDED_ON = {"", "{}", "{}: {}"}  # perhaps behind its place; the page looks into it


def is_known(text: str) -> bool:
    """It has a kind; so has what stands inside it."""
    inside = [text.removeprefix(head) for head in HEADS if text.startswith(head)]
    return text in SHAPES | HANDED_ON or any(map(is_known, inside))


def sources() -> list[Path]:
    shown = [path for path in ROOT.rglob("*.py") if not path.relative_to(ROOT).as_posix().startswith(OF_THE_SHELL)]
    return sorted(shown) + sorted(PLC.glob("*.py"))


def test_each_text_of_an_error_that_a_page_may_show_has_a_kind() -> None:
    missing = [
        f"{path.relative_to(ROOT.parent)}:{line}: {text}"
        for path in sources()
        for line, text in raised(path, SHOWN | ({"ConfigError"} if path == ROOT / KEYS else set()))
        if not is_known(text)
    ]
    assert not missing, "a line in inspector/core/*_texts.py and words in said_*.toml for:\n" + "\n".join(missing)


def test_each_kind_of_text_is_written_somewhere() -> None:
    by_name, all_of_it = "\n".join(path.read_text() for path in ROOT.rglob("*.py")), "\n".join(written())
    gone = [
        wording.name for wording in SAID
        if f"{type(wording).__name__}.{wording.name}" not in by_name
        and not all(piece.strip(" :") in all_of_it for piece in shape_of(wording).split("{}"))
    ]  # fmt: skip
    assert not gone


def test_a_new_error_is_sorted_by_whether_its_text_is_shown() -> None:
    kinds = {errors.InspectorError.__name__}
    while True:
        more = {
            node.name for path in ROOT.rglob("*.py") for node in ast.walk(parsed(path))
            if isinstance(node, ast.ClassDef) and {getattr(base, "id", "") for base in node.bases} & kinds
        }  # fmt: skip
        if more <= kinds:
            break
        kinds |= more
    assert kinds <= SHOWN | OWN_WORDS


@pytest.mark.parametrize(
    "source",
    [
        'raise StoreError(f"{n} rows are strange")',
        'raise StoreError("odd" + word)',
        'health.down("store", "gone for lunch")',
        'health.warn(Kind.UPKEEP, {"detail": "not watched"})',
        'return Measure("disk_free", None, "gb", fault=f"no {word} today")',
    ],
)
def test_a_text_that_nobody_listed_is_found(source: str, tmp_path: Path) -> None:
    file = tmp_path / "new.py"
    file.write_text(f"def run(n, word):\n    {source}\n")
    assert [text for _, text in raised(file, SHOWN) if not is_known(text)]


def bare(path: Path) -> Iterator[str]:
    """Texts of errors that a page shows as they are: not through in_words."""
    for handler in ast.walk(parsed(path)):
        if not isinstance(handler, ast.ExceptHandler) or handler.name is None or handler.type is None:
            continue
        if {node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name)} <= WORDED_ALREADY:
            continue
        for call in (node for part in handler.body for node in ast.walk(part)):
            if isinstance(call, ast.Call) and called(call) in SHOWS:
                values = [*call.args, *(keyword.value for keyword in call.keywords)]
                yield from (
                    f"{path.name}:{call.lineno}" for v in values if ast.unparse(v) in (handler.name, "str(exc)")
                )


WORDED_ALREADY = {"BadFilter", "Refused", "_TooMuch"}
SHOWS = {"word", "Text", "Declined", "unready", "page", "JSONResponse"}


def test_a_page_shows_no_text_of_an_error_as_it_is(tmp_path: Path) -> None:
    pages = [*(ROOT / "web").glob("*.py"), *(ROOT / "serve").glob("*.py")]
    assert [found for path in pages for found in bare(path)] == []
    file = tmp_path / "new.py"
    file.write_text("def run():\n    try:\n        go()\n    except StoreError as exc:\n        word('a', why=exc)\n")
    assert list(bare(file)) == ["new.py:5"]

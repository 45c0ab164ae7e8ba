"""Fault scripts: whatever is written, it is a script or an error that names its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plc.sim.player import _HABITS
from plc.sim.script import KINDS, Argument, ScriptError, parse, usage

_TIMES = st.tuples(st.integers(0, 999), st.sampled_from(["s", "ms"])).map(lambda t: f"{t[0]} {t[1]}")


@st.composite
def good_lines(draw: st.DrawFn) -> str:
    """A line of the grammar."""
    kind = draw(st.sampled_from(KINDS))
    argument = {
        Argument.NONE: st.just(""), Argument.NUMBER: st.integers(0, kind.most).map(str), Argument.TIME: _TIMES,
    }[kind.argument]  # fmt: skip
    words = [kind.words, draw(argument), kind.after]
    if kind.lasting:
        words.append(draw(st.sampled_from(["", "for 1 part", "for 3 parts", "for 250 ms", "for 1.5 s"])))
    part = draw(st.integers(1, 999))
    when = draw(st.sampled_from([f"at part {part}", f"at {part}", f"at part {part} + 5 ms", "at 1.5 s", "AT 20 MS"]))
    return f"{when}: {' '.join(filter(None, words))}" + draw(st.sampled_from(["", "  # why", "   "]))


@given(st.lists(good_lines(), max_size=8))
def test_every_fault_of_the_table_is_read_with_its_line(lines: list[str]) -> None:
    faults = parse("# a script\n\n" + "\n".join(lines))
    assert [fault.line for fault in faults] == list(range(3, 3 + len(lines)))
    for fault, line in zip(faults, lines, strict=True):
        assert fault.kind.words in line
        assert (fault.part is None) != (fault.at_s is None)
        assert not fault.kind.lasting or (fault.for_parts is None) != (fault.for_s is None)


_PIECES = st.sampled_from(
    ["at", "part", "20", ":", "+", "5 ms", "2 s", "for", "3 parts", "stop", "recipe", "freeze ids", "#", "-1", "1e9",
     "99999999999", "\n", "ids", "0", "²", "٣", "\u2028"]
)  # fmt: skip


@given(
    st.one_of(st.text(max_size=60), st.lists(_PIECES, max_size=12).map(" ".join), good_lines().map(lambda s: s[:-1]))
)
def test_any_text_is_a_script_or_an_error_that_names_a_line_of_it(text: str) -> None:
    try:
        parse(text)
    except ScriptError as exc:
        problem = exc
    else:
        return
    assert 1 <= problem.line <= text.count("\n") + 1
    assert str(problem).startswith(f"line {problem.line}: ")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("at 3: freez ids", 'did you mean "freeze ids"?'),
        ("at 3: make coffee", "--list-faults"),
        ("stop 2 s", "does not begin with `at part 20:`"),
        ("at part 0: restart", "part: 0 is not within 1..1000000"),
        ("at 3: stop", "`2 s` or `500 ms`"),
        ("at 3: stop for 2 s", "takes no `for`"),
        ("at 3: recipe 70000", "recipe: 70000 is not within 0..65535"),
        ("at 3: recipe two", '"recipe N" needs a whole number, not "two"'),
        ("at 3: restart now", 'nothing may follow "restart"'),
        ("at 9999999999: restart", "does not begin with"),
        ("at 3: stop 90000 s", "more than a day"),
    ],
)
def test_what_is_wrong_is_said_in_words(line: str, says: str) -> None:
    with pytest.raises(ScriptError) as caught:
        parse("# first\n" + line)
    assert caught.value.line == 2
    assert says in str(caught.value)


def test_the_longest_words_win() -> None:
    assert [f.kind.words for f in parse("at 1: restart\nat 2: restart retained")] == ["restart", "restart retained"]


def test_every_fault_is_in_the_list_that_help_prints_and_can_be_played() -> None:
    page = usage()
    assert all(kind.words in page and kind.meaning in page for kind in KINDS)
    lasting = {kind.words for kind in KINDS if kind.lasting}
    assert lasting == set(_HABITS)


def test_the_script_in_the_documentation_can_be_played() -> None:
    page = (Path(__file__).parents[3] / "docs" / "commissioning.md").read_text()
    lines = [line.strip() for line in page.splitlines() if line.startswith("    at ")]
    assert len(parse("\n".join(lines))) == len(lines) > 5

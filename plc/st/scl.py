"""The spelling of Siemens' SCL: the same text with other marks."""

from __future__ import annotations

import re

_WORD = re.compile(r"(?P<comment>//[^\n]*)|(?P<literal>[A-Z]+#[0-9A-F#]+)|(?P<name>\.?[A-Za-z_]\w*)|(?P<mark>:=|[()])")
_DECLARED = re.compile(r"^VAR(?:_INPUT|_OUTPUT|_IN_OUT)?(?: CONSTANT)?\n(.*?)^END_VAR", re.M | re.S)
_OURS = re.compile(r"(?:ST|FB)_\w+")
_BLOCK = "{ S7_Optimized_Access := 'FALSE' }\nVERSION : 0.1"  # so that registers pass by reference, not as a copy


def to_scl(text: str) -> str:
    """A TYPE or FUNCTION_BLOCK of IEC 61131-3 in S7-SCL's spelling, for an external source in TIA Portal."""
    if "FUNCTION_BLOCK" not in text:
        text = re.sub(r"^TYPE (\w+) :$", r'TYPE "\1"\nVERSION : 0.1', text, flags=re.M)
        return re.sub(r"OF (ST_\w+)", r'OF "\1"', text)
    head, end, body = text.rpartition("END_VAR\n")
    head = re.sub(r"FUNCTION_BLOCK (\w+)", rf'FUNCTION_BLOCK "\1"\n{_BLOCK}', head)
    head = re.sub(r"(: |OF )((?:ST|FB)_\w+)", r'\1"\2"', head)
    return head + end + "\nBEGIN\n" + _marked(body.lstrip("\n"), _names(text))


def from_scl(text: str) -> str:
    """The inverse, but for blank lines: what a test needs to show that nothing but the spelling differs."""
    text = text.replace(f"\n{_BLOCK}", "").replace("\nBEGIN\n", "\n")
    text = re.sub(r'^TYPE "(\w+)"\nVERSION : 0.1$', r"TYPE \1 :", text, flags=re.M)
    return re.sub(r'"((?:ST|FB)_\w+)"', r"\1", re.sub(r"(?<!\w)#(?=[A-Za-z_])", "", text))


def _names(text: str) -> set[str]:
    """What a block declares: in SCL each of these wears a `#` where it is used."""
    found: set[str] = set()
    for section in _DECLARED.findall(text):
        found.update(re.findall(r"^\s*(\w+) :", section, flags=re.M))
    return found


def _marked(body: str, names: set[str]) -> str:
    depth = 0

    def spell(match: re.Match[str]) -> str:
        nonlocal depth
        word = match.group()
        depth += (word == "(") - (word == ")")
        named_argument = depth and re.match(r"\s*:=", body[match.end() :])
        return f"#{word}" if match["name"] and word in names and not named_argument else word

    return _WORD.sub(spell, body)

"""Runs Structured Text: a parsed function block becomes one Python function, statement by statement.

Strict on purpose: every name declared once, both sides of every operator of one type, no value outside its range, no
inputs forgotten by misspelling. What passes here needs no goodwill of a vendor's compiler.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import tree_sitter
import tree_sitter_iec61131_3_st

from tests.support.st.types import (
    BIT_STRINGS,
    LITERAL,
    NUMBERS,
    RANGES,
    Array,
    Instance,
    StError,
    Struct,
    at,
    checked,
    copy,
    key,
)

Node = tree_sitter.Node
_PARSER = tree_sitter.Parser(tree_sitter.Language(tree_sitter_iec61131_3_st.language()))
_SAME = {"AND": "&", "OR": "|", "XOR": "^"}
_SUMS = {"+": "+", "-": "-", "*": "*", "/": "//", "MOD": "%"}
_COMPARE = {"=": "==", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}


def parse(text: str) -> Node:
    """Raises StError with the line where the text is no ST."""
    root = _PARSER.parse(text.encode()).root_node
    if root.has_error:
        raise StError(f"not ST near {_first_error(root)!r}")
    return root


def load(texts: Mapping[str, str]) -> dict[str, Struct]:
    """Types and function blocks by name, from texts in the order that a compiler needs."""
    known: dict[str, Struct] = {}
    for text in texts.values():
        for node in parse(text).named_children:
            if node.type == "type_declaration":
                made = _type(node.named_children[0], known)
            elif node.type == "function_block_declaration":
                made = _block(node, known)
            elif node.type == "comment":
                continue
            else:
                raise StError(f"{node.type} is not in our subset")
            known[made.name] = made
    return known


def run(block: Instance, **inputs: Any) -> Instance:
    """One call of a function block: inputs set, its body run once. In-outs must be passed every time."""
    of = block.of
    for name in inputs:
        if key(name) not in of.inputs | of.in_outs:
            raise StError(f"{of.name} has no input {name}")
    call(block, **{key(name): value for name, value in inputs.items()})
    return block


def call(block: Instance, **inputs: Any) -> None:
    """The same from within a block, whose inputs were checked when it was compiled."""
    vars(block).update(inputs)
    block.of.body(block)


def _first_error(node: Node) -> str:
    if node.type == "ERROR" or node.is_missing:
        return f"line {node.start_point[0] + 1}: {_text(node)[:60]}"
    return next((_first_error(c) for c in node.children if c.has_error or c.is_missing), _text(node)[:60])


def _text(node: Node) -> str:
    return node.text.decode() if node.text is not None else ""


def _parts(node: Node) -> list[Node]:
    return [c for c in node.named_children if c.type != "comment"]


def _type(node: Node, known: Mapping[str, Struct]) -> Struct:
    name, structure = _parts(node)
    made = Struct(_text(name))
    for part in _parts(structure):
        field_name, kind = _parts(part)
        made.fields[_declare(made, field_name)] = _kind(kind, known)
    return made


def _declare(struct: Struct, name: Node) -> str:
    low = key(_text(name))
    if low in struct.fields:
        raise StError(f"{struct.name} declares {_text(name)} twice")
    return low


def _kind(node: Node, known: Mapping[str, Struct]) -> Any:
    text = _text(node).upper()
    if node.type == "array_type":
        subrange, of = _parts(node)
        low, high = (_number(_text(n)) for n in _parts(subrange))
        return Array(low, high, _kind(of, known))
    if text == "BOOL" or text in RANGES:
        return text
    if _text(node) not in known:
        raise StError(f"unknown type {_text(node)}")
    return known[_text(node)]


def _number(text: str) -> int:
    base, _, digits = text.replace("_", "").rpartition("#")
    return int(digits, int(base)) if base else int(digits)


def _block(node: Node, known: Mapping[str, Struct]) -> Struct:
    name, *rest = _parts(node)
    made = Struct(_text(name))
    statements = []
    for part in rest:
        if part.type in ("var_input", "var_output", "var_in_out", "var_block"):
            _variables(part, made, known)
        else:
            statements.append(part)
    body = _Body(made).block(statements, "    ")
    source = f"def scan(s):\n{body}"
    space = {"checked": checked, "at": at, "copy": copy, "call": call}
    exec(compile(source, made.name, "exec"), space)
    made.body = space["scan"]
    return made


def _variables(section: Node, made: Struct, known: Mapping[str, Struct]) -> None:
    for part in _parts(section):
        if part.type == "var_qualifier_list":
            continue
        name, kind, *initial = _parts(part)
        low = _declare(made, name)
        made.fields[low] = _kind(kind, known)
        if initial:
            text = _text(initial[0])
            made.initial[low] = text == "TRUE" if text in ("TRUE", "FALSE") else _number(text)
            if not isinstance(made.initial[low], bool):
                checked(made.initial[low], made.fields[low])
        if "CONSTANT" in _text(section).splitlines()[0]:
            made.constants.add(low)
        if section.type == "var_input":
            made.inputs.add(low)
        if section.type == "var_in_out":
            made.in_outs.add(low)


class _Body:
    """Statements and expressions of one function block, as Python text. Expressions come as (text, type)."""

    def __init__(self, block: Struct) -> None:
        self._block = block

    def block(self, nodes: list[Node], indent: str) -> str:
        lines = [self._statement(n, indent) for n in nodes if n.type not in ("empty_statement", "comment")]
        return "".join(lines) or f"{indent}pass\n"

    def _statement(self, node: Node, indent: str) -> str:
        kind = {
            "assignment_statement": self._assign, "invocation_statement": self._call, "if_statement": self._if,
            "for_statement": self._for, "case_statement": self._case,
        }.get(node.type)  # fmt: skip
        if kind is None:
            raise StError(f"{node.type} is not in our subset: {_text(node)[:60]}")
        return kind(node, indent)

    def _assign(self, node: Node, indent: str) -> str:
        target, value = _parts(node)
        (place, wanted), text = self._value(target), self._as(value, self._value(target)[1])
        root = key(re.split(r"[.\[]", _text(target))[0])
        if root in self._block.constants or (root in self._block.inputs and target.type == "identifier"):
            raise StError(f"{_text(target)} is not for writing")
        if isinstance(wanted, Array):
            text = f"copy({text})"
        return f"{indent}{place} = {text}\n"

    def _call(self, node: Node, indent: str) -> str:
        name, *rest = _parts(_parts(node)[0])
        place, of = self._value(name)
        if not isinstance(of, Struct) or of.body is None:
            raise StError(f"{_text(name)} is no function block")
        given, passed = set(), []
        for argument in _parts(rest[0]) if rest else []:
            label, value = _parts(argument)
            low = key(_text(label))
            if low not in of.inputs | of.in_outs or low in given:
                raise StError(f"{of.name} has no input {low}, or it is given twice")
            given.add(low)
            text = self._as(value, of.fields[low])
            passed.append(
                f"{low}=copy({text})" if isinstance(of.fields[low], Array) and low in of.inputs else f"{low}={text}"
            )
        if of.in_outs - given:
            raise StError(f"{of.name} is called without {of.in_outs - given}")
        return f"{indent}call({place}, {', '.join(passed)})\n"

    def _if(self, node: Node, indent: str) -> str:
        condition, *rest = _parts(node)
        return self._branches("if", condition, rest, indent)

    def _branches(self, word: str, condition: Node, rest: list[Node], indent: str) -> str:
        own = [n for n in rest if n.type not in ("elsif_clause", "else_clause")]
        out = f"{indent}{word} {self._as(condition, 'BOOL')}:\n{self.block(own, indent + '    ')}"
        for part in rest:
            if part.type == "elsif_clause":
                first, *body = _parts(part)
                out += self._branches("elif", first, body, indent)
            elif part.type == "else_clause":
                out += f"{indent}else:\n{self.block(_parts(part), indent + '    ')}"
        return out

    def _for(self, node: Node, indent: str) -> str:
        name, first, last, *body = _parts(node)
        place, kind = self._value(name)
        start, stop = self._as(first, kind), self._as(last, kind)
        return f"{indent}for {place} in range({start}, {stop} + 1):\n{self.block(body, indent + '    ')}"

    def _case(self, node: Node, indent: str) -> str:
        selector, *clauses = _parts(node)
        chosen, kind = self._value(selector)
        out, word = "", "if"
        for clause in clauses:
            if clause.type == "else_clause":
                out += f"{indent}else:\n{self.block(_parts(clause), indent + '    ')}"
                continue
            values = [self._as(_parts(v)[0], kind) for v in _parts(clause) if v.type == "case_value"]
            body = [n for n in _parts(clause) if n.type != "case_value"]
            out += f"{indent}{word} {chosen} in ({', '.join(values)},):\n{self.block(body, indent + '    ')}"
            word = "elif"
        return out

    # -- expressions -----------------------------------------------------------------------------------------------

    def _as(self, node: Node, wanted: Any) -> str:
        """An expression that must have the type `wanted`."""
        text, kind = self._value(node)
        if kind == LITERAL and wanted in NUMBERS:
            checked(int(text), wanted)
        elif kind != wanted and not (isinstance(kind, Struct) and kind is wanted):
            raise StError(f"{_text(node)} is {kind}, wanted is {wanted}")
        return text

    def _value(self, node: Node) -> tuple[str, Any]:
        of = getattr(self, f"_{node.type}", None)
        if of is None:
            raise StError(f"{node.type} is not in our subset: {_text(node)[:60]}")
        value: tuple[str, Any] = of(node)
        return value

    def _identifier(self, node: Node) -> tuple[str, Any]:
        low = key(_text(node))
        if low not in self._block.fields:
            raise StError(f"{self._block.name} does not declare {_text(node)}")
        if low in self._block.constants:
            return str(self._block.initial[low]), self._block.fields[low]
        return f"s.{low}", self._block.fields[low]

    def _member_access_expression(self, node: Node) -> tuple[str, Any]:
        of, name = _parts(node)
        place, kind = self._value(of)
        low = key(_text(name))
        if not isinstance(kind, Struct) or low not in kind.fields:
            raise StError(f"{_text(of)} has no {_text(name)}")
        return f"{place}.{low}", kind.fields[low]

    def _index_expression(self, node: Node) -> tuple[str, Any]:
        of, index = _parts(node)
        (place, kind), where = self._value(of), self._as(index, "INT")
        if not isinstance(kind, Array):
            raise StError(f"{_text(of)} is no array")
        if where.isdecimal():
            return f"{place}[{at(range(kind.high - kind.low + 1), int(where), kind.low)}]", kind.of
        if kind.low == 0:  # above the end Python says so itself; below 0 it would count from there
            return f"{place}[i if (i := {where}) >= 0 else at({place}, i, 0)]", kind.of
        return f"{place}[at({place}, {where}, {kind.low})]", kind.of

    def _integer_literal(self, node: Node) -> tuple[str, Any]:
        return str(_number(_text(node))), LITERAL

    def _boolean_literal(self, node: Node) -> tuple[str, Any]:
        return str(_text(node).upper() == "TRUE"), "BOOL"

    def _typed_literal(self, node: Node) -> tuple[str, Any]:
        kind, value = _text(node).split("#", 1)
        return str(checked(_number(value), kind)), kind

    def _parenthesized_expression(self, node: Node) -> tuple[str, Any]:
        text, kind = self._value(_parts(node)[0])
        return f"({text})", kind

    def _unary_expression(self, node: Node) -> tuple[str, Any]:
        if _text(node.children[0]).upper() != "NOT":
            raise StError(f"{_text(node)} is not in our subset")
        return f"(not {self._as(_parts(node)[0], 'BOOL')})", "BOOL"

    def _call_expression(self, node: Node) -> tuple[str, Any]:
        name, arguments = _parts(node)
        source, _, target = _text(name).partition("_TO_")
        if source not in RANGES or target not in RANGES:
            raise StError(f"unknown function {_text(name)}")
        (argument,) = _parts(arguments)
        text, (low, high) = self._as(argument, source), RANGES[source]
        fits = RANGES[target][0] <= low and high <= RANGES[target][1]
        return text if fits else f"checked({text}, {target!r})", target

    def _binary_expression(self, node: Node) -> tuple[str, Any]:
        left, right = _parts(node)
        operator = next(_text(c).upper() for c in node.children if not c.is_named and c.type not in "()")
        (a, kind), (b, other) = self._value(left), self._value(right)
        common = other if kind == LITERAL else kind
        if LITERAL in (kind, other) and common not in NUMBERS:
            raise StError(f"a bare number beside {common}: {_text(node)}")
        if LITERAL not in (kind, other) and kind != other:
            raise StError(f"{kind} {operator} {other}: {_text(node)}")
        if operator in _SAME and common in BIT_STRINGS:
            return f"({a} {_SAME[operator]} {b})", common
        if operator in _SUMS and common in NUMBERS:
            return f"checked({a} {_SUMS[operator]} {b}, {common!r})", common
        if operator in _COMPARE and (common in NUMBERS or (common in BIT_STRINGS and operator in ("=", "<>"))):
            return f"({a} {_COMPARE[operator]} {b})", "BOOL"
        raise StError(f"{common} {operator}: {_text(node)}")

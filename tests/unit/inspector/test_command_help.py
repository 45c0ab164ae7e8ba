from __future__ import annotations

import re
from collections.abc import Iterator

import click
import pytest
import typer.main

import inspector.cli
import plc.cli


def told(command: click.Command) -> Iterator[str]:
    yield command.help or ""
    for parameter in command.params:
        yield getattr(parameter, "help", None) or ""
    for inner in getattr(command, "commands", {}).values():
        yield from told(inner)


@pytest.mark.parametrize("app", [inspector.cli.app, plc.cli.app], ids=["inspector", "inspector-plc"])
def test_no_name_in_brackets_is_swallowed_as_markup_by_the_help(app: typer.Typer) -> None:
    texts = list(told(typer.main.get_command(app)))
    assert len(texts) > 10
    assert not [text for text in texts if re.search(r"(?<!\\)\[[a-z/]", text)], "write \\[backup], not [backup]"

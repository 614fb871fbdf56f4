"""What ``--help`` shows of a text is the text: nothing in it is taken for markup or for the name of an emoji."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer
from rich.text import Text

from mpifl.__main__ import app


def commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """The command and all below it, by their words."""
    yield name, command
    if hasattr(command, "list_commands"):
        context = typer.Context(command)
        for inner in command.list_commands(context):
            yield from commands(command.get_command(context, inner), f"{name} {inner}")


def test_every_text_is_shown_as_it_was_written() -> None:
    whole = dict(commands(typer.main.get_command(app), "mpifl"))
    assert {
        "mpifl run",
        "mpifl data import csv",
        "mpifl traces import fedscale",
        "mpifl slurm",
        "mpifl data show",
    } <= set(whole)
    texts = {
        name: [command.help, *(getattr(p, "help", None) for p in command.params)]
        for name, command in whole.items()
    }
    assert all(texts[name][0] for name in texts)
    changed = [
        (name, text)
        for name, found in texts.items()
        for text in found
        if text and Text.from_markup(text).plain != text.replace(r"\[", "[")
    ]
    assert not changed

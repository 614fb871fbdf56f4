"""Layouts of text files that hold the texts of several clients."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from mpifl.errors import InputError
from mpifl.io.text import text_lines

Layout = Literal["plays", "roles", "tsv", "lines"]
ROLES = {
    "plays": r"^(?!(?i:ACT|SCENE)\b)(?P<role>[A-Z][A-Za-z' -]*)\.$",
    "roles": r"^(?P<role>.+):$",
}
"""By layout, the regular expression of a speech's first line."""


class Speech(NamedTuple):
    """A text, its client, and the number of its first line; ``client`` is None if nobody speaks."""

    client: str | None
    text: str
    line: int


@dataclass(frozen=True)
class Script:
    """The layout of text files.

    ``role`` is a regular expression for the first line of a speech, with a group role.
    """

    layout: Layout
    role: str
    encoding: str

    def speeches(self, path: Path) -> Iterator[Speech]:
        """Yield the texts of a file, also empty ones. Raise InputError naming file and line."""
        if self.layout == "lines":
            for number, line in text_lines(path, self.encoding):
                yield Speech(path.stem, line, number)
        elif self.layout == "tsv":
            for number, line in text_lines(path, self.encoding):
                if line.strip():
                    client, tab, text = line.partition("\t")
                    if not (tab and client.strip()):
                        raise InputError(
                            f"{path}: line {number}: {line[:40]!r}:"
                            " expected a client, a tab and a text"
                        )
                    yield Speech(client.strip(), text, number)
        else:
            for number, paragraph in self._paragraphs(path):
                yield self._speech(path, number, paragraph)

    def _speech(self, path: Path, number: int, paragraph: list[str]) -> Speech:
        """Return a paragraph with its role, if it has one.

        In a play a paragraph of one line is a heading or a stage direction.
        """
        match = re.match(self.role, paragraph[0].strip())
        if not match or (self.layout == "plays" and len(paragraph) == 1):
            return Speech(None, "\n".join(paragraph), number)
        role = match["role"].strip().upper()
        client = f"{path.stem}/{role}" if self.layout == "plays" else role
        return Speech(client, "\n".join(paragraph[1:]), number)

    def _paragraphs(self, path: Path) -> Iterator[tuple[int, list[str]]]:
        """Yield the lines between empty lines, with the number of the first."""
        lines = ((number, line.rstrip()) for number, line in text_lines(path, self.encoding))
        for has_text, block in itertools.groupby(lines, lambda numbered: bool(numbered[1])):
            if has_text:
                paragraph = list(block)
                yield paragraph[0][0], [line for _, line in paragraph]

    def count(self, path: Path) -> tuple[int, int]:
        """Return the numbers of texts in a file with a client and without one."""
        spoken = [speech.client is not None for speech in self.speeches(path)]
        return sum(spoken), len(spoken) - sum(spoken)

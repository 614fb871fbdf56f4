"""Who says what: the layouts in which texts of several people are written."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from mpifl.datasets.importers.streams import text_lines
from mpifl.errors import InputError

Layout = Literal["plays", "roles", "tsv", "lines"]
ROLES = {
    "plays": r"^(?!(?i:ACT|SCENE)\b)(?P<role>[A-Z][A-Za-z' -]*)\.$",
    "roles": r"^(?P<role>.+):$",
}
"""By layout the first line of a speech."""


class Speech(NamedTuple):
    """A text, whose it is, and in which line it begins; a paragraph that nobody speaks has no client."""

    client: str | None
    text: str
    line: int


@dataclass(frozen=True)
class Script:
    """How texts are laid out. ``role`` is a regular expression for the first line of a speech, with a group role."""

    layout: Layout
    role: str
    encoding: str

    def speeches(self, path: Path) -> Iterator[Speech]:
        """The texts of a file, those without a word in them too. Raises InputError naming file and line."""
        if self.layout == "lines":
            for number, line in text_lines(path, self.encoding):
                yield Speech(path.stem, line, number)
        elif self.layout == "tsv":
            for number, line in text_lines(path, self.encoding):
                if line.strip():
                    client, tab, text = line.partition("\t")
                    if not (tab and client.strip()):
                        raise InputError(f"{path}: line {number}: {line[:40]!r}: expected a client, a tab and a text")
                    yield Speech(client.strip(), text, number)
        else:
            for number, paragraph in self._paragraphs(path):
                yield self._speech(path, number, paragraph)

    def _speech(self, path: Path, number: int, paragraph: list[str]) -> Speech:
        """A paragraph, whoever speaks it. In a play one line alone is a heading or says what happens."""
        found = re.match(self.role, paragraph[0].strip())
        if not found or (self.layout == "plays" and len(paragraph) == 1):
            return Speech(None, "\n".join(paragraph), number)
        role = found["role"].strip().upper()
        return Speech(f"{path.stem}/{role}" if self.layout == "plays" else role, "\n".join(paragraph[1:]), number)

    def _paragraphs(self, path: Path) -> Iterator[tuple[int, list[str]]]:
        """What stands between empty lines, with the number of its first line."""
        lines = ((number, line.rstrip()) for number, line in text_lines(path, self.encoding))
        for filled, block in itertools.groupby(lines, lambda found: bool(found[1])):
            if filled:
                paragraph = list(block)
                yield paragraph[0][0], [line for _, line in paragraph]

    def count(self, path: Path) -> tuple[int, int]:
        """How many texts of somebody a file has, and how many of nobody."""
        spoken = [speech.client is not None for speech in self.speeches(path)]
        return sum(spoken), len(spoken) - sum(spoken)

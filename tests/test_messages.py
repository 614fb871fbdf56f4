"""Messages in good English: a number that is one has its noun in the singular."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from mpifl.errors import counted, quoted

PACKAGE = Path(__file__).parents[1] / "mpifl"
NOUNS = (
    "arrays|cells|checkpoints|classes|clients|columns|curves|devices|entries|features|files"
    "|frames|gaps|images|labels|lines|messages|nodes|numbers|pairs|paragraphs|participants|patterns"
    "|phones|places|points|ranks|readings|rounds|rows|runs|samples|shards|slots|steps|tasks|tokens"
    "|updates|users|values|weights"
)
STORED = {"csv.py", "sizes.py", "svmlight.py", "text.py", "wav.py"}
"""Importers whose counts are part of a data set's source, and so of its hash: they stay as they are."""


def plural_counts(path: Path) -> list[str]:
    """The f-strings of a module in which a number that is not constant has a noun in the plural."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        for value, text in zip(
            getattr(node, "values", []), getattr(node, "values", [])[1:], strict=False
        ):
            if not (isinstance(node, ast.JoinedStr) and isinstance(value, ast.FormattedValue)):
                continue
            written = ast.unparse(value.value)
            constant = re.fullmatch(r"[A-Z_ /*]+", written)
            fraction = value.format_spec and re.search("[fge%]'", ast.unparse(value.format_spec))
            told = written.endswith(".text")  # as published, such as 640K
            after = text.value if isinstance(text, ast.Constant) else ""
            if re.match(rf" ({NOUNS})\b", str(after)) and not (constant or fraction or told):
                found.append(f"{path.name}:{value.lineno}: {{{written}}}{str(after)[:30]}")
    return found


@pytest.mark.parametrize(
    ("count", "noun", "said"),
    [
        (1, "round", "1 round"),
        (0, "round", "0 rounds"),
        (1000, "client", "1,000 clients"),
        (2, "class", "2 classes"),
        (1, "class", "1 class"),
        (3, "entry", "3 entries"),
    ],
)
def test_a_number_and_its_noun_agree(count: int, noun: str, said: str) -> None:
    assert counted(count, noun) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (r"\d+\.jpg$", r"'\d+\.jpg$'"),
        (r"C:\data", r"'C:\data'"),
        ("a\tb", r"'a\tb'"),
        ("it's", '"it\'s"'),
        (0.5, "0.5"),
        (None, "None"),
    ],
)
def test_a_value_is_shown_as_it_was_written(value: object, said: str) -> None:
    assert quoted(value) == said


def test_no_message_doubles_the_backslashes_of_a_pattern() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}: {ast.unparse(node)}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FormattedValue) and node.conversion == ord("r")
        if ast.unparse(node.value).endswith("pattern")
    ]
    assert found == []


def test_every_count_in_a_message_agrees_with_its_noun() -> None:
    found = [line for path in sorted(PACKAGE.rglob("*.py")) for line in plural_counts(path)]
    assert [line for line in found if line.partition(":")[0] not in STORED] == []


def test_no_text_of_a_file_is_taken_for_markup_or_for_an_emoji() -> None:
    consoles = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "Console":
                plain = {f"{k.arg}={ast.unparse(k.value)}" for k in node.keywords}
                consoles.append((path.name, {"markup=False", "emoji=False"} <= plain))
    assert len(consoles) >= 3
    assert [name for name, plain in consoles if not plain] == []

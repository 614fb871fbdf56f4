"""A part of a source of Arrow columns: where it is, what its columns are, and its batches."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpifl.datasets.importers.arrow_columns import Kind, kind_of, plain
from mpifl.errors import InputError
from mpifl.io.files import read_errors

Columns = Mapping[str, Any]
"""Columns (pyarrow.Array or ChunkedArray) by name."""

PANDAS_INDEX = re.compile(r"__index_level_\d+__")
"""What an index without a name is called."""

ROWS: Mapping[Kind, int] = {"images": 64, "text": 1 << 10, "numbers": 1 << 10}
"""Rows held at once, by kind of samples."""


@dataclass(frozen=True)
class Split:
    """Rows of a source.

    Attributes:
        location: Names the rows in messages.
        schema: Types of the columns (pyarrow.Schema).
        read: Yields the rows of some columns, at most so many at a time.
        classes: By column, the names of classes that are numbers there.
        path: Path of the file below SOURCE, for patterns; "" for a source without files of its own.
        opens_paths: Whether an image may be a path to a file instead of bytes.
        licence: As the source says, or "".
    """

    location: str
    schema: Any
    read: Callable[[list[str], int], Iterator[Columns]]
    classes: Mapping[str, list[str]]
    path: str = ""
    opens_paths: bool = False
    licence: str = ""

    def kind(self, column: str) -> Kind:
        """Return what the values of a column are."""
        return kind_of(self.schema.field(column).type)

    def batches(self, columns: list[str], kind: Kind) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield location (for messages) and columns (pyarrow.Array) of the rows, by batch."""
        start = 0
        with read_errors(Path(self.location)):
            for batch in self.read(columns, ROWS[kind]):
                arrays = {name: plain(batch[name]) for name in columns}
                yield f"{self.location}: rows from {start}", arrays
                start += len(arrays[columns[0]])

    def check_column(self, name: str, option: str) -> None:
        """Raise InputError naming the option unless there is exactly one column of that name."""
        if self.schema.names.count(name) != 1:
            what = "no such column" if name not in self.schema.names else "several such columns"
            raise InputError(
                f"{option}: {name!r}: {self.location} has {what};"
                f" there are: {', '.join(self.schema.names)}"
            )


def check_alike(splits: Iterator[Split], columns: list[str], what: str) -> None:
    """Raise InputError unless all splits have the columns with one kind and the same classes.

    ``what`` names the columns in the message.
    """
    first: tuple[str, list[tuple[Any, Any]]] | None = None
    for split in splits:
        facts = [(split.kind(name), split.classes.get(name)) for name in columns]
        first = first or (split.location, facts)
        if facts != first[1]:
            raise InputError(f"{split.location}: {what} differ from those in {first[0]}")


def index_of(schema: Any) -> set[str]:
    """Return the columns that pandas wrote its index as: numbers or names of rows."""
    named = {
        name
        for name in _described(schema, b"pandas").get("index_columns", [])
        if isinstance(name, str)
    }
    return named | {name for name in schema.names if PANDAS_INDEX.fullmatch(name)}


def classes_in(schema: Any) -> dict[str, list[str]]:
    """Return names of classes by column, as Hugging Face's library describes them in a schema."""
    described = _described(schema, b"huggingface")
    return {
        name: [str(label) for label in feature["names"]]
        for name, feature in described.get("info", {}).get("features", {}).items()
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
    }


def _described(schema: Any, key: bytes) -> dict[str, Any]:
    """Return what a library has written about the columns in a schema; empty without it."""
    described: dict[str, Any] = json.loads((schema.metadata or {}).get(key, b"{}"))
    return described

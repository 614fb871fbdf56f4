"""Text in the format of SVMlight and LIBSVM.

A line is a sample: ``label [qid:N] index:value ... # comment``.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from mpifl.datasets.dataset import Description
from mpifl.datasets.importers.csv_rows import exact, finite
from mpifl.datasets.importers.importer import Importer
from mpifl.datasets.importers.streams import CHUNK_BYTES
from mpifl.datasets.store import Store
from mpifl.errors import InputError, counted
from mpifl.io.text import text_lines

MOST_FEATURES = 1_000_000
"""More features need --features, because one wrong index would make samples of any size."""

MOST_LINES = 1 << 13  # held at once, however short


@dataclass(frozen=True)
class Line:
    """A sample: its location, label, query, and indices (from 0, ascending) with their values."""

    location: str
    label: float | int
    query: str | None
    indices: list[int]
    values: list[float]


class Svmlight(Importer):
    """LIBSVM's text: a line is a label and the features that are not 0.

    It is ``label index:value index:value ...``. Indices begin with 1. Features become dense
    float32. With ``qid:N`` before them query N is the client; without, all samples belong to one
    client "all", and a partitioner of the job distributes them. Classes are the sorted labels: -1
    and +1 become 0 and 1. Files may be compressed (.gz, .xz).
    """

    features: int = Field(0, ge=0, description="number of features (0: the largest index of train)")
    zero_based: bool = Field(False, description="indices begin with 0")
    task: Literal["classification", "regression"] = Field(
        "classification", description="what is learned"
    )

    def read(self, sources: Mapping[str, list[Path]], store: Store) -> Description:
        """Read train twice: first labels and the number of features, then the samples."""
        width, labels = self._learn(sources["train"])
        rows = min(MOST_LINES, max(1, CHUNK_BYTES // (4 * width)))
        with_queries: bool | None = None
        for part, files in sources.items():
            for path in files:
                lines = self._lines(path)
                while block := list(itertools.islice(lines, rows)):
                    for line in block:
                        has_query = line.query is not None
                        with_queries = has_query if with_queries is None else with_queries
                        if with_queries != has_query:
                            wrong = "no" if with_queries else "a"
                            raise InputError(
                                f"{line.location}: {wrong} qid, unlike in the lines before"
                            )
                    clients = ["all" if line.query is None else line.query for line in block]
                    x = self._features(block, width)
                    y = self._labels(block, labels)
                    store.add(part, clients, x, y, where=block[0].location)

        first = sources["train"][0]
        names = [str(int(label)).encode() for label in labels]
        return Description(
            name=first.name.partition(".")[0],
            outputs=len(labels) or 1,
            source=f"{first.name}: {width} features; client: {'qid' if with_queries else 'none'}",
            licence="as its source says",
            task=self.task,
            labels=np.array(names) if labels else np.empty(0, "S1"),
        )

    def _learn(self, files: list[Path]) -> tuple[int, dict[float | int, int]]:
        """Return the number of features, and the class of each label."""
        largest = -1
        labels = set()
        for line in itertools.chain.from_iterable(map(self._lines, files)):
            if self.task == "classification":
                if line.label != int(line.label):
                    raise InputError(
                        f"{line.location}: label {line.label:g} names no class;"
                        " --task regression takes numbers"
                    )
                labels.add(line.label)

            if line.indices and line.indices[-1] > largest:
                largest = line.indices[-1]
                if not self.features and largest >= MOST_FEATURES:
                    raise InputError(
                        f"{line.location}: index {self._index(largest)}: more than"
                        f" {MOST_FEATURES:,} features, stored densely; --features N allows them"
                    )

        if largest < 0 and not self.features:
            raise InputError(f"{files[0]}: no features; --features says how many there are")
        return self.features or largest + 1, {label: k for k, label in enumerate(sorted(labels))}

    def _index(self, position: int) -> int:
        """Return the index in the source of the feature at ``position``, from 0."""
        return position if self.zero_based else position + 1

    def _lines(self, path: Path) -> Iterator[Line]:
        """Yield the samples of a file. Raise InputError naming a wrong line, or an empty file."""
        number = 0
        for number, text in text_lines(path):
            fields = text.partition("#")[0].split()
            if fields:
                yield self._line(f"{path}: line {number}", fields)
        if not number:
            raise InputError(f"{path}: no lines")

    def _line(self, location: str, fields: list[str]) -> Line:
        field = fields[0]  # the one that is parsed, for the message
        try:
            label = exact(field)
            queries = [text for text in fields[1:2] if text.startswith("qid:")]
            if "qid:" in queries:
                field = "qid:"
                raise ValueError(field)
            indices = []
            values = []
            for field in fields[1 + len(queries) :]:
                index, colon, value = field.partition(":")
                if not (colon and index.isascii() and index.isdigit()):
                    raise ValueError(field)
                indices.append(int(index) - (not self.zero_based))
                values.append(finite(value))
        except ValueError as error:
            raise InputError(
                f"{location}: {field[:40]!r}: expected label [qid:N] index:value ...,"
                " finite numbers"
            ) from error

        if indices and indices[0] < 0:
            raise InputError(f"{location}: index 0; --zero-based says that indices begin with 0")
        for before, after in itertools.pairwise(indices):
            if after <= before:
                raise InputError(
                    f"{location}: index {self._index(after)} after {self._index(before)};"
                    " they must ascend"
                )
        query = queries[0][len("qid:") :] if queries else None
        return Line(location, label, query, indices, values)

    def _features(self, block: list[Line], width: int) -> np.ndarray:
        """Return the features (lines, width) float32."""
        x = np.zeros((len(block), width), np.float32)
        for row, line in enumerate(block):
            if line.indices and line.indices[-1] >= width:
                raise InputError(
                    f"{line.location}: index {self._index(line.indices[-1])};"
                    f" there are {counted(width, 'feature')}: --features says how many"
                )
            x[row, line.indices] = line.values
        return x

    def _labels(self, block: list[Line], labels: dict[float | int, int]) -> np.ndarray:
        """Return (lines,) int64 classes, or (lines, 1) float32.

        Raise InputError for a class that train does not have.
        """
        if self.task == "regression":
            return np.array([[line.label] for line in block], np.float32)
        for line in block:
            if line.label not in labels:
                raise InputError(
                    f"{line.location}: label {line.label:g} is not among the"
                    f" {len(labels)} of the train part"
                )
        return np.array([labels[line.label] for line in block], np.int64)

"""Text in the format of SVMlight and LIBSVM: a line is a sample, ``label [qid:N] index:value ... # comment``."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from mpifl.datasets.dataset import Description
from mpifl.datasets.importers.csv_rows import finite
from mpifl.datasets.importers.importer import Importer
from mpifl.datasets.importers.streams import CHUNK_BYTES, text_lines
from mpifl.datasets.store import Store
from mpifl.errors import InputError

MOST_FEATURES = 1_000_000
"""More are stored only when the user says how many: one wrong index would make samples of any size."""

MOST_LINES = 1 << 13  # held at once, however short


@dataclass(frozen=True)
class Line:
    """A sample: where it stands, label, query, and indices (from 0, ascending) with their values."""

    where: str
    label: float
    query: str | None
    indices: list[int]
    values: list[float]


class Svmlight(Importer):
    """LIBSVM's text: a line is a label and the features that are not 0, ``label index:value index:value ...``.

    Indices begin with 1. Features become dense float32. With ``qid:N`` in front of them query N is the client; without, all
    samples belong to one client "all", and a partitioner of the job deals them out. Classes are the labels in order: -1 and +1
    become 0 and 1. Files may be packed (.gz, .xz).
    """

    features: int = Field(0, ge=0, description="how many features there are (0: up to the largest index of train)")
    zero_based: bool = Field(False, description="indices begin with 0")
    task: Literal["classification", "regression"] = Field("classification", description="what is learned")

    def read(self, sources: Mapping[str, list[Path]], store: Store) -> Description:
        """See Importer. Two passes over the train part: labels and the number of features first."""
        width, labels = self._learn(sources["train"])
        rows = min(MOST_LINES, max(1, CHUNK_BYTES // (4 * width)))
        with_queries: bool | None = None
        for part, files in sources.items():
            for path in files:
                lines = self._lines(path)
                while block := list(itertools.islice(lines, rows)):
                    for line in block:
                        with_queries = line.query is not None if with_queries is None else with_queries
                        if with_queries != (line.query is not None):
                            raise InputError(f"{line.where}: {'no' if with_queries else 'a'} qid, unlike in the lines before")
                    clients = ["all" if line.query is None else line.query for line in block]
                    store.add(part, clients, self._features(block, width), self._labels(block, labels), where=block[0].where)
        first = sources["train"][0]
        return Description(
            name=first.name.partition(".")[0],
            outputs=len(labels) or 1,
            source=f"{first.name}: {width} features; client: {'qid' if with_queries else 'none'}",
            licence="as its source says",
            task=self.task,
            labels=np.array([f"{label:g}".encode() for label in labels]) if labels else np.empty(0, "S1"),
        )

    def _learn(self, files: list[Path]) -> tuple[int, dict[float, int]]:
        """The number of features, and the class of each label."""
        largest, labels = -1, set()
        for line in itertools.chain.from_iterable(map(self._lines, files)):
            if self.task == "classification":
                if not line.label.is_integer():
                    raise InputError(f"{line.where}: label {line.label:g} names no class; --task regression takes numbers")
                labels.add(line.label)
            if line.indices and line.indices[-1] > largest:
                largest = line.indices[-1]
                if not self.features and largest >= MOST_FEATURES:
                    raise InputError(
                        f"{line.where}: index {self._index(largest)}: samples are dense; --features says that it is right"
                    )
        if largest < 0 and not self.features:
            raise InputError(f"{files[0]}: no features; --features says how many there are")
        return self.features or largest + 1, {label: k for k, label in enumerate(sorted(labels))}

    def _index(self, place: int) -> int:
        return place if self.zero_based else place + 1

    def _lines(self, path: Path) -> Iterator[Line]:
        """The samples of a file. Raises InputError naming the line that is none, or a file without any."""
        number = 0
        for number, text in text_lines(path):
            fields = text.partition("#")[0].split()
            if fields:
                yield self._line(f"{path}: line {number}", fields)
        if not number:
            raise InputError(f"{path}: no lines")

    def _line(self, where: str, fields: list[str]) -> Line:
        at = fields[0]
        try:
            label = finite(at)
            queries = [field for field in fields[1:2] if field.startswith("qid:")]
            indices, values = [], []
            for at in fields[1 + len(queries) :]:
                index, colon, value = at.partition(":")
                if not (colon and index.isascii() and index.isdigit()):
                    raise ValueError(at)
                indices.append(int(index) - (not self.zero_based))
                values.append(finite(value))
        except ValueError as error:
            raise InputError(f"{where}: {at[:40]!r}: expected label [qid:N] index:value ..., finite numbers") from error
        if indices and indices[0] < 0:
            raise InputError(f"{where}: index 0; --zero-based says that indices begin with 0")
        for before, after in itertools.pairwise(indices):
            if after <= before:
                raise InputError(f"{where}: index {self._index(after)} behind {self._index(before)}; they must ascend")
        return Line(where, label, queries[0][len("qid:") :] if queries else None, indices, values)

    def _features(self, block: list[Line], width: int) -> np.ndarray:
        """(lines, width) float32."""
        found = np.zeros((len(block), width), np.float32)
        for row, line in enumerate(block):
            if line.indices and line.indices[-1] >= width:
                raise InputError(
                    f"{line.where}: index {self._index(line.indices[-1])}; there are {width} features: --features says how many"
                )
            found[row, line.indices] = line.values
        return found

    def _labels(self, block: list[Line], labels: dict[float, int]) -> np.ndarray:
        """(lines,) int64 classes, or (lines, 1) float32. Raises InputError for a label that train has not."""
        if self.task == "regression":
            return np.array([[line.label] for line in block], np.float32)
        for line in block:
            if line.label not in labels:
                raise InputError(f"{line.where}: label {line.label:g} is not among the {len(labels)} of the train part")
        return np.array([labels[line.label] for line in block], np.int64)

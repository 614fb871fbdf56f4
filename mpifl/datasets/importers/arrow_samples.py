"""Samples of columns of Arrow batches: pictures, texts, token ids and numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mpifl.datasets.importers import arrow_columns as arrow
from mpifl.datasets.importers.features import Features
from mpifl.datasets.importers.pictures import height_and_width, pictures
from mpifl.datasets.importers.sequences import Texts, windows
from mpifl.errors import InputError


@dataclass(frozen=True)
class Samples:
    """The conversion of some columns to samples.

    Attributes:
        columns: Their names; several only for numbers.
        kind: What their values are.
        language: Whether a row is split into several samples.
        features: Learns the scaling of pictures and numbers.
        texts: Converts texts to token ids; None for other kinds.
        ids: How many token ids there are, for lists of them; else 0.
        length: Tokens to read at a time; 0: all.
        ragged: Whether lists of numbers may have lengths of their own.
        size: Height and width of pictures as a text; "" leaves them as they are.
        grey: Whether pictures get one channel.
    """

    columns: list[str]
    kind: arrow.Kind
    language: bool
    features: Features
    texts: Texts | None
    ids: int
    length: int
    ragged: bool
    size: str
    grey: bool

    @property
    def vocabulary(self) -> int:
        """How many token ids there are; 0 for samples that are no tokens."""
        return len(self.texts.vocabulary) if self.texts else self.ids

    def of(self, part: str, batch: Mapping[str, Any], location: str, opens_paths: bool) -> Any:
        """Return the samples of a batch; for a language a list of samples for each row."""
        column = batch[self.columns[0]]
        if self.kind == "images":
            sources = arrow.images(column, location, opens_paths)
            locations = [f"{location}, sample {k}" for k in range(len(sources))]
            size = height_and_width(self.size, "--size")
            # upright, as the library datasets decodes them
            x = pictures(sources, size, self.grey, locations, upright=True)
            self.features.learn(part, x)
            return x
        if self.texts is not None:
            texts = arrow.texts(column, location)
            return self._rows([self.texts.samples(text) for text in texts])
        if self.ids:
            values = arrow.numbers(column, f"{location}, column {self.columns[0]}")
            return self._rows([windows(ids, self.length) for ids in self._ids(values, location)])
        return self._numbers(part, batch, location)

    def _rows(self, rows: list[list[np.ndarray]]) -> Any:
        return rows if self.language else [samples[0] for samples in rows]

    def _numbers(self, part: str, batch: Mapping[str, Any], location: str) -> Any:
        """Return numbers in their stored type; of several columns (rows, numbers)."""
        if len(self.columns) == 1:
            values = arrow.numbers(batch[self.columns[0]], f"{location}, column {self.columns[0]}")
            if self.ragged:
                return [self.features.stored(part, sample, location) for sample in values]
            if isinstance(values, list):
                raise InputError(f"{location}: lists of different lengths; --ragged takes them")
            return self.features.stored(part, values, location)

        tables = []
        for name in self.columns:
            values = arrow.numbers(batch[name], f"{location}, column {name}")
            if isinstance(values, list) or values.ndim > 2:
                raise InputError(
                    f"{location}, column {name}: lists of lists, or of different lengths;"
                    " beside other columns one number or a list of fixed length is allowed"
                )
            tables.append(values[:, None] if values.ndim == 1 else values)
        return self.features.stored(part, np.concatenate(tables, axis=1), location)

    def _ids(self, values: np.ndarray | list[np.ndarray], location: str) -> list[np.ndarray]:
        """Return the token ids of each row, in the type in which they are stored."""
        kind = np.uint8 if self.ids < 256 else np.int32
        typed = []
        for k, ids in enumerate(values):
            is_list = ids.ndim == 1 and ids.dtype.kind in "iu" and len(ids) > 0
            if not is_list or ids.min() < 0 or ids.max() >= self.ids:
                raise InputError(
                    f"{location}, sample {k}: expected token ids, 1 or more,"
                    f" 0 to {self.ids - 1} (--vocabulary)"
                )
            typed.append(ids.astype(kind))
        return typed

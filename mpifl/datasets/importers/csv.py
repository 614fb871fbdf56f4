"""Tables in text: a row is a sample, columns are features, label and client."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, field_validator

from mpifl.datasets.dataset import Description
from mpifl.datasets.importers.csv_rows import Form, column_of, columns_of, missing_of
from mpifl.datasets.importers.csv_table import CELLS, Chunk, Fill, Learned, Table
from mpifl.datasets.importers.importer import Importer
from mpifl.datasets.importers.moments import Moments, Scaling
from mpifl.datasets.importers.patterns import has_group
from mpifl.datasets.importers.streams import check_encoding
from mpifl.datasets.store import Store
from mpifl.errors import InputError

DELIMITERS = {"tab": "\t", "space": " ", "comma": ",", "semicolon": ";"}


class Csv(Importer):
    """CSV and TSV files: a row is a sample, a column a feature, the label, or the client.

    Columns are given by the name in the header, or by number from 1; several options take more than one, with commas between or
    given again. What is neither label nor client nor dropped is a feature. Without a client all samples belong to one client
    "all", and a partitioner of the job deals them out. Files may be packed (.gz, .xz).
    """

    label: list[str] = Field(min_length=1, description="column of the label; --task regression: one or more")
    client: str = Field("", description="column of the client")
    client_pattern: str | None = Field(None, description="regular expression with a group client, on a file's path")
    task: Literal["classification", "regression"] = Field("classification", description="what is learned")
    threshold: float | None = Field(None, description="two classes: whether the label, a number, is above this one")
    drop: list[str] = Field([], description="columns to leave out")
    categorical: list[str] = Field([], description="columns whose values become a feature each, 0 or 1")
    missing: list[str] = Field([], description="what stands for a missing value: TEXT, or COLUMN=TEXT for one column only")
    fill: Fill = Field("refuse", description="a missing value: an error; the mean of train (categorical: all 0); drop the row")
    standardize: bool = Field(False, description="numbers: mean 0 and deviation 1 over train")
    delimiter: str = Field("", description="character between cells, or tab, space (none: tab for .tsv and .tab, else a comma)")
    no_header: bool = Field(False, description="the first row is a sample, not the columns' names")
    comment: str = Field("", description="lines that begin so are passed over")
    label_suffix: str = Field("", description="what may stand behind a label and is no part of it")
    encoding: str = Field("utf-8", description="of the files, such as latin-1")
    skip_empty: bool = Field(False, description="leave out clients all of whose rows are dropped, instead of refusing them")

    @field_validator("client_pattern")
    @classmethod
    def _names_client(cls, pattern: str | None) -> str | None:
        return pattern and has_group(pattern, "client")

    @field_validator("encoding")
    @classmethod
    def _is_encoding(cls, name: str) -> str:
        return check_encoding(name)

    @field_validator("delimiter")
    @classmethod
    def _is_character(cls, delimiter: str) -> str:
        delimiter = DELIMITERS.get(delimiter, delimiter)
        if len(delimiter) > 1 or (delimiter and delimiter in '"\r\n'):
            raise ValueError(f"one character, or {', '.join(DELIMITERS)}")
        return delimiter

    def read(self, sources: Mapping[str, list[Path]], store: Store) -> Description:
        """See Importer. Two passes over the train part: categories, labels and means first."""
        self._check(sources)
        table = self._table(sources["train"][0])
        learned = Learned.of(table, sources["train"], self.task == "classification" and self.threshold is None)
        if not sum(learned.widths):
            raise InputError(f"{sources['train'][0]}: no columns are left for features")
        moments = Moments(axis=1)
        rows = max(1, CELLS // max(len(table.columns), sum(learned.widths)))
        dropped = 0
        for part, files in sources.items():
            losers: set[str] = set()
            kept: set[str] = set()
            for chunk in table.chunks(files, rows):
                losers |= chunk.losers
                dropped += chunk.dropped
                if not chunk.rows:
                    continue
                x, clients = learned.features(chunk), table.clients(chunk)
                if part == "train" and self.standardize:
                    moments.add(x)
                store.add(part, clients, x, self._labels(learned, chunk), where=f"{chunk.path}: line {chunk.lines[0]}")
                kept.update(clients)
            self._check_empty(part, sorted(losers - kept))
        return self._description(sources, learned, moments, dropped)

    def _check(self, sources: Mapping[str, list[Path]]) -> None:
        """Raise InputError for options that do not go together, and for files that are none."""
        if self.client and self.client_pattern:
            raise InputError(f"--client: {self.client!r}: not together with --client-pattern")
        if self.threshold is not None and self.task == "regression":
            raise InputError(f"--threshold: {self.threshold}: not with --task regression")
        every = [path for files in sources.values() for path in files]
        for path in every:
            if path.is_dir():
                raise InputError(f"{path}: a folder; name the files in it")
            if every.count(path) > 1:
                raise InputError(f"{path}: given twice")

    def _table(self, first: Path) -> Table:
        form = Form(self.delimiter, not self.no_header, self.comment, self.encoding)
        columns = form.columns(first)
        client = column_of(self.client, columns, "--client") if self.client else None
        label = columns_of(self.label, columns, "--label")
        if self.task == "classification" and len(label) > 1:
            raise InputError(f"--label: {', '.join(self.label)}: {len(label)} columns; a classification has one")
        taken = {*label, *([] if client is None else [client]), *columns_of(self.drop, columns, "--drop")}
        if client in label:
            raise InputError(f"--client: {self.client!r}: it is the label too")
        categorical = columns_of(self.categorical, columns, "--categorical")
        for column in categorical:
            if column in taken:
                raise InputError(f"--categorical: {columns[column]!r}: it is no feature: a label, client or dropped")
        return Table(
            form,
            columns,
            client,
            self.client_pattern,
            label,
            [column for column in range(len(columns)) if column not in taken],
            frozenset(categorical),
            missing_of(self.missing, columns),
            self.fill,
            self.label_suffix,
        )

    def _labels(self, learned: Learned, chunk: Chunk) -> np.ndarray:
        """(rows,) int64 classes, or (rows, labels) float32."""
        if self.task == "regression":
            found = [learned.table.numbers(chunk, column) for column in learned.table.label]
            return np.stack(found, axis=1).astype(np.float32)
        if self.threshold is not None:
            return (learned.table.numbers(chunk, learned.table.label[0]) > self.threshold).astype(np.int64)
        return learned.classes(chunk)

    def _check_empty(self, part: str, empty: list[str]) -> None:
        if empty and not self.skip_empty:
            more = f" and {len(empty) - 1} more" if len(empty) > 1 else ""
            raise InputError(
                f"{part}: client {empty[0]!r}{more}: each of its rows has missing values; --fill mean keeps them, --skip-empty"
                " leaves the client out"
            )

    def _description(self, sources: Mapping[str, list[Path]], learned: Learned, moments: Moments, dropped: int) -> Description:
        table, first = learned.table, sources["train"][0]
        names = [
            f"{table.columns[column]} ({width} values)" if column in table.categorical else table.columns[column]
            for column, width in zip(table.features, learned.widths, strict=True)
        ]
        labels = [table.columns[column] for column in table.label]
        scale, shift = self._scaling(learned, moments)
        classes = list(learned.labels)
        if self.threshold is not None:
            classes = [f"<= {self.threshold:g}", f"> {self.threshold:g}"]
        return Description(
            name=first.name.partition(".")[0] if len(sources["train"]) == 1 else first.resolve().parent.name,
            outputs=len(labels) if self.task == "regression" else len(classes),
            source=f"{first.name}: label {', '.join(labels)}; features {', '.join(names)}; missing values:"
            f" {self.fill}, {dropped} rows left out; {'standardized' if self.standardize else 'as they are'}",
            licence="as its source says",
            task=self.task,
            feature_scale=scale,
            feature_shift=shift,
            labels=np.array([name.encode() for name in classes], "S") if classes else np.empty(0, "S1"),
        )

    def _scaling(self, learned: Learned, moments: Moments) -> Scaling:
        """Scale and shift (features,) float32 of numbers; what is 0 or 1 by category stays so."""
        if not self.standardize:
            return 1.0, 0.0
        scale, shift = moments.scaling("standard", np.dtype(np.float32))
        is_category = np.repeat([column in learned.table.categorical for column in learned.table.features], learned.widths)
        return np.where(is_category, 1, scale).astype(np.float32), np.where(is_category, 0, shift).astype(np.float32)

"""Tables in CSV files: a row is a sample, columns are features, label and client."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, field_validator

from mpifl.datasets.dataset import Description
from mpifl.datasets.importers.csv_rows import Form, column_of, columns_of, missing_of
from mpifl.datasets.importers.csv_table import CELLS, Chunk, Fill, Learned, Table
from mpifl.datasets.importers.importer import Importer
from mpifl.datasets.importers.moments import Moments, Scaling
from mpifl.datasets.importers.patterns import with_group
from mpifl.datasets.importers.streams import Encoding
from mpifl.datasets.store import Store
from mpifl.errors import InputError, counted

INDEX_NAMES = ("", "Unnamed: 0")
"""What pandas and R call the numbers of rows that they write as the first column."""

DELIMITERS = {"tab": "\t", "space": " ", "comma": ",", "semicolon": ";"}


class Csv(Importer):
    """CSV and TSV files: a row is a sample, a column a feature, the label, or the client.

    Columns are given by the name in the header, or by number from 1. Options that take several
    columns take them with commas between, or can be given several times. Columns that are neither
    label nor client nor dropped are features. Without a client all samples belong to one client
    "all", and a partitioner of the job distributes them. Files may be compressed (.gz, .xz).
    """

    label: list[str] = Field(
        min_length=1, description="column of the label; --task regression: one or more"
    )
    client: str = Field("", description="column of the client")
    client_pattern: Annotated[str | None, with_group("client")] = Field(
        None,
        description="regular expression with a group client: on the cell of --client, or without"
        " it on a file's path",
    )
    task: Literal["classification", "regression"] = Field(
        "classification", description="what is learned"
    )
    threshold: float | None = Field(
        None, description="two classes: whether the label, a number, is above this one"
    )
    drop: list[str] = Field([], description="columns to leave out")
    categorical: list[str] = Field(
        [], description="columns whose values become a feature each, 0 or 1"
    )
    missing: list[str] = Field(
        [],
        description="marker of a missing value: TEXT, or COLUMN=TEXT for one column only",
    )
    fill: Fill = Field(
        "refuse",
        description="for a missing value: refuse the file; take the mean of train"
        " (categorical: all 0); or drop the row",
    )
    standardize: bool = Field(False, description="numbers: mean 0 and deviation 1 over train")
    delimiter: str = Field(
        "",
        description="character between cells, or tab, space"
        " (default: tab for .tsv and .tab, else a comma)",
    )
    decimal: Literal[".", ","] = Field(".", description="what stands before a number's decimals")
    no_header: bool = Field(False, description="the first row is a sample, not the columns' names")
    comment: str = Field("", description="skip lines that begin with this text")
    label_suffix: str = Field("", description="text to remove from the end of a label")
    encoding: Encoding = "utf-8"
    skip_empty: bool = Field(
        False,
        description="leave out clients all of whose rows are dropped, instead of refusing them",
    )

    @field_validator("delimiter")
    @classmethod
    def _is_character(cls, delimiter: str) -> str:
        delimiter = DELIMITERS.get(delimiter, delimiter)
        if len(delimiter) > 1 or (delimiter and delimiter in '"\r\n'):
            raise ValueError(f"one character, or {', '.join(DELIMITERS)}")
        return delimiter

    def read(self, sources: Mapping[str, list[Path]], store: Store) -> Description:
        """Read train twice: first categories, labels and means, then the samples."""
        self._check(sources)
        first = sources["train"][0]
        table = self._table(first)
        has_classes = self.task == "classification" and self.threshold is None
        learned = Learned.of(table, sources["train"], has_classes)
        if not sum(learned.widths):
            raise InputError(f"{first}: no columns are left for features")

        moments = Moments(axis=1)
        rows = max(1, CELLS // max(len(table.columns), sum(learned.widths)))
        dropped = 0
        for part, files in sources.items():
            dropped_clients: set[str] = set()
            kept_clients: set[str] = set()
            for chunk in table.chunks(files, rows):
                dropped_clients |= chunk.dropped_clients
                dropped += chunk.dropped
                if not chunk.rows:
                    continue
                x = learned.features(chunk)
                clients = table.clients(chunk)
                if part == "train" and self.standardize:
                    moments.add(x)
                y = self._labels(learned, chunk)
                store.add(part, clients, x, y, where=f"{chunk.path}: line {chunk.lines[0]}")
                kept_clients.update(clients)
            self._check_empty(part, sorted(dropped_clients - kept_clients))
        return self._description(sources, learned, moments, dropped)

    def _check(self, sources: Mapping[str, list[Path]]) -> None:
        """Raise InputError for options that exclude each other, and for folders as sources."""
        if self.threshold is not None and self.task == "regression":
            raise InputError(f"--threshold: {self.threshold}: not with --task regression")
        paths = [path for files in sources.values() for path in files]
        for path in paths:
            if path.is_dir():
                raise InputError(f"{path}: a folder; name the files in it")
            if paths.count(path) > 1:
                raise InputError(f"{path}: given twice")

    def _table(self, first: Path) -> Table:
        form = Form(self.delimiter, not self.no_header, self.comment, self.encoding)
        columns = form.columns(first)
        client = column_of(self.client, columns, "--client") if self.client else None
        label = columns_of(self.label, columns, "--label")
        if self.task == "classification" and len(label) > 1:
            names = ", ".join(self.label)
            raise InputError(
                f"--label: {names}: {counted(len(label), 'column')}; a classification has one"
            )

        drop = columns_of(self.drop, columns, "--drop")
        taken = {*label, *([] if client is None else [client]), *drop}
        if client in label:
            raise InputError(f"--client: {self.client!r}: it is the label too")
        categorical = columns_of(self.categorical, columns, "--categorical")
        for column in categorical:
            if column in taken:
                raise InputError(
                    f"--categorical: {columns[column]!r}: it is no feature:"
                    " a label, client or dropped"
                )
        features = [column for column in range(len(columns)) if column not in taken]
        index = next((column for column in features if columns[column] in INDEX_NAMES), None)
        if index is not None:
            raise InputError(
                f"{first}: column {index + 1} is named {columns[index]!r}, as pandas and R name the"
                f" numbers of rows, which are no feature; --drop {index + 1} leaves it out"
            )
        return Table(
            form,
            columns,
            client,
            self.client_pattern,
            label,
            features,
            frozenset(categorical),
            missing_of(self.missing, columns),
            self.fill,
            self.label_suffix,
            self.decimal,
        )

    def _labels(self, learned: Learned, chunk: Chunk) -> np.ndarray:
        """Return classes (rows,) int64, or numbers (rows, labels) float32."""
        table = learned.table
        if self.task == "regression":
            numbers = [table.numbers(chunk, column) for column in table.label]
            return np.stack(numbers, axis=1).astype(np.float32)
        if self.threshold is not None:
            return (table.numbers(chunk, table.label[0]) > self.threshold).astype(np.int64)
        return learned.classes(chunk)

    def _check_empty(self, part: str, empty: list[str]) -> None:
        if empty and not self.skip_empty:
            more = f" and {len(empty) - 1} more" if len(empty) > 1 else ""
            raise InputError(
                f"{part}: client {empty[0]!r}{more}: each of its rows has missing values;"
                " --fill mean keeps them, --skip-empty leaves the client out"
            )

    def _description(
        self, sources: Mapping[str, list[Path]], learned: Learned, moments: Moments, dropped: int
    ) -> Description:
        table = learned.table
        first = sources["train"][0]
        features = [
            f"{table.columns[column]} ({width} values)"
            if column in table.categorical
            else table.columns[column]
            for column, width in zip(table.features, learned.widths, strict=True)
        ]
        labels = [table.columns[column] for column in table.label]
        scale, shift = self._scaling(learned, moments)
        classes = list(learned.labels)
        if self.threshold is not None:
            classes = [f"<= {self.threshold:g}", f"> {self.threshold:g}"]
        is_single = len(sources["train"]) == 1

        return Description(
            name=first.name.partition(".")[0] if is_single else first.resolve().parent.name,
            outputs=len(labels) if self.task == "regression" else len(classes),
            source=f"{first.name}: label {', '.join(labels)}; features {', '.join(features)};"
            f" missing values: {self.fill}, {dropped} rows left out;"
            f" {'standardized' if self.standardize else 'as they are'}",
            licence="as its source says",
            task=self.task,
            feature_scale=scale,
            feature_shift=shift,
            labels=np.array([name.encode() for name in classes], "S")
            if classes
            else np.empty(0, "S1"),
        )

    def _scaling(self, learned: Learned, moments: Moments) -> Scaling:
        """Return scale and shift (features,) float32; one-hot features are not scaled."""
        if not self.standardize:
            return 1.0, 0.0
        table = learned.table
        scale, shift = moments.scaling("standard", np.dtype(np.float32))
        is_categorical = [column in table.categorical for column in table.features]
        is_one_hot = np.repeat(is_categorical, learned.widths)
        return (
            np.where(is_one_hot, 1, scale).astype(np.float32),
            np.where(is_one_hot, 0, shift).astype(np.float32),
        )

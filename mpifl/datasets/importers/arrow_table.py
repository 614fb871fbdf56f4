"""The base class of importers of tables whose columns are read as Arrow arrays."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator

from mpifl.datasets.dataset import Description
from mpifl.datasets.importers import arrow_columns as arrow
from mpifl.datasets.importers.arrow_samples import Samples
from mpifl.datasets.importers.arrow_split import Split, check_alike, index_of
from mpifl.datasets.importers.features import Features
from mpifl.datasets.importers.importer import Importer
from mpifl.datasets.importers.moments import NORMALISE_HELP, Normalise
from mpifl.datasets.importers.numbered import Named, Numbered, whole_numbers
from mpifl.datasets.importers.options import refuse_others
from mpifl.datasets.importers.patterns import client_name, group_in_value, with_group
from mpifl.datasets.importers.pictures import GREY_HELP, SIZE_HELP
from mpifl.datasets.importers.sequences import LENGTH_HELP, Task, texts_of
from mpifl.datasets.store import Store
from mpifl.errors import InputError, counted, quoted

TAKEN = {
    "images": {"size", "grey", "normalise"},
    "text": {"tokens", "vocabulary", "length"},
    "token ids": {"tokens", "vocabulary", "length"},
    "numbers": {"ragged", "normalise"},
}
"""Options by kind of samples."""


class ArrowTable(Importer):
    """Base of importers of tables: a row is a sample, columns are samples, classes and clients.

    A subclass says where the rows of each part are (``splits``), and what its source is.
    """

    source: ClassVar[str]

    x: list[str] = Field(
        [],
        description="column of the samples; of numbers several, with commas between"
        " (default: all columns without another role, but not the index of pandas)",
    )
    label: str = Field(
        "",
        description="column of the classes: numbers from 0, or text; --task regression: of numbers;"
        " --task language: none",
    )
    client: str = Field("", description="column of the clients, numbers or text")
    client_pattern: Annotated[str | None, with_group("client")] = Field(
        None, description="regular expression with a group client, on the value of --client"
    )
    coarse: str = Field("", description="column of the coarser classes, numbers")
    drop: list[str] = Field([], description="without --x: columns to leave out")
    task: Literal["classification", "regression", "language"] = Field(
        "classification", description="predict classes, numbers, or the next token of text"
    )
    tokens: Literal["characters", "words", "ids"] = Field(
        "words",
        description="text: a token is a character or a lower-case word;"
        " ids: lists of numbers are token ids already",
    )
    vocabulary: int = Field(
        10_000,
        ge=4,
        description="words: maximum number of token ids, from train; ids: number of token ids",
    )
    length: int = Field(0, ge=0, description=LENGTH_HELP)
    ragged: bool = Field(False, description="numbers: allow lists of different lengths")
    size: str = Field("", description=f"images: {SIZE_HELP}")
    grey: bool = Field(False, description=f"images: {GREY_HELP}")
    normalise: Normalise = Field("standard", description=f"images, numbers: {NORMALISE_HELP}")

    @field_validator("x", "drop", mode="before")
    @classmethod
    def _is_list(cls, columns: Any) -> Any:
        return [columns] if isinstance(columns, str) else columns

    def splits(self, sources: Mapping[str, list[Path]]) -> dict[str, list[Split]]:
        """Return the rows of each part, in the order of the source.

        Raise InputError for a source in another format.
        """
        raise NotImplementedError

    def read(self, sources: Mapping[str, list[Path]], store: Store) -> Description:
        """Read in one pass, or in two where names of classes or tokens have to be known first."""
        if (self.task == "language") != (not self.label):
            raise InputError(
                f"--label: {self.label!r}: classification and regression need the column of what is"
                " predicted, a language has none"
            )
        parts = self.splits(sources)
        first = parts["train"][0]
        columns = self._columns(first)
        roles = [*columns, *filter(None, (self.label, self.client, self.coarse))]
        kind = self._checked(parts, columns, roles)
        labels = self._labels(parts["train"])
        samples = self._samples(parts["train"], columns, kind)

        outputs = 0
        # The train part first: labels of the others are checked against its.
        ordered = sorted(parts.items(), key=lambda item: item[0] != "train")
        for part, split in ((part, split) for part, splits in ordered for split in splits):
            for location, batch in split.batches(roles, kind):
                clients = self._clients(split, batch, len(batch[columns[0]]), location)
                y = self._targets(part, labels, batch, location)
                coarse = None
                if self.coarse:
                    column_location = f"{location}, column {self.coarse}"
                    numbers = arrow.single_numbers(batch[self.coarse], column_location)
                    coarse = whole_numbers(numbers, location)
                x = samples.of(part, batch, location, split.opens_paths)
                if self.task == "language":  # several samples a row
                    clients = [name for name, own in zip(clients, x, strict=True) for _ in own]
                    x = [sample for own in x for sample in own]
                store.add(part, clients, x, y, coarse, where=location)
                outputs = y.shape[1] if y is not None and y.ndim == 2 else outputs
        if not store.samples("train"):
            raise InputError(f"{first.location}: no rows")
        return self._description(sources["train"][0], first, labels, samples, outputs)

    def _columns(self, first: Split) -> list[str]:
        """Return the columns of the samples. Raise InputError for an option without a column."""
        names = first.schema.names
        given = _split(self.x, names)
        drop = _split(self.drop, names)
        single = [name for name in ("label", "client", "coarse") if getattr(self, name)]
        for option, chosen in (
            ("--x", given),
            ("--drop", drop),
            *((f"--{name}", [getattr(self, name)]) for name in single),
        ):
            for name in chosen:
                first.check_column(name, option)
                if chosen.count(name) > 1:
                    raise InputError(f"{option}: {name!r}: given twice")
        if drop and given:
            raise InputError(f"--drop: {drop[0]!r}: goes without --x, which names the columns")
        taken = {self.label, self.client, self.coarse, *drop, *index_of(first.schema)}
        columns = given or [name for name in names if name not in taken]
        if not columns:
            raise InputError(f"{first.location}: no column is left for the samples")
        return columns

    def _checked(
        self, parts: Mapping[str, list[Split]], columns: list[str], roles: list[str]
    ) -> arrow.Kind:
        """Return what samples are.

        Raise InputError if columns are missing in a split or differ, and for options of others.
        """
        for split in itertools.chain.from_iterable(parts.values()):
            for name in roles:
                split.check_column(name, "--x" if name in columns else "column")
        checked = [*columns, *filter(None, [self.label])]
        check_alike(itertools.chain.from_iterable(parts.values()), checked, self._named(columns))

        first = parts["train"][0]
        kind = first.kind(columns[0])
        other = next((name for name in columns if first.kind(name) != "numbers"), None)
        if len(columns) > 1 and other is not None:
            remedy = "--x names one column of them" if self.x else "--x or --drop leaves it out"
            raise InputError(
                f"--x: {first.location}: {other!r} holds {first.kind(other)}, and there are"
                f" {counted(len(columns), 'column')}, which have to be numbers; {remedy}"
            )
        are_ids = kind == "numbers" and self.tokens == "ids"
        refuse_others(self, TAKEN, "token ids" if are_ids else kind, f"{columns[0]} holds")
        if kind == "text" and self.tokens == "ids":
            raise InputError(
                f"--tokens: 'ids': {first.location} has text in {columns[0]};"
                " ids goes with lists of numbers"
            )
        if self.task == "language" and kind != "text" and not are_ids:
            raise InputError(
                f"--task: 'language': goes with text, token ids; {columns[0]} holds {kind}"
            )
        if self.client_pattern and not (self.client or first.path):
            raise InputError(f"--client-pattern: {quoted(self.client_pattern)}: goes with --client")
        return kind

    def _named(self, columns: list[str]) -> str:
        samples = columns[0] if len(columns) == 1 else f"{columns[0]} to {columns[-1]}"
        return f"{samples} or the classes in {self.label}" if self.label else samples

    def _labels(self, train: list[Split]) -> Named | Numbered | None:
        if self.task != "classification":
            return None
        if train[0].kind(self.label) == "text":
            batches = itertools.chain.from_iterable(
                split.batches([self.label], "numbers") for split in train
            )
            return Named(
                np.array(arrow.texts(batch[self.label], location)) for location, batch in batches
            )
        names = [name.encode() for name in train[0].classes.get(self.label, [])]
        return Numbered(len(names), np.array(names, "S"))

    def _samples(self, train: list[Split], columns: list[str], kind: arrow.Kind) -> Samples:
        """Return the conversion of samples; of text with the vocabulary of the train part."""
        texts = None
        if kind == "text" and self.tokens != "ids":
            batches = itertools.chain.from_iterable(split.batches(columns, kind) for split in train)
            read = (
                text
                for location, batch in batches
                for text in arrow.texts(batch[columns[0]], location)
            )
            task: Task = "language" if self.task == "language" else "classification"
            texts = texts_of(read, self.tokens, self.vocabulary, task, self.length)
        return Samples(
            columns,
            kind,
            self.task == "language",
            Features(self.normalise),
            texts,
            self.vocabulary if self.tokens == "ids" else 0,
            self.length,
            self.ragged,
            self.size,
            self.grey,
        )

    def _clients(
        self, split: Split, batch: Mapping[str, Any], rows: int, location: str
    ) -> list[str]:
        """Return the client of each row: by its value, by the file's path, or "all"."""
        pattern = self.client_pattern
        if not self.client:
            return [client_name(pattern, split.path, None, location)] * rows
        names = arrow.names(batch[self.client], location)
        if pattern is None:  # without a text for each row that says where it is
            return names
        return [
            group_in_value(pattern, "client", name, f"{location}, sample {row}")
            for row, name in enumerate(names)
        ]

    def _targets(
        self,
        part: str,
        labels: Named | Numbered | None,
        batch: Mapping[str, Any],
        location: str,
    ) -> np.ndarray | None:
        """Return classes (rows,) int64, numbers (rows, outputs) float32, or None."""
        if not self.label:
            return None
        if isinstance(labels, Named):
            return labels.check(part, np.array(arrow.texts(batch[self.label], location)), location)
        column_location = f"{location}, column {self.label}"
        if labels is not None:
            numbers = arrow.single_numbers(batch[self.label], column_location)
            if numbers.dtype == bool:
                numbers = numbers.astype(np.int64)
            return labels.check(part, numbers, location)
        values = arrow.numbers(batch[self.label], column_location)
        if isinstance(values, list) or values.ndim > 2:
            raise InputError(f"{column_location}: expected one number, or as many, in each row")
        return Features("none").stored(part, values.astype(np.float64), location)

    def _description(
        self,
        path: Path,
        first: Split,
        labels: Named | Numbered | None,
        samples: Samples,
        outputs: int,
    ) -> Description:
        size = samples.vocabulary
        scale, shift = (1.0, 0.0) if size else samples.features.scaling
        name = path.resolve().name.partition(".")[0]
        return Description(
            name=name,
            outputs=labels.outputs if labels else outputs or size,
            source=f"{name}: {self.source}: x {', '.join(samples.columns)},"
            f" y {self.label or 'none'}, client {self.client or self.client_pattern or 'none'}",
            licence=first.licence or "as its source says",
            task=self.task,
            vocabulary=size,
            feature_scale=scale,
            feature_shift=shift,
            labels=labels.names if labels else np.empty(0, "S1"),
            tokens=samples.texts.vocabulary.tokens if samples.texts else np.empty(0, "S1"),
        )


def _split(texts: list[str], names: list[str]) -> list[str]:
    """Return the columns of an option: one text may name several, with commas between."""
    return [
        name.strip() for text in texts for name in ([text] if text in names else text.split(","))
    ]

"""Data sets of Hugging Face's library ``datasets``, as its ``save_to_disk`` writes them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from mpifl.datasets.dataset import Description
from mpifl.datasets.importers import huggingface_arrow as arrow
from mpifl.datasets.importers.features import Features
from mpifl.datasets.importers.huggingface_splits import NamedSplit, load_parts
from mpifl.datasets.importers.importer import Importer
from mpifl.datasets.importers.moments import NORMALISE_HELP, Normalise
from mpifl.datasets.importers.numbered import Named, Numbered, whole_numbers
from mpifl.datasets.importers.options import refuse_others
from mpifl.datasets.importers.pictures import GREY_HELP, SIZE_HELP, height_and_width, pictures
from mpifl.datasets.importers.sequences import LENGTH_HELP, Task, Texts, texts_of, windows
from mpifl.datasets.store import Store
from mpifl.errors import InputError

TAKEN = {
    "images": {"size", "grey", "normalise"},
    "text": {"task", "tokens", "vocabulary", "length"},
    "token ids": {"task", "tokens", "vocabulary", "length"},
    "numbers": {"ragged", "normalise"},
}
"""Options by kind of samples."""


class Huggingface(Importer):
    """A folder that save_to_disk of the library datasets wrote: one data set, or several splits.

    Samples are a column of images, of text, or of numbers or lists of them. Without --client all
    samples belong to one client "all", and a partitioner of the job distributes them. Needs the
    library: pip install 'mpifl[huggingface]'.
    """

    x: str = Field(description="column of the samples")
    y: str = Field(
        "", description="column of the classes: numbers from 0, or text; not with --task language"
    )
    client: str = Field("", description="column of the clients, numbers or text")
    coarse: str = Field("", description="column of the coarser classes, numbers")
    train_split: str = Field("train", description="split to train on, of several")
    test_split: str = Field("test", description="split to test on, if there is one")
    validation_split: str = Field("validation", description="split to validate on, if there is one")
    task: Task = Field(
        "classification", description="classify the samples, or predict the next token of text"
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

    def read(self, sources: Mapping[str, list[Path]], store: Store) -> Description:
        if (self.task == "language") != (not self.y):
            raise InputError(
                f"--y: {self.y!r}: classification needs the column of the classes,"
                " a language has none"
            )
        parts = self._parts(sources)
        first = parts["train"][0]
        labels = self._labels(parts["train"])
        texts = self._texts(parts["train"])
        features = Features(self.normalise)

        names = (self.x, self.y, self.client, self.coarse)
        columns = list(dict.fromkeys(name for name in names if name))
        for part, splits in parts.items():
            batches = itertools.chain.from_iterable(split.batches(columns) for split in splits)
            for location, batch in batches:
                clients = ["all"] * len(batch[self.x])
                if self.client:
                    clients = arrow.names(batch[self.client], location)
                y = None
                if labels is not None:
                    values = self._label_values(batch[self.y], first.named, location)
                    y = labels.check(part, values, location)
                coarse = None
                if self.coarse:
                    coarse = whole_numbers(
                        arrow.single_numbers(batch[self.coarse], location), location
                    )

                x = self._samples(part, first.kind, batch[self.x], texts, features, location)
                if self.task == "language":  # several samples a row
                    clients = [
                        client for client, samples in zip(clients, x, strict=True) for _ in samples
                    ]
                    x = [sample for samples in x for sample in samples]
                store.add(part, clients, x, y, coarse, where=location)
        return self._description(sources["train"][0], first, labels, texts, features)

    def _description(
        self,
        path: Path,
        first: NamedSplit,
        labels: Named | Numbered | None,
        texts: Texts | None,
        features: Features,
    ) -> Description:
        size = 0
        if texts:
            size = len(texts.vocabulary)
        elif self.tokens == "ids":
            size = self.vocabulary
        scale, shift = (1.0, 0.0) if size else features.scaling
        name = path.resolve().name
        return Description(
            name=name,
            outputs=labels.outputs if labels else size,
            source=f"{name} of Hugging Face's datasets on disk: x {self.x}, y {self.y or 'none'},"
            f" client {self.client or 'none'}",
            licence=str(first.data.info.license or "as its source says"),
            task=self.task,
            vocabulary=size,
            feature_scale=scale,
            feature_shift=shift,
            labels=labels.names if labels else np.empty(0, "S1"),
            tokens=texts.vocabulary.tokens if texts else np.empty(0, "S1"),
        )

    def _parts(self, sources: Mapping[str, list[Path]]) -> dict[str, list[NamedSplit]]:
        """Return the splits of each part. Raise InputError if the types of their columns differ."""
        names = {
            "train": self.train_split,
            "validation": self.validation_split,
            "test": self.test_split,
        }
        parts = {
            part: [self._split(location, data) for location, data in loaded]
            for part, loaded in load_parts(sources, names).items()
        }
        first = parts["train"][0]
        for split in itertools.chain.from_iterable(parts.values()):
            types = (split.kind, split.named, split.classes)
            if types != (first.kind, first.named, first.classes):
                raise InputError(
                    f"{split.location}: {self.x} or the classes in {self.y} differ from those in"
                    f" {first.location}"
                )
        return parts

    def _split(self, location: str, data: Any) -> NamedSplit:
        """Return a split with the types of its columns.

        Raise InputError naming the option of a column that is missing.
        """
        import datasets

        if not len(data):
            raise InputError(f"{location}: no rows")
        for option in ("x", "y", "client", "coarse"):
            name = getattr(self, option)
            if name and name not in data.column_names:
                raise InputError(
                    f"--{option}: {name!r}: {location} has no such column;"
                    f" there are: {', '.join(data.column_names)}"
                )

        x = data.features[self.x]
        y = data.features.get(self.y)
        kind: Literal["images", "text", "numbers"] = "numbers"
        if isinstance(x, datasets.Image):
            kind = "images"
        if isinstance(x, datasets.Value) and x.dtype in ("string", "large_string"):
            kind = "text"
        are_ids = kind == "numbers" and self.tokens == "ids"
        refuse_others(self, TAKEN, "token ids" if are_ids else kind, f"{self.x} holds")
        if kind == "text" and self.tokens == "ids":
            raise InputError(
                f"--tokens: 'ids': {location} has text in {self.x}; ids goes with lists of numbers"
            )

        named = isinstance(y, datasets.Value) and y.dtype in ("string", "large_string")
        classes = list(y.names) if isinstance(y, datasets.ClassLabel) else []
        return NamedSplit(location, data, kind, named, classes)

    def _labels(self, train: list[NamedSplit]) -> Named | Numbered | None:
        if not self.y:
            return None
        if train[0].named:
            batches = itertools.chain.from_iterable(split.batches([self.y]) for split in train)
            return Named(
                np.array(arrow.texts(batch[self.y], location)) for location, batch in batches
            )
        names = [name.encode() for name in train[0].classes]
        return Numbered(len(names), np.array(names, "S"))

    def _label_values(self, column: Any, named: bool, location: str) -> np.ndarray:
        return (
            np.array(arrow.texts(column, location))
            if named
            else arrow.single_numbers(column, location)
        )

    def _texts(self, train: list[NamedSplit]) -> Texts | None:
        """Return the conversion of texts to samples, or None if samples are no text."""
        if train[0].kind != "text" or self.tokens == "ids":
            return None
        batches = itertools.chain.from_iterable(split.batches([self.x]) for split in train)
        texts = (
            text for location, batch in batches for text in arrow.texts(batch[self.x], location)
        )
        return texts_of(texts, self.tokens, self.vocabulary, self.task, self.length)

    def _samples(
        self,
        part: str,
        kind: str,
        column: Any,
        texts: Texts | None,
        features: Features,
        location: str,
    ) -> Any:
        """Return the samples of a batch; for a language a list of samples for each row."""
        if kind == "images":
            sources = arrow.images(column, location)
            locations = [f"{location}, sample {k}" for k in range(len(sources))]
            size = height_and_width(self.size, "--size")
            x = pictures(sources, size, self.grey, locations)
            features.learn(part, x)
            return x
        if texts is not None:
            rows = [texts.samples(text) for text in arrow.texts(column, location)]
            return rows if self.task == "language" else [samples[0] for samples in rows]

        values = arrow.numbers(column, location)
        if self.tokens == "ids":
            rows = [windows(ids, self.length) for ids in self._ids(values, location)]
            return rows if self.task == "language" else [samples[0] for samples in rows]
        if self.ragged:
            return [features.stored(part, sample, location) for sample in values]
        if isinstance(values, list):
            raise InputError(f"{location}: lists of different lengths; --ragged takes them")
        return features.stored(part, values, location)

    def _ids(self, values: np.ndarray | list[np.ndarray], location: str) -> list[np.ndarray]:
        """Return the token ids of each row, in the type in which they are stored."""
        kind = np.uint8 if self.vocabulary < 256 else np.int32
        typed = []
        for k, ids in enumerate(values):
            is_list = ids.ndim == 1 and ids.dtype.kind in "iu" and len(ids) > 0
            if not is_list or ids.min() < 0 or ids.max() >= self.vocabulary:
                raise InputError(
                    f"{location}, sample {k}: expected token ids, 1 or more,"
                    f" 0 to {self.vocabulary - 1} (--vocabulary)"
                )
            typed.append(ids.astype(kind))
        return typed

"""Data sets of Hugging Face's library `datasets` on disk, as `save_to_disk` writes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from mpifl.datasets.dataset import Description
from mpifl.datasets.importers import huggingface_arrow as arrow
from mpifl.datasets.importers.features import Features
from mpifl.datasets.importers.importer import Importer
from mpifl.datasets.importers.moments import Normalise
from mpifl.datasets.importers.numbered import Named, Numbered, whole_numbers
from mpifl.datasets.importers.options import refuse_others
from mpifl.datasets.importers.pictures import height_and_width, pictures
from mpifl.datasets.importers.sequences import LENGTH_HELP, Task, Texts, texts_of, windows
from mpifl.datasets.store import Store
from mpifl.errors import InputError
from mpifl.io.hdf5 import hdf5_errors

ROWS = {"images": 64, "text": 1 << 10, "numbers": 1 << 10}
"""How many samples are held at once, by what they are."""

TAKEN = {
    "images": {"size", "grey", "normalise"},
    "text": {"task", "tokens", "vocabulary", "length"},
    "token ids": {"task", "tokens", "vocabulary", "length"},
    "numbers": {"ragged", "normalise"},
}
"""Options by what the samples are."""

INSTALL = "install it: pip install 'mpifl[huggingface]'"


@dataclass(frozen=True)
class Split:
    """A split on disk. ``kind`` says what samples are; ``named``: labels are text; ``classes`` are the names of others."""

    where: str
    data: Any
    kind: Literal["images", "text", "numbers"]
    named: bool
    classes: list[str]

    def batches(self, columns: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Where (for messages) and columns (pyarrow.Array) of the rows, batch by batch."""
        with hdf5_errors(Path(self.where)):
            start = 0
            for table in self.data.select_columns(columns).with_format("arrow").iter(batch_size=ROWS[self.kind]):
                yield f"{self.where}: rows from {start}", {name: table[name].combine_chunks() for name in columns}
                start += len(table)


class Huggingface(Importer):
    """A folder that `save_to_disk` of the library `datasets` wrote: one data set, or several splits.

    Columns of images, of text, and of numbers or lists of them are samples; without --client all belong to one client "all",
    and a partitioner of the job deals them out. Needs the library: pip install 'mpifl[huggingface]'.
    """

    x: str = Field(description="column of the samples")
    y: str = Field("", description="column of the classes: numbers from 0, or text; not with --task language")
    client: str = Field("", description="column of the clients, numbers or text")
    coarse: str = Field("", description="column of the coarser classes, numbers")
    train_split: str = Field("train", description="split to train on, of several")
    test_split: str = Field("test", description="split to test on, where it is there")
    validation_split: str = Field("validation", description="split to validate on, where it is there")
    task: Task = Field("classification", description="classify the samples, or predict the next token of text")
    tokens: Literal["characters", "words", "ids"] = Field(
        "words", description="text: a token is a character or a lower-case word; ids: lists of numbers are token ids already"
    )
    vocabulary: int = Field(10_000, ge=4, description="words: how many token ids at most, from train; ids: how many there are")
    length: int = Field(0, ge=0, description=LENGTH_HELP)
    ragged: bool = Field(False, description="numbers: lists with lengths of their own")
    size: str = Field("", description="images: HxW: resize each (bilinear); all need one size without")
    grey: bool = Field(False, description="images: one channel: samples (height, width) instead of (3, height, width)")
    normalise: Normalise = Field(
        "standard", description="images, numbers: mean 0 and deviation 1 over train; bytes from 0 to 1; or none"
    )

    def read(self, sources: Mapping[str, list[Path]], store: Store) -> Description:
        """See Importer."""
        if (self.task == "language") != (not self.y):
            raise InputError(f"--y: {self.y!r}: classification needs the column of the classes, a language has none")
        parts = {part: [self._split(*one) for one in found] for part, found in self._found(sources).items()}
        first = parts["train"][0]
        for split in (split for splits in parts.values() for split in splits):
            if (split.kind, split.named, split.classes) != (first.kind, first.named, first.classes):
                raise InputError(f"{split.where}: {self.x} or the classes in {self.y} are others than in {first.where}")
        labels = self._labels(parts["train"])
        how = self._texts(parts["train"])
        features = Features(self.normalise)
        columns = list(dict.fromkeys(name for name in (self.x, self.y, self.client, self.coarse) if name))
        for part, splits in parts.items():
            for where, batch in (found for split in splits for found in split.batches(columns)):
                clients = arrow.names(batch[self.client], where) if self.client else ["all"] * len(batch[self.x])
                y = None if labels is None else labels.check(part, self._label(batch[self.y], first.named, where), where)
                coarse = whole_numbers(_flat(batch[self.coarse], where), where) if self.coarse else None
                x = self._samples(part, first.kind, batch[self.x], how, features, where)
                if self.task == "language":
                    clients = [client for client, cut in zip(clients, x, strict=True) for _ in cut]
                    x = [one for cut in x for one in cut]
                store.add(part, clients, x, y, coarse, where=where)
        size = len(how.vocabulary) if how else self.vocabulary if self.tokens == "ids" else 0
        scale, shift = (1.0, 0.0) if size else features.scaling
        return Description(
            name=sources["train"][0].resolve().name,
            outputs=labels.outputs if labels else size,
            source=f"{sources['train'][0].resolve().name} of Hugging Face's datasets on disk: x {self.x}, y {self.y or 'none'},"
            f" client {self.client or 'none'}",
            licence=str(first.data.info.license or "as its source says"),
            task=self.task,
            vocabulary=size,
            feature_scale=scale,
            feature_shift=shift,
            labels=labels.names if labels else np.empty(0, "S1"),
            tokens=how.vocabulary.tokens if how else np.empty(0, "S1"),
        )

    def _found(self, sources: Mapping[str, list[Path]]) -> dict[str, list[tuple[str, Any]]]:
        """Where (for messages) and what there is of each part."""
        found: dict[str, list[tuple[str, Any]]] = {}
        for source, paths in sources.items():
            for path in paths:
                loaded = _loaded(path)
                if not isinstance(loaded, dict):
                    found.setdefault(source, []).append((str(path), loaded))
                    continue
                splits = {"train": self.train_split, "validation": self.validation_split, "test": self.test_split}
                wanted = splits if source == "train" else {"test": self.test_split}
                if wanted[source] not in loaded:
                    raise InputError(f"--{source}-split: {wanted[source]!r}: {path} has the splits {', '.join(loaded)}")
                for part, name in wanted.items():
                    if name in loaded:
                        found.setdefault(part, []).append((f"{path}: split {name}", loaded[name]))
        if "test" in sources and len(found["test"]) > len(sources["test"]):
            raise InputError(
                f"--test: {sources['test'][0]}: {found['test'][0][0]} is a test part already; --test-split '' leaves it out"
            )
        return found

    def _split(self, where: str, data: Any) -> Split:
        """A split whose columns are there. Raises InputError naming the option of one that is not."""
        import datasets

        if not len(data):
            raise InputError(f"{where}: no rows")
        for option in ("x", "y", "client", "coarse"):
            name = getattr(self, option)
            if name and name not in data.column_names:
                raise InputError(f"--{option}: {name!r}: {where} has no such column; there are: {', '.join(data.column_names)}")
        x, y = data.features[self.x], data.features.get(self.y)
        kind: Literal["images", "text", "numbers"] = "images" if isinstance(x, datasets.Image) else "numbers"
        if isinstance(x, datasets.Value) and x.dtype in ("string", "large_string"):
            kind = "text"
        refuse_others(self, TAKEN, "token ids" if kind == "numbers" and self.tokens == "ids" else kind, f"{self.x} holds")
        if kind == "text" and self.tokens == "ids":
            raise InputError(f"--tokens: 'ids': {where} has text in {self.x}; ids goes with lists of numbers")
        named = isinstance(y, datasets.Value) and y.dtype in ("string", "large_string")
        return Split(where, data, kind, named, list(y.names) if isinstance(y, datasets.ClassLabel) else [])

    def _labels(self, train: list[Split]) -> Named | Numbered | None:
        if not self.y:
            return None
        if train[0].named:
            batches = ((where, batch[self.y]) for split in train for where, batch in split.batches([self.y]))
            return Named(np.array(arrow.texts(column, where)) for where, column in batches)
        return Numbered(len(train[0].classes), np.array([name.encode() for name in train[0].classes], "S"))

    def _label(self, column: Any, named: bool, where: str) -> np.ndarray:
        return np.array(arrow.texts(column, where)) if named else _flat(column, where)

    def _texts(self, train: list[Split]) -> Texts | None:
        """How texts become samples; None where there are none."""
        if train[0].kind != "text" or self.tokens == "ids":
            return None
        batches = (found for split in train for found in split.batches([self.x]))
        texts = (text for where, batch in batches for text in arrow.texts(batch[self.x], where))
        return texts_of(texts, self.tokens, self.vocabulary, self.task, self.length)

    def _samples(self, part: str, kind: str, column: Any, how: Texts | None, features: Features, where: str) -> Any:
        """The samples of a batch; of a language a list of them for each row."""
        if kind == "images":
            sources = arrow.images(column, where)
            wheres = [f"{where}, sample {k}" for k in range(len(sources))]
            x = pictures(sources, height_and_width(self.size, "--size"), self.grey, wheres)
            features.learn(part, x)
            return x
        if how is not None:
            found = [how.samples(text) for text in arrow.texts(column, where)]
            return found if self.task == "language" else [cut[0] for cut in found]
        values = arrow.numbers(column, where)
        if self.tokens == "ids":
            found = [windows(ids, self.length) for ids in self._ids(values, where)]
            return found if self.task == "language" else [cut[0] for cut in found]
        if self.ragged:
            return [features.stored(part, one, where) for one in values]
        if isinstance(values, list):
            raise InputError(f"{where}: lists of different lengths; --ragged takes them")
        return features.stored(part, values, where)

    def _ids(self, values: np.ndarray | list[np.ndarray], where: str) -> list[np.ndarray]:
        """Token ids of each row, of the type in which they are stored."""
        kind = np.uint8 if self.vocabulary < 256 else np.int32
        found = []
        for k, ids in enumerate(values):
            if ids.ndim != 1 or ids.dtype.kind not in "iu" or not len(ids) or ids.min() < 0 or ids.max() >= self.vocabulary:
                raise InputError(
                    f"{where}, sample {k}: expected token ids, 1 or more, 0 to {self.vocabulary - 1} (--vocabulary)"
                )
            found.append(ids.astype(kind))
        return found


def _loaded(path: Path) -> Any:
    """What `save_to_disk` wrote: a Dataset, or a dict of them."""
    try:
        import datasets
    except ImportError as error:
        raise InputError(f"{path}: the library datasets is not installed; {INSTALL}") from error
    if not path.is_dir():
        raise InputError(f"{path}: no such folder; this format takes what save_to_disk of the library datasets wrote")
    datasets.disable_progress_bars()
    with hdf5_errors(path):
        return datasets.load_from_disk(str(path))


def _flat(column: Any, where: str) -> np.ndarray:
    """A column of single numbers."""
    found = arrow.numbers(column, where)
    if isinstance(found, list) or found.ndim != 1:
        raise InputError(f"{where}: lists; expected one number for each sample")
    return found

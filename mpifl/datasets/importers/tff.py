"""TensorFlow Federated's data sets: federated EMNIST, CIFAR-100, Shakespeare, Stack Overflow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from mpifl.datasets.dataset import Description
from mpifl.datasets.importers.features import Features
from mpifl.datasets.importers.importer import Importer
from mpifl.datasets.importers.moments import Normalise
from mpifl.datasets.importers.numbered import Named, Numbered, whole_numbers
from mpifl.datasets.importers.options import refuse_others
from mpifl.datasets.importers.sequences import Task, Texts, between_ends, texts_of
from mpifl.datasets.importers.streams import text_lines
from mpifl.datasets.importers.tff_hdf5 import clients_of, fields_of, texts
from mpifl.datasets.importers.vocabulary import LONGEST_WORD, UNKNOWN, Vocabulary
from mpifl.datasets.store import Store
from mpifl.errors import InputError

LETTERS = "dhlptx@DHLPTX $(,048cgkoswCGKOSW[_#'/37;?bfjnrvzBFJNRVZ\"&*.26:\naeimquyAEIMQUY]!%)-159\r"
"""The characters of TFF's Shakespeare, in the order of its tutorial on generating text, which FedML took over."""

SAMPLES = ("pixels", "image", "snippets", "tokens")
"""What the samples of TFF's own data sets are called."""

NAMES = {"fed_emnist": "femnist", "fed_cifar100": "fed-cifar100"}
"""What the catalogue calls data sets whose files are called otherwise."""

TAKEN = {"text": {"tokens", "vocabulary", "word_counts", "length"}, "numbers": {"features", "normalise"}}
"""Options by what the samples are."""

ENDINGS = {"train": "_train.h5", "validation": "_held_out.h5", "test": "_test.h5"}


@dataclass(frozen=True)
class Fields:
    """Which fields are read; none has the name "". ``text`` and ``named``: whether samples and labels are text."""

    x: str
    y: str
    coarse: str
    text: bool
    named: bool

    @property
    def asked(self) -> list[str]:
        """Their names."""
        return [name for name in (self.x, self.y, self.coarse) if name]


class Tff(Importer):
    """TensorFlow Federated's HDF5 files, or the folder in which they lie: NAME_train.h5, NAME_test.h5, NAME_held_out.h5.

    Each of its clients is one here. Which field is what is found by the names of TFF's own data sets: pixels or image with
    label (and coarse_label); snippets and tokens are text, whose next character or word is predicted. FedML's femnist,
    fed_cifar100, fed_shakespeare and stackoverflow are the same files.
    """

    x: str = Field("", description="field of the samples; else pixels, image, snippets or tokens, whichever is there")
    y: str = Field("", description="field of the classes, numbers or text; else label, where it is there and x is no text")
    coarse: str = Field("", description="field of the coarser classes; else coarse_label, where it is there beside label")
    tokens: Literal["characters", "words"] | None = Field(
        None,
        description="of text: TFF's 86 characters, or what spaces separate; else characters for snippets, words for others",
    )
    vocabulary: int = Field(10_000, ge=4, description="words: how many token ids at most, from the train part")
    word_counts: Path | None = Field(None, description="words: a file of them by falling count (stackoverflow.word_count)")
    length: int | None = Field(
        None, ge=0, description="tokens to read at a time (0: a whole text); else 80 characters, 20 words; with --y 0"
    )
    features: Literal["auto", "float32"] = Field(
        "auto", description="auto: floats that are all a byte / 255 are stored as bytes; float32: as they are"
    )
    normalise: Normalise | None = Field(
        None,
        description="mean 0 and deviation 1 over train; bytes from 0 to 1; or as they are; else unit for bytes",
    )
    classes: int = Field(0, ge=0, description="how many classes there are (0: as many as the train part has)")
    skip_empty: bool = Field(False, description="leave out clients without samples, instead of refusing them")

    def read(self, sources: Mapping[str, list[Path]], store: Store) -> Description:
        """See Importer."""
        parts = _parts(sources)
        fields = self._fields(fields_of(parts["train"]))
        refuse_others(self, TAKEN, "text" if fields.text else "numbers", f"{fields.x} holds")

        def clients(part: str, *asked: str) -> Iterator[tuple[str, str, dict[str, np.ndarray]]]:
            return clients_of(parts[part], list(asked), self.skip_empty)

        def classes(where: str, rows: dict[str, np.ndarray]) -> np.ndarray:
            return np.array(texts(rows[fields.y], where)) if fields.named else rows[fields.y]

        labels = self._labels(fields, lambda: (classes(where, rows) for where, _, rows in clients("train", fields.y)))
        how = self._texts(
            fields, lambda: (t for where, _, rows in clients("train", fields.x) for t in texts(rows[fields.x], where))
        )
        features = Features(self.normalise, self.features)
        for part in parts:
            for where, name, rows in clients(part, *fields.asked):
                x: Any = rows[fields.x]
                x = [one for text in texts(x, where) for one in how.samples(text)] if how else features.stored(part, x, where)
                y = None if labels is None else labels.check(part, classes(where, rows), where)
                coarse = whole_numbers(rows[fields.coarse], where) if fields.coarse else None
                store.add(part, name, x, y, coarse, where=where)
        return self._description(parts["train"][0], labels, how, features)

    def _fields(self, there: dict[str, bool]) -> Fields:
        """Which fields are what, of those that there are. Raises InputError for one that is not there."""
        x = self.x or next((name for name in SAMPLES if name in there), "")
        y = self.y or ("label" if "label" in there and not there.get(x) else "")
        coarse = self.coarse or ("coarse_label" if "coarse_label" in there and y == "label" else "")
        for option, name in (("--x", x), ("--y", y), ("--coarse", coarse)):
            if name not in there and (name or option == "--x"):
                raise InputError(f"{option}: {name!r}: there is no such field; there are: {', '.join(there)}")
        if not there[x] and not y:
            raise InputError(f"--y: not given, and no field label is there; there are: {', '.join(there)}")
        return Fields(x, y, coarse, there[x], bool(y) and there[y])

    def _labels(self, fields: Fields, train: Callable[[], Iterator[np.ndarray]]) -> Named | Numbered | None:
        if not fields.y:
            return None
        return Named(train()) if fields.named else Numbered(self.classes)

    def _texts(self, fields: Fields, train: Callable[[], Iterator[str]]) -> Texts | None:
        """How texts become samples; None where there are none."""
        if not fields.text:
            return None
        task: Task = "classification" if fields.y else "language"
        unit = self.tokens or ("characters" if fields.x == "snippets" else "words")
        length = self.length if self.length is not None else 0 if fields.y else 80 if unit == "characters" else 20
        if unit == "words" and self.word_counts is None:
            return texts_of(train(), "pieces", self.vocabulary, task, length)
        if unit == "words":
            assert self.word_counts is not None
            known = _words(self.word_counts, self.vocabulary - 1 - 2 * (task == "language"))
            vocabulary = Vocabulary(np.array([UNKNOWN, *known], "S"), "pieces")
        else:
            vocabulary = Vocabulary(np.array([UNKNOWN, *(letter.encode() for letter in LETTERS)], "S"))
        return Texts(between_ends(vocabulary) if task == "language" else vocabulary, task, length)

    def _description(self, path: Path, labels: Named | Numbered | None, how: Texts | None, features: Features) -> Description:
        scale, shift = features.scaling if how is None else (1.0, 0.0)
        name = path.name.removesuffix(".h5").removesuffix("_train")
        size = len(how.vocabulary) if how else 0
        return Description(
            name=NAMES.get(name, name),
            outputs=labels.outputs if labels else size,
            source=f"TensorFlow Federated's {path.name}",
            licence="as its source says",
            task="classification" if labels else "language",
            vocabulary=size,
            feature_scale=scale,
            feature_shift=shift,
            labels=labels.names if labels else np.empty(0, "S1"),
            tokens=how.vocabulary.tokens if how else np.empty(0, "S1"),
        )


def _words(path: Path, count: int) -> list[bytes]:
    """The first ``count`` words of a file of lines "word count". Raises InputError naming the line that has none."""
    found: dict[bytes, int] = {}
    for number, line in text_lines(path):
        if len(found) == count:
            break
        entries = line.split()
        if not entries or len(entries) > 2 or len(entries[0]) > LONGEST_WORD or entries[0].encode() in found:
            raise InputError(f"{path}: line {number}: {line[:40]!r}; expected a word that is not there before, and its count")
        found[entries[0].encode()] = number
    return list(found)


def _parts(sources: Mapping[str, list[Path]]) -> dict[str, list[Path]]:
    """The files of each part: those that are named, or of a folder the ones whose names end in ENDINGS."""
    train = sources["train"]
    if len(train) != 1 or not train[0].is_dir():
        return dict(sources)
    found: dict[str, list[Path]] = {}
    for part, ending in ENDINGS.items():
        files = sorted(train[0].glob(f"*{ending}"))
        if len(files) > 1 or (part == "train" and not files):
            there = ", ".join(file.name for file in files) or "none"
            raise InputError(f"{train[0]}: files that end in {ending}: {there}; one is needed, or name the files themselves")
        if files:
            found[part] = files
    if "test" in sources and "test" in found:
        raise InputError(f"--test: {sources['test'][0]}: {found['test'][0]} is a test part already; name the train file itself")
    return {**found, **({"test": sources["test"]} if "test" in sources else {})}

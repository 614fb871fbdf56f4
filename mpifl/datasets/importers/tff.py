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
from mpifl.datasets.importers.tff_hdf5 import clients_of, fields_of, texts
from mpifl.datasets.importers.vocabulary import LONGEST_WORD, UNKNOWN, Vocabulary
from mpifl.datasets.store import Store
from mpifl.errors import InputError
from mpifl.io.text import text_lines

LETTERS = (
    "dhlptx@DHLPTX $(,048cgkoswCGKOSW[_#'/37;?bfjnrvzBFJNRVZ\"&*.26:\naeimquyAEIMQUY]!%)-159\r"
)
"""The characters of TFF's Shakespeare, in the order of its tutorial on generating text.

FedML uses the same.
"""

SAMPLES = ("pixels", "image", "snippets", "tokens")
"""Names of the samples' field in TFF's own data sets."""

NAMES = {"fed_emnist": "femnist", "fed_cifar100": "fed-cifar100"}
"""Names in the catalogue, by file name, where the two differ."""

TAKEN = {
    "text": {"tokens", "vocabulary", "word_counts", "length"},
    "numbers": {"features", "normalise"},
}
"""Options by the type of the samples."""

ENDINGS = {"train": "_train.h5", "validation": "_held_out.h5", "test": "_test.h5"}


@dataclass(frozen=True)
class Fields:
    """The fields that are read, "" for none.

    ``text`` and ``named`` tell whether samples and labels are text.
    """

    x: str
    y: str
    coarse: str
    text: bool
    named: bool

    @property
    def requested(self) -> list[str]:
        """Names of the fields that are read."""
        return [name for name in (self.x, self.y, self.coarse) if name]


class Tff(Importer):
    """TensorFlow Federated's HDF5 files, or their folder.

    The names in a folder are NAME_train.h5, NAME_test.h5, NAME_held_out.h5. TFF's clients are the
    clients. The fields are found by the names in TFF's own data sets: pixels or image with label
    (and coarse_label); snippets and tokens are text, whose next character or word is predicted.
    FedML's femnist, fed_cifar100, fed_shakespeare and stackoverflow are the same files.
    """

    x: str = Field(
        "",
        description="field of the samples (default: pixels, image, snippets or tokens,"
        " whichever the file has)",
    )
    label: str = Field(
        "",
        description="field of the classes, numbers or text"
        " (default: label, if the file has it and x is no text)",
    )
    coarse: str = Field(
        "",
        description="field of the coarser classes"
        " (default: coarse_label, if the file has it and --label is label)",
    )
    tokens: Literal["characters", "words"] | None = Field(
        None,
        description="text: TFF's 86 characters, or words separated by spaces"
        " (default: characters for snippets, words for others)",
    )
    vocabulary: int = Field(
        10_000, ge=4, description="words: maximum number of token ids, from the train part"
    )
    word_counts: Path | None = Field(
        None, description="words: a file of them by falling count (stackoverflow.word_count)"
    )
    length: int | None = Field(
        None,
        ge=0,
        description="input tokens of a sample, 0: a whole text"
        " (default: 80 characters or 20 words; with --label a whole text)",
    )
    features: Literal["auto", "float32"] = Field(
        "auto",
        description="auto: store floats as bytes if all are a byte / 255; float32: unchanged",
    )
    normalise: Normalise | None = Field(
        None,
        description="mean 0 and deviation 1 over train; bytes from 0 to 1; or unchanged"
        " (default: unit for bytes, else none)",
    )
    classes: int = Field(0, ge=0, description="number of classes (0: that of the train part)")
    skip_empty: bool = Field(
        False, description="leave out clients without samples, instead of refusing them"
    )

    def read(self, sources: Mapping[str, list[Path]], store: Store) -> Description:
        """Read train up to three times: for names of classes, for a vocabulary, for the samples."""
        parts = _parts(sources)
        fields = self._fields(fields_of(parts["train"]))
        kind = "text" if fields.text else "numbers"
        refuse_others(self, TAKEN, kind, f"{fields.x} holds")

        def clients(part: str, *names: str) -> Iterator[tuple[str, str, dict[str, np.ndarray]]]:
            return clients_of(parts[part], list(names), self.skip_empty)

        def label_values(location: str, rows: dict[str, np.ndarray]) -> np.ndarray:
            values = rows[fields.y]
            return np.array(texts(values, location)) if fields.named else values

        def train_labels() -> Iterator[np.ndarray]:
            for location, _, rows in clients("train", fields.y):
                yield label_values(location, rows)

        def train_texts() -> Iterator[str]:
            for location, _, rows in clients("train", fields.x):
                yield from texts(rows[fields.x], location)

        labels = self._labels(fields, train_labels)
        cutter = self._texts(fields, train_texts)
        features = Features(self.normalise, self.features)
        for part in parts:
            for location, name, rows in clients(part, *fields.requested):
                x: Any = rows[fields.x]
                if cutter:
                    x = [sample for text in texts(x, location) for sample in cutter.samples(text)]
                else:
                    x = features.stored(part, x, location)
                y = None
                if labels is not None:
                    y = labels.check(part, label_values(location, rows), location)
                coarse = None
                if fields.coarse:
                    coarse = whole_numbers(rows[fields.coarse], location)
                store.add(part, name, x, y, coarse, where=location)
        return self._description(parts["train"][0], labels, cutter, features)

    def _fields(self, is_text: dict[str, bool]) -> Fields:
        """Return which fields are read, of those in the file (whether each is text).

        Raise InputError naming the option of a field that the file does not have.
        """
        x = self.x or next((name for name in SAMPLES if name in is_text), "")
        y = self.label or ("label" if "label" in is_text and not is_text.get(x) else "")
        has_coarse = "coarse_label" in is_text and y == "label"
        coarse = self.coarse or ("coarse_label" if has_coarse else "")

        names = ", ".join(is_text)
        for option, name in (("--x", x), ("--label", y), ("--coarse", coarse)):
            if name not in is_text and (name or option == "--x"):
                raise InputError(f"{option}: {name!r}: no such field; there are: {names}")
        if not is_text[x] and not y:
            raise InputError(f"--label: not given, and there is no field label; there are: {names}")
        return Fields(x, y, coarse, is_text[x], bool(y) and is_text[y])

    def _labels(
        self, fields: Fields, train: Callable[[], Iterator[np.ndarray]]
    ) -> Named | Numbered | None:
        if not fields.y:
            return None
        return Named(train()) if fields.named else Numbered(self.classes)

    def _texts(self, fields: Fields, train: Callable[[], Iterator[str]]) -> Texts | None:
        """Return the conversion of texts to samples, or None if samples are no text."""
        if not fields.text:
            return None
        task: Task = "classification" if fields.y else "language"
        unit = self.tokens or ("characters" if fields.x == "snippets" else "words")
        length = self.length
        if length is None:
            length = 0 if fields.y else 80 if unit == "characters" else 20

        if unit == "words" and self.word_counts is None:
            return texts_of(train(), "pieces", self.vocabulary, task, length)
        if unit == "words":
            assert self.word_counts is not None
            known = _words(self.word_counts, self.vocabulary - 1 - 2 * (task == "language"))
            vocabulary = Vocabulary(np.array([UNKNOWN, *known], "S"), "pieces")
        else:
            characters = (letter.encode() for letter in LETTERS)
            vocabulary = Vocabulary(np.array([UNKNOWN, *characters], "S"))
        return Texts(between_ends(vocabulary) if task == "language" else vocabulary, task, length)

    def _description(
        self,
        path: Path,
        labels: Named | Numbered | None,
        cutter: Texts | None,
        features: Features,
    ) -> Description:
        scale, shift = features.scaling if cutter is None else (1.0, 0.0)
        name = path.name.removesuffix(".h5").removesuffix("_train")
        size = len(cutter.vocabulary) if cutter else 0
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
            tokens=cutter.vocabulary.tokens if cutter else np.empty(0, "S1"),
        )


def _words(path: Path, count: int) -> list[bytes]:
    """Return the first ``count`` words of a file of lines "word count".

    Raise InputError naming a line without a new word.
    """
    line_of_word: dict[bytes, int] = {}
    for number, line in text_lines(path):
        if len(line_of_word) == count:
            break
        entries = line.split()
        is_wrong = not entries or len(entries) > 2 or len(entries[0]) > LONGEST_WORD
        if is_wrong or entries[0].encode() in line_of_word:
            raise InputError(
                f"{path}: line {number}: {line[:40]!r}; expected a new word and its count"
            )
        line_of_word[entries[0].encode()] = number
    return list(line_of_word)


def _parts(sources: Mapping[str, list[Path]]) -> dict[str, list[Path]]:
    """Return the files of each part: the sources, or of a folder the files named as in ENDINGS."""
    train = sources["train"]
    if len(train) != 1 or not train[0].is_dir():
        return dict(sources)

    parts: dict[str, list[Path]] = {}
    for part, ending in ENDINGS.items():
        files = sorted(train[0].glob(f"*{ending}"))
        if len(files) > 1 or (part == "train" and not files):
            names = ", ".join(file.name for file in files) or "none"
            raise InputError(
                f"{train[0]}: files that end in {ending}: {names};"
                " one is needed, or name the files themselves"
            )
        if files:
            parts[part] = files

    if "test" in sources and "test" in parts:
        raise InputError(
            f"--test: {sources['test'][0]}: {parts['test'][0]} is a test part already;"
            " name the train file itself"
        )
    return {**parts, **({"test": sources["test"]} if "test" in sources else {})}

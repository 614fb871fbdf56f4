"""What the samples of LEAF's data sets are: one class for each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mpifl.datasets.dataset import Description
from mpifl.datasets.importers.numbered import whole_numbers
from mpifl.datasets.importers.pictures import pictures
from mpifl.datasets.importers.sequences import Texts, windows
from mpifl.datasets.importers.vocabulary import Vocabulary, pieces, words
from mpifl.errors import InputError

LETTERS = "\n !\"&'(),-.0123456789:;>?ABCDEFGHIJKLMNOPQRSTUVWXYZ[]abcdefghijklmnopqrstuvwxyz}"
"""The characters of LEAF's Shakespeare in the order of its ``ALL_LETTERS`` (models/utils/language_utils.py)."""

Samples = np.ndarray | list[np.ndarray]
LICENCE = "as its source says"


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A data set of LEAF's. ``outputs`` is 0 where the train part tells how many classes there are."""

    outputs: int = 0
    counted: bool = True
    """Whether num_samples counts the samples of each part."""
    said: dict[str, Any] = field(default_factory=dict)
    """More of the Description."""

    def learn(self, train: Callable[[], Iterable[tuple[str, list[Any]]]]) -> Kind:
        """The kind that knows the train part: where (for messages) and samples of each user."""
        return self

    def samples(self, x: list[Any], y: list[Any], where: str) -> tuple[Samples, Any]:
        """What to store of a user: samples, and the labels that are still to be checked, or None. Raises InputError."""
        raise NotImplementedError


def numbers(x: list[Any], where: str) -> np.ndarray:
    """Vectors (samples, length) float64. Raises InputError naming the first sample that is none, or has another length."""
    try:
        found = np.array(x)
    except (ValueError, OverflowError):
        found = np.empty(0)
    if found.ndim != 2 or found.dtype.kind not in "iuf":
        row = next((k for k, one in enumerate(x) if not _is_vector(one) or len(one) != len(x[0])), 0)
        raise InputError(f"{where}, sample {row}: not a list of {len(x[0]) if _is_vector(x[0]) else 'some'} numbers")
    return found.astype(np.float64)


def _is_vector(one: Any) -> bool:
    return isinstance(one, list) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in one)


@dataclass(frozen=True, kw_only=True)
class Femnist(Kind):
    """Images of 28x28 grey pixels. LEAF writes byte / 255, so that bytes keep all there is; 1 is paper, 0 is ink."""

    outputs: int = 62
    said: dict[str, Any] = field(
        default_factory=lambda: {
            "feature_scale": 1 / 255,
            "labels": np.array(
                [chr(k).encode() for first, last in ("09", "AZ", "az") for k in range(ord(first), ord(last) + 1)]
            ),
        }
    )

    def samples(self, x: list[Any], y: list[Any], where: str) -> tuple[Samples, Any]:
        """See Kind."""
        found = numbers(x, where)
        if found.shape[1] != 28 * 28:
            raise InputError(f"{where}: samples of {found.shape[1]} numbers; femnist has 784 (28x28 pixels)")
        pixels = np.rint(np.clip(found, 0, 1) * 255)
        other = (pixels / 255).astype(np.float32) != found.astype(np.float32)
        if other.any():
            row = int(np.argmax(other.any(axis=1)))
            value = found[row][other[row]][0]
            raise InputError(
                f"{where}, sample {row}: {value} is no pixel (0/255 to 255/255); --kind synthetic --shape 28x28 takes it"
            )
        return pixels.astype(np.uint8).reshape(-1, 28, 28), y


@dataclass(frozen=True, kw_only=True)
class Synthetic(Kind):
    """Vectors of numbers, as they are; ``shape`` is that of a sample (none: as it comes)."""

    shape: tuple[int, ...] = ()

    def samples(self, x: list[Any], y: list[Any], where: str) -> tuple[Samples, Any]:
        """See Kind."""
        found = numbers(x, where)
        if self.shape and found.shape[1] != np.prod(self.shape):
            raise InputError(f"{where}: samples of {found.shape[1]} numbers; --shape says {self.shape}")
        with np.errstate(over="ignore"):
            single = found.astype(np.float32)
        if not np.isfinite(single).all():
            raise InputError(f"{where}: a number beyond float32")
        return single.reshape(-1, *(self.shape or single.shape[1:])), y


@dataclass(frozen=True, kw_only=True)
class Shakespeare(Kind):
    """The 80 characters before a character, which is the class."""

    outputs: int = len(LETTERS)
    said: dict[str, Any] = field(
        default_factory=lambda: {
            "vocabulary": len(LETTERS),
            "tokens": np.array([letter.encode() for letter in LETTERS]),
            "labels": np.array([letter.encode() for letter in LETTERS]),
        }
    )

    def samples(self, x: list[Any], y: list[Any], where: str) -> tuple[Samples, Any]:
        """See Kind."""
        if not all(isinstance(text, str) and len(text) == len(x[0]) for text in x) or not len(x[0]):
            raise InputError(f"{where}: x holds something else than texts of one length")
        if not all(isinstance(letter, str) and len(letter) == 1 for letter in y):
            raise InputError(f"{where}: y holds something else than single characters")
        return letters("".join(x), where).reshape(len(x), -1), letters("".join(y), where).astype(np.int64)


def letters(text: str, where: str) -> np.ndarray:
    """Characters by their place in LETTERS, uint8. Raises InputError naming one that is not there."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    table = np.full(128, 255, np.uint8)
    table[[ord(letter) for letter in LETTERS]] = np.arange(len(LETTERS))
    found = np.where(codes < 128, table[np.minimum(codes, 127)], 255).astype(np.uint8)
    if (found == 255).any():
        raise InputError(
            f"{where}: {text[int(np.argmax(found == 255))]!r} is none of the {len(LETTERS)} characters of LEAF's models"
        )
    return found


@dataclass(frozen=True, kw_only=True)
class Sent140(Kind):
    """Tweets: the fifth entry of x is the text, its first ``length`` words are the sample."""

    size: int
    length: int
    outputs: int = 2
    texts: Texts | None = None
    said: dict[str, Any] = field(default_factory=lambda: {"labels": np.array([b"negative", b"positive"])})

    def learn(self, train: Callable[[], Iterable[tuple[str, list[Any]]]]) -> Kind:
        """See Kind."""
        vocabulary = words((text for where, x in train() for text in _tweets(x, where)), self.size)
        said = self.said | _tokens(vocabulary)
        return Sent140(size=self.size, length=self.length, texts=Texts(vocabulary, "classification", self.length), said=said)

    def samples(self, x: list[Any], y: list[Any], where: str) -> tuple[Samples, Any]:
        """See Kind. 4 is Sentiment140's own number for what LEAF calls 1."""
        assert self.texts is not None
        found = whole_numbers(y, where)
        return [self.texts.samples(text)[0] for text in _tweets(x, where)], np.where(found == 4, 1, found)


def _tweets(x: list[Any], where: str) -> list[str]:
    for k, row in enumerate(x):
        if not isinstance(row, list) or len(row) < 5 or not isinstance(row[4], str):
            raise InputError(f"{where}, sample {k}: not a list of id, date, query, user and text")
    return [row[4] for row in x]


@dataclass(frozen=True, kw_only=True)
class Reddit(Kind):
    """Comments, in sequences of tokens that are filled up with PAD: a comment from ``<BOS>`` to ``<EOS>``, cut to ``length``.

    LEAF's num_samples are those before its split into parts.
    """

    size: int
    length: int
    counted: bool = False
    vocabulary: Vocabulary | None = None

    PAD = "<PAD>"

    def learn(self, train: Callable[[], Iterable[tuple[str, list[Any]]]]) -> Kind:
        """See Kind."""
        vocabulary = pieces((text for where, x in train() for text in self._comments(x, where)), self.size)
        said = _tokens(vocabulary) | {"task": "language"}
        return Reddit(size=self.size, length=self.length, vocabulary=vocabulary, outputs=len(vocabulary), said=said)

    def samples(self, x: list[Any], y: list[Any], where: str) -> tuple[Samples, Any]:
        """See Kind. Where y tells the tokens to predict they must be those that follow in x."""
        assert self.vocabulary is not None
        found: list[np.ndarray] = []
        for k, (text, label) in enumerate(zip(self._comments(x, where), y, strict=True)):
            next_tokens = label.get("target_tokens") if isinstance(label, dict) else None
            if next_tokens and self._text(next_tokens, f"{where}, target_tokens {k}").split() != text.split()[1:]:
                raise InputError(f"{where}, sample {k}: target_tokens are not the tokens that follow in x")
            found += windows(self.vocabulary.encode(text), self.length)
        return found, None

    def _comments(self, x: list[Any], where: str) -> list[str]:
        return [self._text(comment, f"{where}, sample {k}") for k, comment in enumerate(x)]

    def _text(self, comment: Any, where: str) -> str:
        """A comment's tokens with spaces between: of sequences of tokens, or of a text."""
        if isinstance(comment, str):
            return f"<BOS> {comment} <EOS>"
        if not isinstance(comment, list) or not all(isinstance(part, list) for part in comment):
            raise InputError(f"{where}: not a list of lists of tokens, nor a text")
        tokens = [token for part in comment for token in part if token != self.PAD]
        if not all(isinstance(token, str) and token.split() == [token] for token in tokens) or not tokens:
            raise InputError(f"{where}: something else than tokens in it, or none")
        return " ".join(tokens)


@dataclass(frozen=True, kw_only=True)
class Celeba(Kind):
    """Names of images in the folder ``images``; 1 is a smile."""

    images: Path
    size: tuple[int, ...] | None
    outputs: int = 2
    said: dict[str, Any] = field(
        default_factory=lambda: {"feature_scale": 1 / 255, "labels": np.array([b"not smiling", b"smiling"])}
    )

    def samples(self, x: list[Any], y: list[Any], where: str) -> tuple[Samples, Any]:
        """See Kind."""
        if not all(isinstance(name, str) and Path(name).name == name for name in x):
            raise InputError(f"{where}: x holds something else than names of files")
        files = [self.images / name for name in x]
        return pictures([*files], self.size, False, [f"{where}: {file}" for file in files]), y


def _tokens(vocabulary: Vocabulary) -> dict[str, Any]:
    return {"vocabulary": len(vocabulary), "tokens": vocabulary.tokens}


def description(kind: Kind, name: str, outputs: int) -> Description:
    """What there is to say of a data set in LEAF's layout."""
    return Description(
        name=name, outputs=outputs, source=f"{name} in LEAF's JSON (arXiv 1812.01097)", licence=LICENCE, **kind.said
    )

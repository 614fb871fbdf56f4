"""The samples of LEAF's data sets of text: one class for each data set."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mpifl.datasets.importers.leaf_kinds import Kind, Samples
from mpifl.datasets.importers.numbered import whole_numbers
from mpifl.datasets.importers.sequences import Texts, windows
from mpifl.datasets.importers.vocabulary import Vocabulary, pieces, words
from mpifl.errors import InputError

LETTERS = "\n !\"&'(),-.0123456789:;>?ABCDEFGHIJKLMNOPQRSTUVWXYZ[]abcdefghijklmnopqrstuvwxyz}"
"""The characters of LEAF's Shakespeare, as in ``ALL_LETTERS`` (models/utils/language_utils.py)."""


@dataclass(frozen=True, kw_only=True)
class Shakespeare(Kind):
    """The 80 characters before a character, which is the class."""

    outputs: int = len(LETTERS)
    fields: dict[str, Any] = field(
        default_factory=lambda: {
            "vocabulary": len(LETTERS),
            "tokens": np.array([letter.encode() for letter in LETTERS]),
            "labels": np.array([letter.encode() for letter in LETTERS]),
        }
    )

    def samples(self, x: list[Any], y: list[Any], location: str) -> tuple[Samples, Any]:
        are_texts = all(isinstance(text, str) and len(text) == len(x[0]) for text in x)
        if not are_texts or not len(x[0]):
            raise InputError(f"{location}: x holds something else than texts of one length")
        if not all(isinstance(letter, str) and len(letter) == 1 for letter in y):
            raise InputError(f"{location}: y holds something else than single characters")
        inputs = letters("".join(x), location).reshape(len(x), -1)
        return inputs, letters("".join(y), location).astype(np.int64)


def letters(text: str, location: str) -> np.ndarray:
    """Return the index of each character in LETTERS, uint8.

    Raise InputError naming a character that is not in LETTERS.
    """
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    table = np.full(128, 255, np.uint8)
    table[[ord(letter) for letter in LETTERS]] = np.arange(len(LETTERS))
    indices = np.where(codes < 128, table[np.minimum(codes, 127)], 255).astype(np.uint8)
    if (indices == 255).any():
        character = text[int(np.argmax(indices == 255))]
        raise InputError(
            f"{location}: {character!r} is none of the {len(LETTERS)} characters of LEAF's models"
        )
    return indices


@dataclass(frozen=True, kw_only=True)
class Sent140(Kind):
    """Tweets: the fifth entry of x is the text, and its first ``length`` words are the sample."""

    size: int
    length: int
    outputs: int = 2
    texts: Texts | None = None
    fields: dict[str, Any] = field(
        default_factory=lambda: {"labels": np.array([b"negative", b"positive"])}
    )

    def learn(self, train: Callable[[], Iterable[tuple[str, list[Any]]]]) -> Kind:
        vocabulary = words(
            (text for location, x in train() for text in _tweets(x, location)), self.size
        )
        return Sent140(
            size=self.size,
            length=self.length,
            texts=Texts(vocabulary, "classification", self.length),
            fields=self.fields | _token_fields(vocabulary),
        )

    def samples(self, x: list[Any], y: list[Any], location: str) -> tuple[Samples, Any]:
        """Map label 4, which is Sentiment140's own, to 1, which is LEAF's."""
        assert self.texts is not None
        labels = whole_numbers(y, location)
        tweets = [self.texts.samples(text)[0] for text in _tweets(x, location)]
        return tweets, np.where(labels == 4, 1, labels)


def _tweets(x: list[Any], location: str) -> list[str]:
    for k, row in enumerate(x):
        if not isinstance(row, list) or len(row) < 5 or not isinstance(row[4], str):
            raise InputError(
                f"{location}, sample {k}: not a list of id, date, query, user and text"
            )
    return [row[4] for row in x]


@dataclass(frozen=True, kw_only=True)
class Reddit(Kind):
    """Comments as token ids, from ``<BOS>`` to ``<EOS>``, split into windows of ``length``.

    In the JSON a comment is a list of sequences of tokens, padded with PAD. LEAF's num_samples are
    the numbers before its split into parts.
    """

    size: int
    length: int
    counted: bool = False
    vocabulary: Vocabulary | None = None

    PAD = "<PAD>"

    def learn(self, train: Callable[[], Iterable[tuple[str, list[Any]]]]) -> Kind:
        vocabulary = pieces(
            (text for location, x in train() for text in self._comments(x, location)), self.size
        )
        return Reddit(
            size=self.size,
            length=self.length,
            vocabulary=vocabulary,
            outputs=len(vocabulary),
            fields=_token_fields(vocabulary) | {"task": "language"},
        )

    def samples(self, x: list[Any], y: list[Any], location: str) -> tuple[Samples, Any]:
        """Check that the target tokens of y, if there are any, are those that follow in x."""
        assert self.vocabulary is not None
        samples: list[np.ndarray] = []
        for k, (text, label) in enumerate(zip(self._comments(x, location), y, strict=True)):
            targets = label.get("target_tokens") if isinstance(label, dict) else None
            if targets:
                target_text = self._text(targets, f"{location}, target_tokens {k}")
                if target_text.split() != text.split()[1:]:
                    raise InputError(
                        f"{location}, sample {k}: target_tokens are not the tokens that follow in x"
                    )
            samples += windows(self.vocabulary.encode(text), self.length)
        return samples, None

    def _comments(self, x: list[Any], location: str) -> list[str]:
        return [self._text(comment, f"{location}, sample {k}") for k, comment in enumerate(x)]

    def _text(self, comment: Any, location: str) -> str:
        """Return a comment's tokens joined by spaces. It is a list of sequences, or a text."""
        if isinstance(comment, str):
            return f"<BOS> {comment} <EOS>"
        if not isinstance(comment, list) or not all(isinstance(part, list) for part in comment):
            raise InputError(f"{location}: not a list of lists of tokens, nor a text")
        tokens = [token for part in comment for token in part if token != self.PAD]
        are_tokens = all(isinstance(token, str) and token.split() == [token] for token in tokens)
        if not are_tokens or not tokens:
            raise InputError(f"{location}: something else than tokens in it, or none")
        return " ".join(tokens)


def _token_fields(vocabulary: Vocabulary) -> dict[str, Any]:
    return {"vocabulary": len(vocabulary), "tokens": vocabulary.tokens}

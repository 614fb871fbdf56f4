"""Token ids of text: characters, or the most frequent words of the train part."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

UNKNOWN = b"<unknown>"
WORD = re.compile(r"[\w']+|[^\w\s]")
LONGEST_WORD = 64  # in characters: names of tokens lie in an array whose rows are as long as the longest


@dataclass(frozen=True)
class Vocabulary:
    """``tokens`` (ids,) bytes: the UTF-8 of token k; token 0 is whatever is none of the others. ``unit`` is what a token is.

    Words are lower-case: runs of letters, digits, ``_`` and ``'``; every other character that is not white space is a word too.
    Pieces are what white space separates, as it is: for text whose source has cut it into tokens already.
    """

    tokens: np.ndarray
    unit: Literal["characters", "words", "pieces"] = "characters"

    def __len__(self) -> int:
        """How many token ids there are, the unknown's among them."""
        return len(self.tokens)

    @property
    def dtype(self) -> type[np.uint8 | np.int32]:
        """The type of token ids: uint8 where there are fewer than 256, so that padding has an id too."""
        return np.uint8 if len(self.tokens) < 256 else np.int32

    def encode(self, text: str) -> np.ndarray:
        """(tokens of the text,) token ids of ``dtype``."""
        known = self._ids
        found = text if self.unit == "characters" else _cut(text, self.unit)
        return np.fromiter((known.get(token, 0) for token in found), self.dtype, len(found))

    @functools.cached_property
    def _ids(self) -> dict[str, int]:
        return {token.decode(): k for k, token in enumerate(self.tokens.tolist()) if k}


def characters(texts: Iterable[str]) -> Vocabulary:
    """All characters of the texts by code point, behind the unknown one.

    NUL is unknown: an array of bytes does not keep it.
    """
    found: set[str] = set()
    for text in texts:
        found.update(text)
    return Vocabulary(_names(sorted(found - {"\0"})))


def words(texts: Iterable[str], size: int) -> Vocabulary:
    """The most frequent words of the texts by falling count, ties by text: ``size`` token ids at most, one of them unknown.

    Words of more than LONGEST_WORD characters are unknown.
    """
    return _most_frequent(texts, size, "words")


def pieces(texts: Iterable[str], size: int) -> Vocabulary:
    """As ``words``, of pieces."""
    return _most_frequent(texts, size, "pieces")


def _most_frequent(texts: Iterable[str], size: int, unit: Literal["words", "pieces"]) -> Vocabulary:
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(_cut(text, unit))
    ranked = sorted((-count, word) for word, count in counts.items() if len(word) <= LONGEST_WORD and "\0" not in word)
    return Vocabulary(_names([word for _, word in ranked[: max(0, size - 1)]]), unit)


def _cut(text: str, unit: Literal["words", "pieces"]) -> list[str]:
    return WORD.findall(text.lower()) if unit == "words" else text.split()


def _names(tokens: list[str]) -> np.ndarray:
    return np.array([UNKNOWN, *(token.encode() for token in tokens)], "S")

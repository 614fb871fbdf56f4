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
# In characters. Token names lie in an array whose rows are as long as the longest name.
LONGEST_WORD = 64


@dataclass(frozen=True)
class Vocabulary:
    """Token ids. ``tokens`` (ids,) bytes: the UTF-8 of token k. Token 0 stands for unknown ones.

    ``unit`` is what a token is. Words are lower-case: runs of letters, digits, ``_`` and ``'``;
    every other character that is not white space is a word too. Pieces are separated by white space
    and not changed: they are for text whose source has already split it into tokens.
    """

    tokens: np.ndarray
    unit: Literal["characters", "words", "pieces"] = "characters"

    def __len__(self) -> int:
        """Return the number of token ids, with the unknown token's."""
        return len(self.tokens)

    @property
    def dtype(self) -> type[np.uint8 | np.int32]:
        """Type of token ids: uint8 for fewer than 256, which leaves one id for padding."""
        return np.uint8 if len(self.tokens) < 256 else np.int32

    def encode(self, text: str) -> np.ndarray:
        """Return the token ids (tokens of the text,) of type ``dtype``."""
        ids = self._ids
        tokens = text if self.unit == "characters" else _split(text, self.unit)
        return np.fromiter((ids.get(token, 0) for token in tokens), self.dtype, len(tokens))

    @functools.cached_property
    def _ids(self) -> dict[str, int]:
        return {token.decode(): k for k, token in enumerate(self.tokens.tolist()) if k}


def characters(texts: Iterable[str]) -> Vocabulary:
    """Return all characters of the texts by code point, after the unknown token.

    NUL is unknown, because NumPy's arrays of bytes drop it.
    """
    seen: set[str] = set()
    for text in texts:
        seen.update(text)
    return Vocabulary(_names(sorted(seen - {"\0"})))


def words(texts: Iterable[str], size: int) -> Vocabulary:
    """Return the most frequent words of the texts: at most ``size`` token ids, with the unknown's.

    They are sorted by falling count, ties by text. Words of more than LONGEST_WORD characters are
    unknown.
    """
    return _most_frequent(texts, size, "words")


def pieces(texts: Iterable[str], size: int) -> Vocabulary:
    """Return the most frequent pieces of the texts; see ``words``."""
    return _most_frequent(texts, size, "pieces")


def _most_frequent(texts: Iterable[str], size: int, unit: Literal["words", "pieces"]) -> Vocabulary:
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(_split(text, unit))

    ranked = sorted(
        (-count, word)
        for word, count in counts.items()
        if len(word) <= LONGEST_WORD and "\0" not in word
    )
    return Vocabulary(_names([word for _, word in ranked[: max(0, size - 1)]]), unit)


def _split(text: str, unit: Literal["words", "pieces"]) -> list[str]:
    return WORD.findall(text.lower()) if unit == "words" else text.split()


def _names(tokens: list[str]) -> np.ndarray:
    return np.array([UNKNOWN, *(token.encode() for token in tokens)], "S")

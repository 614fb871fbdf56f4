"""Texts as samples of token ids."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from mpifl.datasets.importers.vocabulary import Vocabulary, characters, pieces, words

BEGIN = b"<bos>"
END = b"<eos>"
Unit = Literal["characters", "words", "pieces"]
Task = Literal["classification", "language"]

TOKENS_HELP = "what a token is: a character, or a lower-case word"
VOCABULARY_HELP = "words: maximum number of token ids, including the unknown word's"
LENGTH_HELP = (
    "language: split a text into samples of N tokens and one more;"
    " classification: keep the first N tokens; 0: keep all"
)


@dataclass(frozen=True)
class Texts:
    """The conversion of texts to samples: token ids of ``vocabulary``, ``length`` inputs at most.

    A ``length`` of 0 does not limit a sample.
    """

    vocabulary: Vocabulary
    task: Task
    length: int = 0

    def samples(self, text: str) -> list[np.ndarray]:
        """Return the samples of a text, each (tokens,) of one type.

        Classification: one sample, the first tokens. A text without tokens is one unknown token.
        Language: one sample or more, which hold all of the text between BEGIN and END, the last two
        token ids.
        """
        ids = self.vocabulary.encode(text)
        if self.task == "language":
            ends = np.array([len(self.vocabulary) - 2, len(self.vocabulary) - 1], ids.dtype)
            return windows(np.concatenate([ends[:1], ids, ends[1:]]), self.length)
        return [ids[: self.length or None] if len(ids) else np.zeros(1, ids.dtype)]


def texts_of(texts: Iterable[str], unit: Unit, size: int, task: Task, length: int) -> Texts:
    """Return Texts with the vocabulary of the train part's texts.

    It has all of their characters, or ``size`` token ids of words or pieces.
    """
    makers: dict[Unit, Callable[[], Vocabulary]] = {
        "characters": lambda: characters(texts),
        "words": lambda: words(texts, size - 2 * (task == "language")),
        "pieces": lambda: pieces(texts, size - 2 * (task == "language")),
    }
    vocabulary = makers[unit]()
    return Texts(between_ends(vocabulary) if task == "language" else vocabulary, task, length)


def between_ends(vocabulary: Vocabulary) -> Vocabulary:
    """Return the vocabulary with two more ids, BEGIN and END, which no text contains."""
    tokens = np.array([*vocabulary.tokens.tolist(), BEGIN, END], "S")
    return replace(vocabulary, tokens=tokens)


def windows(ids: np.ndarray, length: int) -> list[np.ndarray]:
    """Split token ids into windows in which each id but the first is predicted exactly once.

    A window holds ``length`` inputs and as many targets: at most ``length`` + 1 ids. It begins with
    the last id of the window before it. A ``length`` of 0 makes one window of all ids.
    """
    if not length:
        return [ids]
    return [ids[start : start + length + 1] for start in range(0, max(1, len(ids) - 1), length)]

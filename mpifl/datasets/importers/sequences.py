"""Texts as samples of token ids."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from mpifl.datasets.importers.vocabulary import Vocabulary, characters, pieces, words

BEGIN, END = b"<bos>", b"<eos>"
Unit = Literal["characters", "words", "pieces"]
Task = Literal["classification", "language"]

TOKENS_HELP = "what a token is: a character, or a lower-case word"
VOCABULARY_HELP = "words: how many token ids at most, the unknown word's among them"
LENGTH_HELP = "language: cut a text into samples of so many tokens and one more; else: its first tokens alone; 0: all of it"


@dataclass(frozen=True)
class Texts:
    """How a text becomes samples: the token ids of ``vocabulary``, at most ``length`` of them to learn from (0: all)."""

    vocabulary: Vocabulary
    task: Task
    length: int = 0

    def samples(self, text: str) -> list[np.ndarray]:
        """The samples of a text, each (tokens,) of one type.

        To be classified: one, its first tokens; a text without any is one unknown token. To be predicted: one or more that hold
        all of it between BEGIN and END, which are the last two token ids.
        """
        ids = self.vocabulary.encode(text)
        if self.task == "language":
            ends = np.array([len(self.vocabulary) - 2, len(self.vocabulary) - 1], ids.dtype)
            return windows(np.concatenate([ends[:1], ids, ends[1:]]), self.length)
        return [ids[: self.length or None] if len(ids) else np.zeros(1, ids.dtype)]


def texts_of(texts: Iterable[str], unit: Unit, size: int, task: Task, length: int) -> Texts:
    """Texts with the vocabulary of the train part's: all of its characters, or ``size`` words or pieces."""
    made: dict[Unit, Callable[[], Vocabulary]] = {
        "characters": lambda: characters(texts),
        "words": lambda: words(texts, size - 2 * (task == "language")),
        "pieces": lambda: pieces(texts, size - 2 * (task == "language")),
    }
    vocabulary = made[unit]()
    return Texts(between_ends(vocabulary) if task == "language" else vocabulary, task, length)


def between_ends(vocabulary: Vocabulary) -> Vocabulary:
    """A vocabulary with two more ids, which no text has: where a text begins, and where it ends."""
    return replace(vocabulary, tokens=np.array([*vocabulary.tokens.tolist(), BEGIN, END], "S"))


def windows(ids: np.ndarray, length: int) -> list[np.ndarray]:
    """Token ids cut so that each but the first is predicted once, from at most ``length`` before it (0: from all).

    A window begins with the last token of the one before: ``length`` tokens to read and as many to predict.
    """
    if not length:
        return [ids]
    return [ids[start : start + length + 1] for start in range(0, max(1, len(ids) - 1), length)]

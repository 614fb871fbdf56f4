"""The objective of speech: what was said, without when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import torch
from pydantic import Field
from torch.nn.functional import ctc_loss

from mpifl.datasets.dataset import DataShape
from mpifl.errors import InputError
from mpifl.objectives.objective import Objective, Scores


class Transcription(Objective):
    """Connectionist temporal classification; word and character error rate.

    Targets are a transcript's symbols, below 0 behind its end. The model puts out the symbols and,
    as the last one, a blank, for each of some frames. The loss of a sample is the negative
    logarithm of the probability of all ways in which the frames give the transcript, divided by its
    length (Graves et al. 2006); one that needs more frames than there are counts 0. What is heard
    is the likeliest symbol of each frame, without repetitions and blanks. An error rate is the
    number of insertions, deletions and substitutions between what was said and what is heard, over
    all test samples, divided by the number of words or characters that were said (those of the
    library jiwer).
    """

    tasks = ("transcription",)
    stackable = False  # torch's ctc_loss fails where the longest targets differ between clients
    measures = MappingProxyType(
        {
            "wer": "word error rate; NaN when not tested",
            "cer": "character error rate; NaN when not tested",
        }
    )

    name: str = "transcription"
    separator: int = Field(0, ge=0, description="the symbol between words")

    @property
    def counted(self) -> int:
        """The counts: errors in characters, characters, errors in words, words."""
        return 4

    def check(self, data: DataShape) -> None:
        if self.separator >= data.outputs:
            raise InputError(
                f"objective.separator: {self.separator} is not allowed: the data's symbols are 0 to"
                f" {data.outputs - 1}"
            )

    def model_shape(self, data: DataShape) -> DataShape:
        return replace(data, outputs=data.outputs + 1)

    def sample_losses(self, output: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        if output.dim() == 4:  # of several models
            return torch.stack([self.sample_losses(*pair) for pair in zip(output, y, strict=True)])
        lengths = (y >= 0).sum(-1)
        frames = torch.full_like(lengths, output.shape[1])
        probabilities = output.log_softmax(-1).transpose(0, 1)
        targets = y.clamp(min=0).long()
        losses = ctc_loss(
            probabilities,
            targets,
            frames,
            lengths,
            blank=self.outputs,
            reduction="none",
            zero_infinity=True,
        )
        return losses / lengths.clamp(min=1)

    def score(self, output: torch.Tensor, y: torch.Tensor) -> Scores:
        ones = torch.ones(len(y), dtype=torch.int64, device=y.device)
        heard = [self._heard(frames) for frames in output.argmax(-1).tolist()]
        said = [[int(symbol) for symbol in row if symbol >= 0] for row in y.tolist()]
        counts = np.zeros(4, np.int64)
        for one, other in zip(said, heard, strict=True):
            words = self._words(one)
            counts += [
                distance(one, other),
                len(one),
                distance(words, self._words(other)),
                len(words),
            ]
        loss = self.sample_losses(output, y).double()
        return Scores(ones, torch.zeros_like(ones), loss, torch.from_numpy(counts))

    def _heard(self, frames: list[int]) -> list[int]:
        """Return the symbols of the likeliest way through the frames."""
        before = [self.outputs, *frames[:-1]]
        pairs = zip(frames, before, strict=True)
        return [symbol for symbol, last in pairs if symbol not in (last, self.outputs)]

    def _words(self, symbols: list[int]) -> list[tuple[int, ...]]:
        """Return the words between separators, without empty ones."""
        words: list[list[int]] = [[]]
        for symbol in symbols:
            if symbol == self.separator:
                words.append([])
            else:
                words[-1].append(symbol)
        return [tuple(word) for word in words if word]

    def metrics(
        self, scored: int, correct: int, loss: float, counts: np.ndarray, rows: np.ndarray
    ) -> dict[str, float]:
        """Return cer, wer (NaN where nothing was said) and loss."""
        wrong, characters, wrong_words, words = counts.tolist()
        return {
            "cer": wrong / characters if characters else np.nan,
            "wer": wrong_words / words if words else np.nan,
            "loss": loss,
        }


def distance(said: Sequence[object], heard: Sequence[object]) -> int:
    """Return the least number of insertions, deletions and substitutions (Levenshtein)."""
    last = [*range(len(heard) + 1)]
    for row, one in enumerate(said, 1):
        current = [row]
        for column, other in enumerate(heard, 1):
            replaced = last[column - 1] + (one != other)
            current.append(min(replaced, last[column] + 1, current[-1] + 1))
        last = current
    return last[-1]

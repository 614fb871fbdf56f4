"""Availability whose slots and gaps alternate, each drawn from quantiles, at any hour."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydantic import Field, PositiveInt

from mpifl.job.quantiles import Quantiles
from mpifl.job.section import Section
from mpifl.traces.slots import Slots, joined, of_counts

DAY_SECONDS = 86_400.0
# Words drawn ahead: about WORDS_A_PHONE for each phone, but at most BLOCK_WORDS.
BLOCK_WORDS = 1 << 20
WORDS_A_PHONE = 256


class OnOff(Section):
    """Slots and gaps alternate from a random moment until a whole number of days is full."""

    slot_seconds: Quantiles
    gap_seconds: Quantiles
    period_days: list[PositiveInt] = Field(min_length=1)

    def slots_a_phone(self) -> float:
        """Return about how many slots a phone gets."""
        at = np.linspace(0, 1, 1001)
        most = 2 * DAY_SECONDS * max(self.period_days)
        slot = np.minimum(most, self.slot_seconds.at(at))
        gap = np.clip(self.gap_seconds.at(at), 1.0, most)
        turn = slot + gap
        return float(max(self.period_days) * DAY_SECONDS / turn.mean())

    def slots(self, phones: int, random: np.random.Generator) -> Slots:
        """Return the patterns of ``phones`` phones, in whole seconds.

        The result is that of single calls, phone by phone: ``integers(len(period_days))``,
        ``random()`` for the moment at which the phone begins, and two of ``random()`` for each slot
        and the gap after it. For speed, 64-bit words are drawn ahead in blocks and each word is
        converted both to a slot and to a gap, so that a phone is one binary search. At the end the
        generator has drawn exactly the words that were used.
        """
        before = random.bit_generator.state
        parts = []
        used = 0
        done = 0
        size = min(BLOCK_WORDS, WORDS_A_PHONE * phones)
        words = random.bit_generator.random_raw(size)
        half = None

        while done < phones:
            block = _Block(self, words)
            runs, taken, half = block.phones(phones - done, half)
            if len(runs.word):
                parts.append(block.slots_of(runs))
            done += len(runs.word)
            used += taken
            # A phone that needs more words than are left begins the next block; that block is
            # longer if the phone was the first of this one.
            size = size if taken else 2 * size
            words = np.concatenate([words[taken:], random.bit_generator.random_raw(size)])

        random.bit_generator.state = before
        random.bit_generator.random_raw(used, output=False)
        return joined(parts)


@dataclass(frozen=True)
class _Runs:
    """By phone (phones,): word of its first slot, number of slots, second it begins, period."""

    word: np.ndarray
    count: np.ndarray
    begin: np.ndarray
    period: np.ndarray


class _Block:
    """Words of a generator, each as the length of a slot and as that of a gap.

    A turn is a slot and the gap after it; ``turn[k]`` is the length of the turn that begins at word
    k, in seconds.
    """

    def __init__(self, recipe: OnOff, words: np.ndarray) -> None:
        self.words = words[: len(words) // 2 * 2]
        self.uniform = (self.words >> np.uint64(11)) * 2.0**-53  # as Generator.random does
        self.days = recipe.period_days

        # Two periods end any phone's turns; with more the totals of a block would not be exact.
        most = 2 * DAY_SECONDS * max(self.days)
        self.slot = np.minimum(most, np.ceil(recipe.slot_seconds.at(self.uniform)))
        gap = np.clip(np.ceil(recipe.gap_seconds.at(self.uniform)), 1.0, most)
        self.turn = self.slot + np.append(gap[1:], np.inf)
        # Row m, column r: seconds of the turns that begin at words r, r + 2, ..., 2 m + r. The sums
        # are exact, because all lengths are whole seconds.
        self.total = np.cumsum(self.turn.reshape(-1, 2), axis=0)

    def phones(self, most: int, half: int | None) -> tuple[_Runs, int, int | None]:
        """Return up to ``most`` complete phones, the number of words they took, and ``half``.

        ``half`` is the unused half of the last word that ``integers`` took, None if there is none.
        """
        rows: list[tuple[int, int, float, float]] = []
        taken = 0
        columns = [self.total[:, 0], self.total[:, 1]]
        while len(rows) < most:
            choice, word, half_left = self._choice(taken, half)
            if word + 1 >= len(self.words):
                break

            period = DAY_SECONDS * self.days[choice]
            begin = np.ceil(-self.uniform[word] * period)
            word += 1
            column = columns[word % 2]
            row = word // 2
            so_far = column[row - 1] if row else 0.0
            count = int(np.searchsorted(column[row:], period - begin + so_far)) + 1
            if not row + count <= len(column) or column[row + count - 1] == np.inf:
                break

            rows.append((word, count, begin, period))
            taken = word + 2 * count
            half = half_left

        table = np.array(rows, dtype=np.float64).reshape(-1, 4)
        word_of = table[:, 0].astype(np.int64)
        count_of = table[:, 1].astype(np.int64)
        return _Runs(word_of, count_of, table[:, 2], table[:, 3]), taken, half

    def _choice(self, at: int, half: int | None) -> tuple[int, int, int | None]:
        """Return ``Generator.integers(len(days))`` from word ``at`` on, the next word, ``half``.

        Lemire 2019 (arXiv 1805.10941) over 32-bit halves of words, low half first, as NumPy does.
        """
        choices = len(self.days)
        while choices > 1:
            if half is None:
                if at >= len(self.words):
                    return 0, at, None
                word = int(self.words[at])
                at += 1
                bits = word & 0xFFFFFFFF
                half = word >> 32
            else:
                bits = half
                half = None

            product = bits * choices
            if product & 0xFFFFFFFF >= (2**32 - choices) % choices:
                return product >> 32, at, half
        return 0, at, half

    def slots_of(self, runs: _Runs) -> Slots:
        """Return the slots of phones, cut at both ends of the period."""
        phones = len(runs.word)
        first = np.cumsum(runs.count) - runs.count
        phone = np.repeat(np.arange(phones), runs.count)
        nth = np.arange(len(phone)) - np.repeat(first, runs.count)

        word = runs.word[phone] + 2 * nth
        total = self.total.reshape(-1)
        so_far = total[word] - self.turn[word]
        now = runs.begin[phone] + (so_far - so_far[first][phone])
        start = np.maximum(now, 0.0) + 0.0  # no negative zero
        end = np.minimum(now + self.slot[word], runs.period[phone])

        lasts = end > start
        counts = np.bincount(phone[lasts], minlength=phones)
        return of_counts(counts, start[lasts], end[lasts], runs.period)

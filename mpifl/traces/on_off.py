"""Availability whose slots and gaps take turns, each drawn from its quantiles, whatever the hour."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydantic import Field, PositiveInt

from mpifl.job.quantiles import Quantiles
from mpifl.job.section import Section
from mpifl.traces.slots import Slots, joined, of_counts

DAY_SECONDS = 86_400.0
BLOCK_WORDS, WORDS_A_PHONE = 1 << 20, 256  # draws taken ahead: no more than the first, and about the second for each phone


class OnOff(Section):
    """Slots and gaps take turns from a random moment until a whole number of days is full."""

    slot_seconds: Quantiles
    gap_seconds: Quantiles
    period_days: list[PositiveInt] = Field(min_length=1)

    def slots_a_phone(self) -> float:
        """About how many slots a phone gets."""
        at, enough = np.linspace(0, 1, 1001), 2 * DAY_SECONDS * max(self.period_days)
        turn = np.minimum(enough, self.slot_seconds.at(at)) + np.clip(self.gap_seconds.at(at), 1.0, enough)
        return float(max(self.period_days) * DAY_SECONDS / turn.mean())

    def slots(self, phones: int, random: np.random.Generator) -> Slots:
        """Patterns of ``phones`` phones, in whole seconds; what is drawn is what single calls would draw, phone by phone.

        A phone's calls are ``integers(len(period_days))``, ``random()`` for the moment at which it begins, and two of
        ``random()`` for each slot and the gap behind it. Here 64-bit words are drawn ahead in blocks and each is taken both for
        a slot and for a gap, so that a phone is one binary search. At the end the generator has drawn exactly what was used.
        """
        before = random.bit_generator.state
        parts, used, done = [], 0, 0
        size = min(BLOCK_WORDS, WORDS_A_PHONE * phones)
        words, half = random.bit_generator.random_raw(size), None
        while done < phones:
            block = _Block(self, words)
            found, at, half = block.phones(phones - done, half)
            if len(found.word):
                parts.append(block.slots_of(found))
            done, used = done + len(found.word), used + at
            # A phone that needs more words than a block has left begins the next one, which is longer if it must be.
            size = size if at else 2 * size
            words = np.concatenate([words[at:], random.bit_generator.random_raw(size)])
        random.bit_generator.state = before
        random.bit_generator.random_raw(used, output=False)
        return joined(parts)


@dataclass(frozen=True)
class _Found:
    """By phone: the word of its first slot, how many slots, the second at which the first begins, the period."""

    word: np.ndarray
    count: np.ndarray
    begin: np.ndarray
    period: np.ndarray


class _Block:
    """Words of a generator, each as a slot's length and as a gap's, and the seconds that turns from each on take."""

    def __init__(self, turns: OnOff, words: np.ndarray) -> None:
        self.words = words[: len(words) // 2 * 2]
        self.uniform = (self.words >> np.uint64(11)) * 2.0**-53  # what Generator.random makes of a word
        self.days = turns.period_days
        # Two periods end any phone's turns; with more the totals of a block would not be exact.
        enough = 2 * DAY_SECONDS * max(self.days)
        self.slot = np.minimum(enough, np.ceil(turns.slot_seconds.at(self.uniform)))
        gap = np.clip(np.ceil(turns.gap_seconds.at(self.uniform)), 1.0, enough)
        self.turn = self.slot + np.append(gap[1:], np.inf)
        # Row m, column r: seconds of all turns that begin at words r, r + 2, ..., 2 m + r. Whole seconds: exact.
        self.total = np.cumsum(self.turn.reshape(-1, 2), axis=0)

    def phones(self, most: int, half: int | None) -> tuple[_Found, int, int | None]:
        """Up to ``most`` whole phones, the number of words that they took, and the half of a word that is left over."""
        rows: list[tuple[int, int, float, float]] = []
        at = 0
        columns = [self.total[:, 0], self.total[:, 1]]
        while len(rows) < most:
            choice, word, left = self._choice(at, half)
            if word + 1 >= len(self.words):
                break
            period = DAY_SECONDS * self.days[choice]
            begin = np.ceil(-self.uniform[word] * period)
            word += 1
            column, row = columns[word % 2], word // 2
            so_far = column[row - 1] if row else 0.0
            count = int(np.searchsorted(column[row:], period - begin + so_far)) + 1
            if not row + count <= len(column) or column[row + count - 1] == np.inf:
                break
            rows.append((word, count, begin, period))
            at, half = word + 2 * count, left
        table = np.array(rows, dtype=np.float64).reshape(-1, 4)
        return _Found(table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), table[:, 2], table[:, 3]), at, half

    def _choice(self, at: int, half: int | None) -> tuple[int, int, int | None]:
        """``Generator.integers(len(days))``: the number, the next word, and the half of a word that is left over.

        Lemire 2019 (arXiv 1805.10941) over 32-bit halves of words, low half first, as numpy does it.
        """
        choices = len(self.days)
        while choices > 1:
            if half is None:
                if at >= len(self.words):
                    return 0, at, None
                word = int(self.words[at])
                at, mine, half = at + 1, word & 0xFFFFFFFF, word >> 32
            else:
                mine, half = half, None
            product = mine * choices
            if product & 0xFFFFFFFF >= (2**32 - choices) % choices:
                return product >> 32, at, half
        return 0, at, half

    def slots_of(self, found: _Found) -> Slots:
        """The slots, cut at both ends of the period."""
        phone = np.repeat(np.arange(len(found.word)), found.count)
        nth = np.arange(len(phone)) - np.repeat(np.cumsum(found.count) - found.count, found.count)
        word = found.word[phone] + 2 * nth
        total = self.total.reshape(-1)
        so_far = total[word] - self.turn[word]
        now = found.begin[phone] + (so_far - so_far[np.cumsum(found.count) - found.count][phone])
        start = np.maximum(now, 0.0) + 0.0  # no negative zero
        end = np.minimum(now + self.slot[word], found.period[phone])
        lasts = end > start
        return of_counts(np.bincount(phone[lasts], minlength=len(found.word)), start[lasts], end[lasts], found.period)

"""Generators for many keys in turn, without an object for each.

They are the same as those that ``seeds.generator`` makes.
"""

from __future__ import annotations

import numpy as np

from mpifl.kernels.compile import kernel
from mpifl.seeds import Purpose

POOL = 4
"""Words of 32 bits in the pool of numpy's SeedSequence."""


class Reseeded:
    """A generator that is reset to ``seeds.generator(seed, purpose, *keys)`` for each set of keys.

    Its bits are the same, in a quarter of the time. The generator is shared: finish drawing before
    the next call.
    """

    def __init__(self, seed: int, purpose: Purpose) -> None:
        words = _words(seed)
        self._first = [*words, *[0] * (POOL - len(words)), int(purpose)]

        self._key = np.zeros(2, np.uint64)
        self._bits = np.random.Philox()
        self._generator = np.random.Generator(self._bits)

        self._state = self._bits.state | {"buffer_pos": POOL, "has_uint32": 0, "uinteger": 0}
        self._state["state"] = {"counter": np.zeros(4, np.uint64), "key": self._key}

    def __call__(self, *keys: int) -> np.random.Generator:
        """Return the generator, reset to its beginning for these keys."""
        words = [*self._first]
        for key in keys:
            words += _words(key)

        _hash(np.array(words, np.uint32), self._key.view(np.uint32))
        self._bits.state = self._state
        return self._generator


def _words(number: int) -> list[int]:
    """Return a number as words of 32 bits, lowest first, as numpy's SeedSequence splits it."""
    words = [number & 0xFFFFFFFF]
    rest = number >> 32
    while rest:
        words.append(rest & 0xFFFFFFFF)
        rest = rest >> 32
    return words


@kernel
def _hash(words: np.ndarray, key: np.ndarray) -> None:
    """Write what a SeedSequence generates from ``words`` (4 or more) into ``key`` (4,).

    O'Neill's seed_seq_fe, as numpy has it.
    """
    pool = np.zeros(4, np.uint32)
    constant = np.uint32(0x43B0D7E5)
    for place in range(4):
        pool[place], constant = _mixed_in(words[place], constant)

    for source in range(len(words)):
        for place in range(4):
            if source != place:
                word = pool[source] if source < 4 else words[source]
                hashed, constant = _mixed_in(word, constant)
                mixed = np.uint32(
                    np.uint32(0xCA01F9DD) * pool[place] - np.uint32(0x4973F715) * hashed
                )
                pool[place] = mixed ^ (mixed >> np.uint32(16))

    constant = np.uint32(0x8B51F9DD)
    for place in range(4):
        value = pool[place] ^ constant
        constant = np.uint32(constant * np.uint32(0x58F38DED))
        value = np.uint32(value * constant)
        key[place] = value ^ (value >> np.uint32(16))


@kernel
def _mixed_in(value: np.uint32, constant: np.uint32) -> tuple[np.uint32, np.uint32]:
    value = value ^ constant
    constant = np.uint32(constant * np.uint32(0x931E8875))
    value = np.uint32(value * constant)
    return value ^ (value >> np.uint32(16)), constant

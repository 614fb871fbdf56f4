"""Keyed permutations of 0 to n - 1 that cost no memory, and their inverses.

A permutation of 100 million clients is a key and a size. Used to assign phones to clients, and to
ask clients in random order.

Up to ``SMALL`` items: the swap-or-not shuffle (Hoang, Morris, Rogaway 2012, arXiv 1208.1176). Each
round pairs every place with another one and swaps the two or not. It works on any size, and each
round is its own inverse.

Beyond that: a Feistel network over the next power of two, applied again until the value is below n,
which takes fewer than two passes on average. Below about 256 items its halves are too short to be
random: of 5 clients one was asked 12 % too often.

The constants were chosen with 10 million keys, by chi-square tests of the first item, the first
two, the first three and the whole order. 12 rounds of swap-or-not differ from a random order of 2
to 8 items, 16 rounds do not. The first items of the Feistel network differ at 512 items and not at
539. Items whose places are 32 apart differ up to 1,024 items, by less than 1 %.
"""

from __future__ import annotations

import numpy as np

from mpifl.kernels.compile import kernel

SMALL = 512
SMALL_ROUNDS = 24
ROUNDS = 6  # of the Feistel network; even, so that the halves have their own sizes at the end
_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


@kernel
def _mixed(value: np.uint64) -> np.uint64:
    """Return a value mixed by SplitMix64's finaliser (Steele, Lea, Flood 2014)."""
    value = (value ^ (value >> np.uint64(30))) * _MIX_1
    value = (value ^ (value >> np.uint64(27))) * _MIX_2
    return value ^ (value >> np.uint64(31))


@kernel
def permuted(index: int, size: int, key: int) -> int:
    """Return the place to which the permutation of 0 to size - 1 named by ``key`` sends ``index``.

    A bijection for every key.
    """
    value = np.uint64(index)
    if size <= SMALL:
        for turn in range(SMALL_ROUNDS):
            value = _swapped(value, size, key, turn)
        return np.int64(value)  # type: ignore[return-value]

    bits = _bits(size)
    while True:
        value = _feistel(value, bits, key)
        if value < np.uint64(size):
            return np.int64(value)  # type: ignore[return-value]


@kernel
def inverse_permuted(place: int, size: int, key: int) -> int:
    """Return the index that ``permuted`` sends to ``place``."""
    value = np.uint64(place)
    if size <= SMALL:
        for turn in range(SMALL_ROUNDS - 1, -1, -1):
            value = _swapped(value, size, key, turn)
        return np.int64(value)  # type: ignore[return-value]

    bits = _bits(size)
    while True:
        value = _feistel_undone(value, bits, key)
        if value < np.uint64(size):
            return np.int64(value)  # type: ignore[return-value]


@kernel
def _swapped(value: np.uint64, size: int, key: int, turn: int) -> np.uint64:
    """Return ``value`` after one round of swap-or-not: itself, or its partner of that round.

    The partner's own partner is ``value``.
    """
    word = _mixed(np.uint64(key) + np.uint64(turn + 1) * _STEP)

    # The sum of the two partners, modulo size.
    total = ((word >> np.uint64(32)) * np.uint64(size)) >> np.uint64(32)
    partner = total - value if total >= value else total + np.uint64(size) - value

    # The same for both partners. There is no branch, which no processor could predict.
    swap = _mixed(word + max(value, partner) * _STEP) >> np.uint64(63)
    return value ^ ((value ^ partner) * swap)


@kernel
def _bits(size: int) -> int:
    """Return the bits of a Feistel network's values: enough for ``size`` of them."""
    bits = 2
    while (1 << bits) < size:
        bits += 1
    return bits


@kernel
def _feistel(value: np.uint64, bits: int, key: int) -> np.uint64:
    """Return the place of ``value`` in a permutation of all values of ``bits`` bits."""
    low_bits = np.uint64(bits - bits // 2)
    mask = np.uint64((1 << (bits // 2)) - 1)
    other_mask = np.uint64((1 << (bits - bits // 2)) - 1)
    left = value >> low_bits
    right = value & other_mask

    for turn in range(ROUNDS):
        mixed = _mixed(right + np.uint64(key) + np.uint64(turn + 1) * _STEP) & mask
        left, right = right, left ^ mixed
        mask, other_mask = other_mask, mask
    return (left << low_bits) | right


@kernel
def _feistel_undone(value: np.uint64, bits: int, key: int) -> np.uint64:
    """Return the inverse of ``_feistel``: its rounds from the last to the first."""
    low_bits = np.uint64(bits - bits // 2)
    mask = np.uint64((1 << (bits - bits // 2)) - 1)
    other_mask = np.uint64((1 << (bits // 2)) - 1)
    left = value >> low_bits
    right = value & mask

    for turn in range(ROUNDS - 1, -1, -1):
        mixed = _mixed(left + np.uint64(key) + np.uint64(turn + 1) * _STEP) & mask
        left, right = right ^ mixed, left
        mask, other_mask = other_mask, mask
    return (left << low_bits) | right


@kernel
def uniforms(indices: np.ndarray, key: int) -> np.ndarray:
    """Return a number in [0, 1), float64, for each index (int64).

    It is always the same for an index and a key.
    """
    drawn = np.empty(len(indices), np.float64)
    for i in range(len(indices)):
        mixed = _mixed(_mixed(np.uint64(indices[i]) + _STEP) ^ np.uint64(key))
        drawn[i] = np.float64(mixed >> np.uint64(11)) * 2.0**-53
    return drawn

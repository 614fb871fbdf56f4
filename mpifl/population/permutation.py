"""Keyed permutations of 0 to n - 1 that cost no memory: a Feistel network, walked until it lands inside.

Its domain is the next power of two, so that takes fewer than two walks on average.

A permutation of 100 million clients is a key and a size. Used to deal phones to clients and to ask clients in random order.
"""

from __future__ import annotations

import numpy as np

from mpifl.kernels import kernel

ROUNDS = 6
_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


@kernel
def _mixed(value: np.uint64) -> np.uint64:
    """SplitMix64's finaliser (Steele, Lea, Flood 2014)."""
    value = (value ^ (value >> np.uint64(30))) * _MIX_1
    value = (value ^ (value >> np.uint64(27))) * _MIX_2
    return value ^ (value >> np.uint64(31))


@kernel
def permuted(index: int, size: int, key: int) -> int:
    """Where the permutation of 0 to size - 1 named by ``key`` sends ``index``. A bijection for every key."""
    bits = 2
    while (1 << bits) < size:
        bits += 1
    low_bits = np.uint64(bits - bits // 2)
    mask, other_mask = np.uint64((1 << (bits // 2)) - 1), np.uint64((1 << (bits - bits // 2)) - 1)
    value = np.uint64(index)
    while True:
        left, right = value >> low_bits, value & other_mask
        for turn in range(ROUNDS):  # an even number, after which the halves have their own sizes again
            mixed = _mixed(right + np.uint64(key) + np.uint64(turn + 1) * _STEP) & mask
            left, right = right, left ^ mixed
            mask, other_mask = other_mask, mask
        value = (left << low_bits) | right
        if value < np.uint64(size):
            return np.int64(value)  # type: ignore[return-value]


@kernel
def uniforms(indices: np.ndarray, key: int) -> np.ndarray:
    """A number in [0, 1), float64, for each index (int64): always the same for an index and a key."""
    drawn = np.empty(len(indices), np.float64)
    for i in range(len(indices)):
        mixed = _mixed(_mixed(np.uint64(indices[i]) + _STEP) ^ np.uint64(key))
        drawn[i] = np.float64(mixed >> np.uint64(11)) * 2.0**-53
    return drawn

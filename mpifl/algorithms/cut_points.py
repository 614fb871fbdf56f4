"""Where trees may cut a feature: quantiles of the clients' values, found in three rounds.

A value's key is a whole number of 32 bits, in the order of the values. A round finds more of the
leading bits of the keys of all quantiles: the first one 11 of them (sign, exponent and two bits of
the fraction), the others 6 each, so that in the end 15 bits of the fraction are known (one part in
16,384). Clients count how many of their values have which next bits.
"""

from __future__ import annotations

import numpy as np

ROUNDS = 3
FIRST_BITS = 11
NEXT_BITS = 6
KEY_BITS = 32
LARGEST = np.finfo(np.float32).max
SIGN = np.uint32(1 << (KEY_BITS - 1))


def keys_of(values: np.ndarray) -> np.ndarray:
    """Return the keys (uint32) of float32 values: in their order, NaN below all others."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    keys = np.where(bits & SIGN, ~bits, bits | SIGN)
    return np.where(np.isnan(values), np.uint32(0), keys)


def value_of(keys: np.ndarray) -> np.ndarray:
    """Return the float32 values of keys (uint32); the largest ones for infinity and NaN."""
    keys = np.asarray(keys, np.uint32)
    positive = (keys & SIGN) > 0
    values = np.where(positive, keys ^ SIGN, ~keys).view(np.float32)
    ends = np.where(positive, LARGEST, -LARGEST)
    return np.where(np.isfinite(values), values, ends)


def known_bits(rounds: int) -> int:
    """Return how many leading bits are known after some rounds."""
    return FIRST_BITS + NEXT_BITS * (rounds - 1) if rounds else 0


def counts_size(features: int, cuts: int, round_number: int) -> int:
    """Return how many counts a client sends in a round, from 1 to ROUNDS."""
    if round_number == 1:
        return features << FIRST_BITS
    return features * cuts << NEXT_BITS


def count(x: np.ndarray, prefixes: np.ndarray, round_number: int) -> np.ndarray:
    """Return how many values have which next bits, (counts_size,) int64.

    Args:
        x: Samples (samples, features), float32.
        prefixes: The bits that are known of each quantile (features, cuts), int64.
        round_number: From 1 to ROUNDS.
    """
    features = x.shape[1]
    known = known_bits(round_number - 1)
    new = known_bits(round_number) - known
    leading = keys_of(x).astype(np.int64) >> (KEY_BITS - known - new)
    if round_number == 1:
        prefixes = np.zeros((features, 1), np.int64)

    counts = np.zeros((features, prefixes.shape[1], 1 << new), np.int64)
    for feature in range(features):
        bits = np.sort(leading[:, feature])
        ends = (prefixes[feature][:, None] << new) + np.arange((1 << new) + 1)
        counts[feature] = np.diff(np.searchsorted(bits, ends), axis=1)
    return counts.ravel()


def narrowed(
    counts: np.ndarray, prefixes: np.ndarray, shares: np.ndarray, round_number: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return prefixes with the next bits, and the shares within these.

    Args:
        counts: The sum of what ``count`` has returned.
        prefixes: The bits that are known (features, cuts), int64.
        shares: Which share of the values with these bits is to lie below the cut (features, cuts).
        round_number: From 1 to ROUNDS.
    """
    features, cuts = prefixes.shape
    new = known_bits(round_number) - known_bits(round_number - 1)
    below = np.cumsum(counts.reshape(features, -1, 1 << new), axis=2)
    below = np.broadcast_to(below, (features, cuts, 1 << new))

    wanted = shares * below[..., -1]
    place = np.minimum((below < wanted[..., None]).sum(2), (1 << new) - 1)
    upto = np.take_along_axis(below, place[..., None], 2)[..., 0]
    before = np.where(place > 0, np.take_along_axis(below, place[..., None] - 1, 2)[..., 0], 0)
    inside = upto - before
    rest = np.divide(wanted - before, inside, out=np.full(shares.shape, 0.5), where=inside > 0)
    return (prefixes << new) + place, rest


def cuts_of(prefixes: np.ndarray) -> np.ndarray:
    """Return the cuts (features, cuts) float32: the largest values with these bits."""
    unknown = KEY_BITS - known_bits(ROUNDS)
    return value_of((((prefixes + 1) << unknown) - 1).astype(np.uint32))


def first_shares(features: int, bins: int) -> np.ndarray:
    """Return the shares of all values that are to lie below each cut, (features, bins - 1)."""
    return np.broadcast_to(np.arange(1, bins) / bins, (features, bins - 1))

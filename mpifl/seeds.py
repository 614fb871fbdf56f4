"""Random generators: one per purpose, keyed by numbers and independent of what ran before."""

from __future__ import annotations

from enum import IntEnum, unique

import numpy as np


@unique
class Purpose(IntEnum):
    """What a generator is for.

    The values are part of a job's result: never renumber, only add.
    """

    MODEL = 1  # initial weights
    SELECTION = 2  # which clients are asked, by draw
    BATCHES = 3  # sample order of a client, by (round, client)
    DROPOUT = 4  # torch's own generator while a client trains, by (round, client)
    PARTITION = 5  # samples to clients
    SPLIT = 6  # samples to train and test
    PHONES = 7  # clients to phones of the trace
    TRACE = 8  # synthesis of a trace
    ONLINE = 9  # which clients are looked at to estimate how many are online, by round
    RECORD = 10  # whose rows are kept
    TEST = 11  # torch's own generator while a model is tested, by (version, shard)
    SERVER = 12  # the server's side of an algorithm, by round
    CLIENT = 13  # the client's side of an algorithm, by (round, client)
    PERSONAL = 14  # which clients are tested with their own models
    TRANSFORM = 15  # changes of a client's minibatches, by (round, client) and request
    VARIATION = 16  # of a participant's speeds, by (draw, which number)
    PROBE = 17  # torch's own generator while a client is probed, by (version, client)


def generator(seed: int, purpose: Purpose, *keys: int) -> np.random.Generator:
    """Return a Philox generator, independent of those of every other (seed, purpose, keys)."""
    sequence = np.random.SeedSequence(seed, spawn_key=(int(purpose), *keys))
    return np.random.Generator(np.random.Philox(sequence))


class KeyedGenerator:
    """A Philox generator that begins anew for each pair of keys, such as (round, client).

    The key of Philox is (seed, purpose), its counter begins at the pair: 2**128 draws of one pair
    do not reach the next. There is one generator: finish drawing before the next call. A call takes
    a tenth of the time of ``generator``, which is as long as a small client trains.
    """

    def __init__(self, seed: int, purpose: Purpose) -> None:
        sequence = np.random.SeedSequence(seed, spawn_key=(int(purpose),))
        self._bits = np.random.Philox(sequence)
        self._generator = np.random.Generator(self._bits)
        self._state = self._bits.state
        self._counter = self._state["state"]["counter"]

    def __call__(self, first: int, second: int, part: int = 0) -> np.random.Generator:
        """Return the generator, at its beginning for two keys (0 to 2**64 - 1).

        A pair may have several ``part``s, of 2**64 draws each.
        """
        self._counter[1] = part
        self._counter[2] = first
        self._counter[3] = second
        self._bits.state = self._state
        return self._generator


def number(seed: int, purpose: Purpose, *keys: int) -> int:
    """Return a 63-bit seed for a generator that is not numpy's (torch's, a keyed permutation)."""
    words = np.random.SeedSequence(seed, spawn_key=(int(purpose), *keys)).generate_state(
        1, np.uint64
    )
    return int(words[0] >> np.uint64(1))

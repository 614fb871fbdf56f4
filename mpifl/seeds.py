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
    SWEEP = 18  # points of a random search, by (draw, axis)
    GRAPH = 19  # the graph of a protocol, by round; 0: of all rounds
    ACTOR = 20  # an actor of a protocol, by (round, actor)
    HALF = 70  # torch's own generator in a half of a model, by (round, client, step, half)
    ENTITIES = 71  # which samples a party of vertical learning has, by party
    AGGREGATOR = 72  # which client aggregates, by round
    WORKERS = 73  # of a FedML app, by (actor, call); of its start: without keys
    NODES = 25  # ids of the nodes of a Flower app
    UP = 30  # stages of exchange.up, by (round, client) and (array, stage); client 2**64 - 1: all
    DOWN = 31  # stages of exchange.down, by model version and (array, stage)
    ATTACKERS = 50  # which clients attack, by the attack's place in the job
    ATTACK = 51  # what an attacker sends, by (round, client, place, block)
    POISON = 32  # what an attacker trains on, by (round, client, request)
    BUCKETS = 33  # which updates are averaged before an aggregation rule, by round
    ROOT = 34  # the server's own samples and their order, by round
    NOISE = 60  # noise of the server for privacy, by round or (tree, level, place)
    COUNT_NOISE = 61  # the same on how many clients are below a bound, by round
    UPLOAD_NOISE = 62  # noise of a client on its upload, by (round, client)
    SMOOTHING = 35  # noise of an aggregation rule on the model, by round
    KINDS = 80  # the clients among which an algorithm finds how fast devices are
    PUBLIC = 81  # the public samples of a round, by round
    CONTRIBUTION = 85  # the samples and orders of coalitions, by round; and (round, 1 + shard)
    ENVIRONMENTS = 95  # parameters of the environments of an embedded data set
    INVERSION = 90  # what an inversion attack begins with, by (round, client, restart)
    SECRETS = 65  # of a client in secure aggregation, by (round, client)
    NEIGHBOURS = 66  # of clients in secure aggregation, and their groups, by round
    OUTAGE = 105  # of regions, by region; and which region a client is in
    LOAD = 106  # which participants share their phone and their link, by (draw, which number)
    RETRY = 107  # where transfers break, by (draw or message, direction, attempt)
    CELL = 108  # which cell a client is in
    BATTERY = 109  # how full batteries are at the beginning of a run


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

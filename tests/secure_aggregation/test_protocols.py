"""The protocols: bytes by the papers' formulas, sums to the bit, and who has to be left."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpifl.secure_aggregation import additive, lagrange_coding
from mpifl.secure_aggregation.lightsecagg import LightSecAgg
from mpifl.secure_aggregation.neighbourhood import Neighbourhood
from mpifl.secure_aggregation.prime_field import PRIME
from mpifl.secure_aggregation.secagg import SecAgg
from mpifl.secure_aggregation.secagg_plus import SecAggPlus
from mpifl.secure_aggregation.secure_aggregation import SecureAggregation
from mpifl.secure_aggregation.step import Cohort, Phase, Step, Steps
from mpifl.secure_aggregation.turbo_aggregate import TurboAggregate
from mpifl.secure_aggregation.whole_round import bytes_of_round
from tests.budget import examples

PROTOCOLS = (
    SecAgg(),
    SecAggPlus(neighbours=8),
    LightSecAgg(),
    TurboAggregate(group_size=6),
)
KEY, SHARE, TAG, NUMBER = 32, 36, 16, 8


def cohort(size: int, entries: int = 1000) -> Cohort:
    clients = np.sort(np.random.default_rng(5).choice(10 * size, size, replace=False))
    return Cohort(clients.astype(np.int64), round=3, seed=7, entries=entries)


def taken(steps: Steps, silent: Sequence[int] = ()) -> tuple[list[Step], np.ndarray]:
    """The steps of a protocol, in which ``silent`` places never answer, and the phases then."""
    seen = [next(steps)]
    while True:
        try:
            seen.append(steps.send(~np.isin(seen[-1].places, silent)))
        except StopIteration as end:
            return seen, end.value


def test_what_mpifl_check_says_is_what_the_steps_take() -> None:
    for protocol in PROTOCOLS:
        assert (bytes_of_round(protocol, cohort(24)) == bytes_of(protocol, cohort(24))).all()


def bytes_of(protocol: SecureAggregation, of: Cohort, left: Sequence[int] = ()) -> np.ndarray:
    """The bytes (2, n) down and up that a round takes each client; ``left`` do not upload."""
    total = np.zeros((2, of.size), np.int64)
    before, phases = taken(protocol.prepare(of))
    upload = protocol.upload(of, phases)
    phases[np.setdiff1d(np.arange(of.size), left)] = Phase.UPLOADED
    after, phases = taken(protocol.recover(of, phases))
    for step in (*before, upload, *after):
        total[0, step.places] += step.down
        total[1, step.places] += step.up
    assert not protocol.failure(of, phases)
    return total


# Bytes


@pytest.mark.parametrize("size", [9, 10, 100])  # of 9 one byte lists the others, but not all
def test_secagg_takes_the_bytes_of_the_papers_formula(size: int) -> None:
    """Bonawitz et al., section 7.1: 2 n a_K + (5 n - 4) a_S + the masked vector, in all.

    The formula leaves out what the encryption of a message adds, and who has left.
    """
    down, up = bytes_of(SecAgg(), cohort(size))
    encryption = 2 * (size - 1) * TAG
    list_of_clients = -(-(size - 1) // 8)
    paper = 2 * size * KEY + (5 * size - 4) * SHARE + 1000 * NUMBER
    assert set((down + up).tolist()) == {paper + encryption + list_of_clients}


def test_secagg_plus_takes_bytes_for_its_neighbours_alone() -> None:
    """As SecAgg with k + 1 clients, but for a client's share of its own secret."""
    small, large = (bytes_of(SecAggPlus(neighbours=20), cohort(size)) for size in (40, 400))
    assert len(np.unique(np.hstack([small, large]).sum(axis=0))) == 1
    k = 20
    paper = 2 * (k + 1) * KEY + (5 * (k + 1) - 4) * SHARE + 1000 * NUMBER
    assert small[:, 0].sum() == paper - SHARE + 2 * k * TAG + -(-k // 8)


@pytest.mark.parametrize(("size", "pieces"), [(100, 20), (41, 9)])  # 41: U is 29, T is 20
def test_lightsecagg_takes_the_bytes_of_the_papers_formula(size: int, pieces: int) -> None:
    """So et al. 2022, section 4: n - 1 coded pieces each way and one piece at the end, of d / (U - T)."""
    entries = 9_000
    protocol = LightSecAgg(threshold=0.7, privacy=0.5)
    down, up = bytes_of(protocol, cohort(size, entries))
    piece = entries // pieces * NUMBER
    others = size - 1
    assert set(up.tolist()) == {KEY + others * (piece + TAG) + entries * NUMBER + piece}
    assert set(down.tolist()) == {others * KEY + others * (piece + TAG) + -(-others // 8)}
    # Who has left costs the others nothing more.
    left = bytes_of(protocol, cohort(size, entries), left=range(size // 4))
    assert (left[:, 30] == [down[0], up[0]]).all()


def test_turbo_aggregate_takes_the_bytes_of_its_groups() -> None:
    """So et al. 2021, algorithm 1: four vectors to each client of the next group, from each before."""
    size, entries, group = 60, 1000, 6
    down, up = bytes_of(TurboAggregate(group_size=group), cohort(size, entries))
    vector = entries * NUMBER
    shares = (group - 1) * (SHARE + TAG)
    along = 4 * group * vector
    members = group * SHARE
    ups = {KEY + shares + along + members, KEY + shares + along + 2 * vector + members}
    assert set(up.tolist()) == ups
    keys = (group - 1) * KEY + -(-(group - 1) // 8)
    # The first group receives nothing at its turn, and the sum at the end: all receive as much.
    assert set(down.tolist()) == {keys + shares + along}


def test_who_has_left_costs_those_with_pairwise_masks_no_more_bytes() -> None:
    everyone = bytes_of(SecAgg(), cohort(30))
    some_left = bytes_of(SecAgg(), cohort(30), left=[3, 4, 5])
    assert (everyone[:, 0] == some_left[:, 0]).all()


# Sums


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)
@examples(10)
@given(seed=st.integers(0, 2**32))
def test_masks_cancel_to_the_bit_whoever_leaves(protocol: SecureAggregation, seed: int) -> None:
    random = np.random.default_rng(seed)
    of = cohort(20)
    phases = random.choice([0, 1, 2, 3, 3, 3, 3, 3, 3, 3], of.size).astype(np.uint8)
    if protocol.failure(of, phases):
        return
    total = np.zeros((protocol.width, 70), np.int64)
    wanted = np.zeros(70, np.int64)
    for place in np.flatnonzero(phases >= Phase.UPLOADED):
        update = random.integers(-(2**57), 2**57, 70)
        before = total.copy()
        masks = protocol.make_masks(of, phases)  # as another rank makes them
        masks.mask(int(of.clients[place]), update, total)
        # What is sent has nothing of the update in it that can be seen.
        assert ((total - before)[0] != update).all()
        wanted += update
    assert (protocol.make_masks(of, phases).unmask(total) == wanted).all()


def test_with_shares_of_too_few_the_sum_stays_masked() -> None:
    of = cohort(9)
    protocol = SecAgg()
    phases = np.full(9, Phase.ANSWERED, np.uint8)
    phases[4:] = Phase.UPLOADED  # four answer; six would have to
    assert protocol.failure(of, phases)
    total = np.zeros((1, 5), np.int64)
    for client in of.clients:
        protocol.make_masks(of, phases).mask(int(client), np.ones(5, np.int64), total)
    with pytest.raises(ValueError, match="these shares do not give a secret"):
        protocol.make_masks(of, phases).unmask(total)


def test_the_ring_of_turbo_aggregate_adds_up_what_its_masks_stand_for() -> None:
    """The ring as in algorithm 1, with additive shares and codes, and a client that leaves each group.

    ``RingMasks`` takes what is left at its end: the sum of the masked updates of those who have
    passed theirs on.
    """
    random = np.random.default_rng(1)
    groups, members, size = 4, 5, 6
    points = lagrange_coding.party_points(members, members)
    masked = random.integers(0, PRIME, (groups, members, size), np.uint64)
    gone = random.integers(0, members, groups)

    partial = np.zeros((members, size), np.uint64)
    coded = np.zeros((members, size), np.uint64)
    for group in range(groups):
        there = np.flatnonzero(np.arange(members) != gone[group])
        # The clients that have left: their partial sums follow from those of the others, coded.
        known = np.concatenate([np.arange(1, members + 1)[there], points[there]]).astype(np.uint64)
        values = np.vstack([partial[there], coded[there]])
        partial = lagrange_coding.decode(values[:members], known[:members], members)
        mean = partial[0].copy() * 0
        for share in partial:
            mean = (mean + share) % np.uint64(PRIME)
        mean = mean * np.uint64(pow(members, -1, PRIME)) % np.uint64(PRIME)
        following = np.tile(mean, (members, 1))
        following_coded = np.tile(mean, (members, 1))
        for place in there:
            randoms = random.integers(0, PRIME, (members - 1, size), np.uint64)
            zero_sum = additive.shares(np.zeros(size, np.uint64), randoms)
            shares = (masked[group, place] + zero_sum) % np.uint64(PRIME)
            following = (following + shares) % np.uint64(PRIME)
            code = lagrange_coding.encode(shares, points)
            following_coded = (following_coded + code) % np.uint64(PRIME)
        partial, coded = following, following_coded

    found = additive.secret(partial) * np.uint64(pow(members, -1, PRIME)) % np.uint64(PRIME)
    counted = [np.delete(masked[group], gone[group], axis=0) for group in range(groups)]
    assert found.tolist() == (np.vstack(counted).sum(axis=0) % np.uint64(PRIME)).tolist()


# Neighbours


@examples(40)
@given(size=st.integers(2, 30), half=st.integers(1, 8), seed=st.integers(0, 1000))
def test_neighbours_are_mutual_and_as_many_as_asked(size: int, half: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    near = Neighbourhood(random.permutation(size), 2 * half)
    lists = [near.of(place).tolist() for place in range(size)]
    assert all(len(set(own)) == len(own) == near.degree for own in lists)
    assert all(place in lists[other] for place, own in enumerate(lists) for other in own)
    there = random.random(size) < 0.5
    assert near.count(there).tolist() == [int(there[own].sum()) for own in lists]


# Thresholds


@pytest.mark.parametrize(
    ("protocol", "least"),
    [(SecAgg(), 14), (SecAgg(threshold=0.9), 18), (LightSecAgg(threshold=0.6), 12)],
)
def test_a_round_fails_with_one_client_less_than_the_threshold(
    protocol: SecureAggregation, least: int
) -> None:
    of = cohort(20)
    for answered, fails in ((least, False), (least - 1, True)):
        phases = np.full(20, Phase.UPLOADED, np.uint8)
        phases[:answered] = Phase.ANSWERED
        assert protocol.failure(of, phases) == fails


def test_a_group_of_turbo_aggregate_may_lose_half_of_its_clients() -> None:
    protocol = TurboAggregate(group_size=6)
    of = cohort(18)
    for lost, fails in ((3, False), (4, True)):
        phases = np.full(18, Phase.ANSWERED, np.uint8)
        phases[protocol.groups(of)[1][:lost]] = Phase.SHARED
        assert protocol.failure(of, phases) == fails


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)
def test_one_update_is_never_unmasked(protocol: SecureAggregation) -> None:
    of = cohort(2)
    phases = np.array([Phase.ANSWERED, Phase.SHARED], np.uint8)
    assert protocol.failure(of, phases)


# Seconds

AGREE, MASK, PRODUCT = 1.0, 1e-3, 1e-6
"""What one agreement on a key, one number of a mask and one product in a field take, in the tests below."""
RATES = {
    "key_agreement_ms": 1000.0,
    "mask_mb_per_second": 8e-6 / MASK,
    "products_per_second": 1 / PRODUCT,
}
DIGITS = 9
"""Elements of a field in a secret of 32 bytes."""
TWO = 2
"""Secrets of a client, and primes of a sum modulo 2**64 in finite fields."""


def seconds_of(protocol: SecureAggregation, of: Cohort) -> list[set[float]]:
    """What phones compute in each step, where nobody leaves."""
    before, phases = taken(protocol.prepare(of))
    upload = protocol.upload(of, phases)
    after, _ = taken(protocol.recover(of, np.full(of.size, Phase.UPLOADED, np.uint8)))
    steps = (*before, upload, *after)
    return [set(np.broadcast_to(step.seconds, len(step.places)).tolist()) for step in steps]


@pytest.mark.parametrize(
    ("protocol", "degree", "holders", "least"),
    [(SecAgg(**RATES), 23, 24, 17), (SecAggPlus(neighbours=8, **RATES), 8, 8, 6)],
    ids=lambda value: getattr(value, "name", None),
)
def test_phones_with_pairwise_masks_agree_on_keys_share_secrets_and_make_masks(
    protocol: SecureAggregation, degree: int, holders: int, least: int
) -> None:
    """Two keys with each neighbour, Shamir's polynomial of t - 1 products for each share of a digit, a mask a neighbour."""
    sharing = 2 * degree * AGREE + TWO * DIGITS * holders * (least - 1) * PRODUCT
    masking = (1 + degree) * 1000 * MASK
    found = seconds_of(protocol, cohort(24))
    for seconds, expected in zip(found, (0, sharing, masking, 0), strict=True):
        assert list(seconds) == [pytest.approx(expected)]


def test_phones_with_lightsecagg_code_their_masks() -> None:
    """Of 20, U is 14 and T is 10: pieces of 1000 / 4 entries, U products for each entry of each coded piece."""
    protocol = LightSecAgg(threshold=0.7, privacy=0.5, **RATES)
    piece = 250
    coding = 19 * AGREE + (1000 + 10 * piece) * MASK + TWO * 20 * 14 * piece * PRODUCT
    found = seconds_of(protocol, cohort(20))
    for seconds, expected in zip(found, (0, coding, 0, 0), strict=True):
        assert list(seconds) == [pytest.approx(expected)]


def test_phones_with_turbo_aggregate_share_secrets_in_their_group_and_pass_vectors_on() -> None:
    """Three groups of six: shares for six by half of them, then at a turn additive shares for six and their code."""
    found = seconds_of(TurboAggregate(group_size=6, **RATES), cohort(18))
    sharing = 5 * AGREE + DIGITS * 6 * 5 / 2 * PRODUCT
    turn = (1 + 6) * 1000 * MASK + TWO * 6 * 6 * 1000 * PRODUCT
    for seconds, expected in zip(found, (0, sharing, 0, turn, turn, turn, 0, 0), strict=True):
        assert list(seconds) == [pytest.approx(expected)]

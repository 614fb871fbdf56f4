from __future__ import annotations

from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from mpifl.datasets.dataset import Dataset
from mpifl.errors import InputError
from mpifl.job import parse_job
from mpifl.population.population import Population
from mpifl.selection.feedback import State
from mpifl.selection.loss import Loss
from mpifl.traces.trace import Trace
from tests.asking import WORK, context
from tests.feedback import feedback

SIZES = [4, 1, 9, 16, 25, 4]
LOSS = {0: 0.5, 1: 2.0, 3: 0.1, 4: 1.0}  # 2 and 5 are unknown


@pytest.fixture(scope="module")
def population(
    make_dataset: Callable[..., Dataset],
    make_trace: Callable[..., Trace],
    make_population: Callable[..., Population],
) -> Population:
    return make_population(make_dataset(SIZES), make_trace([[(0, 100)]]))


def learned(rule: Loss, population: Population) -> State:
    state = rule.start(population, WORK)
    earlier = feedback(population, 1, [0, 3], loss=[9.0, 9.0])
    now = feedback(
        population, 2, [*LOSS, 0], outcome=[0, 0, 0, 0, 1], loss=[*LOSS.values(), np.nan]
    )
    return rule.learn(rule.learn(state, earlier), now)


def asked(rule: Loss, population: Population, wanted: int, draw: int = 1) -> list[int]:
    state = learned(rule, population)
    return rule.choose(context(population, 1.0, wanted, draw=draw, state=state)).tolist()


def test_the_highest_last_losses_come_first_after_those_unknown(population: Population) -> None:
    chosen = asked(Loss(), population, 5)
    assert sorted(chosen[:2]) == [2, 5]
    assert chosen[2:] == [1, 4, 0]


def test_the_unknown_may_have_the_mean_and_samples_may_count(population: Population) -> None:
    rule = Loss(unknown="mean", exponent=0.5)
    mean = sum(LOSS.values()) / len(LOSS)
    value = [SIZES[client] ** 0.5 * LOSS.get(client, mean) for client in range(6)]
    expected = sorted(range(6), key=lambda client: -value[client])
    assert asked(rule, population, 6) == expected


def test_a_share_is_drawn_uniformly_and_a_share_is_left_out(population: Population) -> None:
    """Of 3 wanted, 1 or 2 with equal probability are drawn from all who are not taken by value."""
    keys = {"unknown": "mean", "exponent": 0.5}
    order = asked(Loss(**keys), population, 6)
    drawn = [asked(Loss(**keys, uniform=0.5), population, 3, draw) for draw in range(1, 401)]
    assert {chosen[0] for chosen in drawn} == {order[0]}
    worst = sum(chosen[-1] == order[-1] for chosen in drawn)
    assert stats.binomtest(worst, 400, (1 / 4 + 1 / 5) / 2).pvalue > 1e-3

    warm = Loss(**keys, temperature=1e9, left_out=0.5)
    kept = {tuple(sorted(asked(warm, population, 3, draw))) for draw in range(1, 20)}
    assert kept == {tuple(sorted(order[:3]))}


def test_with_a_temperature_clients_are_drawn_by_the_softmax(population: Population) -> None:
    rule = Loss(unknown="mean", temperature=0.7)
    state = learned(rule, population)
    times = 4000
    drawn = np.array(
        [
            rule.choose(context(population, 1.0, 2, draw=draw, state=state))
            for draw in range(1, times + 1)
        ]
    )
    mean = sum(LOSS.values()) / len(LOSS)
    weight = np.exp([LOSS.get(client, mean) / 0.7 for client in range(6)])
    pairs = list(permutations(range(6), 2))
    share = [weight[i] / weight.sum() * weight[j] / (weight.sum() - weight[i]) for i, j in pairs]
    counts = [np.count_nonzero((drawn == pair).all(axis=1)) for pair in pairs]
    assert stats.chisquare(counts, np.array(share) * times).pvalue > 1e-3


def test_with_a_temperature_the_unknown_come_first_and_the_others_are_drawn(
    population: Population,
) -> None:
    rule = Loss(temperature=0.7)
    drawn = [asked(rule, population, 3, draw) for draw in range(1, 401)]
    assert {frozenset(chosen[:2]) for chosen in drawn} == {frozenset({2, 5})}
    weight = {client: np.exp(loss / 0.7) for client, loss in LOSS.items()}
    share = np.array(list(weight.values())) / sum(weight.values())
    counts = [sum(chosen[2:] == [client] for chosen in drawn) for client in LOSS]
    assert stats.chisquare(counts, share * 400).pvalue > 1e-3
    assert set(asked(rule, population, 1)) < {2, 5}


def test_a_temperature_near_0_takes_the_highest(population: Population) -> None:
    cold = Loss(unknown="mean", temperature=1e-9)
    assert asked(cold, population, 4) == asked(Loss(unknown="mean"), population, 4)


def test_a_run_that_trains_nothing_is_refused() -> None:
    job = parse_job(
        {
            "rounds": 1,
            "model": "logreg",
            "training": {"engine": "none"},
            "selection": {"name": "loss", "participants": 2},
        }
    )
    with pytest.raises(InputError, match=r"training.engine: 'none' is not allowed with selection"):
        job.selection.check(job)

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from mpifl.datasets.dataset import Dataset
from mpifl.errors import InputError
from mpifl.job import parse_job
from mpifl.kernels.permutation import permuted
from mpifl.population.population import Population
from mpifl.selection.feedback import State
from mpifl.selection.tifl import TiFL
from mpifl.traces.trace import Trace
from tests.asking import WORK, context, uniform
from tests.feedback import feedback

CLIENTS = 60
TIERS = 3


@pytest.fixture(scope="module")
def population(
    make_dataset: Callable[..., Dataset],
    make_trace: Callable[..., Trace],
    make_population: Callable[..., Population],
) -> Population:
    """A third of the clients each computes for 1, 2 and 4 times as long."""
    trace = make_trace([[(0, 100)]] * 3, compute_ms_per_sample=[100.0, 200.0, 400.0])
    return make_population(make_dataset([10]), trace, clients=CLIENTS)


def tier(population: Population, client: int) -> int:
    phones = population.phones
    return int(permuted(client, phones.size, phones.key) % 3)


def seconds(population: Population, clients: list[int]) -> np.ndarray:
    return context(population).seconds(np.array(clients, np.int64))


def profiled(rule: TiFL, population: Population) -> State:
    """The state after a round with all clients."""
    everyone = list(range(CLIENTS))
    ended = feedback(population, 1, everyone, seconds=seconds(population, everyone))
    return rule.learn(rule.start(population, WORK), ended)


def trained(
    rule: TiFL, population: Population, state: State, number: int, of_tier: int, loss: float
) -> State:
    """The state after a round with five clients of a tier."""
    clients = [client for client in range(CLIENTS) if tier(population, client) == of_tier][:5]
    return rule.learn(
        state,
        feedback(population, number, clients, seconds=seconds(population, clients), loss=loss),
    )


def test_before_the_tiers_are_known_clients_are_drawn_uniformly(population: Population) -> None:
    rule = TiFL(profiling_rounds=3)
    for draw in (1, 2, 3):
        drawn = rule.choose(
            context(population, 0.0, 9, draw=draw, state=profiled(rule, population))
        )
        assert drawn.tolist() == uniform(population, 0.0, 9, draw=draw).tolist()


def test_all_clients_are_of_one_tier_drawn_with_its_probability(population: Population) -> None:
    share = [0.6, 0.1, 0.3]
    rule = TiFL(tiers=TIERS, profiling_rounds=1, probabilities=share)
    state = profiled(rule, population)
    count = [0] * TIERS
    for draw in range(2, 602):
        chosen = rule.choose(context(population, 0.0, 9, draw=draw, state=state)).tolist()
        (drawn,) = {tier(population, client) for client in chosen}
        order = uniform(population, 0.0, CLIENTS, draw=draw).tolist()
        assert chosen == [client for client in order if tier(population, client) == drawn][:9]
        count[drawn] += 1
    assert stats.chisquare(count, np.array(share) * 600).pvalue > 1e-3


def test_the_nearest_tiers_fill_the_places_left(population: Population) -> None:
    rule = TiFL(tiers=TIERS, profiling_rounds=1, probabilities=[1.0, 0.0, 0.0])
    asked = context(population, 0.0, 50, draw=2, state=profiled(rule, population))
    found = [tier(population, client) for client in rule.choose(asked).tolist()]
    assert found == [0] * 20 + [1] * 20 + [2] * 10


@pytest.mark.parametrize(("tiers", "profiled"), [(2, 2), (3, 7), (5, 5), (5, 23), (7, 3)])
def test_tiers_are_equal_shares_of_the_clients_by_their_time(
    population: Population, tiers: int, profiled: int
) -> None:
    """The client behind whom i of n are faster is of tier floor(i x tiers / n)."""
    seconds = np.random.default_rng(tiers).permutation(profiled) + 1.0
    rule = TiFL(tiers=tiers, profiling_rounds=2)
    state = rule.start(population, WORK)
    half = profiled // 2
    for number, some in ((1, seconds[:half]), (2, seconds[half:])):
        ended = feedback(population, number, list(range(len(some))), seconds=some)
        state = rule.learn(state, ended)

    for place in range(profiled):
        number = place * tiers // profiled
        ended = feedback(population, 3, [0], seconds=place + 1.0, loss=8.0)
        loss = rule.learn(state, ended)["loss"]
        assert np.flatnonzero(loss == 8.0).tolist() == [number]


def test_a_tier_without_credits_is_not_drawn_until_none_has_any(population: Population) -> None:
    rule = TiFL(tiers=TIERS, profiling_rounds=1, credits=[1, 2, 0], adaptive=False)
    state = profiled(rule, population)

    def drawn(state: State) -> set[int]:
        return {
            tier(population, client)
            for draw in range(2, 40)
            for client in rule.choose(context(population, 0.0, 1, draw=draw, state=state)).tolist()
        }

    assert drawn(state) == {0, 1}
    state = trained(rule, population, state, 2, 0, 1.0)
    assert drawn(state) == {1}
    for number in (3, 4):
        state = trained(rule, population, state, number, 1, 1.0)
    assert state["credits"].tolist() == [0, 0, 0]
    assert drawn(state) == {0, 1, 2}


def test_tiers_of_high_loss_become_likelier_when_the_loss_no_longer_falls(
    population: Population,
) -> None:
    rule = TiFL(tiers=TIERS, profiling_rounds=1, interval=2)
    state = profiled(rule, population)
    equal = [1 / 3] * 3
    for number, of_tier, loss, expected in (
        (2, 0, 0.5, equal),  # it fell from nothing
        (3, 1, 0.9, equal),
        (4, 1, 0.8, equal),  # it was not known two rounds before
        (5, 2, 0.7, equal),
        (6, 0, 0.4, equal),  # it fell
        (7, 0, 0.3, equal),
        (8, 0, 0.4, [0, 2 / 3, 1 / 3]),  # it did not
        (9, 2, 1.5, [0, 2 / 3, 1 / 3]),
        (10, 2, 0.9, [0, 1 / 3, 2 / 3]),
    ):
        state = trained(rule, population, state, number, of_tier, loss)
        assert state["probability"] == pytest.approx(expected), number


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"tiers": 2, "probabilities": [1.0]}, "probabilities must be 2 numbers of 0 or more"),
        ({"tiers": 2, "probabilities": [0.5, 0.4]}, "probabilities must add up to 1"),
        ({"tiers": 2, "credits": [3.0, -1.0]}, "credits must be 2 numbers of 0 or more"),
    ],
)
def test_wrong_keys_are_refused(keys: dict[str, Any], said: str) -> None:
    section = {"name": "tifl", "participants": 2, **keys}
    with pytest.raises(InputError) as caught:
        parse_job({"rounds": 1, "model": "logreg", "selection": section})
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_adaptive_tiers_need_losses() -> None:
    job = {"rounds": 1, "model": "logreg", "training": {"engine": "none"}}
    for adaptive in (True, False):
        section = {"name": "tifl", "participants": 2, "adaptive": adaptive}
        parsed = parse_job(job | {"selection": section})
        if adaptive:
            with pytest.raises(InputError, match=r"selection.adaptive: true is not allowed"):
                parsed.selection.check(parsed)
        else:
            parsed.selection.check(parsed)

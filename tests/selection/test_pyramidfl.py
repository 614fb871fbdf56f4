from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest

from mpifl.clock.timeline import Outcome
from mpifl.datasets.dataset import Dataset
from mpifl.errors import InputError
from mpifl.population.population import Population
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.rounds.experiment.demands import demands
from mpifl.selection.oort import Oort
from mpifl.selection.pyramidfl import PyramidFL
from mpifl.traces.trace import Trace
from tests.asking import WORK, context
from tests.feedback import feedback

SIZES = [10, 20, 30, 40]
CONSTANTS = {
    "exploration_decay": 0.95,
    "percentile": 10.0,
    "clip": 0.98,
    "cut_off": 0.7,
    "most_participations": None,
}
"""Those of training/argParser.py of the published code; the others are the defaults of oort."""


@pytest.fixture(scope="module")
def population(
    make_dataset: Callable[..., Dataset],
    make_trace: Callable[..., Trace],
    make_population: Callable[..., Population],
) -> Population:
    trace = make_trace([[(0, 100)]] * 3, compute_ms_per_sample=[10.0, 20.0, 40.0])
    return make_population(make_dataset(SIZES), trace, clients=80)


def test_the_utility_is_that_of_the_samples_a_client_has_gone_through(
    population: Population,
) -> None:
    rule = PyramidFL()
    ended = feedback(
        population,
        1,
        [0, 2, 3],
        samples=[50, 7, 40],
        squared_loss=[4.0, 9.0, np.nan],
        outcome=[0, 0, 2],
    )
    utility = rule.learn(rule.start(population, WORK), ended)["utility"]
    done = [10 * math.sqrt(4.0), 7 * math.sqrt(9.0)]
    assert utility.tolist() == [*done, sum(done) / 2]  # who was cut has the mean


def test_given_the_utilities_it_chooses_as_oort_does(population: Population) -> None:
    random = np.random.default_rng(3)
    rule, oort = PyramidFL(), Oort(code="fedscale", **CONSTANTS)
    state = rule.start(population, WORK)
    for number in range(1, 40):
        asked = context(population, 1.0, 12, draw=number, state=state)
        chosen = rule.choose(asked)
        assert chosen.tolist() == oort.choose(asked).tolist()
        ended = feedback(
            population,
            number,
            chosen.tolist(),
            samples=random.integers(1, 60, 12),
            squared_loss=random.random(12),
            seconds=random.random(12),
        )
        state = rule.learn(state, ended)


FULL = dataclasses.replace(WORK, epochs=None, local_steps=5, full_batches=True)
"""Five minibatches, each of which takes a device as long as any other, as in the published code."""


def published(
    local: np.ndarray, comm: np.ndarray, gradient: np.ndarray, rule: PyramidFL, wanted: int
) -> tuple[np.ndarray, np.ndarray]:
    """Steps and shares sent as ``prune_client_tasks`` of training/param_server.py says, where nobody is offline.

    ``local`` and ``comm`` (n,) are seconds for five steps and for both transfers. Here the download, half of ``comm``,
    is always of the whole model.
    """
    count, planned = len(local), 5
    by_completion = sorted(range(count), key=lambda k: (local + comm)[k])[:wanted]
    reward = sorted((gradient[k] for k in by_completion), reverse=True)
    low, high = 1 - rule.most_sent, 1 - rule.least_sent
    drop = {k: low + reward.index(gradient[k]) * (high - low) / wanted for k in by_completion}
    seconds = {k: local[k] + comm[k] / 2 + (1 - drop[k]) * comm[k] / 2 for k in by_completion}
    lasts = max(seconds.values())

    steps, sent = np.full(count, planned), np.ones(count)
    for k in by_completion:
        spare = math.floor((lasts - seconds[k]) / (local[k] / planned))
        ratio = min(10, rule.extra_steps * spare / planned) + 1
        steps[k] = int(planned * ratio + 1e-9)
        sent[k] = 1 - drop[k]
    return steps, sent


@pytest.mark.parametrize("extra", [1.0, 0.5, 0.0])
@pytest.mark.parametrize("least", [1.0, 0.4])
def test_orders_are_those_of_the_published_code(
    make_dataset: Callable[..., Dataset],
    make_trace: Callable[..., Trace],
    make_population: Callable[..., Population],
    extra: float,
    least: float,
) -> None:
    """Of clients with so many samples that five epochs are no limit, in random states."""
    random = np.random.default_rng(5)
    ms, kbps = random.uniform(1, 60, 40), random.uniform(1e3, 3e4, 40)
    trace = make_trace(
        [[(0, 1e6)]] * 40,
        1e6,
        compute_ms_per_sample=ms.tolist(),
        download_kbps=kbps.tolist(),
        upload_kbps=kbps.tolist(),
    )
    population = make_population(make_dataset([1000]), trace, clients=40)
    size = 10**6
    work = dataclasses.replace(
        FULL, bytes_down=size, bytes_up=size, bytes_of_part=lambda sent: round(size * sent)
    )
    rule = PyramidFL(
        participants=8, extra_steps=extra, most_sent=0.9 if least < 1 else 1, least_sent=least
    )
    assert (rule.orders_steps, rule.orders_uploads) == (extra > 0, least < 1)
    for draw in range(1, 30):
        clients = random.permutation(40)[:12]
        state = rule.start(population, work) | {
            "client": np.arange(40),
            "gradient": random.random(40),
        }
        c = context(population, 1.0, 12, draw=draw, state=state, workload=work)
        alone = c.launch(clients)
        orders = rule.orders(c, clients)
        steps, sent = published(
            alone["compute_seconds"],
            alone["download_seconds"] + alone["upload_seconds"],
            state["gradient"][clients],
            rule,
            8,
        )
        assert (orders.steps is None) == (extra == 0)
        assert orders.steps is None or orders.steps.tolist() == steps.tolist()
        assert (orders.sent is None) == (least == 1)
        assert orders.sent is None or orders.sent == pytest.approx(sent)


def test_the_gradient_utility_is_the_norm_times_the_samples_gone_through(
    population: Population,
) -> None:
    """Who was cut has the mean of those who completed, who dropped out keeps what it had."""
    rule = PyramidFL(least_sent=0.4)
    first = feedback(population, 1, [5, 0, 2], samples=[8, 50, 7], update_norm=[3.0, 0.5, 4.0])
    state = rule.learn(rule.start(population, WORK), first)
    assert state["client"].tolist() == [0, 2, 5]
    assert state["gradient"].tolist() == [10 * 0.5, 7 * 4.0, 8 * 3.0]  # client 0 holds 10

    ended = [Outcome.COMPLETED, Outcome.COMPLETED, Outcome.CUT, Outcome.CUT, Outcome.DROPPED]
    norms = [2.0, 1.0, np.nan, np.nan, np.nan]
    second = feedback(
        population, 2, [2, 1, 9, 0, 5], samples=[4, 99, 9, 9, 9], update_norm=norms, outcome=ended
    )
    state = rule.learn(state, second)
    done = {2: 4 * 2.0, 1: 20 * 1.0}  # client 1 holds 20
    mean = sum(done.values()) / 2
    assert dict(zip(state["client"].tolist(), state["gradient"].tolist(), strict=True)) == {
        **done,
        0: mean,
        9: mean,
        5: 8 * 3.0,
    }


def test_orders_where_nobody_is_to_finish_change_nothing(
    make_dataset: Callable[..., Dataset],
    make_trace: Callable[..., Trace],
    make_population: Callable[..., Population],
) -> None:
    population = make_population(make_dataset([10]), make_trace([[(0, 0.01)]]), clients=6)
    rule = PyramidFL(participants=4, most_sent=0.9, least_sent=0.4)
    work = dataclasses.replace(FULL, bytes_of_part=lambda sent: round(1000 * sent))
    c = context(population, 0.0, 6, state=rule.start(population, work), workload=work)
    clients = np.arange(6)
    planned = c.launch(clients)
    assert set(planned["outcome"]) == {Outcome.DROPPED}
    orders = rule.orders(c, clients)
    assert orders.steps is not None
    assert orders.steps.tolist() == planned["steps"].tolist()
    assert orders.sent is not None
    assert orders.sent.tolist() == [1.0] * 6


PARTS = ("quickstart", "selection.name=pyramidfl", "selection.least_sent=0.4")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ((), "exchange.up has no stage that sends a share; put one there"),
        (("exchange.up=int8",), "exchange.up has no stage that sends a share"),
        (
            ("exchange.up=[{name: top_k, share: 0.5}, powersgd]",),
            "exchange.up.1.name: 'powersgd' is not allowed behind 'top_k' with selection.name",
        ),
        (
            ("exchange.up={name: top_k, share: 1.0}", "secure_aggregation=secagg"),
            "'pyramidfl' is not allowed with secure_aggregation.name secagg: it has participants",
        ),
        (
            ("clock={mode: buffered, concurrency: 9}",),
            "selection.extra_steps: 1 is not allowed with clock.mode buffered, where nobody waits",
        ),
        (("selection.most_sent=0.3",), "least_sent 0.4 is above most_sent 0.3"),
    ],
)
def test_what_it_cannot_order_is_refused(more: tuple[str, ...], said: str) -> None:
    with pytest.raises(InputError) as caught:
        check_job(PARTS[0], [*PARTS[1:], *more])
    assert said in str(caught.value)


def test_check_says_what_is_ordered() -> None:
    stage = "exchange.up={name: random_k, share: 1.0, scaled: false}"
    experiment = check_job(PARTS[0], [*PARTS[1:], stage])[0]
    assert (
        "selection.name pyramidfl says in each round how many local steps each makes and what share"
        " of its upload each sends"
    ) in demands(experiment)

"""A probe in virtual time: whom it asks, what it costs, and the round after it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mpifl.clock.timeline import ClockState, Outcome
from mpifl.clock.workload import Workload
from mpifl.datasets.dataset import Dataset
from mpifl.errors import InputError
from mpifl.job import Job, parse_job
from mpifl.kernels.permutation import permuted
from mpifl.population.population import Population
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.rounds.plan.plan import make_plan
from mpifl.rounds.plan.probe import ANSWER_BYTES, Probe, plan_probe
from mpifl.traces.trace import Trace

WORK = Workload(bytes_down=1000, bytes_up=1000, batch_size=10, epochs=2, local_steps=None)
CLIENTS = 30
HELD = 6
KBPS = 8.0
MS = 100.0
LEAVES = 1.5
"""One of three phones goes offline then, before it could have answered."""


@pytest.fixture(scope="module")
def population(
    make_dataset: Callable[..., Dataset],
    make_trace: Callable[..., Trace],
    make_population: Callable[..., Population],
) -> Population:
    """On all phones a model takes 1 s down, 6 samples 0.6 s, an answer 4 ms up."""
    trace = make_trace(
        [[(0, 1000)], [(0, 1000)], [(0, LEAVES)]],
        1000.0,
        compute_ms_per_sample=[MS] * 3,
        download_kbps=[KBPS] * 3,
        upload_kbps=[KBPS] * 3,
    )
    return make_population(make_dataset([HELD]), trace, clients=CLIENTS)


def job(drawn: float = 2.0, **clock: Any) -> Job:
    return parse_job(
        {
            "rounds": 1,
            "seed": 3,
            "model": "logreg",
            "selection": {
                "name": "power_of_choice",
                "participants": 4,
                "candidates_drawn": drawn,
            },
            "clock": {"mode": "all", **clock},
        }
    )


def probe_of(what: Job, population: Any, now: float = 0.0) -> Probe:
    return plan_probe(what, population, WORK, 1, ClockState(now=now, version=7, draws=2), {})


def leaves(population: Any, client: int) -> bool:
    return permuted(client, population.phones.size, population.phones.key) % 3 == 2


def test_candidates_pay_for_the_model_a_pass_without_gradients_and_an_answer(
    population: Population,
) -> None:
    probe = probe_of(job(), population)
    rows = probe.timeline.participants
    assert len(rows) == len(np.unique(rows["client"])) == 8
    assert rows["download_seconds"] == pytest.approx(1.0)
    assert rows["compute_seconds"] == pytest.approx(HELD * MS / 1000)
    assert rows["upload_seconds"] == pytest.approx(ANSWER_BYTES * 8 / (KBPS * 1000))
    stays = np.array([not leaves(population, client) for client in rows["client"]])
    assert 0 < np.count_nonzero(stays) < 8
    assert (rows["outcome"] == np.where(stays, Outcome.PROBED, Outcome.DROPPED)).all()
    assert (rows["bytes_up"][stays] == ANSWER_BYTES).all()
    assert (rows["bytes_down"] == WORK.bytes_down).all()
    assert probe.timeline.end_seconds == pytest.approx(1.604)
    assert probe.clients.tolist() == rows["client"][stays].tolist()
    assert probe.version == 7


def test_the_round_begins_when_the_probe_ends_with_the_clients_of_highest_loss(
    population: Population,
) -> None:
    what = job()
    probe = probe_of(what, population)
    losses = np.linspace(1, 2, len(probe.clients))
    state = ClockState(now=0.0, version=7, draws=2)
    plan = make_plan(what, population, WORK, 1, state, {}, probed=(probe, losses))

    rows = plan.timeline.participants
    own = rows[rows["outcome"] == Outcome.COMPLETED]
    assert own["client"].tolist() == probe.clients[::-1][:4].tolist()
    assert (own["start_seconds"] == probe.timeline.end_seconds).all()
    # They have the model: 36 samples of training are 12 x 3 inferences.
    assert (own["bytes_down"] == 0).all()
    assert (own["download_seconds"] == 0).all()
    seconds = HELD * 2 * 3 * MS / 1000 + 1.0
    assert plan.timeline.end_seconds == pytest.approx(1.604 + seconds)
    assert plan.timeline.start_seconds == 0.0
    assert plan.after.draws == 4
    assert plan.after.now == plan.timeline.end_seconds
    assert sorted(plan.tasks["client"]) == sorted(own["client"])
    assert (
        rows[: len(probe.timeline.participants)].tobytes() == probe.timeline.participants.tobytes()
    )


def test_when_nobody_answers_clients_are_drawn_uniformly(population: Population) -> None:
    what = job(drawn=1.0)
    probe = probe_of(what, population)
    rows = probe.timeline.participants.copy()
    rows["outcome"] = Outcome.DROPPED
    timeline = type(probe.timeline)(0.0, 1.5, 0.0, rows)
    nobody = Probe(7, timeline)
    state = ClockState(now=0.0, version=7, draws=2)
    plan = make_plan(what, population, WORK, 1, state, {}, probed=(nobody, np.empty(0)))
    assert plan.timeline.count(Outcome.COMPLETED) == 4


def test_a_probe_waits_until_anyone_is_online(
    make_dataset: Callable[..., Dataset],
    make_trace: Callable[..., Trace],
    make_population: Callable[..., Population],
) -> None:
    trace = make_trace([[(40, 90)]], download_kbps=[KBPS], upload_kbps=[KBPS])
    late = make_population(make_dataset([HELD]), trace, clients=CLIENTS)
    probe = probe_of(job(), late)
    assert probe.timeline.start_seconds == 40.0
    assert probe.timeline.waited_seconds == 40.0
    plan = make_plan(
        job(), late, WORK, 1, ClockState(version=7), {}, probed=(probe, np.ones(len(probe.clients)))
    )
    assert plan.timeline.waited_seconds == 40.0


def test_all_candidates_are_those_with_the_highest_loss_of_all(population: Population) -> None:
    what = job(drawn=CLIENTS)
    probe = probe_of(what, population)
    assert len(probe.timeline.participants) == CLIENTS
    losses = np.sin(probe.clients * 1.7)
    state = ClockState(version=7, draws=2)
    plan = make_plan(what, population, WORK, 1, state, {}, probed=(probe, losses))
    expected = sorted(zip(-losses, probe.clients.tolist(), strict=True))[:4]
    assert sorted(plan.tasks["client"]) == sorted(client for _, client in expected)


def test_a_clock_with_clients_in_flight_is_refused() -> None:
    with pytest.raises(InputError, match=r"clock.mode: 'buffered' is not allowed with selection"):
        check_job(
            "quickstart",
            ["selection.name=power_of_choice", "clock={mode: buffered, concurrency: 9}"],
        )

"""What ``mpifl check`` foretells of a job's rounds: clients online, and updates."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpifl.clock.timeline import Call, ClockState, Outcome
from mpifl.errors import InputError
from mpifl.kernels.permutation import permuted
from mpifl.rounds.experiment import prospects as module
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.rounds.experiment.experiment import TimingExperiment
from mpifl.rounds.experiment.prospects import EVERY, MOMENTS, foretell, prospects
from mpifl.traces.trace import Trace, write_trace

MORE_ONLINE = (
    "a larger population.clients has more of them; clock.availability=always ignores availability"
)
ASK_MORE = "a larger clock.overcommitment asks more clients"
BLINKING = [(second, second + 0.99) for second in range(100)]


@pytest.fixture
def job_of(tmp_path: Path, make_trace: Callable[..., Trace]) -> Callable[..., TimingExperiment]:
    """job_of(slots by pattern, participants, clients, *overrides): a timing job of 10 samples and 5 s of work each."""

    def make(slots: Any, participants: int, clients: int, *overrides: str) -> TimingExperiment:
        write_trace(
            tmp_path / "trace.h5", make_trace(slots, compute_ms_per_sample=[100.0] * len(slots))
        )
        keys = (
            f"population.trace={tmp_path / 'trace.h5'}",
            f"population.clients={clients}",
            f"selection.participants={participants}",
            "data.name=sizes",
            "data.samples_per_client={quantiles: {0: 10, 100: 10}}",
            "model={name: sized, parameters: 31250}",
            "training.engine=none",
            "training.epochs=1",
        )
        return check_job("quickstart", [*keys, *overrides])[0]

    return make


def test_who_is_online_is_counted_over_the_trace(job_of: Callable[..., TimingExperiment]) -> None:
    slots: list[list[tuple[float, float]]] = [[(0, 50)], [(0, 50)], [(0, 25)], [(40, 100)], [], []]
    experiment = job_of(slots, 1, 6)
    key = experiment.population.phone_key
    own = [slots[permuted(client, 6, key)] for client in range(6)]
    moments = (np.arange(MOMENTS) + 0.5) * 100 / MOMENTS
    expected = [sum(a <= moment < b for phone in own for a, b in phone) for moment in moments]

    assert foretell(experiment).online.tolist() == expected
    line = prospects(experiment)[0]
    assert (
        line
        == "online: 2 of 6 clients (31%) on average over the trace, 1 at the least of 96 moments"
    )


def test_too_few_online_are_foretold_with_the_key(job_of: Callable[..., TimingExperiment]) -> None:
    experiment = job_of([[(0, 100)], [(0, 100)], [(0, 50)], [], [], []], 3, 6)
    assert prospects(experiment)[1] == (
        "at 96 of 96 moments fewer are online than the 4 that a round asks: only those take part;"
        f" {MORE_ONLINE}"
    )


def test_a_run_that_begins_when_few_are_online_is_told_so(
    job_of: Callable[..., TimingExperiment],
) -> None:
    slots = [[(10, 100)]] * 5 + [[(0, 100)]]
    said = (
        "when the run begins 1 are online, fewer than the 4 that a round asks; another clock.start"
        " begins it at another hour of the trace"
    )
    assert said in prospects(job_of(slots, 3, 6))
    assert said not in prospects(job_of(slots, 3, 6, "clock.start=20"))


def test_drop_outs_are_foretold_with_the_key(job_of: Callable[..., TimingExperiment]) -> None:
    experiment = job_of([BLINKING] * 3 + [[(0, 100)]] * 3, 6, 6, "clock.overcommitment=1.0")
    found = foretell(experiment)
    assert (found.completed, found.completed + found.dropped) == (3.0, found.asked)
    *_, last = prospects(experiment)
    assert last == (
        "that is fewer updates than a round waits for; clock.availability=resume lets them pause and go on,"
        f" {ASK_MORE}"
    )


def test_a_job_with_enough_of_both_is_only_counted(job_of: Callable[..., TimingExperiment]) -> None:
    assert prospects(job_of([[(0, 100)]] * 6, 4, 6)) == [
        "online: 6 of 6 clients (100%) on average over the trace, 6 at the least of 96 moments",
        "a round: 4.0 of the 4 updates that it waits for; 6.0 participants, of whom 0.0 drop out and"
        " 2.0 are cut (mean of 16 rounds over the trace)",
    ]


def test_rounds_that_are_abandoned_are_foretold(job_of: Callable[..., TimingExperiment]) -> None:
    experiment = job_of(
        [BLINKING] * 3 + [[(0, 100)]] * 3, 3, 6, "clock.overcommitment=1.0", "clock.least_share=1.0"
    )
    found = foretell(experiment)
    assert found.completed * MOMENTS / EVERY % 3 == 0  # three of a round or none
    assert 0 < found.abandoned < 3
    assert found.completed + found.abandoned + found.dropped == pytest.approx(found.asked)
    assert f"0.0 are cut, {found.abandoned:.1f} are abandoned (mean" in prospects(experiment)[1]


def test_void_rounds_are_foretold_with_the_key(job_of: Callable[..., TimingExperiment]) -> None:
    secure = "secure_aggregation={name: secagg, threshold: 0.95}"
    lines = prospects(
        job_of([[(0, 100)]], 10, 50, "clock={mode: sync, overcommitment: 1.3}", secure)
    )
    assert lines[-1] == (
        "rounds are void: too few are left to unmask their sums; what helps: a smaller"
        " secure_aggregation.threshold, or fewer who are cut or drop out"
    )


def test_a_large_round_is_foretold_from_a_smaller_one(
    job_of: Callable[..., TimingExperiment], monkeypatch: pytest.MonkeyPatch
) -> None:
    slots = [BLINKING] * 3 + [[(0, 30), (31, 60)]] * 3 + [[(0, 40)]] * 2
    experiment = job_of(slots, 4000, 10_000, "clock.overcommitment=1.5")
    small = foretell(experiment)
    monkeypatch.setattr(module, "MOST_UPDATES", 4000)
    large = foretell(experiment)
    assert large.completed < 4000  # so that it is the online and the drop-outs that count
    for column in ("asked", "completed", "dropped", "cut"):
        assert getattr(small, column) == pytest.approx(getattr(large, column), rel=0.1, abs=40)


def test_where_few_are_online_the_same_clients_are_found(
    job_of: Callable[..., TimingExperiment], monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = job_of([[(0, 60)], [(0, 90)], *[[]] * 30], 20, 1000)
    found = foretell(experiment)
    monkeypatch.setattr(module, "MOST_DRAWS", 50)
    again = foretell(experiment)
    for column in ("asked", "completed", "dropped", "cut"):
        assert getattr(found, column) == getattr(again, column)


def test_it_is_what_the_clock_does(job_of: Callable[..., TimingExperiment]) -> None:
    """One round of the run itself, at the first of the moments at which rounds are timed."""
    experiment = job_of([[(0, 100)]] * 2 + [BLINKING] * 2, 4, 4, "clock.overcommitment=1.0")

    def everyone(now: float, wanted: int, draw: int, busy: np.ndarray) -> np.ndarray:
        return np.arange(4)

    call = Call(4, everyone, experiment.population, experiment.workload)
    timeline = experiment.job.clock.advance(ClockState(now=3.5 * 100 / MOMENTS), call)[0]
    assert timeline.count(Outcome.COMPLETED) == foretell(experiment).completed == 2


def test_of_an_asynchronous_clock_only_who_is_online_is_foretold(
    job_of: Callable[..., TimingExperiment],
) -> None:
    clock = "clock={mode: buffered, concurrency: 5}"
    found = prospects(job_of([[(0, 100)]] * 3 + [[]] * 3, 2, 6, clock))
    assert found[1:] == [
        f"at 96 of 96 moments fewer are online than the 5 to be under way: only those take part; {MORE_ONLINE}"
    ]


def test_phones_that_are_always_online_are_not_counted(
    job_of: Callable[..., TimingExperiment],
) -> None:
    (line,) = prospects(job_of([BLINKING] * 6, 4, 6, "clock.availability=always"))
    assert line.startswith("a round: 4.0 of the 4 updates")


def test_a_job_that_nobody_can_finish_is_an_error(job_of: Callable[..., TimingExperiment]) -> None:
    with pytest.raises(InputError, match=r"^population.trace: none of the 6 clients can ever fin"):
        prospects(job_of([BLINKING] * 6, 4, 6))


def test_a_hundred_million_clients_are_not_looked_at_one_by_one(
    job_of: Callable[..., TimingExperiment],
) -> None:
    found = foretell(job_of([[(0, 100)]] * 3 + [[]], 10_000, 10**8))
    assert found.online.mean() == pytest.approx(0.75e8, rel=0.05)
    assert found.completed == 10_000

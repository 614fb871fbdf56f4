"""A round with secure aggregation on the clock, against the seconds of each step by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mpifl.clock.timeline import ClockState, Outcome
from mpifl.errors import InputError
from mpifl.population.phones import rows_of
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.rounds.experiment.experiment import TimingExperiment
from mpifl.rounds.plan.plan import Plan, make_plan
from mpifl.secure_aggregation.step import Phase

JOB = (
    "data.partition={name: iid, clients: 30}",
    "training.engine=none",
    "selection.participants=13",
)
SPEEDS = "key_agreement_ms: 3, mask_mb_per_second: 2, products_per_second: 1e5"


def planned(*overrides: str, rounds: int = 1) -> tuple[TimingExperiment, list[Plan]]:
    experiment, _ = check_job("quickstart", [*JOB, *overrides])
    plans: list[Plan] = []
    state = ClockState()
    for number in range(1, rounds + 1):
        plans.append(
            make_plan(experiment.job, experiment.population, experiment.workload, number, state)
        )
        state = plans[-1].after
    return experiment, plans


def test_a_round_takes_the_seconds_of_its_steps() -> None:
    n, m, round_trip = 13, 4810 + 1, 0.1
    experiment, [plan] = planned(
        "clock={mode: all, availability: always, latency: {round_trip_ms: 100}}",
        f"secure_aggregation={{name: secagg, {SPEEDS}}}",
    )
    phones = experiment.population.phones
    rows = plan.timeline.participants
    device = rows_of(phones, np.ascontiguousarray(rows["client"]))[0]
    down_kbps, up_kbps = phones.download_kbps[device], phones.upload_kbps[device]

    def takes(down: int, seconds: np.ndarray | float, up: int) -> np.ndarray:
        downloads = down * 8 / (1000 * down_kbps) + round_trip * (down > 0)
        return downloads + seconds + up * 8 / (1000 * up_kbps) + round_trip

    least = math.ceil(0.67 * n)
    shares = 2 * 9 * n * (least - 1) / 1e5
    training = rows["samples"] * 3 * phones.compute_ms_per_sample[device] / 1000
    steps = [
        takes(0, 0, 64),
        takes(64 * 12, 24 * 0.003 + shares, 88 * 12),
        takes(4810 * 4 + 88 * 12, training + n * m * 8 / 2e6, 8 * m),
        takes(2, 0, 36 * n),
    ]
    ends = np.cumsum([step.max() for step in steps])
    assert plan.timeline.end_seconds == pytest.approx(ends[-1])
    assert rows["stop_seconds"] == pytest.approx(ends[-2] + steps[-1])
    main = steps[2].max()
    assert plan.timeline.secure_seconds == pytest.approx(ends[-1] - main)
    assert (rows["bytes_up"] == 64 + 88 * 12 + 8 * m + 36 * n).all()
    assert (rows["bytes_down"] == 64 * 12 + 4810 * 4 + 88 * 12 + 2).all()
    assert (plan.timeline.secured["bytes_down"] == rows["bytes_down"] - 4810 * 4).all()
    assert plan.after.now == plan.timeline.end_seconds


def test_who_is_too_late_to_share_its_secrets_is_out_before_training() -> None:
    _, plans = planned(
        "clock={mode: all}",
        "secure_aggregation={name: lightsecagg, timeout_seconds: 0.2}",
        rounds=3,
    )
    for plan in plans:
        late = plan.timeline.secured["phase"] == Phase.ASKED
        rows = plan.timeline.participants
        assert late.any()
        assert (rows["outcome"][late] == Outcome.CUT).all()
        assert (rows["steps"][~late] > 0).all()
        assert (rows["bytes_down"][late] < rows["bytes_down"][~late].min()).all()
        assert set(plan.tasks["client"]) == set(rows["client"][~late])
        # Shares are sent to those alone who are left after the first step.
        assert (rows["stop_seconds"][late] <= plan.timeline.start_seconds + 0.4 + 1e-9).all()


def test_a_round_that_fails_before_training_ends_then_and_the_next_one_begins() -> None:
    _, plans = planned(
        "clock={mode: all}",
        "secure_aggregation={name: lightsecagg, timeout_seconds: 0.05}",
        rounds=3,
    )
    for plan in plans:
        assert plan.timeline.void
        assert len(plan.tasks) == 0
        assert plan.timeline.end_seconds - plan.timeline.start_seconds < 0.2
        outcomes = set(plan.timeline.participants["outcome"].tolist())
        assert outcomes <= {Outcome.CUT, Outcome.ABANDONED}
    assert plans[0].after.version == 0
    assert plans[0].after.draws == 1
    assert plans[1].timeline.start_seconds >= plans[0].timeline.end_seconds


def test_a_round_that_nobody_finishes_is_abandoned_and_one_that_nobody_can_is_an_error() -> None:
    """Whether others could is asked of all clients, and those of the round have costs of their own."""
    secured = "secure_aggregation=secagg"
    rare = "clock={mode: sync, timeout_seconds: 10, least_share: 0.7}"
    _, plans = planned(rare, secured, rounds=3)
    for plan in plans:
        assert plan.timeline.count(Outcome.ABANDONED)
        assert len(plan.tasks) == 0
    with pytest.raises(InputError, match=r"none of the 30 clients can ever finish a round"):
        planned("clock={mode: deadline, seconds: 0.01, partial: false}", secured)


def test_bytes_of_a_model_of_many_gigabytes_are_told_apart() -> None:
    """8 GB: the product of what was sent and what was to be sent is above int64."""
    _, [plan] = planned(
        "model={name: sized, parameters: 1000}",
        "clock={mode: all, availability: always, latency: {model_bytes: 8000000000}}",
        "secure_aggregation=secagg",
    )
    rows = plan.timeline.participants
    assert (rows["outcome"] == Outcome.COMPLETED).all()
    assert (plan.timeline.secured["bytes_down"] == rows["bytes_down"] - 8_000_000_000).all()
    assert (plan.timeline.secured["bytes_up"] == rows["bytes_up"] - 8_000_000_000).all()


def test_without_it_a_plan_is_as_before() -> None:
    _, [plain] = planned("clock={mode: all}")
    assert len(plain.timeline.secured) == 0
    assert not plain.timeline.void

"""The learning rate from round to round: each rule by hand, and what a run makes of it."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mpifl.algorithms.context import ClientContext, Program
from mpifl.algorithms.fedavg import FedAvg
from mpifl.errors import InputError
from mpifl.job import dump_job, load_yaml, parse_job, read_job
from mpifl.job.schedule import Schedule
from tests.algorithms.reference import Run, assert_close
from tests.launching import mpirun, run_job


def factors(rounds: int, **options: Any) -> list[float]:
    schedule = Schedule.model_validate(options)
    return [schedule.factor(number, rounds) for number in range(1, rounds + 1)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [1, 1, 1, 1, 1, 1]),
        ({"name": "step", "gamma": 0.5, "every": 2}, [1, 1, 0.5, 0.5, 0.25, 0.25]),
        ({"name": "step", "gamma": 0.5, "every": 4}, [1, 1, 1, 1, 0.5, 0.5]),
        ({"name": "exponential", "gamma": 0.5}, [1, 1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32]),
        ({"name": "linear"}, [1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]),
        ({"name": "linear", "final": 0.4}, [1, 0.9, 0.8, 0.7, 0.6, 0.5]),
        (
            {"name": "cosine"},
            [1, (1 + math.sqrt(3) / 2) / 2, 3 / 4, 1 / 2, 1 / 4, (1 - math.sqrt(3) / 2) / 2],
        ),
        (
            {"name": "cosine", "final": 0.2},
            [1, 0.6 + 0.2 * math.sqrt(3), 0.8, 0.6, 0.4, 0.6 - 0.2 * math.sqrt(3)],
        ),
        ({"warmup_rounds": 3}, [1 / 4, 2 / 4, 3 / 4, 1, 1, 1]),
        (
            {"name": "exponential", "gamma": 0.5, "warmup_rounds": 1},
            [1 / 2, 1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32],
        ),
        ({"name": "linear", "warmup_rounds": 100}, [n * (7 - n) / 6 / 101 for n in range(1, 7)]),
    ],
    ids=str,
)
def test_each_rule_by_hand(options: dict[str, Any], expected: list[float]) -> None:
    assert factors(6, **options) == pytest.approx(expected, rel=1e-12)


NAMES = ("constant", "step", "exponential", "cosine", "linear")
SCHEDULES = st.builds(
    Schedule,
    name=st.sampled_from(NAMES),
    gamma=st.floats(0.6, 1),
    every=st.integers(1, 50),
    final=st.floats(0, 1),
    warmup_rounds=st.integers(0, 50),
)


@given(SCHEDULES, st.integers(1, 1000))
def test_factors_are_above_0_and_never_above_1(schedule: Schedule, rounds: int) -> None:
    for number in {1, min(2, rounds), rounds // 2 + 1, rounds}:
        assert 0 < schedule.factor(number, rounds) <= 1


@given(SCHEDULES.filter(lambda schedule: schedule.warmup_rounds == 0), st.integers(2, 300))
def test_without_warm_up_factors_begin_at_1_and_never_rise(schedule: Schedule, rounds: int) -> None:
    found = [schedule.factor(number, rounds) for number in range(1, rounds + 1)]
    assert found[0] == 1
    assert all(later <= earlier for earlier, later in itertools.pairwise(found))


@given(st.sampled_from(["cosine", "linear"]), st.floats(0, 1), st.integers(2, 500))
def test_cosine_and_linear_go_to_their_last_factor_without_jumps(
    name: str, final: float, rounds: int
) -> None:
    found = [*factors(rounds, name=name, final=final), final]
    steepest = (1 - final) / rounds * (math.pi / 2 if name == "cosine" else 1)
    for earlier, later in itertools.pairwise(found):
        assert earlier - later <= steepest + 1e-12


@given(SCHEDULES, st.integers(2, 300))
def test_a_warm_up_rises_evenly_to_the_rule_and_changes_no_round_after_it(
    schedule: Schedule, rounds: int
) -> None:
    without = schedule.model_copy(update={"warmup_rounds": 0})
    for number in range(1, rounds + 1):
        share = min(1.0, number / (schedule.warmup_rounds + 1))
        expected = share * without.factor(number, rounds)
        assert schedule.factor(number, rounds) == pytest.approx(expected, rel=1e-12)


COSINE = "training.schedule={name: cosine, final: 0.1, warmup_rounds: 2}"
EXPECTED = [
    0.1 * share * (0.1 + 0.9 * (1 + math.cos(math.pi * done / 5)) / 2)
    for done, share in enumerate((1 / 3, 2 / 3, 1, 1, 1))
]


def test_each_round_is_trained_at_its_own_rate_which_programs_see(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[int, set[float]] = {}
    client = FedAvg.client

    def noting(self: FedAvg, c: ClientContext) -> Program:
        seen.setdefault(c.round, set()).add(c.lr)
        return (yield from client(self, c))

    monkeypatch.setattr(FedAvg, "client", noting)
    run = Run(tmp_path, COSINE)
    assert [*seen] == [1, 2, 3, 4, 5]
    assert all(len(rates) == 1 for rates in seen.values())
    assert [rate for rates in seen.values() for rate in rates] == pytest.approx(EXPECTED, rel=1e-12)

    model = run.initial
    for number, participants in run.rounds():
        mean = torch.zeros_like(model)
        for one, share, steps in participants:
            trained = run.sgd(model, number, one, steps, lr=EXPECTED[number - 1])
            mean += share * (trained - model)
        model = model + mean
    assert_close(run.state["model"], model)
    plain = Run(tmp_path / "plain")
    assert (plain.state["model"] - model).abs().max() > 1e-2


def test_a_job_says_its_schedule_whole() -> None:
    job = read_job("quickstart", [COSINE])
    written = load_yaml(dump_job(job))
    assert written["training"]["schedule"] == {
        "name": "cosine",
        "gamma": 0.98,
        "every": 10,
        "final": 0.1,
        "warmup_rounds": 2,
    }
    assert parse_job(written) == job
    assert read_job("quickstart", ["training.schedule=cosine"]).training.schedule.name == "cosine"


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("sine", "training.schedule.name: 'sine'"),
        ("{name: step, gamma: 0}", "training.schedule.gamma: 0"),
        ("{name: step, gamma: 1.1}", "training.schedule.gamma: 1.1"),
        ("{name: step, every: 0}", "training.schedule.every: 0"),
        ("{name: linear, final: -1}", "training.schedule.final: -1"),
        ("{name: linear, last: 0.1}", "training.schedule.last"),
        ("{warmup_rounds: -1}", "training.schedule.warmup_rounds: -1"),
    ],
)
def test_wrong_options_are_refused_in_a_line(section: str, said: str) -> None:
    with pytest.raises(InputError) as error:
        read_job("quickstart", [f"training.schedule={section}"])
    (line,) = error.value.lines
    assert said in line


def test_a_resumed_run_goes_on_with_the_schedule_and_with_no_other(tmp_path: Path) -> None:
    """It goes on in round 4 of 6, at the rate that this round would have had."""
    overrides = ("rounds=6", "checkpoint.every=3", COSINE)
    whole = run_job(1, tmp_path, "quickstart", *overrides)
    assert whole.status == 0, whole.stderr
    folder = whole.folder
    assert load_yaml((folder / "job.yaml").read_text())["training"]["schedule"]["name"] == "cosine"
    first, last = sorted((folder / "checkpoint").glob("round-*.h5"))
    assert "round-00000003" in first.name
    expected = whole.summary["model_sha256"]
    last.unlink()
    (folder / "summary.json").unlink()  # as if the run had been killed in its last rounds

    resume = ["mpifl.run", "quickstart", *overrides, "--resume", str(folder)]
    other = mpirun(1, [*resume[:2], *overrides[:2], *resume[-2:]], tmp_path)
    assert other.returncode == 2
    assert "training.schedule" in other.stderr
    again = mpirun(1, resume, tmp_path)
    assert again.returncode == 0, again.stderr
    assert "round 4/6" in again.stdout + again.stderr
    resumed = json.loads((folder / "summary.json").read_text())
    assert resumed["model_sha256"] == expected

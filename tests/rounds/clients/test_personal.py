"""Clients tested with their own models: who is tested, on what, and with which model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from mpifl.errors import InputError
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.rounds.experiment.experiment import Experiment
from mpifl.rounds.experiment.personal_clients import personal_groups, to_test
from mpifl.rounds.plan.round_result import PERSONAL
from tests.algorithms.reference import Run
from tests.known import known

OWN = ("data.split={by: samples, test: 0.3}",)
PERSONAL_TEST = (*OWN, "evaluation={personal: true, every: 5}")


def own_test(run: Run, client: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The held-out samples of a client, found by its name."""
    data = run.experiment.population.data
    name = data.train.client[client]
    (row,) = np.flatnonzero(data.test.client == name)
    rows = data.test.rows(int(row))
    scale: Any = data.feature_scale  # a number or an array
    x = torch.from_numpy(data.test.x[rows]).float() * scale + data.feature_shift
    return x, torch.from_numpy(known(data.test.y)[rows])


def assert_scores(run: Run, row: np.void, weights: torch.Tensor) -> None:
    """``row`` is what ``weights`` score on the client's own samples."""
    x, y = own_test(run, int(row["client"]))
    output = run.output(weights, x)
    assert row["scored"] == len(y)
    assert row["correct"] == int((output.argmax(1) == y).sum())
    assert row["loss"] == pytest.approx(float(cross_entropy(output, y)) * len(y), rel=1e-5)


def test_fedavg_tests_the_global_model_on_every_client(tmp_path: Path) -> None:
    run = Run(tmp_path, *PERSONAL_TEST)
    rows = known(run.results[-1].tested).clients
    assert rows["client"].tolist() == list(range(run.clients))
    for row in rows:
        assert_scores(run, row, run.state["model"])


def test_ditto_tests_each_clients_own_model_or_the_global_one(tmp_path: Path) -> None:
    run = Run(tmp_path, *PERSONAL_TEST, "algorithm=ditto", "rounds=2", "evaluation.every=2")
    rows = known(run.results[-1].tested).clients
    took_part = [bool(run.kept(int(client))) for client in rows["client"]]
    assert 0 < sum(took_part) < len(rows)
    for row in rows:
        own = run.kept(int(row["client"])).get("personal", run.state["model"])
        assert_scores(run, row, own)


def test_fine_tuning_takes_local_steps_from_the_model_first(tmp_path: Path) -> None:
    run = Run(tmp_path, *PERSONAL_TEST, "evaluation.fine_tune_steps=3")
    for row in known(run.results[-1].tested).clients:
        client = int(row["client"])
        tuned = run.sgd(run.state["model"], 5, client, steps=3, request=1 << 32)
        assert_scores(run, row, tuned)


FAILS = """
from mpifl.algorithms.fedavg import FedAvg
from mpifl.algorithms.requests import Train

def fails(module, x, y):
    raise ValueError("one sample is too few")

class Mine(FedAvg):
    name: str = "mine"

    def personal(self, c):
        trained = yield Train(c.received["model"], loss=fails if c.client < 8 else None)
        return trained.weights
"""


def test_clients_whose_models_cannot_be_made_are_left_out(tmp_path: Path) -> None:
    """The first eight are a group, of which nobody is left."""
    (tmp_path / "mine.py").write_text(FAILS)
    mine = (f"algorithm={tmp_path}/mine.py:Mine", "runtime.on_client_error=drop")
    run = Run(tmp_path, *PERSONAL_TEST, *mine, "training.engine=loop")
    rows = known(run.results[-1].tested).clients
    assert rows["client"].tolist() == list(range(8, run.clients))


def test_fine_tuning_changes_neither_the_model_nor_the_clock(tmp_path: Path) -> None:
    plain = Run(tmp_path / "plain", *OWN)
    tuned = Run(tmp_path / "tuned", *PERSONAL_TEST, "evaluation.fine_tune_steps=3")
    assert torch.equal(plain.state["model"], tuned.state["model"])
    ends = [run.results[-1].plan.timeline.end_seconds for run in (plain, tuned)]
    assert ends[0] == ends[1]


def test_the_state_is_that_of_the_round_that_is_tested(tmp_path: Path) -> None:
    """With an asynchronous clock several rounds are tested after all of them: each with what clients had kept then."""
    clock = ("clock={mode: buffered, concurrency: 6, availability: always}", "rounds=12")
    job = (*PERSONAL_TEST, *clock, "algorithm=ditto")
    every = Run(tmp_path / "1", *job, "evaluation.every=1")
    last = Run(tmp_path / "2", *job, "evaluation.every=3")
    # What is older than the one checkpoint is removed, but for what is still to be tested.
    saved = Run(tmp_path / "3", *job, "evaluation.every=1", checkpoint_every=1)
    for number in (3, 6, 9, 12):
        tested = [known(run.results[number - 1].tested).clients for run in (every, last, saved)]
        assert len({rows.tobytes() for rows in tested}) == 1


def test_some_clients_are_always_the_same(tmp_path: Path) -> None:
    def chosen(*overrides: str) -> list[int]:
        experiment = check_job("quickstart", [*PERSONAL_TEST, *overrides])[0]
        assert isinstance(experiment, Experiment)
        return experiment.personal_clients.tolist()

    few = chosen("evaluation.personal_clients=7")
    assert len(set(few)) == 7
    assert few == sorted(few) == chosen("evaluation.personal_clients=7")
    assert few != chosen("evaluation.personal_clients=7", "seed=5")
    everybody = chosen()
    assert chosen("evaluation.personal_clients=1000") == everybody
    assert 90 < len(everybody) < 100  # some have too few samples for one of their own in the test


def test_groups_are_of_one_version() -> None:
    rows = np.concatenate(
        [to_test(np.arange(11), version, version + 1, {3: 1}) for version in (4, 6)]
    )
    assert rows.dtype == PERSONAL
    groups = personal_groups(rows, stack=4)
    assert [len(set(rows["version"][group])) for group in groups] == [1] * len(groups)
    assert [i for group in groups for i in range(group.start, group.stop)] == list(range(22))
    assert personal_groups(rows[:0], stack=4) == []
    assert rows["state_round"].tolist() == [0, 0, 0, 1, *[0] * 7] * 2


def test_a_test_part_without_the_clients_is_refused() -> None:
    with pytest.raises(InputError) as refused:
        check_job("quickstart", ["evaluation.personal=true"])
    assert list(refused.value.lines) == [
        "evaluation.personal: true is not allowed: no client has both training samples and samples of the test part of"
        " digits; give clients a part of their own: data.split.by=samples data.split.test=0.2"
    ]


@pytest.mark.parametrize(
    ("evaluation", "said"),
    [
        ("{personal: true, per_client: true}", "give per_client or personal, not both"),
        ("{fine_tune_steps: 3}", "personal_clients and fine_tune_steps need personal: true"),
    ],
)
def test_keys_that_do_not_go_together_are_refused(evaluation: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        check_job("quickstart", [*OWN, f"evaluation={evaluation}"])

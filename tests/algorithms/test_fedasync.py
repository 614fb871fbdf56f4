"""FedAsync: mixed by hand from the clock's own log of which update was based on which model."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from mpifl.algorithms.fedasync import FedAsync
from mpifl.algorithms.requests import Trained
from mpifl.errors import InputError
from mpifl.rounds.clients.attacking import attacked
from mpifl.rounds.experiment.build_experiment import check_job
from tests.algorithms.reference import EQUAL, NORMED, Run, assert_close
from tests.algorithms.sides import context, sent, start, step, uploaded

ASYNC = ("algorithm=fedasync", "selection={name: uniform, participants: 1}", "rounds=15")
POLYNOMIAL = "{name: polynomial, exponent: 0.5}"


def clock(mixing: float, staleness: str) -> str:
    settings = f"mode: async, concurrency: 6, availability: always, mixing: {mixing}"
    return f"clock={{{settings}, staleness: {staleness}}}"


def mixed(run: Run, mixing: float, exponent: float) -> tuple[torch.Tensor, int]:
    """Algorithm 1: the model after all updates, and how many were based on an old one."""
    versions, late = [run.initial], 0
    for result in run.results:
        (task,) = result.plan.tasks
        version = result.plan.round_number - 1
        staleness = version - int(task["base"])
        late += staleness > 0
        a = mixing * (1 + staleness) ** -exponent
        base = versions[int(task["base"])]
        began = int(task["base"]) + 1  # a round makes a version
        trained = run.sgd(base, began, int(task["client"]), int(task["steps"]))
        versions.append((1 - a) * versions[-1] + a * trained)
    return versions[-1], late


@pytest.mark.parametrize(
    ("mixing", "staleness", "exponent"), [(0.6, POLYNOMIAL, 0.5), (0.9, "constant", 0.0)]
)
def test_every_update_mixes_in_its_model(
    tmp_path: Path, mixing: float, staleness: str, exponent: float
) -> None:
    run = Run(tmp_path, *ASYNC, clock(mixing, staleness))
    assert len(run.results) == 15
    expected, late = mixed(run, mixing, exponent)
    assert late > 5
    assert_close(run.state["model"], expected)


def test_mixing_1_without_staleness_is_the_last_clients_model(tmp_path: Path) -> None:
    run = Run(tmp_path, *ASYNC, clock(1.0, "constant"))
    (task,) = run.results[-1].plan.tasks
    before = Run(tmp_path / "b", *ASYNC, clock(1.0, "constant"), f"rounds={int(task['base'])}")
    assert int(task["base"]) > 0
    began = int(task["base"]) + 1
    last = run.sgd(before.state["model"], began, int(task["client"]), int(task["steps"]))
    assert_close(run.state["model"], last)


@pytest.mark.parametrize("sizes", [(), EQUAL])
def test_where_rounds_begin_together_it_is_the_mean_of_the_models(
    tmp_path: Path, sizes: tuple[str, ...]
) -> None:
    fedasync, fedavg = (
        Run(tmp_path / name, f"algorithm={name}", *sizes).state["model"]
        for name in ("fedasync", "fedavg")
    )
    assert_close(fedasync, fedavg)


ATTACKS = (
    "{name: zero, share: 0.4}",
    "{name: scaling, share: 0.4, factor: 3}",
    "{name: sign_flip, share: 0.4}",
    "{name: free_rider, share: 0.4}",
    "{name: gaussian, share: 0.4, noise: 0.01, added: true}",
)


@pytest.mark.parametrize("attack", ATTACKS)
def test_attackers_change_what_they_have_trained_and_not_the_model(
    tmp_path: Path, attack: str
) -> None:
    """An attacker of `zero` sends the model back, not a model of zeros."""
    fedasync, fedavg = (
        Run(tmp_path / name, f"algorithm={name}", f"attacks=[{attack}]").state["model"]
        for name in ("fedasync", "fedavg")
    )
    assert_close(fedasync, fedavg)


def test_attackers_who_poison_samples_send_what_they_have_trained(tmp_path: Path) -> None:
    attack = "attacks=[{name: label_flip, share: 0.4}]"
    run = Run(tmp_path, "algorithm=fedasync", attack, "rounds=1")
    trained = run.initial + 1
    task = {"attacks": 1, "client": 0, "began": 1}
    (sent,) = attacked(run.experiment, task, [trained], run.initial)
    assert sent is trained


@pytest.mark.parametrize(
    ("job", "said"),
    [
        (f"aggregation={rule}", f"aggregation.name: '{name}' is not allowed with algorithm.name")
        for name, rule in {
            "norm_bound": "{name: norm_bound, norm: 1}",
            "sign_vote": "sign_vote",
            "robust_learning_rate": "robust_learning_rate",
            "slsgd": "slsgd",
            "foolsgold": "foolsgold",
            "centered_clipping": "centered_clipping",
            "fltrust": "{name: fltrust, root_clients: [0]}",
        }.items()
    ]
    + [
        (
            "attacks=[{name: min_sum, share: 0.4, direction: sign}]",
            "attacks.0.name: 'min_sum' with these options is not allowed with algorithm.name",
        ),
        (
            "privacy={name: local_gaussian, epsilon: 9}",
            "algorithm.name: 'fedasync' is not allowed with privacy.name local_gaussian",
        ),
        (
            "privacy={name: nbafl, epsilon: 9, samples: 5}",
            "algorithm.name: 'fedasync' is not allowed with privacy.name nbafl",
        ),
    ],
)
def test_what_takes_an_upload_for_a_change_of_the_model_is_refused(job: str, said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        check_job("quickstart", ["algorithm=fedasync", job])


def test_rules_that_choose_among_models_are_those_of_fedavg(tmp_path: Path) -> None:
    for rule in ("median", "krum", "geometric_median"):
        fedasync, fedavg = (
            Run(tmp_path / rule / name, f"algorithm={name}", f"aggregation={rule}", "rounds=2")
            for name in ("fedasync", "fedavg")
        )
        assert_close(fedasync.state["model"], fedavg.state["model"])


def test_running_means_are_mixed_like_weights(tmp_path: Path) -> None:
    run = Run(tmp_path, *ASYNC, clock(0.6, POLYNOMIAL), *NORMED)
    expected, _ = mixed(run, 0.6, 0.5)
    assert_close(run.state["model"], expected)
    averages = run.layout.averages
    assert not torch.equal(run.state["model"][averages], run.initial[averages])


def test_by_hand() -> None:
    algorithm = FedAsync()
    c = context({"model": torch.tensor([1.0, 2.0])})
    upload, _ = uploaded(algorithm, c, lambda r: Trained(r.start, r.start + 4, 0.0, 3))
    assert sent(upload, "weights").tolist() == [5, 6]

    # A weighted sum: an update of weight 1/4 has come as a quarter of its model.
    state = start(algorithm, np.array([1.0, 2.0], np.float32))
    after = step(algorithm, state, {"weights": np.array([1.25, 1.5])}, weight=0.25)
    assert after["model"].tolist() == [2, 3]


def test_it_costs_what_fedavg_costs(tmp_path: Path) -> None:
    fedasync, fedavg = (
        Run(tmp_path / name, f"algorithm={name}", "rounds=1").results[0].plan.timeline.participants
        for name in ("fedasync", "fedavg")
    )
    assert (fedasync == fedavg).all()

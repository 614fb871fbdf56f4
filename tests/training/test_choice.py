"""Which engine a job gets: by the rule, or as it says where that can be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mpifl.datasets.dataset import Dataset, DataShape
from mpifl.errors import InputError
from mpifl.job import dump_job, parse_job
from mpifl.job.schema import Training
from mpifl.job.yaml_text import load_yaml
from mpifl.models.flat import flatten
from mpifl.models.lstm import Lstm
from mpifl.objectives.make import objective_of
from mpifl.optimizers.adam import Adam
from mpifl.optimizers.optimizer import Optimizer
from mpifl.optimizers.sgd import Sgd
from mpifl.population.population import Population
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.training.choice import (
    MOST_STACKED,
    STACK_WEIGHTS,
    check_single_samples,
    chosen,
    with_drop_last,
)
from mpifl.transforms.mixup import Mixup
from mpifl.transforms.none import None_
from tests.normed import HERE

Made = Callable[..., Dataset]


def settled(
    module: nn.Module, data: Dataset, optimizer: Optimizer | None = None, **settings: Any
) -> tuple[str, int | None]:
    """Engine and stack that a job with these settings gets."""
    parts = {"optimizer": optimizer or Sgd(), "transform": None_()}
    training = Training.model_validate({**parts, **settings})
    found = chosen(training, flatten(module), objective_of(data.task, data.outputs), data)
    assert found == training.model_copy(update={"engine": found.engine, "stack": found.stack})
    return found.engine, found.stack


def refused(module: nn.Module, data: Dataset, **settings: Any) -> str:
    with pytest.raises(InputError) as error:
        settled(module, data, **settings)
    assert "\n" not in str(error.value)
    return str(error.value)


def mlp(*widths: int) -> nn.Module:
    layers: list[nn.Module] = [nn.Flatten()]
    for wide, narrow in pairwise(widths[:-1]):
        layers += [nn.Linear(wide, narrow), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]))


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 4)), nn.Conv2d(1, 3, 3), nn.Flatten(), nn.Linear(12, 3)
    )


@pytest.fixture
def data(make_dataset: Made) -> Dataset:
    return make_dataset([5, 7, 3])


@pytest.fixture
def pictures(make_dataset: Made) -> Dataset:
    return make_dataset([5, 7, 3], shape=(4, 4))


@pytest.fixture
def sequences(data: Dataset) -> Dataset:
    """Samples of one to four features, each with a length of its own."""
    begin = np.concatenate([[0], np.cumsum(1 + np.arange(15) % 4)])
    x = np.random.default_rng(0).standard_normal((int(begin[-1]), 2)).astype(np.float32)
    return replace(data, train=replace(data.train, x=x, begin=begin))


@pytest.mark.parametrize(
    ("hidden", "stack"), [([], 8), ([200, 200], 8), ([700, 700], 4), ([2000, 2000], 1)], ids=str
)
def test_the_rule_stacks_linear_layers_fewer_of_large_ones(
    data: Dataset, hidden: list[int], stack: int
) -> None:
    module = mlp(4, *hidden, 3)
    weights = sum(parameter.numel() for parameter in module.parameters())
    assert settled(module, data) == ("stacked", stack)
    most = STACK_WEIGHTS["cpu"]
    assert (
        stack == MOST_STACKED["cpu"]
        or stack * weights <= most < (stack + 1) * weights
        or stack == 1
    )


def test_on_a_gpu_all_are_stacked_that_can_be(
    data: Dataset, pictures: Dataset, sequences: Dataset
) -> None:
    assert settled(mlp(4, 3), data, device="cuda") == ("stacked", 64)
    assert settled(cnn(), pictures, Sgd(momentum=0.9), device="cuda") == ("stacked", 64)
    assert settled(
        nn.Sequential(nn.Flatten(), nn.BatchNorm1d(16), nn.Linear(16, 3)), pictures, device="cuda"
    ) == ("loop", 1)
    assert settled(mlp(4, 6000, 6000, 3), data, device="cuda") == ("stacked", 7)
    recurrent = nn.Sequential(nn.LSTM(4, 3), nn.Flatten())
    assert "recurrent layers cannot be mapped" in refused(
        recurrent, pictures, device="cuda", engine="stacked"
    )


def test_the_rule_does_not_depend_on_threads_or_batches(data: Dataset) -> None:
    assert {
        settled(mlp(4, 3), data, threads=n, batch_size=b) for n in (1, 2) for b in (1, 500)
    } == {("stacked", 8)}


@pytest.mark.parametrize(
    "settings",
    [{"optimizer": Sgd(momentum=0.9)}, {"clip_norm": 1.0}, {"clip_value": 1.0}],
    ids=str,
)
def test_the_rule_loops_where_a_step_is_not_linear(data: Dataset, settings: Any) -> None:
    assert settled(mlp(4, 3), data, **settings) == ("loop", 1)
    can_be = settled(mlp(4, 3), data, engine="stacked", **settings)
    assert can_be == ("stacked", 8)


@pytest.mark.parametrize(
    "settings", [{"optimizer": Sgd(weight_decay=0.1)}, {"lr_decay": 0.9}], ids=str
)
def test_the_rule_stacks_where_it_is(data: Dataset, settings: Any) -> None:
    assert settled(mlp(4, 3), data, **settings) == ("stacked", 8)


def test_the_rule_loops_over_all_other_models(
    data: Dataset, pictures: Dataset, sequences: Dataset
) -> None:
    assert settled(cnn(), pictures) == ("loop", 1)
    assert settled(
        nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 3)), data
    ) == ("loop", 1)
    assert settled(nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 3)), data) == ("loop", 1)
    assert settled(mlp(8, 3), sequences) == ("loop", 1)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_transforms_are_for_the_loop(data: Dataset, device: str) -> None:
    transform = Mixup()
    assert settled(mlp(4, 3), data, transform=transform, device=device) == ("loop", 1)
    said = refused(mlp(4, 3), data, transform=transform, device=device, engine="stacked")
    assert said == (
        "training.engine: 'stacked' is not allowed: training.transform changes the minibatches of"
        " one client at a time; allowed: loop"
    )


def test_a_job_says_how_many(data: Dataset, pictures: Dataset) -> None:
    assert settled(mlp(4, 3), data, stack=3) == ("stacked", 3)
    assert settled(mlp(4, 3), data, engine="stacked", stack=20) == ("stacked", 20)
    assert settled(mlp(4, 3), data, engine="loop") == ("loop", 1)
    assert settled(mlp(4, 3), data, engine="loop", stack=1) == ("loop", 1)
    assert settled(cnn(), pictures, engine="stacked") == ("stacked", 8)


def test_a_stack_with_the_loop_is_refused(data: Dataset, pictures: Dataset) -> None:
    said = (
        "training.stack: 4 is not allowed with training.engine loop; allowed: 1, or engine stacked"
    )
    assert refused(mlp(4, 3), data, engine="loop", stack=4) == said
    assert refused(cnn(), pictures, stack=4) == said  # the rule's loop


class Reads(nn.Linear):
    """What it computes depends on what a sample is: torch cannot do that for all clients at once."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x if x.sum() > 0 else -x)


class Silent(nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise AssertionError


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (
            nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)),
            "the model has buffers (such as batch norm's running means)",
        ),
        (Reads(4, 3), "torch cannot map the model"),
        (Silent(4, 3), "torch cannot map the model over clients (AssertionError)"),
    ],
    ids=["batch norm", "data decides", "no text"],
)
def test_a_model_that_cannot_be_stacked_is_refused(
    data: Dataset, module: nn.Module, reason: str
) -> None:
    said = refused(module, data, engine="stacked")
    assert said.startswith(f"training.engine: 'stacked' is not allowed: {reason}")
    assert said.endswith("; allowed: loop")


def test_samples_with_lengths_of_their_own_are_refused(sequences: Dataset) -> None:
    said = refused(nn.Linear(2, 3), sequences, engine="stacked")
    assert (
        said == "training.engine: 'stacked' is not allowed: samples differ in length; allowed: loop"
    )


def test_an_optimizer_that_is_kept_is_that_of_one_client(data: Dataset) -> None:
    kept = Adam(keep=True)
    said = refused(nn.Linear(4, 3), data, engine="stacked", optimizer=kept)
    assert said.startswith("training.engine: 'stacked' is not allowed: training.optimizer.keep ")
    assert settled(nn.Linear(4, 3), data, kept) == ("loop", 1)
    assert settled(nn.Linear(4, 3), data, kept, device="cuda") == ("loop", 1)


@pytest.mark.filterwarnings(
    "ignore:There is a performance drop"
)  # torch maps it one client after the other
def test_a_recurrent_network_can_be_stacked(data: Dataset) -> None:
    x = np.random.default_rng(0).integers(5, size=(15, 6)).astype(np.int32)
    tokens = replace(
        data, task="language", vocabulary=5, outputs=5, train=replace(data.train, x=x, y=None)
    )
    module = Lstm(embedding=3, hidden=4, layers=1).build(DataShape("language", (5,), 5, 5))
    assert settled(module, tokens) == ("loop", 1)
    assert settled(module, tokens, engine="stacked") == ("stacked", 8)


def test_asking_leaves_the_model_as_it_is(pictures: Dataset) -> None:
    model = flatten(cnn())
    before = model.weights.clone()
    parts = {"optimizer": Sgd(), "transform": None_()}
    training = Training.model_validate({"engine": "stacked", **parts})
    chosen(training, model, objective_of("classification", 3), pictures)
    assert torch.equal(model.weights, before)
    assert model.module(torch.zeros(1, 4, 4)).shape == (1, 3)


SMALL = ["rounds=1", "model={name: mlp, hidden: [8]}"]


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([], ("stacked", 8)),
        (["training.stack=5"], ("stacked", 5)),
        (["training.optimizer.momentum=0.9"], ("loop", 1)),
        (["training.optimizer.weight_decay=0.1"], ("stacked", 8)),
        (["training.optimizer={name: adam, keep: true}", "training.device=cpu"], ("loop", 1)),
        (["algorithm=fedprox"], ("stacked", 8)),
        (["algorithm=scaffold"], ("stacked", 8)),
        (["algorithm=fedyogi"], ("stacked", 8)),
        (["training.engine=loop"], ("loop", 1)),
    ],
    ids=str,
)
def test_a_job_that_is_checked_says_which_it_is(
    overrides: list[str], expected: tuple[str, int]
) -> None:
    experiment = check_job("quickstart", [*SMALL, *overrides])[0]
    assert (experiment.job.training.engine, experiment.job.training.stack) == expected
    written = dump_job(experiment.job)
    assert load_yaml(written)["training"]["engine"] == expected[0]
    assert load_yaml(written)["training"]["stack"] == expected[1]
    assert parse_job(load_yaml(written)) == experiment.job


def test_a_job_that_trains_nothing_says_none() -> None:
    training = check_job("quickstart", [*SMALL, "training.engine=none"])[0].job.training
    assert (training.engine, training.stack) == ("none", None)


def normed(*shape: int) -> nn.Module:
    if len(shape) == 1:
        return nn.Sequential(nn.Linear(shape[0], 5), nn.BatchNorm1d(5), nn.Linear(5, 3))
    layers = [nn.Unflatten(1, (1, shape[0])), nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(2 * (shape[0] - 2) * (shape[1] - 2), 3))


@pytest.mark.parametrize(
    ("module", "said", "expected"),
    [
        (mlp(4, 3), "auto", False),
        (normed(4), "auto", True),
        (normed(4, 4), "auto", True),
        (
            nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.GroupNorm(2, 4), nn.Linear(4, 3)),
            "auto",
            False,
        ),
        (normed(4), False, False),
        (mlp(4, 3), True, True),
    ],
)
def test_last_batches_are_left_out_where_there_is_batch_norm(
    module: nn.Module, said: object, expected: bool
) -> None:
    training = Training.model_validate({"drop_last": said})
    found = with_drop_last(training, flatten(module))
    assert found == training.model_copy(update={"drop_last": expected})
    assert found.drops_last is expected
    assert not Training.model_validate({}).drops_last


@pytest.mark.parametrize(
    ("sizes", "batch_size", "said"),
    [
        (
            [5, 1, 3, 1],
            2,
            "data.partition: client 1 has one sample, as 2 of 4 clients have: the network's batch norm takes no",
        ),
        (
            [5, 2],
            1,
            "training.batch_size: 1 is not allowed: the network's batch norm takes no single sample; allowed: 2 or",
        ),
        ([5, 7, 3], 2, None),
    ],
)
def test_a_network_with_batch_norm_that_could_not_train_a_client_is_refused(
    make_dataset: Made, make_trace: Any, sizes: list[int], batch_size: int, said: str | None
) -> None:
    """Issue 12, point 11: a client with one sample ended the run whenever it was asked."""
    training = Training.model_validate({"batch_size": batch_size})
    for shape, fails in (((4,), True), ((4, 4), False)):  # a picture has many values a channel
        model = flatten(normed(*shape))
        before, population = (
            model.weights.clone(),
            Population(len(sizes), make_dataset(sizes, shape=shape), make_trace([]), 1),
        )
        if said and fails:
            with pytest.raises(InputError) as error:
                check_single_samples(training, model, population)
            assert str(error.value).startswith(said)
        else:
            check_single_samples(training, model, population)
        assert torch.equal(model.weights, before)
        check_single_samples(training, flatten(mlp(*shape, 3)), population)


NORMED = [f"model.name={HERE}:Normed", "rounds=2", "training.batch_size=4"]


def test_a_job_with_batch_norm_says_that_it_leaves_out_last_batches() -> None:
    twos = "data.partition={name: dirichlet, clients: 100, min_samples: 2}"
    experiment = check_job("quickstart", [*NORMED, twos])[0]
    assert load_yaml(dump_job(experiment.job))["training"]["drop_last"] is True
    assert parse_job(load_yaml(dump_job(experiment.job))) == experiment.job
    assert experiment.workload.drop_last
    timed = check_job("quickstart", [*NORMED, twos, "training.engine=none"])[0]
    assert timed.workload == experiment.workload
    assert timed.job.training.drop_last is True
    plain = check_job("quickstart", ["rounds=1"])[0]
    assert load_yaml(dump_job(plain.job))["training"]["drop_last"] is False
    assert not plain.workload.drop_last


def test_clients_with_one_sample_are_refused_before_the_run_unless_they_may_fail() -> None:
    many = [*NORMED, "data.partition={name: dirichlet, clients: 400}"]
    with pytest.raises(InputError, match=r"has one sample, as \d+ of 400 clients have"):
        check_job("quickstart", many)
    check_job("quickstart", [*many, "runtime.on_client_error=drop"])
    check_job("quickstart", [*many, "training.engine=none"])
    check_job("quickstart", ["rounds=1", "data.partition={name: dirichlet, clients: 400}"])


@pytest.mark.parametrize("value", ["maybe", "2"])
def test_drop_last_is_yes_no_or_auto(value: str) -> None:
    with pytest.raises(InputError, match=r"training\.drop_last: .*not allowed") as error:
        check_job("quickstart", [f"training.drop_last={value}"])
    assert "auto" in str(error.value)

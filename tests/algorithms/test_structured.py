"""Structured updates: what is trained in a random subspace, against a program that trains its few numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from mpifl.errors import InputError
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.seeds import Purpose, generator
from tests.algorithms.reference import Run, assert_close

LOW = "algorithm={name: structured, rank: 3}"
MASK = "algorithm={name: structured, form: mask, share: 0.2}"
MOMENTUM = "training.optimizer={name: sgd, momentum: 0.5}"


def low_rank(run: Run, round_number: int, client: int) -> torch.Tensor:
    """An orthonormal basis of the updates of a client, (size, numbers): those of B, and of what is whole."""
    random = generator(run.job.seed, Purpose.CLIENT, round_number, client)
    blocks = []
    for name in run.layout.parameters:
        shape = run.layout.shapes[name]
        if len(shape) == 2 and shape[0] > 3:
            a = np.linalg.qr(random.standard_normal((shape[0], 3)))[0]
            blocks.append(np.kron(a, np.eye(shape[1])))  # row-major: vec(A B) = (A kron I) vec(B)
        else:
            blocks.append(np.eye(int(np.prod(shape))))
    return torch.block_diag(*(torch.from_numpy(block).float() for block in blocks))


def masked(run: Run, round_number: int, client: int) -> torch.Tensor:
    random = generator(run.job.seed, Purpose.CLIENT, round_number, client)
    columns = []
    for name in run.layout.parameters:
        place = run.layout.slices[name]
        size = place.stop - place.start
        count = -(-size // 5)
        columns += (place.start + random.permutation(size)[:count]).tolist()
    return torch.eye(run.layout.trained)[:, columns]


@pytest.mark.parametrize(
    ("options", "basis"), [(LOW, low_rank), (MASK, masked)], ids=["low_rank", "mask"]
)
def test_rounds_are_those_of_a_program_that_trains_the_numbers_that_are_sent(
    tmp_path: Path, options: str, basis: Callable[[Run, int, int], torch.Tensor]
) -> None:
    run = Run(tmp_path, options, MOMENTUM, "model.hidden=[12]")
    model = run.initial
    for number, participants in run.rounds():
        mean = torch.zeros_like(model)
        for client, share, steps in participants:
            space = basis(run, number, client)
            sent = nn.Parameter(torch.zeros(space.shape[1]))
            optimizer = torch.optim.SGD([sent], lr=run.job.training.lr, momentum=0.5)
            for x, y in run.batches(number, client, steps):
                optimizer.zero_grad()
                cross_entropy(run.output(model + space @ sent, x), y).backward()
                optimizer.step()
            mean += share * (space @ sent.detach())
            assert run.experiment.workload.bytes_up == 4 * len(sent)
        model = model + mean
    assert_close(run.state["model"], model)
    assert (model - run.initial).abs().max() > 0.01
    assert run.experiment.workload.bytes_down == 4 * len(model)


@pytest.mark.parametrize(
    "options", ["{name: structured, rank: 64}", "{name: structured, form: mask, share: 1}"]
)
def test_what_is_not_confined_is_fedavg_to_the_bit(tmp_path: Path, options: str) -> None:
    whole = Run(tmp_path / "a", f"algorithm={options}", MOMENTUM)
    fedavg = Run(tmp_path / "b", MOMENTUM, "training.engine=loop")
    assert torch.equal(whole.state["model"], fedavg.state["model"])
    assert whole.experiment.workload.bytes_up == fedavg.experiment.workload.bytes_up


ONE = ("rounds=1", "selection.participants=1", "model.hidden=[12]")


def test_an_update_has_no_higher_rank_than_it_says(tmp_path: Path) -> None:
    run = Run(tmp_path, LOW, *ONE)
    update = run.state["model"] - run.initial
    matrices = [name for name in run.layout.parameters if len(run.layout.shapes[name]) == 2]
    assert len(matrices) == 2
    for name in matrices:
        matrix = update[run.layout.slices[name]].view(run.layout.shapes[name])
        values = torch.linalg.svdvals(matrix)
        assert values[2] > 1e-4
        assert values[3] < 1e-5 * values[0]


def test_each_client_has_its_own_mask(tmp_path: Path) -> None:
    run = Run(tmp_path, MASK, *ONE)
    ((_, ((client, _, _),)),) = run.rounds()
    changed = (run.state["model"] != run.initial).float()
    expected = masked(run, 1, client).sum(dim=1)
    assert (changed <= expected).all()
    assert changed.sum() > 0.5 * expected.sum()  # inputs that are always 0 do not change
    assert not torch.equal(masked(run, 1, client + 1), masked(run, 1, client))


REFUSED = {
    "share belongs to form: mask": ("algorithm={name: structured, share: 0.5}",),
    "rank belongs to form: low_rank": ("algorithm={name: structured, form: mask, rank: 2}",),
    "training.optimizer: 'adam' with these options is not allowed": (LOW, "training.optimizer=adam"),
    "leave the subspace": (LOW, "training.optimizer.weight_decay=0.1"),
    "training.clip_norm: 1 is not allowed": (LOW, "training.clip_norm=1"),
    "exchange.up: not allowed with algorithm.name structured": (LOW, "exchange.up=top_k"),
    "not allowed with secure_aggregation.name secagg": (LOW, "secure_aggregation=secagg"),
    "not allowed with privacy.name local_gaussian": (
        LOW, "privacy={name: local_gaussian, norm: 1, noise_multiplier: 1}",
    ),
    "algorithm.form: low_rank is not allowed with model.name sized": (
        LOW, "training.engine=none", "model={name: sized, parameters: 1000}",
    ),
}  # fmt: skip


@pytest.mark.parametrize("said", REFUSED)
def test_what_would_leave_the_subspace_is_refused_in_a_line(said: str) -> None:
    with pytest.raises(InputError) as caught:
        check_job("quickstart", list(REFUSED[said]))
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_run_that_only_times_knows_the_size_of_a_mask() -> None:
    job = (MASK, "training.engine=none", "model={name: sized, parameters: 1001}")
    assert check_job("quickstart", list(job))[0].workload.bytes_up == 4 * 201

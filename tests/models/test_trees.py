"""Trees: a sample's way to its leaf, and the derivatives of the losses."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from mpifl.datasets.dataset import DataShape
from mpifl.errors import InputError
from mpifl.models.trees import Trees, TreeSum
from mpifl.objectives.make import objective_of
from mpifl.rounds.experiment.build_experiment import check_job


def grown(task: str, outputs: int) -> TreeSum:
    """Three trees of depth 2 for each sum, on four features, drawn at random."""
    torch.manual_seed(1)
    module = Trees(trees=3, depth=2).build(DataShape(task, (2, 2), outputs, 0))
    assert isinstance(module, TreeSum)
    with torch.no_grad():
        module.feature.copy_(torch.randint(4, module.feature.shape))
        module.threshold.copy_(torch.randn(module.threshold.shape))
        module.value.copy_(torch.randn(module.value.shape))
        module.base.copy_(torch.randn(module.base.shape))
    return module


def by_hand(module: TreeSum, sample: list[float], output: int) -> float:
    total = module.base[output].item()
    for tree in range(3):
        node = 0
        for _ in range(2):
            feature = int(module.feature[tree, output, node].item())
            threshold = module.threshold[tree, output, node].item()
            node = 2 * node + 1 + (sample[feature] > threshold)
        total += module.value[tree, output, node - 3].item()
    return total


def test_each_output_is_the_sum_of_the_leaves_of_its_trees() -> None:
    module = grown("classification", 3)
    x = torch.randn(20, 2, 2)
    x[0, 0, 0] = math.nan  # as if below all numbers
    found = module(x)
    for sample, outputs in zip(x.flatten(1).tolist(), found.tolist(), strict=True):
        assert outputs == pytest.approx([by_hand(module, sample, k) for k in range(3)], abs=1e-5)


def test_a_large_batch_is_looked_up_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    module = grown("classification", 3)
    x = torch.randn(20, 2, 2)
    whole = module(x)
    monkeypatch.setattr("mpifl.models.trees.PLACES", 30)
    assert torch.equal(module(x), whole)


def test_a_model_without_trees_puts_out_0() -> None:
    module = Trees(trees=2, depth=3).build(DataShape("regression", (5,), 2, 0))
    assert torch.equal(module(torch.randn(4, 5)), torch.zeros(4, 2))


@pytest.mark.parametrize("outputs", [2, 3])
def test_the_derivatives_are_those_of_the_objective(outputs: int) -> None:
    """Of the cross-entropy by torch: the second ones along each sum alone, the diagonal."""
    module = grown("classification", outputs)
    x, y = torch.randn(9, 2, 2), torch.randint(outputs, (9,))
    first, second = module.derivatives(x, y)
    objective = objective_of("classification", outputs)
    assert objective.loss(module(x), y) == cross_entropy(module(x), y)
    assert_derivatives(module.sums(x), first, second, lambda sums: loss_of(sums, y))


def loss_of(sums: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    if sums.shape[1] == 1:
        sums = torch.cat([torch.zeros_like(sums), sums], 1)
    return cross_entropy(sums, y, reduction="sum")


def test_those_of_labels_and_of_numbers_too() -> None:
    labels = grown("multi_label", 4)
    x, y = torch.randn(9, 2, 2), torch.randint(2, (9, 4)).float()
    found = labels.derivatives(x, y)
    assert_derivatives(
        labels.sums(x),
        *found,
        lambda sums: binary_cross_entropy_with_logits(sums, y.double(), reduction="sum"),
    )
    numbers = grown("regression", 2)
    y = torch.randn(9, 2)
    found = numbers.derivatives(x, y)
    assert_derivatives(numbers.sums(x), *found, lambda sums: (sums - y).square().sum() / 2)


def assert_derivatives(sums, first, second, loss) -> None:  # type: ignore[no-untyped-def]
    sums = sums.detach().double().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(sums), sums, create_graph=True)
    torch.testing.assert_close(first, gradient.detach(), atol=1e-9, rtol=0)
    for output in range(sums.shape[1]):
        column = gradient[:, output].sum()
        (row,) = torch.autograd.grad(column, sums, retain_graph=True)
        torch.testing.assert_close(second[:, output], row[:, output], atol=1e-9, rtol=0)


def test_weights_to_start_from_are_refused() -> None:
    job = ["algorithm=gbdt", "model={name: trees, initial: run}", "rounds=3"]
    with pytest.raises(InputError, match=r"^model.initial: not allowed with model.name trees"):
        check_job("quickstart", job)

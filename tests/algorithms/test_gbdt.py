"""Boosted trees against a plain program that looks at every split, and what a round of them costs."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from mpifl.errors import InputError
from mpifl.rounds.experiment.build_experiment import check_job
from tests.algorithms.reference import SETTING, Run, assert_resumes_alike
from tests.small_data import small_data

TREES = (
    "model={name: trees, trees: 3, depth: 2}",
    "algorithm={name: gbdt, bins: 5}",
    "training.lr=0.5",
    "rounds=9",
)
ALL = "selection.participants=12"


def tensors(run: Run) -> dict[str, np.ndarray]:
    """The trees as arrays, by name."""
    model = run.state["model"].numpy()
    return {
        name: model[where].reshape(run.layout.shapes[name])
        for name, where in run.layout.slices.items()
    }


def pooled(run: Run, clients: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """The samples of some clients (samples, features), and their targets."""
    samples = [run.samples(client) for client in clients]
    x = torch.cat([x for x, _ in samples]).flatten(1)
    return x.numpy(), torch.cat([y for _, y in samples]).numpy()


def leaf_of(
    trees: dict[str, np.ndarray], x: np.ndarray, tree: int, output: int, levels: int
) -> list[int]:
    """To which node of a level each sample comes, one after the other."""
    found = []
    for sample in x:
        node = 0
        for _ in range(levels):
            feature = int(trees["feature"][tree, output, node])
            right = sample[feature] > trees["threshold"][tree, output, node]
            node = 2 * node + 1 + int(right)
        found.append(node - (2**levels - 1))
    return found


def sums_of(trees: dict[str, np.ndarray], x: np.ndarray, before: int) -> np.ndarray:
    """The outputs of the first trees, (samples, outputs)."""
    depth = trees["value"].shape[2].bit_length() - 1
    total = np.tile(trees["base"].astype(float), (len(x), 1))
    for tree, output in product(range(before), range(total.shape[1])):
        leaves = leaf_of(trees, x, tree, output, depth)
        total[:, output] += trees["value"][tree, output, leaves]
    return total


def derivatives(task: str, sums: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if task == "regression":
        return sums - y, np.ones_like(sums)
    if task == "multi_label":
        p, goal = 1 / (1 + np.exp(-sums)), y
    elif sums.shape[1] == 1:
        p, goal = 1 / (1 + np.exp(-sums)), y[:, None]
    else:
        p = np.exp(sums) / np.exp(sums).sum(1, keepdims=True)
        goal = np.eye(sums.shape[1])[y]
    return p - goal, p * (1 - p)


class Node(NamedTuple):
    """The samples of a node (samples, features), and the derivatives of each."""

    x: np.ndarray
    first: np.ndarray
    second: np.ndarray
    l2: float
    least: float

    def sides(self, feature: int, cut: float) -> list[tuple[float, float]]:
        left = self.x[:, feature] <= cut
        return [(self.first[side].sum(), self.second[side].sum()) for side in (left, ~left)]

    def gain(self, feature: int, cut: float) -> float:
        two = self.sides(feature, cut)
        if min(two[0][1], two[1][1]) < self.least:
            return 0.0
        whole = (self.first.sum(), self.second.sum())
        scores = [a * a / (b + self.l2) for a, b in (*two, whole)]
        return (scores[0] + scores[1] - scores[2]) / 2


def assert_best_splits(run: Run, task: str, l2: float = 1.0, least: float = 1.0) -> None:
    """Every split of a run is one of the largest gain, and every leaf has its best value."""
    trees = tensors(run)
    depth = trees["value"].shape[2].bit_length() - 1
    cuts = run.state["cuts"].numpy()
    splits = 0
    for number, participants in run.rounds():
        if number <= 3:
            continue
        tree, level = divmod(number - 4, depth)
        x, y = pooled(run, [client for client, _, _ in participants])
        first, second = derivatives(task, sums_of(trees, x, tree), y)
        for output in range(first.shape[1]):
            nodes = np.array(leaf_of(trees, x, tree, output, level))
            for node in range(2**level):
                g, h = (each[nodes == node, output] for each in (first, second))
                own = Node(x[nodes == node], g, h, l2, least)
                place = 2**level - 1 + node
                feature = int(trees["feature"][tree, output, place])
                threshold = float(trees["threshold"][tree, output, place])
                best = max(own.gain(f, c) for f in range(x.shape[1]) for c in cuts[f])
                if threshold == np.finfo(np.float32).max:
                    assert best <= 1e-7
                else:
                    splits += 1
                    assert threshold in cuts[feature]
                    assert own.gain(feature, threshold) == pytest.approx(best, abs=1e-7)
                if level == depth - 1:
                    for side, (a, b) in enumerate(own.sides(feature, threshold)):
                        value = -run.job.training.lr * a / (b + l2) if b else 0.0
                        found = trees["value"][tree, output, 2 * node + side]
                        assert found == pytest.approx(value, abs=1e-6)
    assert splits > 3


def test_every_split_is_the_best_for_the_samples_of_the_rounds_participants(tmp_path: Path) -> None:
    run = Run(tmp_path, *TREES)
    assert len({tuple(client for client, _, _ in who) for _, who in run.rounds()}) > 3
    assert_best_splits(run, "classification")


@pytest.mark.parametrize(
    ("kind", "task"),
    [("anomalies", "two classes"), ("tags", "multi_label"), ("lives", "regression")],
)
def test_other_tasks_have_the_derivatives_of_their_losses(
    tmp_path: Path, kind: str, task: str
) -> None:
    data = f"data={{name: {small_data(kind)}}}"
    run = Run(tmp_path, *TREES, data, "algorithm.least_hessian=0.1", "algorithm.l2=0.5")
    assert_best_splits(run, task, l2=0.5, least=0.1)


def test_with_all_clients_it_is_boosting_on_all_their_samples(tmp_path: Path) -> None:
    one = Run(
        tmp_path / "one",
        *TREES,
        "data.partition={name: iid, clients: 1}",
        "selection.participants=1",
    )
    many = Run(tmp_path / "many", *TREES, ALL)
    assert torch.equal(one.state["cuts"], many.state["cuts"])
    trees, expected = tensors(many), tensors(one)
    for name in ("feature", "threshold"):
        np.testing.assert_array_equal(trees[name], expected[name])
    for name in ("value", "base"):
        np.testing.assert_allclose(trees[name], expected[name], atol=1e-6)


def test_the_cuts_are_the_quantiles_of_the_values_and_the_base_is_the_prior(tmp_path: Path) -> None:
    """Equal in the leading 23 of 32 bits, and of all values with these the largest."""
    data = f"data={{name: {small_data('signals')}}}"
    run = Run(tmp_path, *TREES, data, ALL, "rounds=3")
    x, y = pooled(run, list(range(12)))
    quantiles = np.quantile(x, np.arange(1, 5) / 5, axis=0, method="inverted_cdf").T
    cuts = run.state["cuts"].numpy()
    assert (cuts.view(np.uint32) >> 9 == quantiles.astype(np.float32).view(np.uint32) >> 9).all()
    assert (cuts >= quantiles).all()
    prior = np.bincount(y, minlength=4) / len(y)
    np.testing.assert_allclose(tensors(run)["base"], np.log(prior), atol=1e-6)


def test_it_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    assert_resumes_alike(tmp_path, *TREES)


def test_it_learns_and_says_which_features_matter(tmp_path: Path) -> None:
    run = Run(
        tmp_path,
        "model={name: trees, trees: 10, depth: 3}",
        "algorithm=gbdt",
        "training.lr=0.5",
        "rounds=33",
        ALL,
    )
    x, y = pooled(run, list(range(12)))
    assert (sums_of(tensors(run), x, 10).argmax(1) == y).mean() > 0.95
    importance = tensors(run)["importance"].reshape(8, 8)
    assert importance[:, 0].sum() < 0.05 * importance.sum()  # the margin of the digits


def test_the_clock_charges_what_a_round_sends(tmp_path: Path) -> None:
    run = Run(tmp_path, *TREES)
    sizes = [
        {(int(row["load_down"]), int(row["load_up"])) for row in result.plan.timeline.participants}
        for result in run.results
    ]
    features, classes, cuts = 64, 10, 4
    trees = [
        0,
        2,
        10,
        12,
    ]  # numbers of the splits and leaves so far: a tree has 3 nodes and 4 leaves
    expected = [
        (0, features * 2**11 + classes + 1),
        (features * cuts, features * cuts * 2**6),
        (features * cuts, features * cuts * 2**6),
        (features * cuts + classes * (1 + trees[0]), classes * features * 5 * 2),
        (features * cuts + classes * (1 + trees[1]), 2 * classes * features * 5 * 2),
        (features * cuts + classes * (1 + trees[2]), classes * features * 5 * 2),
        (features * cuts + classes * (1 + trees[3]), 2 * classes * features * 5 * 2),
    ]
    assert [sizes[i] for i in range(7)] == [{(4 * down, 4 * up)} for down, up in expected]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (["model=mlp"], "model.name: 'mlp' is not allowed with algorithm.name gbdt"),
        (["algorithm=fedavg"], "algorithm.name: 'fedavg' is not allowed with model.name trees"),
        (["rounds=10"], "rounds: 10 is not allowed: 3 rounds find the cuts, and 6 grow trees"),
        (["aggregation=median"], "aggregation.name: 'median' is not allowed"),
        (
            ["aggregation={name: norm_bound, norm: 1}"],
            "aggregation.name: 'norm_bound' is not allowed",
        ),
        (["exchange.up=[{name: top_k, share: 0.1}]"], "exchange.up: not allowed"),
        (["exchange.down=[{name: float16}]"], "exchange.down: not allowed"),
        (
            ["clock={mode: async, concurrency: 9}", "selection.participants=null"],
            "clock.mode: 'async' is not allowed",
        ),
        (["clock.latency.model_bytes=5"], "clock.latency.model_bytes: 5 is not allowed"),
        (["training.label_smoothing=0.1"], "training.label_smoothing: 0.1 is not allowed"),
        (["evaluation={personal: true, fine_tune_steps: 1}"], "evaluation.fine_tune_steps: 1"),
        (
            ["privacy={name: gaussian, epsilon: 8}"],
            "privacy.name: 'gaussian' is not",
        ),
        (["training.transform=mixup"], "training.transform.name: 'mixup' is not allowed"),
        (["training.optimizer={momentum: 0.9}"], "training.optimizer: 'sgd' with these options"),
        ([f"data={{name: {small_data('lives')}}}", "objective=survival"], "objective.name: 'surv"),
        (["contribution=leave_one_out"], "contribution.name: 'leave_one_out' is not"),
        (["model.initial=x.safetensors"], "model.initial"),
        (["clock.latency.compute=flops"], "clock.latency.compute: 'flops' is not allowed"),
    ],
)
def test_what_does_not_go_with_it_is_refused(changes: list[str], told: str) -> None:
    with pytest.raises(InputError) as refused:
        check_job("quickstart", [*SETTING, *TREES, *changes])
    assert told in str(refused.value)


def test_secure_aggregation_masks_what_a_round_sends(tmp_path: Path) -> None:
    plain = Run(tmp_path / "plain", *TREES)
    masked = Run(tmp_path / "masked", *TREES, "secure_aggregation=secagg")
    assert torch.equal(plain.state["model"], masked.state["model"])
    for without, result in zip(plain.results, masked.results, strict=True):
        sent = without.plan.timeline.participants["load_up"][0]
        more = result.plan.timeline.participants["bytes_up"].max() - sent
        assert sent < more < sent + 20_000  # eight bytes a number, and keys

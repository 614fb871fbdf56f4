"""Boosted trees: a level of a tree a round, split by the sum of the clients' histograms."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from mpifl.algorithms import cut_points
from mpifl.algorithms.algorithm import Algorithm
from mpifl.algorithms.arrays import MODEL, Array, Arrays
from mpifl.algorithms.context import ClientContext, Program, ServerContext, Upload
from mpifl.algorithms.requests import Call, Evaluate
from mpifl.algorithms.requirements import (
    needs_means_of_the_same,
    needs_no_steps,
    needs_one_base,
    needs_sums,
)
from mpifl.algorithms.split_finding import best_splits, best_value
from mpifl.algorithms.tree_growth import histogram, shape_of
from mpifl.clock.cost import Cost
from mpifl.errors import InputError, TrainingError
from mpifl.job import Job
from mpifl.models.layout import Layout

if TYPE_CHECKING:
    import torch

    from mpifl.models.trees import TreeSum

MOST_BINS = 256

OBJECTIVES = ("auto", "classification", "binary", "multi_label", "regression")
ROUNDS_DIFFER = "each round has other bytes"
BITS = 30
"""Behind the point of the sums, which may be of targets in millions."""

CUTTING = cut_points.ROUNDS
"""The first rounds, which find where features may be cut."""


class Gbdt(Algorithm):
    """Gradient boosting as in XGBoost (arXiv 1603.02754), on histograms that clients send.

    As XGBoost's horizontal federated mode and FedTree (Li et al., MLSys 2023) do it. In the first
    three rounds the server finds the quantiles of each feature, which become ``bins`` - 1 cuts, and
    the first value of each output (``cut_points.py``). In each later round one level of one tree
    (of one for each output) is grown. A participant computes the derivatives of the loss of its
    samples by the outputs of all finished trees, and sends their sums in each bin of each feature,
    for each node of the level. The server adds them up and splits every node where that gains most.
    With the last level it sets the leaves, to -G / (H + l2) times ``training.lr``.

    If all clients take part in all rounds, this is boosting on all their samples together. The rest
    of ``training`` does nothing: there are no local steps. A level for which nobody completed the
    round is not split.

    Who takes part downloads the cuts and the trees so far, and uploads the level's histograms: the
    clock charges what each round has of these, which grows with the trees and doubles from level to
    level. It charges ``passes`` for computing.
    """

    weighs_samples = False
    weighs_work = False
    shares_averages = False
    reads_outputs = True
    grows = True

    name: str = "gbdt"
    bins: int = Field(32, ge=2, le=MOST_BINS, description="bins of each feature")
    l2: float = Field(
        1.0, ge=0, description="added to the second derivatives of a node (XGBoost's lambda)"
    )
    least_gain: float = Field(0.0, ge=0, description="a split has to gain more (XGBoost's gamma)")
    least_hessian: float = Field(
        1.0,
        ge=0,
        description="sum of the second derivatives on either side of a split (XGBoost's"
        " min_child_weight)",
    )
    passes: float = Field(
        1.0,
        ge=0,
        le=1e6,
        description="what a round costs a phone, in passes of the model that the trace's speeds"
        " are of",
    )

    @property
    def reads_classes(self) -> bool:
        return True

    def check(self, job: Job) -> None:
        needs_one_base(self, job)
        needs_sums(self, job)
        needs_means_of_the_same(self, job)
        needs_no_steps(self, job)
        where = f"not allowed with algorithm.name {self.name}"
        if job.objective.name not in OBJECTIVES:
            raise InputError(
                f"objective.name: {job.objective.name!r} is {where}, which has to know the"
                f" derivatives of its loss; allowed: {', '.join(OBJECTIVES)}"
            )
        if job.privacy.private:
            raise InputError(
                f"privacy.name: {job.privacy.name!r} is {where}, whose participants send counts and"
                " histograms, and not updates of a model; allowed: none"
            )
        for key, given, why in (
            ("training.label_smoothing", job.training.label_smoothing, "trees have none"),
            ("evaluation.fine_tune_steps", job.evaluation.fine_tune_steps, "no step changes trees"),
            ("clock.latency.model_bytes", job.clock.latency.model_bytes, ROUNDS_DIFFER),
            ("clock.latency.model_bytes_up", job.clock.latency.model_bytes_up, ROUNDS_DIFFER),
        ):
            if given:
                raise InputError(f"{key}: {given:g} is {where}: {why}; leave it out")

    def check_model(self, job: Job, layout: Layout) -> None:
        shape = shape_of(layout)
        most = CUTTING + shape.levels
        if job.rounds > most:
            raise InputError(
                f"rounds: {job.rounds} is not allowed: {CUTTING} rounds find the cuts, and"
                f" {shape.levels} grow trees (model.trees times model.depth); allowed: 1 to {most}"
            )

    def cost(self, layout: Layout) -> Cost:
        return Cost(training=0, evaluations=self.passes)

    def received_arrays(self, layout: Layout) -> Mapping[str, Array]:
        cuts = (shape_of(layout).features, self.bins - 1)
        return {"model": MODEL, "cuts": Array(cuts, coded=False)}

    def uploaded_arrays(self, layout: Layout) -> Mapping[str, Array]:
        return {"sums": Array((self._most(layout),), BITS, coded=False)}

    def numbers_of_round(self, layout: Layout, round_number: int) -> tuple[int, int]:
        return self._received(layout, round_number), self._sent(layout, round_number)

    def start(self, model: np.ndarray, layout: Layout, random: np.random.Generator) -> Arrays:
        shares = cut_points.first_shares(shape_of(layout).features, self.bins)
        return {
            "model": model,
            "cuts": np.zeros(shares.shape, np.float32),
            "shares": shares.astype(np.float32),
            "cut_rounds": np.zeros((), np.float32),
        }

    def client(self, c: ClientContext) -> Program:
        import torch

        model = c.received["model"]
        yield Evaluate(model, cost=self.passes)
        looks = self._counts if c.round <= CUTTING else self._histogram
        numbers: np.ndarray = yield Call(partial(looks, c), model)
        sums = model.new_zeros(self._most(c.layout))
        sums[: len(numbers)] = torch.from_numpy(numbers)
        return Upload(sums=sums)

    def _counts(
        self, c: ClientContext, module: TreeSum, x: torch.Tensor, y: torch.Tensor
    ) -> np.ndarray:
        """Return what a client sends in a round that finds cuts."""
        prefixes = c.received["cuts"].cpu().numpy().astype(np.int64)
        counts = cut_points.count(x.flatten(1).cpu().numpy(), prefixes, c.round)
        if c.round > 1:
            return counts
        targets = module.targets(y).sum(0).cpu().numpy()
        return np.concatenate([counts, targets, [len(y)]])

    def _histogram(
        self, c: ClientContext, module: TreeSum, x: torch.Tensor, y: torch.Tensor
    ) -> np.ndarray:
        """Return the sums of the derivatives of a client's samples, in the level's histograms.

        By output, node, feature, bin, and first and second derivative.
        """
        import torch

        tree, level = shape_of(c.layout).grown_in(c.round)
        with torch.no_grad():
            first, second = (each.cpu().numpy() for each in module.derivatives(x, y))
            nodes = module.place(x, tree, level).cpu().numpy()
        return histogram(x, c.received["cuts"], nodes, 1 << level, first, second)

    def server(self, s: ServerContext, mean: Arrays) -> Arrays | Generator[Call, Any, Arrays]:
        sums = mean["sums"][: self._sent(s.layout, s.round)] * s.participants
        if s.round == 1:
            return self._first(s, sums)
        return self._cut(s, sums) if s.round <= CUTTING else self._grown(s, sums)

    def _first(self, s: ServerContext, sums: np.ndarray) -> Generator[Call, Any, Arrays]:
        """Return what the first round changes: it also finds the first value of each output."""
        import torch

        shape = shape_of(s.layout)
        counts, targets, samples = np.split(sums, [len(sums) - 1 - shape.sums, len(sums) - 1])

        def first_values(module: Any, *_: torch.Tensor) -> np.ndarray:
            values: np.ndarray = module.first_values(targets, samples.item())
            return values

        model = s.state["model"].astype(np.float64)
        weights = torch.from_numpy(s.state["model"].copy())
        model[s.layout.slices["base"]] = yield Call(first_values, weights)
        return {"model": model, **self._cut(s, counts)}

    def _cut(self, s: ServerContext, counts: np.ndarray) -> Arrays:
        """Return what a round that finds cuts changes in them."""
        _need_cuts(s, s.round - 1)
        prefixes, shares = cut_points.narrowed(
            np.rint(counts), s.state["cuts"].astype(np.int64), s.state["shares"], s.round
        )
        cuts = cut_points.cuts_of(prefixes) if s.round == CUTTING else prefixes
        return {"cuts": cuts, "shares": shares, "cut_rounds": np.array(s.round)}

    def _grown(self, s: ServerContext, sums: np.ndarray) -> Arrays:
        """Return the model with the next level of a tree of each output."""
        _need_cuts(s, CUTTING)
        shape = shape_of(s.layout)
        tree, level = shape.grown_in(s.round)
        histogram = sums.reshape(shape.sums, 1 << level, shape.features, self.bins, 2)
        splits = best_splits(histogram, self.l2, self.least_gain, self.least_hessian)

        model = s.state["model"].astype(np.float64)
        feature, threshold, value, importance = (
            model[s.layout.slices[name]].reshape(s.layout.shapes[name])
            for name in ("feature", "threshold", "value", "importance")
        )
        nodes = tree, slice(None), slice((1 << level) - 1, (2 << level) - 1)
        cuts = s.state["cuts"][splits.feature, splits.cut]
        feature[nodes] = splits.feature
        threshold[nodes] = np.where(splits.gain > 0, cuts, threshold[nodes])
        np.add.at(importance, splits.feature, splits.gain)
        if level == shape.depth - 1:
            sides = np.stack([splits.left, splits.right], 2).reshape(shape.sums, -1, 2)
            value[tree] = s.lr * best_value(sides, self.l2)
        return {"model": model}

    def _sent(self, layout: Layout, round_number: int) -> int:
        """Return how many numbers a participant uploads in a round."""
        shape = shape_of(layout)
        if round_number > CUTTING:
            _, level = shape.grown_in(round_number)
            return shape.sums * shape.features * self.bins * 2 << level
        counts = cut_points.counts_size(shape.features, self.bins - 1, round_number)
        return counts + shape.sums + 1 if round_number == 1 else counts

    def _most(self, layout: Layout) -> int:
        """Return the most numbers that a participant uploads in a round."""
        last_level = CUTTING + shape_of(layout).depth
        return max(self._sent(layout, number) for number in (1, 2, last_level))

    def _received(self, layout: Layout, round_number: int) -> int:
        """Return how many numbers a participant downloads in a round."""
        if round_number == 1:
            return 0
        shape = shape_of(layout)
        cuts = shape.features * (self.bins - 1)
        if round_number <= CUTTING:
            return cuts
        tree, level = shape.grown_in(round_number)
        whole = 2 * ((1 << shape.depth) - 1) + (1 << shape.depth)
        return cuts + shape.sums * (1 + tree * whole + 2 * ((1 << level) - 1))


def _need_cuts(s: ServerContext, rounds: int) -> None:
    """Raise TrainingError where fewer rounds than these have found cuts."""
    done = int(s.state["cut_rounds"])
    if done < rounds:
        raise TrainingError(
            f"algorithm.name: nobody completed round {done + 1}; the first {CUTTING} rounds find"
            " where features are cut, and need participants"
        )

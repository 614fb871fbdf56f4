"""The objective of recommendation: which item of a list a user has chosen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import torch
from pydantic import Field
from sklearn.metrics import ndcg_score
from torch.nn.functional import binary_cross_entropy_with_logits

from mpifl.datasets.dataset import DataShape
from mpifl.errors import InputError, counted
from mpifl.objectives.objective import Objective, Scores


class Recommendation(Objective):
    """Logistic loss of single items; hit rate and NDCG at `k` of lists of items.

    Data are those of a regression with two columns: 1 where the user has chosen the item or 0 where
    not, and a number below 2^24 of the list that the sample belongs to, such as the user's. The
    model has one output. A list is ranked by it, over all test samples at once; lists without a
    chosen item, and those of one item, are left out. The hit rate is the share of lists with a
    chosen item among the first k, where equal outputs count against it; NDCG that of scikit-learn,
    with gain 1. For a list of one chosen item and 99 others they are those of He et al., Neural
    Collaborative Filtering (arXiv 1708.05031).
    """

    tasks = ("regression",)
    measures = MappingProxyType(
        {
            "hit_rate": "share of lists with a chosen item among the first k; NaN when not tested",
            "ndcg": "mean normalised discounted cumulative gain at k; NaN when not tested",
        }
    )

    name: str = "recommendation"
    k: int = Field(10, ge=1, description="items of a list that are recommended")

    @property
    def gathered(self) -> int:
        """Of a sample the output, whether it was chosen, and its list."""
        return 3

    def check(self, data: DataShape) -> None:
        if data.outputs != 2:
            raise InputError(
                "objective.name: 'recommendation' is not allowed: the targets have"
                f" {counted(data.outputs, 'column')}; allowed: two, whether the item was chosen"
                " and the number of the list"
            )

    def model_shape(self, data: DataShape) -> DataShape:
        return replace(data, outputs=1)

    def sample_losses(self, output: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return binary_cross_entropy_with_logits(output[..., 0], y[..., 0], reduction="none")

    def score(self, output: torch.Tensor, y: torch.Tensor) -> Scores:
        ones = torch.ones(len(y), dtype=torch.int64, device=y.device)
        rows = torch.cat([output, y], 1).double()
        loss = self.sample_losses(output, y).double()
        return Scores(ones, torch.zeros_like(ones), loss, ones[:0], rows)

    def metrics(
        self, scored: int, correct: int, loss: float, counts: np.ndarray, rows: np.ndarray
    ) -> dict[str, float]:
        """Return hit_rate, ndcg and loss.

        The first two are NaN where no list counts, and where an output is not finite.
        """
        lists, hits, gains = 0, 0, 0.0
        for ranked, chosen in _lists(rows) if np.isfinite(rows).all() else ():
            lists += len(ranked)
            hits += int(self._hits(ranked, chosen).sum())
            gains += len(ranked) * ndcg_score(chosen, ranked, k=self.k)
        return {
            "hit_rate": hits / lists if lists else np.nan,
            "ndcg": gains / lists if lists else np.nan,
            "loss": loss,
        }

    def _hits(self, ranked: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        """Return which lists (lists,) have a chosen item among their first k."""
        best = np.where(chosen > 0, ranked, -np.inf).max(axis=1, keepdims=True)
        hits: np.ndarray = ((chosen <= 0) & (ranked >= best)).sum(axis=1) < self.k
        return hits


def _lists(rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield outputs and choices of all lists that count, (lists, items) each, for each length.

    Lists of one length go together: scikit-learn takes 0.5 ms for a call and 0.03 ms for a list.
    """
    rows = rows[np.argsort(rows[:, 2], kind="stable")]
    begins = np.flatnonzero(np.diff(rows[:, 2], prepend=np.nan) != 0)
    lengths = np.diff(begins, append=len(rows))
    for length in np.unique(lengths[lengths > 1]):
        some = rows[begins[lengths == length, None] + np.arange(length)]
        some = some[some[..., 1].any(axis=1)]
        if len(some):
            yield some[..., 0], some[..., 1]

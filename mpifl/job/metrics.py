"""The metrics of a test that mpifl knows by name: main ones, and which way each is better.

Of an objective's own measures ``Objective.higher_is_better`` says it.
"""

from __future__ import annotations

from collections.abc import Collection

MAIN = (
    "bleu",
    "accuracy",
    "rmse",
    "perplexity",
    "recall_at_k",
    "concordance",
    "map",
    "neighbour_accuracy",
    "mean_return",
    "frechet",
    "loss",
)
"""The metrics that can be a task's main one: the first that it has."""

SHARES = (
    "accuracy",
    "top5",
    "f1",
    "auc",
    "average_precision",
    "precision_at_k",
    "recall_at_k",
    "concordance",
    "hit_rate",
    "ndcg",
    "miou",
    "map",
    "map_50",
    "neighbour_accuracy",
    "client_accuracy",
    "worst_decile_accuracy",
)
"""Metrics from 0 to 1, of which more is better."""

HIGHER_IS_BETTER = (*SHARES, "bleu", "mean_return")
LOWER_IS_BETTER = (
    "loss",
    "perplexity",
    "rmse",
    "frechet",
    "wer",
    "cer",
    "client_loss",
    "worst_decile_loss",
    "client_accuracy_variance",
)


def lower_is_better(metric: str, own: Collection[str]) -> bool:
    """Return whether the lower value of a metric of /rounds is the better one.

    ``own`` is the ``higher_is_better`` of the objective that has the metric.
    """
    return metric not in HIGHER_IS_BETTER and metric not in own


def out_of_reach(metric: str, at: float) -> str | None:
    """Return why no test can give a metric this value, such as an accuracy of 90; None if one can.

    A user who means 90 % is told, before a run waits for it in vain.
    """
    if metric not in SHARES or 0 <= at <= 1:
        return None
    return f"{metric} is a share from 0 to 1" + (f": {at / 100:g}?" if 1 < at <= 100 else "")

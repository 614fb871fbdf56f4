"""Scores of test samples of two classes, ranked all at once."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

MEASURES = MappingProxyType(
    {
        "auc": "area under the ROC curve; NaN when not tested",
        "average_precision": "area under precision over recall; NaN when not tested",
    }
)


def ranking_scores(y: np.ndarray, ranked: np.ndarray) -> dict[str, float]:
    """Return auc and average_precision of scikit-learn.

    They are NaN while all samples are of one class, and where ``ranked`` is not finite.

    Args:
        y: The class of each sample, 0 or 1 (samples,).
        ranked: By what they are ranked (samples,): the more, the likelier class 1.
    """
    if not 0 < y.sum() < len(y) or not np.isfinite(ranked).all():
        return dict.fromkeys(MEASURES, np.nan)
    return {
        "auc": float(roc_auc_score(y, ranked)),
        "average_precision": float(average_precision_score(y, ranked)),
    }

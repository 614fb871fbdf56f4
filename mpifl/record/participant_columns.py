"""Columns of /participants that only runs have whose participants do not all do the same."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mpifl.job import Job
from mpifl.record.tables import Columns, with_columns
from mpifl.rounds.plan.round_result import RoundResult

KindsOf = Callable[[np.ndarray], np.ndarray]
"""Returns what the algorithm takes each of some clients (n,) int64 for, (n,) int64."""


def own_columns(job: Job) -> Columns:
    """Return the columns of /participants for what each participant is, and is told to do."""
    columns: Columns = {}
    if job.selection.orders_uploads:
        columns["sent"] = ("<f8", "share of its upload that it was told to send")
    if job.algorithm.kinds > 1:
        names = (f"{kind} {job.algorithm.kind_name(kind)}" for kind in range(job.algorithm.kinds))
        columns["kind"] = ("<i4", f"part of the model that it has: {', '.join(names)}")
    return columns


def own_participants(
    rows: np.ndarray, result: RoundResult, columns: Columns, kinds_of: KindsOf | None
) -> np.ndarray:
    """Return /participants rows (n,) of a round with ``columns``, those of ``own_columns``."""
    if not columns:
        return rows
    rows = with_columns(rows, columns)
    if "sent" in columns:
        rows["sent"] = result.plan.timeline.participants["sent"]
    if "kind" in columns:
        assert kinds_of is not None
        rows["kind"] = kinds_of(np.ascontiguousarray(rows["client"]))
    return rows

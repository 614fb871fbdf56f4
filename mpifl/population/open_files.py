"""How the data sets and traces of jobs are opened: anew for each job, or once for many jobs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from mpifl.datasets.check import check_dataset
from mpifl.datasets.dataset import Dataset, open_dataset
from mpifl.traces.trace import Trace, open_trace

MOST_OPEN = 16
"""The most files of a kind that stay open; each takes about ten of the 65,530 mappings of Linux."""


def checked_dataset(path: Path) -> Dataset:
    """Return a data set, mapped, that training can rely on. Raises InputError."""
    data = open_dataset(path)
    check_dataset(path, data)
    return data


@dataclass(frozen=True)
class Files:
    """How files are opened. Each function takes a path, and raises InputError for a wrong file.

    Attributes:
        dataset: Returns a data set, mapped.
        checked: Returns a data set, mapped, that training can rely on.
        trace: Returns a trace, mapped and checked.
    """

    dataset: Callable[[Path], Dataset] = open_dataset
    checked: Callable[[Path], Dataset] = checked_dataset
    trace: Callable[[Path], Trace] = open_trace

    @classmethod
    def kept_open(cls) -> Files:
        """Return functions that keep the last files: of jobs that are checked one after another.

        What they return is shared, so nobody may write to it. A file that changes in between is
        found by the run that uses it, which opens its files anew.
        """
        keep = lru_cache(MOST_OPEN)
        return cls(keep(open_dataset), keep(checked_dataset), keep(open_trace))


ANEW = Files()

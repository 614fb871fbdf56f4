"""What rank 0 writes down of a run: the tables, the lines of the log, the summary."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mpifl.record.progress import round_lines
from mpifl.record.run_directory import write_summary
from mpifl.record.run_file import RunFile, run_file
from mpifl.record.summary import Totals, closing_lines
from mpifl.record.too_few_online import TooFewOnline
from mpifl.record.too_few_updates import TooFewUpdates
from mpifl.rounds.experiment import TimingExperiment
from mpifl.rounds.round_result import RoundResult

LOG = logging.getLogger(__name__)


class RunRecord:
    """The record of a run in ``folder``; ``file`` is its run.h5, with the rounds so far."""

    def __init__(self, experiment: TimingExperiment, folder: Path, file: RunFile) -> None:
        self.file = file
        self._folder = folder
        self._rounds = experiment.job.rounds
        self._totals = Totals()
        self._too_few = (TooFewOnline.of(experiment), TooFewUpdates.of(experiment))
        for row in file.rounds():
            self._totals.add(row)
            self._too_few_lines(row)

    def ended_round(self, result: RoundResult) -> None:
        """Write a round's rows, and its line. Raises DiskFull."""
        row = self.file.append(result)
        self._totals.add(row)
        for line in (*self._too_few_lines(row), *round_lines(row, self._rounds)):
            LOG.info(line)

    def _too_few_lines(self, row: np.ndarray) -> list[str]:
        """Count what a round lacks; return the lines that say so for the first time."""
        return [line for counter in self._too_few for line in counter.add(row)]

    def check_trained(self) -> None:
        """Raise TrainingError when every participant that was to be trained has failed."""
        self._totals.check_trained()

    def finish(self, facts: Mapping[str, Any]) -> None:
        """Write summary.json from ``facts`` and the totals, and the closing lines."""
        summary = {**facts, **self._totals.summary()}
        write_summary(self._folder, summary)
        lines = closing_lines(summary, os.path.relpath(self._folder))
        too_few = [line for counter in self._too_few for line in counter.closing()]
        for line in (*too_few, *lines):
            LOG.info(line)


@contextlib.contextmanager
def run_record(
    experiment: TimingExperiment, folder: Path, rows: Mapping[str, int] | None
) -> Iterator[RunRecord]:
    """Open the record of a run; ``rows`` counts the rows of each table that a resumed run keeps."""
    with run_file(folder, experiment.job, rows) as file:
        yield RunRecord(experiment, folder, file)

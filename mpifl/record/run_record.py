"""What rank 0 writes down of a run: the tables, the lines of the log, the summary."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mpifl.algorithms.algorithm import FOUND
from mpifl.clock.workload_by_kind import WorkloadByKind
from mpifl.io.log import RESULT_LINE, ROUND_LINE
from mpifl.record.analytics_text import analytics_entries
from mpifl.record.loggers.run_loggers import RunLoggers
from mpifl.record.plain_bytes import Plain
from mpifl.record.progress import round_lines
from mpifl.record.run_directory import write_summary
from mpifl.record.run_file import RunFile, run_file
from mpifl.record.status_writer import StatusWriter
from mpifl.record.stop_rule import StopRule
from mpifl.record.summary import Totals, closing_lines
from mpifl.record.too_few_online import TooFewOnline
from mpifl.record.too_few_updates import TooFewUpdates
from mpifl.record.wording import folded
from mpifl.rounds.experiment.experiment import TimingExperiment
from mpifl.rounds.plan.round_result import RoundResult

LOG = logging.getLogger(__name__)


class RunRecord:
    """The record of a run in ``folder``; ``file`` is its run.h5, with the rounds so far.

    ``status`` is told of every round.
    """

    def __init__(
        self, experiment: TimingExperiment, folder: Path, file: RunFile, status: StatusWriter
    ) -> None:
        objective = experiment.job.objective
        self.file = file
        self._status = status
        self._folder = folder
        self._rounds = experiment.job.rounds
        self._totals = Totals()
        self._measures = tuple(objective.measures)
        self._trains = experiment.job.algorithm.trains
        self._found = np.empty(0, FOUND)
        self._stop_rule = StopRule(experiment.job.stop, objective.higher_is_better)
        self._too_few = (TooFewOnline.of(experiment), TooFewUpdates.of(experiment))
        row = None
        for row in file.rounds():
            self._totals.add(row)
            self._stop_rule.add(row)
            self._too_few_lines(row)
        if row is not None:
            status.tell(row, self._totals, old=True)
        self._loggers = RunLoggers(experiment.job, folder, file, row)

    def ended_round(self, result: RoundResult) -> None:
        """Write a round's rows, and its line. Raises DiskFull."""
        row = self.file.append(result)
        self._found = result.found
        self._totals.add(row)
        self._stop_rule.add(row)
        self._status.tell(row, self._totals, ended_by=self._stop_rule.met_by)

        *notices, own = round_lines(row, self._rounds, self._measures)
        for line in (*self._too_few_lines(row), *notices):
            LOG.info(line)
        LOG.info(own, extra=ROUND_LINE)
        self._loggers.round(row)

    def _too_few_lines(self, row: np.ndarray) -> list[str]:
        """Count what a round lacks; return the lines that say so for the first time."""
        return [line for counter in self._too_few for line in counter.add(row)]

    def met(self) -> bool:
        """Return whether the rounds so far meet the job's ``stop``."""
        return self._stop_rule.met_by is not None

    def check_trained(self) -> None:
        """Raise TrainingError when every participant that was to be trained has failed."""
        self._totals.check_trained()

    def break_off(self) -> None:
        """Tell the loggers that the run has not come to its end."""
        self._loggers.end(None)

    def finish(self, facts: Mapping[str, Any]) -> None:
        """Write summary.json from ``facts`` and the totals, and the closing lines."""
        ended = {"rounds": self._totals.rounds, "stopped_by": self._stop_rule.met_by}
        too_few = [line for counter in self._too_few for line in counter.closing()]
        summary = {**facts, **ended, **self._totals.summary(), "too_few": too_few}
        if not self._trains:
            summary["analytics"] = analytics_entries(self._found)
        write_summary(self._folder, summary)
        self._loggers.end(summary)
        place = os.path.relpath(self._folder)
        scores, *others, results = closing_lines(summary, place, self._measures)
        for line in too_few:
            LOG.info(line)
        for part in folded(scores):
            LOG.info(part, extra=RESULT_LINE)
        for part in itertools.chain.from_iterable(map(folded, others)):
            LOG.info(part)
        LOG.info(results, extra=RESULT_LINE)  # one line: scripts read it


@contextlib.contextmanager
def run_record(
    experiment: TimingExperiment,
    folder: Path,
    rows: Mapping[str, int] | None,
    status: StatusWriter,
) -> Iterator[RunRecord]:
    """Open the record of a run; ``rows`` counts the rows of each table that a resumed run keeps."""
    plain = Plain(experiment.workload.plain_down, experiment.workload.plain_up)
    attackers = experiment.attackers if experiment.job.attacks else None
    work = experiment.workload
    kinds_of = work.kinds_of if isinstance(work, WorkloadByKind) else None
    with run_file(folder, experiment.job, rows, plain, attackers, kinds_of) as file:
        record = RunRecord(experiment, folder, file, status)
        try:
            yield record
        except BaseException:
            record.break_off()
            raise

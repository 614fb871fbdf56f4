"""All loggers of a run, so that none of them can end it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mpifl.job import Job, dump_job, load_yaml
from mpifl.record.loggers.logger import Logger, Row, RunFacts
from mpifl.record.run_file import RunFile

LOG = logging.getLogger(__name__)


class RunLoggers:
    """The loggers of a job, told of its run in ``folder``.

    One that raises is left out from then on, with a warning. ``file`` is run.h5 with the rounds so
    far, ``last`` the /rounds row of the last of them (an array of one), None where there is none.
    """

    def __init__(self, job: Job, folder: Path, file: RunFile, last: np.ndarray | None) -> None:
        loggers = job.record.loggers
        self._left = {f"record.loggers.{place}": one for place, one in enumerate(loggers)}
        self._last = None if last is None else as_row(last)
        if not self._left:
            return

        plain = load_yaml(dump_job(job))
        columns = {name: text for name, (_, text) in file.tables["rounds"].items()}
        done = 0 if self._last is None else int(self._last["round"])
        for key, logger in tuple(self._left.items()):
            rows = partial(_rows_for, logger, file)
            self._tell(key, "begin", RunFacts(folder, plain, columns, done, rows))

    def round(self, row: np.ndarray) -> None:
        """Tell of a round that is over: its /rounds row (an array of one)."""
        if not self._left:
            return
        self._last = as_row(row)
        for key, logger in tuple(self._left.items()):
            if _is_due(logger, self._last):
                self._tell(key, "round", self._last)

    def end(self, summary: Mapping[str, Any] | None) -> None:
        """Tell of the end, with summary.json; None: the run has not come to its end."""
        last = self._last
        for key, logger in tuple(self._left.items()):
            if summary is not None and last is not None and not _is_due(logger, last):
                self._tell(key, "round", last)
        for key in tuple(self._left):
            self._tell(key, "end", summary)

    def _tell(self, key: str, what: str, *facts: Any) -> None:
        """Call a method of the logger of a key; if it raises, warn and leave it out from now on."""
        logger = self._left[key]
        try:
            getattr(logger, what)(*facts)
        except Exception as error:
            del self._left[key]
            lines = str(error).strip().splitlines() or [""]
            LOG.warning(
                "%s: %s ends with %s: %s; the run goes on, and run.h5 has every round",
                key,
                logger.name,
                type(error).__name__,
                lines[0],
            )


def as_row(row: np.ndarray) -> Row:
    """Return a /rounds row (an array of one) as value by column."""
    return dict(zip(row.dtype.names or (), row[0].item(), strict=True))


def _rows_for(logger: Logger, file: RunFile) -> Iterator[Row]:
    """Yield the rows so far that a logger is told of."""
    for row in map(as_row, file.rounds()):
        if _is_due(logger, row):
            yield row


def _is_due(logger: Logger, row: Row) -> bool:
    return int(row["round"]) % logger.every == 0

"""A logger that kills a rank while a run goes on: whatever the job, some moment after a round."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from mpifl.record.loggers.logger import Logger, Row, RunFacts

HERE = __file__
KILLED = "killed"
"""The file in the run directory that says that it has been done: the next aggregator leaves the ranks alone."""


class Killing(Logger):
    """Kills a rank of this host, once."""

    name: str = "killing"
    after: int = Field(1, description="the round after which it does")
    rank: int = Field(1, description="the rank that is killed")
    _mark: Path = Path()

    def begin(self, run: RunFacts) -> None:
        """See Logger."""
        self._mark = run.folder / KILLED

    def round(self, row: Row) -> None:
        """See Logger."""
        if row["round"] >= self.after and not self._mark.exists():
            self._mark.touch()
            os.kill(_process_of(self.rank), signal.SIGKILL)

    def end(self, summary: Mapping[str, Any] | None) -> None:
        """See Logger."""


def _process_of(rank: int) -> int:
    """Return the process of a rank: mpirun has started it as it has started this one."""
    mpirun = os.getppid()
    wanted = f"OMPI_COMM_WORLD_RANK={rank}".encode()
    for process in Path(f"/proc/{mpirun}/task/{mpirun}/children").read_text().split():
        if wanted in Path(f"/proc/{process}/environ").read_bytes().split(b"\0"):
            return int(process)
    raise ProcessLookupError(f"rank {rank} is not there")

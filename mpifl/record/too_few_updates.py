"""Says when fewer updates come than a round waits for: once at first, and once at the end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mpifl.clock.policy import RoundPolicy
from mpifl.errors import counted
from mpifl.record.progress import ends
from mpifl.record.wording import losses_text
from mpifl.rounds.experiment.experiment import Experiment, TimingExperiment
from mpifl.rounds.experiment.shortage import more_updates


@dataclass
class TooFewUpdates:
    """Counts the rounds in which fewer updates came than the round waits for, abandoned or not.

    A round at whose start fewer clients were online than that does not count here:
    ``TooFewOnline`` says so.

    Attributes:
        clock: The round policy of the job.
        silent: Whether nothing is said, as in a run that only times its rounds, in one of a
            protocol of actors, or where chance says how many are asked.
        rounds: The rounds so far.
        short: How many of them had too few updates.
        came, dropped, cut: Updates and lost participants in those, summed.
    """

    clock: RoundPolicy
    silent: bool
    rounds: int = 0
    short: int = 0
    came: int = 0
    dropped: int = 0
    cut: int = 0

    @classmethod
    def of(cls, experiment: TimingExperiment) -> TooFewUpdates:
        """Return the counter of a run, which may be silent."""
        job = experiment.job
        silent = not isinstance(experiment, Experiment) or job.protocol.has_actors
        silent = silent or job.selection.varies
        return cls(job.clock, silent)

    def add(self, row: np.ndarray) -> list[str]:
        """Count a /rounds row (an array of one); return the line for the first short round."""
        wanted = int(row["wanted"][0])
        came = int(row["completed"][0] + row["abandoned"][0])
        self.rounds += 1
        if self.silent or came >= wanted or row["online"][0] < wanted:
            return []

        self.short += 1
        self.came += came
        self.dropped += int(row["dropped"][0])
        self.cut += int(row["cut"][0])
        if self.short > 1:
            return []
        ended = counted(int(row["asked"][0]), "participant")
        others = losses_text(ends(row)) or "no others were asked"
        return [
            f"round {row['round'][0]}: {came:,} of the {counted(wanted, 'update')} that a round"
            f" waits for came ({ended}: {others}); {self._keys()}"
        ]

    def closing(self) -> list[str]:
        """Return the line for the end of a run, or no line if no round was short."""
        if not self.short:
            return []
        return [
            f"in {self.short} of {counted(self.rounds, 'round')} fewer updates came than a round"
            f" waits for: {self.came / self.short:,.1f} on average"
            f" ({self.dropped / self.short:,.1f} dropped out, {self.cut / self.short:,.1f} cut);"
            f" {self._keys()}"
        ]

    def _keys(self) -> str:
        return more_updates(self.clock, self.dropped, self.cut)

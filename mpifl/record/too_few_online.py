"""Warns when fewer clients are online than a round asks: once at first, and once at the end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mpifl.errors import counted
from mpifl.rounds.experiment.experiment import Experiment, TimingExperiment
from mpifl.rounds.experiment.shortage import MORE_ONLINE, asked, asked_text


@dataclass
class TooFewOnline:
    """Counts the rounds at whose start fewer clients were online than a round asks.

    Attributes:
        clients: The size of the population.
        asks: How many clients a round asks, or keeps under way at a time; 0 for no warnings.
        words: The text that says so.
        rounds: The rounds so far.
        short: How many of them had too few clients online.
        online: The sum of clients online at the start of those.
    """

    clients: int
    asks: int
    words: str
    rounds: int = 0
    short: int = 0
    online: float = 0.0

    @classmethod
    def of(cls, experiment: TimingExperiment) -> TooFewOnline:
        """Return the counter of a run; without warnings if the run only times its rounds."""
        job = experiment.job
        if job.protocol.has_actors:
            return cls(experiment.population.clients, 0, "")
        clients = experiment.population.clients
        asks = min(asked(job), clients) if isinstance(experiment, Experiment) else 0
        return cls(clients, asks, asked_text(job))

    def add(self, row: np.ndarray) -> list[str]:
        """Count a /rounds row (an array of one); return a warning for the first short round."""
        online = float(row["online"][0])
        self.rounds += 1
        if online >= self.asks:
            return []
        self.short += 1
        self.online += online
        if self.short > 1:
            return []
        return [
            f"round {row['round'][0]}: {online:,.0f} of {counted(self.clients, 'client')}"
            f" ({online / self.clients:.0%}) are online, fewer than {self.words}:"
            f" only those take part; {MORE_ONLINE}"
        ]

    def closing(self) -> list[str]:
        """Return the line for the end of a run, or no line if no round was short."""
        if not self.short:
            return []
        mean = self.online / self.short
        return [
            f"in {self.short} of {counted(self.rounds, 'round')} fewer clients were online than"
            f" {self.words}: {mean:,.1f} of {self.clients:,} on average; {MORE_ONLINE}"
        ]

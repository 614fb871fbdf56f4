"""What a run says when fewer clients are online than its rounds ask: once when it first happens, and once at its end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mpifl.errors import counted
from mpifl.rounds.experiment import Experiment, TimingExperiment

REMEDY = "clock.availability=always ignores availability"


@dataclass
class TooFewOnline:
    """The rounds so far at whose start fewer clients were online than a round asks.

    ``clients`` is the size of the population; ``asks`` is how many of them a round asks, or keeps under way at a time, and
    ``words`` say that. With ``asks`` 0 nothing is said.
    """

    clients: int
    asks: int
    words: str
    rounds: int = 0
    short: int = 0
    online: float = 0.0

    @classmethod
    def of(cls, experiment: TimingExperiment) -> TooFewOnline:
        """Return it for a run that is to train. A run that only times its rounds has no model that could suffer."""
        job, clients = experiment.job, experiment.population.clients
        at_once = job.clock.at_once(job.clock.updates(job.selection.participants))
        words = f"the {at_once:,} to be under way" if job.clock.asynchronous else f"the {at_once:,} that a round asks"
        return cls(clients, min(at_once, clients) if isinstance(experiment, Experiment) else 0, words)

    def add(self, row: np.ndarray) -> list[str]:
        """Count a /rounds row (an array of one); return the line that says so for the first one that is short, else none."""
        online = float(row["online"][0])
        self.rounds += 1
        if online >= self.asks:
            return []
        self.short += 1
        self.online += online
        if self.short > 1:
            return []
        share = f"{online:,.0f} of {counted(self.clients, 'client')} ({online / self.clients:.0%}) are online"
        return [f"round {row['round'][0]}: {share}, fewer than {self.words}: only those take part; {REMEDY}"]

    def closing(self) -> list[str]:
        """Return the line for the end of a run: in how many rounds it was so. None where it never was."""
        if not self.short:
            return []
        mean = self.online / self.short
        return [
            f"in {self.short} of {counted(self.rounds, 'round')} fewer clients were online than {self.words}:"
            f" {mean:,.1f} of {self.clients:,} on average; {REMEDY}"
        ]

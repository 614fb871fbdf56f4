"""What a step of a protocol of secure aggregation costs its clients."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from mpifl.clock.workload import Workload
from mpifl.population.phones import Phones, rows_of
from mpifl.secure_aggregation.step import Step


@dataclass(frozen=True, kw_only=True)
class StepLoad(Workload):
    """What a step costs its clients.

    Attributes:
        plain: What a round costs without secure aggregation.
        phones: Those of the clients.
        clients: Whose step it is, (n,) int64, sorted.
        down: Bytes (n,) that each receives, besides those of ``plain`` where it trains.
        up: Bytes (n,) that each sends, all of them.
        seconds: Seconds (n,) that each computes besides training.
        trains: Whether they also receive what participants do, and train.
    """

    plain: Workload
    phones: Phones
    clients: np.ndarray
    down: np.ndarray
    up: np.ndarray
    seconds: np.ndarray
    trains: bool

    @property
    def of_anybody(self) -> Workload:
        return self.plain.of_anybody

    def loads(self, clients: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        places = np.searchsorted(self.clients, clients)
        down = self.down[places]
        if self.trains:
            down = down + self.plain.loads(clients)[0]
        return down, self.up[places]

    def compute_scale(self, clients: np.ndarray) -> float | np.ndarray:
        return self.plain.compute_scale(clients)

    def costed(
        self, clients: np.ndarray, held: np.ndarray, processed: np.ndarray, steps: np.ndarray
    ) -> np.ndarray:
        """Return the samples that cost time, see Workload, and those that cost ``seconds``."""
        ms = self.phones.compute_ms_per_sample[rows_of(self.phones, clients)[0]]
        seconds = self.seconds[np.searchsorted(self.clients, clients)]
        samples: np.ndarray = 1000 * seconds / (self.inferences_per_sample * ms)
        if not self.trains:
            return samples
        return samples + self.plain.costed(clients, held, processed, steps)


def plain_load(workload: Workload) -> Workload:
    """Return what a round costs without secure aggregation."""
    return workload.plain if isinstance(workload, StepLoad) else workload


def step_load(
    workload: Workload, phones: Phones, clients: np.ndarray, step: Step, *, trains: bool
) -> StepLoad:
    """Return what a step costs ``clients`` (n,) int64, sorted, where a round costs ``workload``."""
    plain = plain_load(workload)
    number = len(clients)
    return StepLoad(
        **{field.name: getattr(plain, field.name) for field in fields(Workload)},
        plain=plain,
        phones=phones,
        clients=clients,
        down=np.broadcast_to(step.down, number).astype(np.int64),
        up=np.broadcast_to(step.up, number).astype(np.int64),
        seconds=np.broadcast_to(step.seconds, number).astype(np.float64),
        trains=trains,
    )

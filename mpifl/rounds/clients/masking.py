"""Masked updates: what an executor adds to the sum of a round, and how rank 0 unmasks it.

With ``secure_aggregation.masks: real`` the sum that travels is one of masked updates. Each is built
whole before it is added, so a rank has one vector more than without.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from mpifl.aggregation.exact_sum import RoundSum
from mpifl.errors import TrainingError
from mpifl.rounds.clients.assignment import ROSTER, Assignment, Results
from mpifl.rounds.clients.client_update import ClientUpdate
from mpifl.rounds.clients.update_sum import UpdateSum
from mpifl.rounds.experiment.experiment import Experiment
from mpifl.rounds.plan.plan import Plan
from mpifl.secure_aggregation.step import Cohort

if TYPE_CHECKING:
    from mpifl.rounds.clients.worker import Worker
    from mpifl.secure_aggregation.masks import Masks  # it imports cryptography, which takes time


@dataclass(frozen=True)
class Masked:
    """The sum of a round's masked updates, ``total`` (width, size) int64, and their masks."""

    total: np.ndarray
    masks: Masks


class MaskedSum:
    """Adds masked updates to a round's sum, as UpdateSum adds plain ones, with its methods."""

    def __init__(self, experiment: Experiment, masked: Masked, device: torch.device) -> None:
        self._experiment = experiment
        self._masked = masked
        self._device = device
        self._update = np.zeros(masked.total.shape[1], np.int64)

    def add(
        self, client: int, update: ClientUpdate, weight: float, noise: np.ndarray | None = None
    ) -> None:
        """Mask ``weight`` times one client's update, and add it; arguments as of UpdateSum."""
        self._update[:] = 0
        plain = UpdateSum(self._experiment, _parts(self._experiment, self._update), self._device)
        plain.add(client, update, weight, noise)
        late = plain.close()
        if late is not None:
            raise late[1]
        self._masked.masks.mask(client, self._update, self._masked.total)

    def close(self) -> tuple[int, TrainingError] | None:
        """End the sum; errors have been raised already."""
        return None


def open_sum(
    experiment: Experiment, target: RoundSum | Masked, device: torch.device
) -> UpdateSum | MaskedSum:
    """Return what adds updates to the running sum of a round."""
    if isinstance(target, Masked):
        return MaskedSum(experiment, target, device)
    return UpdateSum(experiment, target, device)


def target_of(
    worker: Worker, assignment: Assignment, results: Results, index: int
) -> RoundSum | Masked:
    """Return the running sum of one round of an assignment, counted from 0."""
    if not len(assignment.roster):
        return results.round_sum(index)
    round_number = assignment.first_round + index
    if round_number not in worker.masks:
        worker.masks.clear()
        masks = _masks(worker.experiment, round_number, assignment.roster)
        worker.masks[round_number] = masks
    return Masked(results.masked, worker.masks[round_number])


def roster_of(experiment: Experiment, plan: Plan) -> np.ndarray:
    """Return the cohort (structured ROSTER) of a round whose updates are masked, else no rows."""
    protocol = experiment.job.secure_aggregation
    if not (protocol.active and protocol.masks == "real" and len(plan.tasks)):
        return np.empty(0, ROSTER)
    roster = np.empty(len(plan.timeline.secured), ROSTER)
    roster["client"] = plan.timeline.participants["client"]
    roster["phase"] = plan.timeline.secured["phase"]
    return np.sort(roster, order="client")


def summed(experiment: Experiment, plan: Plan, results: Results, index: int) -> RoundSum:
    """Return on rank 0 the sums of a round of an assignment, counted from 0, without masks."""
    roster = roster_of(experiment, plan)
    if not len(roster):
        return results.round_sum(index)
    masks = _masks(experiment, plan.round_number, roster)
    return _parts(experiment, masks.unmask(results.masked))


def _masks(experiment: Experiment, round_number: int, roster: np.ndarray) -> Masks:
    clients = np.ascontiguousarray(roster["client"])
    entries = experiment.workload.masked_entries
    cohort = Cohort(clients, round_number, experiment.job.seed, entries)
    return experiment.job.secure_aggregation.make_masks(cohort, roster["phase"])


def _parts(experiment: Experiment, flat: np.ndarray) -> RoundSum:
    """Return the sums in one vector (size,) int64 as the parts of a RoundSum: views."""
    sums = experiment.sums
    vectors = flat[: sums.total]
    return RoundSum(vectors, flat[sums.total :].reshape(sums.slots, 2, sums.averaged))

"""What the aggregator assigns to the executors, and what their results add up to."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np

from mpifl.aggregation.exact_sum import RoundSum
from mpifl.rounds.experiment.experiment import Experiment
from mpifl.rounds.plan.round_result import MEASURED, METRIC, NOT_JUDGED
from mpifl.rounds.plan.snapshot import STATE_ROUND

Version = dict[str, np.ndarray]
"""The arrays (float32) of one model version by name: the model, and what participants receive."""

Versions = dict[int, Version]

Products = dict[int, tuple[np.ndarray, np.ndarray]]
"""By slot: the clients (n,) int64 whose updates went into it, sorted, and the inner products of
these, (n, n) float64."""

FAILED = -1
"""In the place of a slot: training failed."""


ROSTER = np.dtype([("client", "<i8"), ("phase", "<u1")])
"""A client who was asked in a round, and how far it came in its secure aggregation."""


class Stage(IntEnum):
    """What executors do with the tasks of an assignment."""

    WHOLE = 0  # train them, and add their updates to the sums
    TRAIN = 1  # train them, and keep their updates until it is known which count
    COUNT = 2  # add updates that were kept to the sums, with the weights of these tasks


@dataclass(frozen=True)
class Assignment:
    """One round or several that can be trained now, because all their base versions are known.

    With a synchronous clock that is one round, with an asynchronous one often several. ``tasks``
    (structured TASK) are those of rounds ``first_round`` to ``first_round + rounds - 1`` or, in the
    stage TRAIN, which sums nothing and has no rounds, of ``first_round``; ``tests``
    (int64) are the model versions to test, ``personal`` (structured PERSONAL, by version) the
    clients to test with their own models. ``probes`` (int64) are clients that compute the loss of
    the newest model version, before the next round is planned. ``oldest`` is the round after which
    the run might be resumed: the state that clients had then is kept. ``kept`` (int64) are the
    clients whose updates of earlier assignments are still needed. ``stage`` says what is done with
    the tasks. ``roster`` (structured ROSTER, by client) is the cohort of a round whose updates
    are masked; empty where they are not. ``others`` (structured STATE_ROUND, by client) are the
    participants of the last round, for algorithms whose clients look at what these kept.
    """

    first_round: int
    rounds: int
    tasks: np.ndarray
    tests: np.ndarray
    personal: np.ndarray
    probes: np.ndarray
    oldest: int
    kept: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    stage: Stage = Stage.WHOLE
    roster: np.ndarray = field(default_factory=lambda: np.empty(0, ROSTER))
    others: np.ndarray = field(default_factory=lambda: np.empty(0, STATE_ROUND))

    @property
    def combined(self) -> bool:
        """Whether it ends a round with participants."""
        return self.rounds > 0 and len(self.tasks) > 0 and self.stage != Stage.TRAIN


@dataclass(frozen=True)
class Results:
    """What the ranks' results add up to for an assignment: views into ``whole`` (int64).

    It is summed in one Reduce.

    ``vectors`` (rounds, total) and ``averages`` (rounds, slots, 2, averaged) are the running sums
    of the client updates; where updates are masked, ``masked`` (width, size) is in place of both.
    ``tests`` (tests, numbers) counts scored and correct predictions, the mean loss in fixed point,
    and what ``Experiment.test_numbers`` says. ``losses`` (tasks, 4 + MEASURED) is known to one rank
    each: the slot of the sums that the upload went into, FAILED where training failed; the local
    steps that were made; the coded upload's bytes; the bits of what was told, and of what was
    measured (float64). It rides in the same Reduce, since a Gather of its own costs a round more
    than it does. ``probes`` (probes, 1) are the bits of the losses of the clients probed, in the
    same way. ``tested`` (tests, samples, numbers) are the bits of what the objective needs of each
    test sample. ``rejected`` (tasks,) bool says which updates the aggregation rule left out: every
    rank knows it, so that it is in no sum. So it is with ``contributions`` (tasks,) float64, NaN
    where they were not evaluated, ``judged`` (the numbers of a Judged), and ``products``, for
    algorithms that need them (``ServerContext.products``).
    """

    whole: np.ndarray
    vectors: np.ndarray
    averages: np.ndarray
    tests: np.ndarray
    losses: np.ndarray
    probes: np.ndarray
    tested: np.ndarray
    rejected: np.ndarray
    masked: np.ndarray
    contributions: np.ndarray
    judged: np.ndarray
    products: Products = field(default_factory=dict)

    @staticmethod
    def empty(experiment: Experiment, assignment: Assignment) -> Results:
        """Return results to which nothing has been added."""
        masked = len(assignment.roster) > 0
        width = experiment.job.secure_aggregation.width
        shapes = (
            *experiment.sums.shapes(0 if masked else assignment.rounds),
            (len(assignment.tests), experiment.test_numbers),
            (len(assignment.tasks), 4 + len(MEASURED)),
            (len(assignment.probes), 1),
            (len(assignment.tests), *experiment.gathered),
            (width, experiment.sums.size) if masked else (0, 0),
        )
        ends = np.cumsum([math.prod(shape) for shape in shapes])

        whole = np.zeros(int(ends[-1]), np.int64)
        pieces = np.split(whole, ends[:-1])
        vectors, averages, tests, losses, probes, tested, masked_sum = (
            piece.reshape(shape) for piece, shape in zip(pieces, shapes, strict=True)
        )
        rejected = np.zeros(len(assignment.tasks), bool)
        contributions = np.full(len(assignment.tasks), np.nan)
        judged = np.array(NOT_JUDGED)
        return Results(
            whole,
            vectors,
            averages,
            tests,
            losses,
            probes,
            tested,
            rejected,
            masked_sum,
            contributions,
            judged,
        )

    def round_sum(self, index: int) -> RoundSum:
        """Return the sums of one round of the assignment, counted from 0."""
        return RoundSum(self.vectors[index], self.averages[index])

    def probe_losses(self) -> np.ndarray:
        """Return on rank 0 the losses (probes,) float64, once results have come."""
        return np.ascontiguousarray(self.probes[:, 0]).view(np.float64)

    def set_metrics(self, tasks: slice, metrics: np.ndarray) -> None:
        """Set losses and failure of tasks that this rank trained; ``metrics`` (METRIC)."""
        self.losses[tasks, 0] = np.where(metrics["failed"], FAILED, metrics["slot"])
        self.losses[tasks, 1] = metrics["steps"]
        self.losses[tasks, 2] = metrics["bytes_up"]
        for column, name in enumerate(("told", *MEASURED), 3):
            self.losses[tasks, column] = np.ascontiguousarray(metrics[name]).view(np.int64)

    def metrics(self, assignment: Assignment) -> np.ndarray:
        """Return on rank 0 the metrics of all tasks (structured METRIC), once results have come."""
        metrics = np.empty(len(assignment.tasks), METRIC)
        metrics["round"] = assignment.tasks["round"]
        metrics["client"] = assignment.tasks["client"]
        metrics["failed"] = self.losses[:, 0] == FAILED
        metrics["slot"] = np.maximum(self.losses[:, 0], 0)
        metrics["steps"] = self.losses[:, 1]
        metrics["bytes_up"] = self.losses[:, 2]
        metrics["rejected"] = self.rejected
        metrics["contribution"] = self.contributions
        for column, name in enumerate(("told", *MEASURED), 3):
            metrics[name] = np.ascontiguousarray(self.losses[:, column]).view(np.float64)
        return metrics


def keep_only(versions: Versions, kept: np.ndarray) -> None:
    """Remove every version that is not among ``kept``, in place; both sides do so."""
    for number in versions.keys() - set(kept.tolist()):
        del versions[number]

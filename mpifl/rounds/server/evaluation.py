"""Tests of the global model on rank 0: from the sums of all ranks to the scores of the rounds."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mpifl.aggregation.exact_sum import from_fixed
from mpifl.errors import TrainingError
from mpifl.rounds.clients.assignment import Assignment, Results
from mpifl.rounds.clients.attack_scores import attack_success
from mpifl.rounds.experiment.experiment import Experiment
from mpifl.rounds.plan.round_result import CLIENT_TEST, RoundResult, Tested
from mpifl.rounds.plan.snapshot import Waiting


def tested_rounds(
    experiment: Experiment,
    untested: Sequence[Waiting],
    assignment: Assignment,
    results: Results,
    clients: np.ndarray | None,
) -> list[RoundResult]:
    """Return the results of the rounds that waited for the tests of an assignment.

    Args:
        experiment: The job, and what its model is tested on.
        untested: Rounds that are over; where a test of their model was due, it is in
            ``assignment``.
        assignment: Names the versions that were tested.
        results: What all ranks found.
        clients: Tests of single clients (structured CLIENT_TEST); None where the job asks for none.
    """
    clients = np.empty(0, CLIENT_TEST) if clients is None else clients
    if experiment.job.evaluation.personal:
        clients["device"] = experiment.population.devices(clients["client"])
    tested = {}
    found = zip(assignment.tests.tolist(), results.tests, results.tested, strict=True)
    for version, sums, of_samples in found:
        scored = int(sums[0])
        if not scored:
            part = experiment.job.evaluation.part
            raise TrainingError(
                f"evaluation.part: the {part} part has nothing to predict: none of its targets"
                " counts"
            )
        correct = int(sums[1])
        loss = float(from_fixed(sums[2]))
        mean_loss = loss * (experiment.tested_part.samples / scored)
        counted = 3 + experiment.objective.counted
        scores = experiment.objective.metrics(
            scored, correct, mean_loss, sums[3:counted], of_samples.view(float)
        )
        tested[version] = Tested(
            scores,
            _by_client(clients[clients["version"] == version]),
            attack_success(sums[counted:]) if experiment.aims else math.nan,
            experiment.survives_divergence and bool(sums[-1]),
        )

    return [
        RoundResult(
            waiting.plan,
            waiting.metrics,
            None if waiting.version is None else tested[waiting.version],
            waiting.messages,
            stopped=waiting.stopped,
            privacy=waiting.privacy,
            judged=waiting.judged,
            found=waiting.found,
        )
        for waiting in untested
    ]


def _by_client(rows: np.ndarray) -> np.ndarray:
    """Return one row (structured CLIENT_TEST) for each client, in the order of the clients.

    A client whose samples lie in several shards has several ``rows``; they are added in a fixed
    order, so that the bits do not depend on which rank tested what.
    """
    if not len(rows):
        return rows

    rows = np.sort(rows, order=["client", "scored", "correct", "loss"])
    first = np.flatnonzero(np.diff(rows["client"], prepend=-1))
    by_client = rows[first].copy()
    for name in ("scored", "correct", "loss"):
        by_client[name] = np.add.reduceat(rows[name], first)
    return by_client

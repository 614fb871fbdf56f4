"""What a round costs rank 0 before anyone trains. ``python -m benchmarks.micro.clock [participants]``.

Draws the participants, times each, takes the first N and makes the plan, on the trace ``phones``; one core. Populations differ
by what the keyed permutation costs: it is walked up to twice, more often just above a power of two.
"""

from __future__ import annotations

import sys
from statistics import median
from time import perf_counter

from benchmarks.micro.table import machine, show, versions
from mpifl.clock.timeline import ClockState
from mpifl.experiment import Timed
from mpifl.plan import make_plan
from mpifl.setup import check

POPULATIONS = (10**4, 10**6, 10**8)
PARTICIPANTS = 10_000
WARM_UP, ROUNDS = 2, 25


def main() -> None:
    """Time and print."""
    participants = int(sys.argv[1]) if len(sys.argv) > 1 else PARTICIPANTS
    experiments = {clients: _experiment(clients, participants) for clients in POPULATIONS}
    seconds: dict[int, list[float]] = {clients: [] for clients in experiments}
    asked: dict[int, list[int]] = {clients: [] for clients in experiments}
    states = dict.fromkeys(experiments, ClockState())
    for round_number in range(1, WARM_UP + ROUNDS + 1):
        for clients, experiment in experiments.items():
            elapsed, count, states[clients] = _round(experiment, round_number, states[clients])
            if round_number > WARM_UP:
                seconds[clients].append(elapsed)
                asked[clients].append(count)
    rows = [("population", "asked a round", "ms a round, median", "ms, least", "participants/s")]
    for clients in experiments:
        middle = median(seconds[clients])
        rows.append(
            (
                f"{clients:,}",
                f"{median(asked[clients]):,.0f}",
                f"{middle * 1e3:.2f}",
                f"{min(seconds[clients]) * 1e3:.2f}",
                f"{median(asked[clients]) / middle:,.0f}",
            )
        )
    overcommitment = next(iter(experiments.values())).job.clock.overcommitment
    title = f"{participants:,} participants and {overcommitment}-fold over-commitment, {ROUNDS} rounds, one core"
    show(title, rows, machine(), versions("numpy", "numba"))


def _experiment(clients: int, participants: int) -> Timed:
    # Where there are fewer clients than it takes, everyone online is asked, and the round waits for all of them.
    overrides = [f"population.clients={clients}", f"selection.participants={participants}", "population.trace=phones"]
    return check("quickstart", overrides)[0]


def _round(experiment: Timed, round_number: int, state: ClockState) -> tuple[float, int, ClockState]:
    """Seconds, clients asked, and the state after the round."""
    begun = perf_counter()
    plan = make_plan(experiment.job, experiment.population, experiment.workload, round_number, state)
    return perf_counter() - begun, len(plan.timeline.participants), plan.after


if __name__ == "__main__":
    main()

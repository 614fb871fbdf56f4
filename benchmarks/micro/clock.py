"""What a round costs rank 0 before anyone trains. ``python -m benchmarks.micro.clock [participants]``.

Draws the participants, times each and takes the first N (``Sync.advance``) on the trace ``phones``; one core. The
populations differ by what the keyed permutation costs: it is walked up to four times, more often just above a power of four.
"""

from __future__ import annotations

import sys
from functools import partial
from statistics import median
from time import perf_counter

from benchmarks.micro.table import machine, show, versions
from mpifl.experiment import Experiment
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
    now = dict.fromkeys(experiments, 0.0)
    for round_number in range(1, WARM_UP + ROUNDS + 1):
        for clients, experiment in experiments.items():
            elapsed, count, now[clients] = _round(experiment, round_number, now[clients])
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


def _experiment(clients: int, participants: int) -> Experiment:
    # Where there are fewer clients than it takes, everyone online is asked, and the round waits for all of them.
    overrides = [f"population.clients={clients}", f"selection.participants={participants}", "population.trace=phones"]
    return check("quickstart", overrides)[0]


def _round(experiment: Experiment, round_number: int, now: float) -> tuple[float, int, float]:
    """Seconds, clients asked, and the virtual second at which the round ends."""
    job, population = experiment.job, experiment.population
    choose = partial(job.selection.choose, population, seed=job.seed, round_number=round_number)
    begun = perf_counter()
    timeline = job.clock.advance(now, job.selection.participants, choose, population, experiment.workload)
    return perf_counter() - begun, len(timeline.client), timeline.end_seconds


if __name__ == "__main__":
    main()

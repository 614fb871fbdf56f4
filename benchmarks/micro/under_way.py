"""What an update costs rank 0 before anyone trains, with participants under way. ``python -m benchmarks.micro.under_way``.

Asynchronous rounds, with more and more participants under way; and rounds that want more clients than are online, of which the
clock has to find all without looking at the others. One core. Each row is a process of its own, of several the fastest counts.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from statistics import median
from time import perf_counter

import numpy as np

from benchmarks.micro.table import machine, show, versions
from mpifl.clock.timeline import ClockState, Outcome
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.rounds.experiment.experiment import TimingExperiment
from mpifl.rounds.plan.plan import make_plan

FEW, SLOTS, PERIOD = (
    0.0005,
    2000,
    20 * 86_400.0,
)  # share of the clients that are online, by turns, for 14 minutes each


def _async(concurrency: int, more: str = "") -> tuple[str, ...]:
    """Nobody is too late, so that each round is an update whatever the concurrency."""
    return (
        "selection.participants=1",
        f"clock={{mode: async, concurrency: {concurrency}, max_staleness: 1000000{more}}}",
    )


def _link(concurrency: int) -> str:
    return f", latency: {{server_up_kbps: {1000 * concurrency}}}"


def _buffered(clients: int, participants: int, concurrency: int) -> tuple[str, ...]:
    clock = f"clock={{mode: buffered, concurrency: {concurrency}}}"
    return (f"population.clients={clients}", f"selection.participants={participants}", clock)


ROWS: dict[str, tuple[tuple[str, ...], bool]] = {  # of the job, and whether few are online
    "async, 100 under way": (_async(100), False),
    "async, 1,000": (_async(1000), False),
    "async, 10,000": (_async(10_000), False),
    "async on a server's link, 100": (_async(100, _link(100)), False),
    "async on a server's link, 1,000": (_async(1000, _link(1000)), False),
    "async on a server's link, 10,000": (_async(10_000, _link(10_000)), False),
    "buffered, 1,000 wanted, 500 of 10^6 online": (_buffered(10**6, 10, 1000), True),
    "buffered, 10,000 wanted, 8,500 of 10^5 online": (
        (*_buffered(10**5, 100, 10_000), "population.trace=charging"),
        False,
    ),
    "sync, 58,500 asked, 50,000 of 10^8 online": (
        ("population.clients=100000000", "selection.participants=45000"),
        True,
    ),
}
WARM_UP, ROUNDS, PROCESSES = 5, 50, 3


def main() -> None:
    """Time every row in a process of its own, and print."""
    rows = [("", "ms a round, median", "ms, least", "ms an update, median")]
    for name in ROWS:
        found = min(
            (_in_a_process(name) for _ in range(PROCESSES)), key=lambda found: found["median"]
        )
        rows.append((name, *(f"{1e3 * found[key]:.3f}" for key in ("median", "least", "update"))))
    show(
        f"{ROUNDS} rounds of reddit-timing, one core, best of {PROCESSES}",
        rows,
        machine(),
        versions("numpy", "numba"),
    )


def _in_a_process(name: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.micro.under_way", name]
    found: dict[str, float] = json.loads(
        subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    )
    return found


def measure(name: str) -> dict[str, float]:
    """One row: seconds a round, and an update that counts."""
    overrides, few = ROWS[name]
    experiment, state = _experiment(overrides, few), ClockState()
    seconds, updates = [], []
    for round_number in range(1, WARM_UP + ROUNDS + 1):
        begun = perf_counter()
        plan = make_plan(
            experiment.job, experiment.population, experiment.workload, round_number, state
        )
        seconds.append(perf_counter() - begun)
        updates.append(plan.timeline.count(Outcome.COMPLETED))
        state = plan.after
    timed = seconds[WARM_UP:]
    each = [taken / count for taken, count in zip(timed, updates[WARM_UP:], strict=True) if count]
    return {"median": median(timed), "least": min(timed), "update": median(each)}


def _experiment(overrides: tuple[str, ...], few: bool) -> TimingExperiment:
    experiment = check_job("reddit-timing", list(overrides))[0]
    if not few:
        return experiment
    assert experiment.population.trace is not None
    start, stay = np.arange(SLOTS) * (PERIOD * (1 - FEW) / SLOTS), FEW * PERIOD
    slots = {
        "offsets": np.arange(SLOTS + 1),
        "start": start,
        "end": start + stay,
        "period": np.full(SLOTS, PERIOD),
    }
    trace = replace(experiment.population.trace, **slots)
    return replace(experiment, population=replace(experiment.population, trace=trace))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1])))
    else:
        main()

"""What a round costs rank 0 before anyone trains. ``python -m benchmarks.micro.clock [participants]``.

Draws the participants, times each, takes the first N and makes the plan, on the trace ``phones``; one core. Populations differ
by what the keyed permutation costs: it is walked up to twice, more often just above a power of two. Each row is a process of
its own, so that its peak of resident memory is its own (torch is loaded in it, as on a rank 0 that trains); of several the
fastest counts, for other work on the machine only slows it down.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from benchmarks.micro.table import machine, show, versions
from mpifl.clock.timeline import ClockState
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.rounds.experiment.experiment import TimingExperiment
from mpifl.rounds.plan.plan import make_plan
from mpifl.traces.bandwidth import Bandwidth

SERVER = ("clock.latency.server_down_kbps=1e5", "clock.latency.server_up_kbps=1e5")
ROWS: dict[
    str, tuple[int, tuple[str, ...], bool]
] = {  # clients, more of the job, whether bandwidth changes over time
    "10,000 clients": (10**4, (), False),
    "1,000,000 clients": (10**6, (), False),
    "100,000,000 clients": (10**8, (), False),
    "1,000,000, curves of bandwidth": (10**6, (), True),
    "1,000,000, server of 100 Mbit/s": (10**6, SERVER, False),
    "1,000,000, curves and server": (10**6, SERVER, True),
}
PARTICIPANTS = 10_000
WARM_UP, ROUNDS, PROCESSES = 2, 25, 3
CURVES, SEGMENTS = 1000, 24


def main() -> None:
    """Time every row in a process of its own, and print."""
    participants = int(sys.argv[1]) if len(sys.argv) > 1 else PARTICIPANTS
    rows = [("", "asked a round", "ms a round, median", "ms, least", "participants/s", "peak MiB")]
    for name in ROWS:
        found = min(
            (_in_a_process(name, participants) for _ in range(PROCESSES)),
            key=lambda found: found["median"],
        )
        rate = f"{found['asked'] / found['median']:,.0f}"
        row = (
            f"{found['asked']:,.0f}",
            f"{found['median'] * 1e3:.2f}",
            f"{found['least'] * 1e3:.2f}",
            rate,
        )
        rows.append((name, *row, f"{found['peak_mib']:.0f}"))
    title = f"{participants:,} participants and 1.3-fold over-commitment, {ROUNDS} rounds, one core, best of {PROCESSES}"
    show(title, rows, machine(), versions("numpy", "numba"))


def _in_a_process(name: str, participants: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.micro.clock", str(participants), name]
    found: dict[str, float] = json.loads(
        subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    )
    return found


def measure(name: str, participants: int) -> dict[str, float]:
    """One row: seconds a round, clients asked, and the peak of this process's memory."""
    clients, more, curves = ROWS[name]
    experiment, state = _experiment(clients, participants, more, curves), ClockState()
    seconds, asked = [], []
    for round_number in range(1, WARM_UP + ROUNDS + 1):
        begun = perf_counter()
        plan = make_plan(
            experiment.job, experiment.population, experiment.workload, round_number, state
        )
        seconds.append(perf_counter() - begun)
        asked.append(len(plan.timeline.participants))
        state = plan.after
    timed = seconds[WARM_UP:]
    return {
        "median": median(timed),
        "least": min(timed),
        "asked": median(asked[WARM_UP:]),
        "peak_mib": peak_mib(),
    }


def _experiment(
    clients: int, participants: int, more: Sequence[str], curves: bool
) -> TimingExperiment:
    # Where there are fewer clients than it takes, everyone online is asked, and the round waits for all of them.
    overrides = [
        f"population.clients={clients}",
        f"selection.participants={participants}",
        "population.trace=phones",
        *more,
    ]
    experiment = check_job("quickstart", overrides)[0]
    if not curves:
        return experiment
    assert experiment.population.trace is not None
    trace = replace(experiment.population.trace, bandwidth=_bandwidth())
    return replace(experiment, population=replace(experiment.population, trace=trace))


def _bandwidth() -> Bandwidth:
    """Curves of a day that change every hour, about 8 Mbit/s down and 3 up."""
    random, points = np.random.default_rng(0), CURVES * SEGMENTS
    start = np.tile(np.arange(SEGMENTS) * 86_400.0 / SEGMENTS, CURVES)
    down, up = random.lognormal(9, 1, points), random.lognormal(8, 1, points)
    return Bandwidth(np.arange(CURVES + 1) * SEGMENTS, start, down, up, np.full(CURVES, 86_400.0))


def peak_mib() -> float:
    """The most memory that was resident at a time; of this program, not of the one that started it (getrusage)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


if __name__ == "__main__":
    if len(sys.argv) > 2:
        print(json.dumps(measure(sys.argv[2], int(sys.argv[1]))))
    else:
        main()

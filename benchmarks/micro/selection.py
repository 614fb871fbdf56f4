"""What a selection rule that learns costs rank 0 a round. ``python -m benchmarks.micro.selection [participants]``.

A round is planned (choose, time, account), and learned from; nobody trains, losses are random. Before that the rule learns from one
round of as many participants as are to be explored. On the trace ``phones``, one core. Each row is a process of its own, so that its
peak of resident memory is its own; of several the fastest counts. Times are of the processor, which other work changes least.
"""

from __future__ import annotations

import json
import subprocess
import sys
from statistics import median
from time import process_time
from typing import NamedTuple

import numpy as np

from benchmarks.micro.table import machine, show, versions
from mpifl.clock.timeline import ClockState
from mpifl.kernels.permutation import permuted
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.rounds.experiment.experiment import TimingExperiment
from mpifl.rounds.plan.plan import make_plan
from mpifl.selection.feedback import FEEDBACK, Feedback, State


class Row(NamedTuple):
    """What is measured: a rule, and how many clients there are and have taken part."""

    selection: str
    clients: int
    explored: int
    clock: str = ""


OORT, PRESET = "{name: oort}", "{preset: fedscale-code}"
ASYNC = "{mode: async, concurrency: 100, max_staleness: 1000000}"
ROWS = {
    "uniform, 10^8 clients": Row("{name: uniform}", 10**8, 0),
    "oort, 10^4 clients, all explored": Row(OORT, 10**4, 10**4),
    "oort, 10^6 clients, 10^5 explored": Row(OORT, 10**6, 10**5),
    "oort, 10^8 clients, 10^5 explored": Row(OORT, 10**8, 10**5),
    "oort, 10^6 clients, all explored": Row(OORT, 10**6, 10**6),
    "oort, 10^8 clients, 10^6 explored": Row(OORT, 10**8, 10**6),
    "fedscale-code, 10^8 clients, 10^6 explored": Row(PRESET, 10**8, 10**6),
    "oort, async, an update, 10^4 explored": Row(OORT, 10**8, 10**4, ASYNC),
    "oort, async, an update, 10^6 explored": Row(OORT, 10**8, 10**6, ASYNC),
}
PARTICIPANTS = 10_000
WARM_UP, ROUNDS, PROCESSES = 2, 15, 2


def main() -> None:
    """Time every row in a process of its own, and print."""
    participants = int(sys.argv[1]) if len(sys.argv) > 1 else PARTICIPANTS
    rows = [("", "asked", "ms to plan, median", "ms to learn", "together, least", "state, MB")]
    for name in ROWS:
        found = min(
            (_in_a_process(name, participants) for _ in range(PROCESSES)),
            key=lambda found: found["plan"] + found["learn"],
        )
        times = (f"{1e3 * found[key]:.1f}" for key in ("plan", "learn", "least"))
        rows.append((name, f"{found['asked']:,.0f}", *times, f"{found['state'] / 1e6:.1f}"))
    title = f"{participants:,} participants and 1.3-fold over-commitment, {ROUNDS} rounds, one core"
    show(title, rows, machine(), versions("numpy", "numba"))


def _in_a_process(name: str, participants: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.micro.selection", str(participants), name]
    found: dict[str, float] = json.loads(
        subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    )
    return found


def measure(name: str, participants: int) -> dict[str, float]:
    """One row: seconds a round to plan and to learn, clients asked, and bytes of state."""
    row = ROWS[name]
    updates = 1 if row.clock else participants
    changes = [
        f"population.clients={row.clients}",
        "population.trace=phones",
        f"selection={row.selection}",
        f"selection.participants={updates}",
        *([f"clock={row.clock}"] if row.clock else []),
    ]
    experiment, clock = check_job("quickstart", changes)[0], ClockState()
    state = _explored(experiment, row.explored)

    planned, learned, asked = [], [], []
    for number in range(2, WARM_UP + ROUNDS + 2):
        begun = process_time()
        plan = make_plan(
            experiment.job, experiment.population, experiment.workload, number, clock, state
        )
        chosen = process_time()
        feedback = _feedback(experiment, number, plan.timeline.participants)
        known = process_time()
        state = experiment.job.selection.learn(state, feedback)
        learned.append(process_time() - known)
        planned.append(chosen - begun)
        asked.append(len(plan.timeline.participants))
        clock = plan.after

    both = [sum(pair) for pair in zip(planned, learned, strict=True)]
    return {
        "plan": median(planned[WARM_UP:]),
        "learn": median(learned[WARM_UP:]),
        "least": min(both[WARM_UP:]),
        "asked": median(asked[WARM_UP:]),
        "state": sum(values.nbytes for values in state.values()),
    }


def _explored(experiment: TimingExperiment, count: int) -> State:
    """The state after a round of ``count`` participants that all completed."""
    rule, population = experiment.job.selection, experiment.population
    state = rule.start(population, experiment.workload)
    if not count:
        return state
    rows = np.zeros(count, FEEDBACK)
    rows["client"] = [permuted(place, population.clients, 1) for place in range(count)]
    rows["seconds"] = np.random.default_rng(0).lognormal(4, 1, count)
    return rule.learn(state, _feedback(experiment, 1, rows))


def _feedback(experiment: TimingExperiment, number: int, ended: np.ndarray) -> Feedback:
    """What became of participants (n,), with random losses."""
    rows = np.zeros(len(ended), FEEDBACK)
    for name in set(FEEDBACK.names or ()).intersection(ended.dtype.names or ()):
        rows[name] = ended[name]
    if "seconds" not in (ended.dtype.names or ()):
        phases = ("download_seconds", "compute_seconds", "upload_seconds")
        rows["seconds"] = sum(ended[phase] for phase in phases)
    random = np.random.default_rng(number)
    rows["squared_loss"] = random.lognormal(0, 1, len(rows))
    rows["last_squared_loss"] = rows["squared_loss"]
    return Feedback(number, 0.0, 1.0, rows, experiment.population, experiment.workload)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        print(json.dumps(measure(sys.argv[2], int(sys.argv[1]))))
    else:
        main()

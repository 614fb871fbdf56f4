"""What the start of a run costs: to the first round, beside the import of torch. ``python -m benchmarks.micro.start [RANKS ...]``.

``mpirun -n RANKS python -c "import torch"`` and quickstart with one round, in turn. The start is all that comes before the first
round: the seconds until its line is there, without those of its phases. Processor time is that of the whole command, over all ranks.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

from benchmarks.micro.table import machine, show, versions
from mpifl.mpi.launch import command

REPETITIONS = 7
RANKS = (1, 3)
TORCH = "import torch"
RUN = "quickstart, to the first round"


def main() -> None:
    """Measure and print."""
    print(f"{machine()}; {versions('torch', 'numba')}")
    for ranks in [int(word) for word in sys.argv[1:]] or RANKS:
        imported(ranks), started(ranks)  # what is compiled once is there then
        measured = [(*imported(ranks), *started(ranks)) for _ in range(REPETITIONS)]
        torch_wall, torch_cpu, wall, cpu = (
            median(column) for column in zip(*measured, strict=True)
        )
        rows = [
            ["", "seconds", "times", "processor seconds", "times"],
            [TORCH, f"{torch_wall:.2f}", "1", f"{torch_cpu:.2f}", "1"],
            [
                RUN,
                f"{wall:.2f}",
                f"{wall / torch_wall:.2f}",
                f"{cpu:.2f}",
                f"{cpu / torch_cpu:.2f}",
            ],
        ]
        show(f"-n {ranks}", rows)


def imported(ranks: int) -> tuple[float, float]:
    """Return the seconds of the import by the clock, and of the processor."""
    line = command(ranks, [], os.environ)
    line = [*line[: line.index("-m")], "-c", TORCH]
    before, begin = processor_seconds(), perf_counter()
    subprocess.run(line, check=True)
    return perf_counter() - begin, processor_seconds() - before


def started(ranks: int) -> tuple[float, float]:
    """Return the seconds until the first round begins, and those of the processor for the whole run."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "run")
        line = command(ranks, ["quickstart", "rounds=1", "--out", str(out)], os.environ)
        before, begin = processor_seconds(), perf_counter()
        with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            ended = next(perf_counter() for line in process.stdout if line.startswith("round 1/"))
            process.stdout.read()
        spent = json.loads((out / "summary.json").read_text())["seconds"]
        of_round = sum(seconds for phase, seconds in spent.items() if phase != "start")
        return ended - begin - of_round, processor_seconds() - before


def processor_seconds() -> float:
    """Return what the processes that this one has waited for took."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()

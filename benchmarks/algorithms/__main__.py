"""``python -m benchmarks.algorithms digits``: every algorithm, three seeds; a table, a picture, and the figures."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.algorithms.measure import run
from benchmarks.algorithms.picture import draw
from benchmarks.algorithms.table import table
from benchmarks.algorithms.workloads import WORKLOADS
from mpifl.algorithms import REGISTRY
from mpifl.commands.exits import wrong_input_ends
from mpifl.errors import InputError
from mpifl.io.files import write_text

RESULTS = Path(__file__).parent / "results"


def main(
    workload: Annotated[
        str, typer.Argument(metavar="WORKLOAD", help=f"One of {', '.join(WORKLOADS)}.")
    ],
    only: Annotated[str, typer.Option(metavar="A,B", help="Algorithms; default: all.")] = ",".join(
        REGISTRY
    ),
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds, from 1 on.")] = 3,
    data: Annotated[
        str | None, typer.Option(metavar="FILE", help="The data set, where a workload needs one.")
    ] = None,
    at_once: Annotated[int, typer.Option(min=1, help="Runs at a time, of one core each.")] = 2,
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="FOLDER", help="Where figures and picture go.")
    ] = RESULTS,
) -> None:
    """Compare algorithms on a workload; results of others in the same file are kept."""
    with wrong_input_ends():
        if workload not in WORKLOADS:
            allowed = ", ".join(WORKLOADS)
            raise InputError(f"WORKLOAD: {workload!r} is not known; allowed: {allowed}")
        if WORKLOADS[workload].needs_data and data is None:
            raise InputError(f"--data: missing; {workload} needs a data set in HDF5")

    names = only.split(",")
    path = out / f"{workload}.json"
    job = WORKLOADS[workload]
    result: dict[str, Any] = {"workload": workload, "title": job.title, "runs": {}}
    if path.exists():
        result["runs"] = json.loads(path.read_text())["runs"]

    with ThreadPoolExecutor(at_once) as pool:
        waiting = {
            (name, seed): pool.submit(run, job, name, seed, data)
            for name in names
            for seed in range(1, seeds + 1)
        }
        for name in names:
            result["runs"][name] = [waiting[name, seed].result() for seed in range(1, seeds + 1)]
            print(name, flush=True)
    result["runs"] = dict(sorted(result["runs"].items()))

    out.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(result, indent=1) + "\n")
    draw(result, out / f"{workload}.png")
    print(table(result))


if __name__ == "__main__":
    typer.run(main)

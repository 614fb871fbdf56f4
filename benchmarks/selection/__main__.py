"""``python -m benchmarks.selection digits``: every rule, three seeds; a table, a picture, and the figures."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.selection.measure import run
from benchmarks.selection.picture import draw
from benchmarks.selection.table import table
from benchmarks.selection.workloads import RULES, WORKLOADS
from mpifl.commands.exits import wrong_input_ends
from mpifl.errors import InputError
from mpifl.io.files import write_text

RESULTS = Path(__file__).parent / "results"


def main(
    workload: Annotated[
        str, typer.Argument(metavar="WORKLOAD", help=f"One of {', '.join(WORKLOADS)}.")
    ],
    only: Annotated[str, typer.Option(metavar="A,B", help="Rules; default: all.")] = ",".join(
        RULES
    ),
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds, from 1 on.")] = 3,
    data: Annotated[
        str | None, typer.Option(metavar="FILE", help="The data set, where a workload needs one.")
    ] = None,
    trace: Annotated[str, typer.Option(metavar="NAME|FILE", help="The device trace.")] = "phones",
    at_once: Annotated[int, typer.Option(min=1, help="Runs at a time, of one core each.")] = 2,
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="FOLDER", help="Where figures and picture go.")
    ] = RESULTS,
) -> None:
    """Compare selection rules on a workload; results of others in the same file are kept."""
    names = only.split(",")
    with wrong_input_ends():
        _check(workload, names, data)

    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{workload}.json"
    job = WORKLOADS[workload]
    result: dict[str, Any] = {"workload": workload, "title": job.title, "runs": {}}
    if path.exists():
        result["runs"] = json.loads(path.read_text())["runs"]

    with ThreadPoolExecutor(at_once) as pool:
        waiting = {
            (name, seed): pool.submit(run, job, name, seed, data, trace)
            for name in names
            for seed in range(1, seeds + 1)
        }
        for name in names:
            result["runs"][name] = [waiting[name, seed].result() for seed in range(1, seeds + 1)]
            order = [rule for rule in RULES if rule in result["runs"]]
            result["runs"] = {rule: result["runs"][rule] for rule in order}
            write_text(path, json.dumps(result, indent=1) + "\n")
            print(name, flush=True)

    draw(result, out / f"{workload}.png")
    print(table(result))


def _check(workload: str, names: list[str], data: str | None) -> None:
    """Raise InputError when the command line names something that is not there."""
    if workload not in WORKLOADS:
        allowed = ", ".join(WORKLOADS)
        raise InputError(f"WORKLOAD: {workload!r} is not known; allowed: {allowed}")
    for name in names:
        if name not in RULES:
            raise InputError(f"--only: {name!r} is not a rule; allowed: {', '.join(RULES)}")
    if WORKLOADS[workload].needs_data and data is None:
        raise InputError(f"--data: missing; {workload} needs a data set in HDF5")


if __name__ == "__main__":
    typer.run(main)

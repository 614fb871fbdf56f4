"""``python -m benchmarks.algorithms digits``: every algorithm, three seeds; a table, a picture, and the figures."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.algorithms.measure import run
from benchmarks.algorithms.picture import draw
from benchmarks.algorithms.table import table
from benchmarks.algorithms.workloads import WORKLOADS
from benchmarks.campaign import campaign, check_data, check_known
from mpifl.algorithms import REGISTRY
from mpifl.commands.exits import wrong_input_ends

RESULTS = Path(__file__).parent / "results"
COMPARED = sorted(set(REGISTRY) - {"ccvr", "dqn", "fednas", "gbdt"})
"""All but ccvr, which needs a trained model, dqn, which learns to act, and fednas and gbdt, which need a model of their own."""


def main(
    workload: Annotated[
        str, typer.Argument(metavar="WORKLOAD", help=f"One of {', '.join(WORKLOADS)}.")
    ],
    only: Annotated[str, typer.Option(metavar="A,B", help="Algorithms; default: all.")] = ",".join(
        COMPARED
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
    names = only.split(",")
    with wrong_input_ends():
        check_known("WORKLOAD", [workload], WORKLOADS)
        check_known("--only", names, COMPARED)
        job = WORKLOADS[workload]
        check_data(workload, job.needs_data, data)

    facts = {"workload": workload, "title": job.title}
    path = out / f"{workload}.json"
    one = partial(run, job, data=data)
    result = campaign(path, facts, names, COMPARED, seeds, at_once, one)
    draw(result, out / f"{workload}.png")
    print(table(result))


if __name__ == "__main__":
    typer.run(main)

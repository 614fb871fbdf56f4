"""``python -m benchmarks.topologies digits``: protocols and graphs, three seeds; table and picture."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.campaign import campaign, check_known
from benchmarks.topologies.compare import draw, run, table
from benchmarks.topologies.workloads import PROTOCOLS, WORKLOADS
from mpifl.commands.exits import wrong_input_ends

RESULTS = Path(__file__).parent / "results"
MODEL_BYTES = {"digits": 4 * (64 * 64 + 64 + 64 * 10 + 10)}
"""The bytes of each workload's model."""


def main(
    workload: Annotated[
        str, typer.Argument(metavar="WORKLOAD", help=f"One of {', '.join(WORKLOADS)}.")
    ],
    only: Annotated[str, typer.Option(metavar="A;B", help="Protocols; default: all.")] = ";".join(
        PROTOCOLS
    ),
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds, from 1 on.")] = 3,
    at_once: Annotated[int, typer.Option(min=1, help="Runs at a time, of one core each.")] = 2,
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="FOLDER", help="Where figures and pictures go.")
    ] = RESULTS,
) -> None:
    """Compare protocols on a workload; results of others in the same file are kept."""
    names = only.split(";")
    with wrong_input_ends():
        check_known("WORKLOAD", [workload], WORKLOADS)
        check_known("--only", names, PROTOCOLS)

    job = WORKLOADS[workload]
    facts = {
        "workload": workload,
        "title": job.title,
        "model_bytes": MODEL_BYTES[workload],
    }
    path = out / f"{workload}.json"
    result = campaign(path, facts, names, PROTOCOLS, seeds, at_once, partial(run, job))
    draw(result, out / f"{workload}.png")
    print(table(result))


if __name__ == "__main__":
    typer.run(main)

"""``python -m benchmarks.peers small-lr --with floor,ours,pfl``: the table and the picture of a workload."""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from benchmarks.micro.table import machine
from benchmarks.peers.data import write_data
from benchmarks.peers.environments import PEERS, default_folder, find_peers
from benchmarks.peers.measure import Plan, measure, rows_of
from benchmarks.peers.picture import draw
from benchmarks.peers.workloads import WORKLOADS
from mpifl.commands.exits import wrong_input_ends
from mpifl.errors import InputError
from mpifl.io.files import write_text

RESULTS = Path(__file__).parent / "results"


def main(
    workload: Annotated[
        str, typer.Argument(metavar="WORKLOAD", help=f"One of {', '.join(WORKLOADS)}.")
    ],
    names: Annotated[str, typer.Option("--with", metavar="A,B", help="Frameworks.")] = ",".join(
        PEERS
    ),
    repeats: Annotated[int, typer.Option(min=1, help="Runs of each framework, in turn.")] = 5,
    rounds: Annotated[
        int | None, typer.Option(min=1, help="Measured rounds of a run; default: the workload's.")
    ] = None,
    processes: Annotated[
        int, typer.Option(min=1, help="Processes at work, each on a core of its own.")
    ] = 2,
    engine: Annotated[
        str,
        typer.Option(metavar="A,B", help="Rows of mpifl with these engines, beside the default."),
    ] = "",
    device: Annotated[str, typer.Option(help="cpu or cuda: where clients are trained.")] = "cpu",
    environments: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Default: peers in mpifl's cache.")
    ] = None,
    limit: Annotated[float, typer.Option(help="Seconds after which a run is given up.")] = 3600,
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="FOLDER", help="Where figures and picture go.")
    ] = RESULTS,
) -> None:
    """Do a workload with every framework in turn; print the table, write WORKLOAD.json and WORKLOAD.png."""
    with wrong_input_ends():
        if workload not in WORKLOADS:
            raise InputError(
                f"WORKLOAD: {workload!r} is not known; allowed: {', '.join(WORKLOADS)}"
            )
        work = WORKLOADS[workload]
        plan = Plan(
            work, rounds or work.rounds, repeats, processes, environments or default_folder(), limit
        )
        if device not in ("cpu", "cuda") or (device == "cuda" and not torch.cuda.is_available()):
            raise InputError(
                f"--device: {device!r} is not allowed; allowed: cpu, and cuda where a GPU is seen"
            )
        rows = rows_of(
            find_peers(names), work, [name for name in engine.split(",") if name], device
        )
        _stay_on(processes)
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"--out: {out}: {error.strerror}; name a folder") from error
        with tempfile.TemporaryDirectory(prefix="mpifl-peers-") as folder:
            write_data(Path(folder), work)
            entries = measure(plan, rows, Path(folder))
        result = {
            "workload": work.name,
            "about": work.about,
            "published": work.published,
            "machine": ", ".join([machine(), *_gpus(device), f"{processes} processes"]),
            "date": time.strftime("%Y-%m-%d"),
            "rounds": plan.rounds,
            "warmup": work.warmup,
            "repeats": repeats,
            "rows": entries,
        }
        write_text(out / f"{work.name}.json", json.dumps(result, indent=1) + "\n")
        draw(result, out / f"{work.name}.png")
        print(table(result))


def _gpus(device: str) -> list[str]:
    return [torch.cuda.get_device_name()] if device == "cuda" else []


def _stay_on(processes: int) -> None:
    """All runs are on the same cores, as many as there are processes at work. Raises InputError where there are fewer."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < processes:
        raise InputError(
            f"--processes: {processes} is not allowed: there are {len(cores)} cores; name as many or fewer"
        )
    os.sched_setaffinity(0, cores[:processes])


def table(result: dict[str, Any]) -> str:
    """A result as Markdown."""
    lines = [
        f"**{result['workload']}**: {result['about']}. {result['machine']}; {result['date']}; median of"
        f" {result['rounds']} rounds of each of {result['repeats']} runs in turn, after {result['warmup']} others"
        " (least and most of the runs' medians).",
        "",
        "| | version | s a round | of the floor | final loss | work |",
        "|---|---|---|---|---|---|",
    ]
    floor = next(
        (row["seconds"] for row in result["rows"] if row["name"] == "floor" and "seconds" in row),
        None,
    )
    for row in result["rows"]:
        if "failure" in row:
            lines.append(f"| {row['name']} | | {row['failure']} | | | |")
            continue
        seconds = f"{row['seconds']:.3g} ({row['least']:.3g} to {row['most']:.3g})"
        work = ", ".join(text for text in (row["work"], row["note"]) if text)
        loss = f"{row['loss']:.3f}" if row["loss"] is not None else ""
        ratio = f"{row['seconds'] / floor:.2f}" if floor else ""
        lines.append(
            f"| {row['name']} | {row['version']} | {seconds} | {ratio} | {loss} | {work} |"
        )
    if result["published"]:
        lines += ["", f"Published: {result['published']}."]
    return "\n".join(lines)


if __name__ == "__main__":
    typer.run(main)

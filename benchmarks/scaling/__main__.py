"""``python -m benchmarks.scaling measure|predict|picture``; docs/scaling.md goes through it."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.micro.table import machine, show, versions
from benchmarks.scaling import network as networks
from benchmarks.scaling import table
from benchmarks.scaling.measure import measure as run_all
from benchmarks.scaling.measure import read_points
from mpifl.commands.exits import end, wrong_input_ends
from mpifl.errors import FAILED, InputError, TrainingError
from mpifl.mpi.launch import LaunchError

app = typer.Typer(
    help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)
PREDICTED = "64,128,256,512,1024,2048,4096"
LARGEST = 1 << 20

Points = Annotated[
    list[Path],
    typer.Argument(metavar="POINTS...", help="points.jsonl of measured runs of one job."),
]
From = Annotated[
    list[Path],
    typer.Option(
        "--from",
        metavar="FILE",
        help="What benchmarks.micro.collectives wrote; may be given again.",
    ),
]
Ranks = Annotated[str, typer.Option(metavar="N,N,...", help="Numbers of ranks.")]
PerNode = Annotated[
    int, typer.Option(min=1, help="Ranks on a node of the cluster that is predicted.")
]
Best = Annotated[
    bool,
    typer.Option(
        "--best", help="With a broadcast that scatters and gathers, which Open MPI's does not."
    ),
]


@app.command()
def measure(
    job: Annotated[
        str,
        typer.Argument(
            metavar="JOB", help="A job file, or the name of a job that ships with mpifl."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "-o", "--out", metavar="DIR", help="Where run directories and points.jsonl go."
        ),
    ],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[SECTION.KEY=VALUE]...", show_default=False)
    ] = None,
    ranks: Ranks = "1,2,3",
    weak: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="K",
            help="Weak scaling: K participants for each executor.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Run a job at several numbers of ranks, and print what a round takes."""
    with wrong_input_ends():
        counts = numbers("--ranks", ranks)
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"--out: {out}: {error.strerror}; name a folder") from error
        try:
            points = run_all(job, overrides or [], counts, weak, out)
        except (TrainingError, LaunchError) as error:
            end(str(error), FAILED)
    show("", _measured(points), machine(), versions("torch", "mpi4py"))


def _measured(points: list[dict[str, Any]]) -> list[list[str]]:
    lines = [
        [
            "ranks",
            "participants",
            "rounds/s",
            "idle, mean",
            "idle, most",
            "MB a rank",
            "peak MiB, rank 0",
            "crowded",
        ]
    ]
    for point in points:
        shares = [f"{point['idle_share'][which]:.0%}" for which in ("mean", "most")]
        peak = f"{point['peak_bytes'][0] / 2**20:,.0f}" if point["peak_bytes"] else ""
        cells = [
            f"{point['participants']:,}",
            f"{1 / point['seconds_a_round']:.3g}",
            *shares,
            f"{point['bytes_a_rank'] / 1e6:.1f}",
        ]
        lines.append([str(point["ranks"]), *cells, peak, "yes" if point["crowded"] else ""])
    return lines


@app.command()
def predict(
    points: Points,
    measured: From,
    ranks: Ranks = PREDICTED,
    ranks_per_node: PerNode = 32,
    best: Best = False,
) -> None:
    """Print what a round would take on more ranks, and what takes most of it."""
    with wrong_input_ends():
        found = _rows(points, measured, ranks, ranks_per_node, best, say=True)
        for kind, rows in found.items():
            if rows:
                show(
                    f"\n{kind} scaling, {ranks_per_node} ranks a node beyond what was measured",
                    table.texts(rows),
                )


@app.command()
def picture(
    points: Points,
    measured: From,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE", help="The PNG.")],
    ranks: Ranks = f"2,4,8,16,32,{PREDICTED}",
    ranks_per_node: PerNode = 32,
    best: Best = False,
) -> None:
    """Draw measured and predicted rounds a second over ranks."""
    from benchmarks.scaling.picture import draw

    with wrong_input_ends():
        found = _rows(points, measured, ranks, ranks_per_node, best, say=False)
        if not any(found.values()):
            raise InputError(
                "POINTS: all of them are on one rank, and there is nothing to draw; measure with 2 and more"
            )
        names = ", ".join(os.path.relpath(path) for path in measured)
        draw(out, found, f"network: {names}; nodes of {ranks_per_node} ranks")


def _rows(
    points: list[Path], measured: list[Path], ranks: str, each: int, best: bool, say: bool
) -> dict[str, list[table.Row]]:
    runs, found = read_points(points), networks.read_measurements(measured)
    fitted, counts = networks.fit(found), numbers("--ranks", ranks, least=2)
    if say:
        print(*_about(fitted, found), sep="\n")
    case = table.Case(table.work_of(runs, fitted), fitted, each, best)
    return {kind: table.rows(case, runs, kind, counts) for kind in table.KINDS}


def _about(fitted: networks.Network, found: dict[str, list[dict[str, Any]]]) -> list[str]:
    """What was fitted, and how well."""
    lines = ["network:"]
    for name, value in asdict(fitted).items():
        unit = (value * 1e9, "ns") if "byte" in name else (value * 1e6, "us")
        lines.append(
            f"  {name.removesuffix('_seconds').replace('_', ' ')}: {unit[0]:.3g} {unit[1]}"
        )
    if all(
        one["ranks"] == one["ranks_per_node"] for one in found["measured"] if networks.fits(one)
    ):
        lines.append(
            "  nothing to fit to between nodes: messages there are taken to be as fast as within one"
        )
    for name, errors in zip(
        ("fitted to", "the others"), networks.errors(fitted, found), strict=True
    ):
        if len(errors):
            middle, worst = np.median(np.abs(errors)), errors[np.argmax(np.abs(errors))]
            lines.append(
                f"  {name}: {len(errors)} measurements, off by {middle:.0%} (median), at worst {worst:+.0%}"
            )
    return lines


def numbers(option: str, text: str, least: int = 1) -> list[int]:
    """Numbers of ranks, rising. Raises InputError."""
    words = text.split(",")
    if not all(word.strip().isdecimal() and least <= int(word) <= LARGEST for word in words):
        raise InputError(
            f"{option}: {text!r} is not allowed; allowed: numbers from {least} on such as 2,3,8"
        )
    return sorted({int(word) for word in words})


if __name__ == "__main__":
    app()

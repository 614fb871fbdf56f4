"""``mpifl report``: runs as one page that needs no network, and as pictures and CSV."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mpifl.commands.exits import wrong_input_ends
from mpifl.commands.output import Overwrite, check_output
from mpifl.errors import InputError, counted

PAGES = (".html", ".htm")


def report(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN_DIR...", help="Run directories, or folders that hold some."),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="The page to write.")] = Path(
        "report.html"
    ),
    static: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Also write each chart there as PNG, PDF and CSV."),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="METRIC=NUMBER",
            help="What it took to reach this: accuracy=0.9, loss=0.3; default: several scores on"
            " the way to the best.",
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(help="The score to draw; default: the main one of the task."),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Draw runs: one page to look at in any browser, without a network.

    Runs that differ in nothing but the seed are drawn as one line with a band.
    """
    from mpifl.io.files import write_text
    from mpifl.report.compared import open_runs
    from mpifl.report.page import page
    from mpifl.report.report import make_report
    from mpifl.report.target import parse_target

    with wrong_input_ends():
        if out.suffix not in PAGES:
            raise InputError(
                f"-o: {out}: a report is a page in HTML; name it {out.with_suffix('.html')}"
                " (--static DIR writes each chart as PNG, PDF and CSV)"
            )
        check_output(out, overwrite)
        if static is not None:
            from mpifl.report.static import check_folder, write_static

            check_folder(static, overwrite)
        wanted = None if target is None else parse_target(target)
        opened = open_runs(runs)
        begun = [run for run in opened if run.begun] or opened
        made = make_report(begun, wanted, metric)
        write_text(out, page(made))
        files = write_static(static, made.charts.values()) if static is not None else []

    for run in opened:
        if run not in begun:
            print(f"left out: {run.folder}: it has recorded no round yet")
    for name, reason in made.left_out.items():
        print(f"left out: {name}: {reason}")
    if files:
        print(f"{counted(len(files), 'file')} written to {static}")
    print(f"written to {out} ({out.stat().st_size / 1e6:,.1f} MB)")

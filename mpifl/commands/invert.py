"""``mpifl invert``: samples and labels from an update that a run has recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mpifl.commands.exits import wrong_input_ends
from mpifl.commands.output import Overwrite, check_output, make_folder

FOLDER = "inversion"


def invert(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN_DIR", help="A run whose job has record.updates.", show_default=False
        ),
    ],
    attack: Annotated[
        str,
        typer.Option(
            help="dlg, idlg, invert_gradient, reveal_labels; or with its keys:"
            " '{name: dlg, restarts: 4}'."
        ),
    ] = "invert_gradient",
    client: Annotated[
        int | None, typer.Option(help="Whose update; not needed where one is recorded.")
    ] = None,
    round_number: Annotated[
        int | None, typer.Option("--round", help="Of which round; not needed where one is.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", metavar="DIR", help="Where to; default: inversion in the run directory."
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Try to find the samples that a client has trained on in the update that it sent.

    Writes a table (CSV) and a picture (PNG) of what was found, beside what the client had.
    """
    with wrong_input_ends():
        from mpifl.inversion.named import inversion_of
        from mpifl.inversion.observed import observe
        from mpifl.inversion.output import draw, write_table
        from mpifl.inversion.scores import score
        from mpifl.inversion.wording import result_lines, title

        chosen = inversion_of(attack)
        truth = observe(run, client, round_number)
        folder = out or run / FOLDER
        make_folder("--out", folder)
        stem = f"round-{truth.facts.round}-client-{truth.facts.client}-{chosen.name}"
        table, picture = (folder / f"{stem}{ending}" for ending in (".csv", ".png"))
        for path in (table, picture):
            check_output(path, overwrite)

        found = chosen.run(truth.seen, truth.start)
        scores = score(found, truth)
        write_table(table, found, truth, scores)
        draw(picture, title(chosen.name, truth), found, truth, scores)

    for line in result_lines(found, truth, scores):
        print(line)
    print(f"written to {table} and {picture.name}")

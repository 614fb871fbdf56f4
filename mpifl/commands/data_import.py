"""``mpifl data import FORMAT``: a command for each importer, with its fields as options."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mpifl.commands.exits import wrong_input_ends
from mpifl.commands.formats import REQUIRED, Parameter, command_group, made, with_options
from mpifl.commands.output import Out, Overwrite, check_output
from mpifl.datasets.importers import REGISTRY
from mpifl.errors import counted

if TYPE_CHECKING:
    from mpifl.datasets.dataset import Dataset
    from mpifl.datasets.importers.importer import Importer

Sources = Annotated[
    list[Path], typer.Argument(metavar="SOURCE", help="The files or folders to read.")
]
Test = Annotated[
    list[Path] | None,
    typer.Option("--test", help="File or folder of the test part; may be given several times."),
]
Compress = Annotated[
    Literal["none", "gzip", "lzf"],
    typer.Option(
        "--compress", help="HDF5 filter; a compressed file is unpacked into the cache when used."
    ),
]
Name = Annotated[
    str | None,
    typer.Option(
        "--name",
        help="Name of the data set; if the catalogue has it, counts are compared with it.",
    ),
]


def _command(importer: type[Importer]) -> Callable[..., None]:
    """Return the command of one importer: sources, common options, and an option for each field."""

    def command(
        source: list[Path],
        out: Path,
        name: str | None,
        compress: str,
        overwrite: bool = False,
        test: list[Path] | None = None,
        **options: Any,
    ) -> None:
        with wrong_input_ends():
            check_output(out, overwrite, [*source, *(test or [])])
            compression = None if compress == "none" else compress
            data = import_data(importer, options, source, test or [], out, name, compression)
            compare(data)

    common: dict[str, Parameter] = {
        "source": (Sources, REQUIRED),
        "out": (Out, REQUIRED),
        "name": (Name, None),
        "compress": (Compress, "none"),
        "overwrite": (Overwrite, False),
    }
    if not importer.finds_test:
        common["test"] = (Test, None)
    return with_options(command, importer, common)


FORMATS = command_group(REGISTRY, _command)


def import_data(
    importer: type[Importer],
    options: dict[str, Any],
    source: list[Path],
    test: list[Path],
    out: Path,
    name: str | None,
    compression: str | None,
) -> Dataset:
    """Read, check and write a data set, and print what it holds.

    Raises InputError; then no file is left.
    """
    from rich.console import Console
    from rich.progress import Progress, TextColumn, TimeElapsedColumn

    from mpifl.datasets.store import storing, write_store

    reader = made(importer, options)
    began = time.monotonic()
    columns = (
        TextColumn("{task.description}"),
        TextColumn("{task.completed:,.0f} samples"),
        TimeElapsedColumn(),
    )
    console = Console(stderr=True, markup=False, emoji=False)
    hidden = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden) as progress:
        bar = progress.add_task("reading", total=None)
        with storing(out, lambda count: progress.advance(bar, count)) as store:
            sources = {"train": source}
            if test:
                sources["test"] = test
            description = reader.read(sources, store)
            if name is not None:
                description = replace(description, name=name)
            progress.update(bar, description="writing")
            data = write_store(out, store, description, compression)

    for part_name, part in data.parts.items():
        print(
            f"{part_name}: {counted(part.samples, 'sample')} of {counted(part.clients, 'client')}"
        )
    megabytes = out.stat().st_size / 1e6
    print(f"written to {out} ({megabytes:,.1f} MB in {time.monotonic() - began:.1f} s)")
    return data


def compare(data: Dataset) -> None:
    """Print how a data set of the catalogue differs from its published counts."""
    from mpifl.datasets.catalogue.catalogue import read_catalogue
    from mpifl.datasets.catalogue.check import differences

    entry = read_catalogue().get(data.name)
    if entry is None:
        return

    lines = differences(entry, data.parts)
    for line in lines:
        print(f"differs from what was published: {line}")
    if not lines:
        print("clients and samples are those published")

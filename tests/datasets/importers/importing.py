"""Imports in the tests: into a file that is opened again, refused without a trace, and as the command does it."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from mpifl.commands.data import data
from mpifl.datasets.check import check_dataset
from mpifl.datasets.dataset import Dataset, Part, open_dataset
from mpifl.datasets.importers.importer import Importer
from mpifl.datasets.store import storing, write_store
from mpifl.errors import InputError


def imported(importer: Importer, folder: Path, *sources: Path, test: Path | None = None) -> Dataset:
    """What the importer makes of the sources, written into ``folder``, opened and checked."""
    out = folder / "imported.h5"
    with storing(out) as store:
        said = importer.read({"train": list(sources), **({"test": [test]} if test else {})}, store)
        write_store(out, store, said)
    found = open_dataset(out)
    check_dataset(out, found)
    return found


def refusal(importer: Importer, folder: Path, *sources: Path, test: Path | None = None) -> str:
    """The one line with which it is refused; nothing is left in ``folder``, which holds no sources."""
    folder.mkdir(exist_ok=True)
    with pytest.raises(InputError) as caught:
        imported(importer, folder, *sources, test=test)
    assert len(str(caught.value).splitlines()) == 1
    assert list(folder.iterdir()) == []
    return str(caught.value)


def command(folder: Path, *arguments: str) -> tuple[int, str]:
    """Exit status and what ``mpifl data import ...`` says; nothing is left in ``folder`` when it fails."""
    folder.mkdir(exist_ok=True)
    done = CliRunner().invoke(data, ["import", *arguments, "-o", str(folder / "out.h5")])
    assert done.exit_code == 0 or list(folder.iterdir()) == [], done.output
    return done.exit_code, done.output


def samples_of(part: Part, client: str) -> list[np.ndarray]:
    """The samples of a client, by name."""
    rows = part.rows(part.client.tolist().index(client.encode()))
    if part.begin is None:
        return list(part.x[rows])
    return [part.x[part.begin[k] : part.begin[k + 1]] for k in range(rows.start, rows.stop)]


def labels_of(part: Part, client: str) -> list[int]:
    """The labels of a client, by name."""
    assert part.y is not None
    return part.y[part.rows(part.client.tolist().index(client.encode()))].tolist()


def peak_of_reading(importer: Importer, folder: Path, *sources: Path) -> int:
    """How many bytes Python and numpy held at most while the sources were read."""
    with storing(folder / "peak.h5") as store:
        tracemalloc.start()
        try:
            importer.read({"train": list(sources)}, store)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

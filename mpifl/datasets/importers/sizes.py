"""Sample counts of clients without the samples, for runs that time rounds and train nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import Field
from scipy.io import loadmat

from mpifl.datasets.dataset import Description
from mpifl.datasets.importers.importer import Importer
from mpifl.datasets.store import Store
from mpifl.errors import InputError
from mpifl.io.files import read_errors
from mpifl.io.restricted_pickle import read_pickle
from mpifl.io.text import csv_rows

HEADER = ["client", "size"]
MOST = 10**9  # samples of one client: more are a mistake


class Size(NamedTuple):
    """A client, its number of samples (unchecked), and its location in the source."""

    client: str
    samples: Any
    location: str


class Sizes(Importer):
    """How many samples each client has, without the samples: for jobs with training.engine none.

    SOURCE is a pickle (.pkl) of a list, an array or a dictionary (as Oort's), a MATLAB file (.mat)
    with client_size (as PyramidFL's), or CSV rows client,size. Samples have neither features nor
    labels. If the source has no names, clients are named by their position, from 0. Pickles and CSV
    may be compressed (.gz, .xz).
    """

    skip_empty: bool = Field(
        False, description="leave out clients with 0 samples, instead of refusing them"
    )

    def read(self, sources: Mapping[str, list[Path]], store: Store) -> Description:
        """Hold O(clients) in memory."""
        left_out = 0
        for part, paths in sources.items():
            seen: set[str] = set()
            for path in paths:
                for client, samples, location in _sizes(path):
                    if client in seen:
                        raise InputError(f"{location}: client {client!r} occurs twice")
                    seen.add(client)
                    size = _checked(samples, location)
                    if size == 0 and not self.skip_empty:
                        raise InputError(
                            f"{location}: client {client!r} has 0 samples;"
                            " --skip-empty leaves such clients out"
                        )
                    left_out += size == 0
                    if size:
                        store.add(part, client, np.empty((size, 0), np.uint8), where=location)

        first = sources["train"][0]
        return Description(
            name=first.name.partition(".")[0],
            outputs=0,
            task="none",
            source=f"{first.name}: sizes alone, no features and no labels;"
            f" {left_out} clients with 0 samples left out",
            licence="as its source says",
        )


def _checked(samples: Any, location: str) -> int:
    """Return a size. Raise InputError unless it is a whole number from 0 to MOST."""
    samples = samples.item() if isinstance(samples, np.number) else samples
    is_whole = (
        isinstance(samples, int | float)
        and not isinstance(samples, bool)
        and samples == samples // 1
    )
    if not is_whole or not 0 <= samples <= MOST:
        size_text = str(samples)[:40]
        raise InputError(f"{location}: size {size_text!r}; allowed: whole numbers from 0 to {MOST}")
    return int(samples)


def _sizes(path: Path) -> Iterator[Size]:
    """Return the sizes in a file; its ending gives the format."""
    ending = path.name.removesuffix(".gz").removesuffix(".xz").rpartition(".")[2].lower()
    if ending in ("pkl", "pickle"):
        return _from_container(read_pickle(path), path)
    if ending == "mat":
        with read_errors(path):
            variables = loadmat(path, variable_names=["client_size"], appendmat=False)
        if "client_size" not in variables:
            raise InputError(f"{path}: no client_size in it")
        return _from_container(variables["client_size"], path)
    if ending in ("csv", "txt"):
        return _from_rows(path)
    raise InputError(f"{path}: must end in .pkl, .mat, .csv or .txt")


def _from_container(sizes: Any, path: Path) -> Iterator[Size]:
    if isinstance(sizes, dict):
        yield from (
            Size(str(client), samples, f"{path}: client {client!r}")
            for client, samples in sizes.items()
        )
        return

    # a vector, or a matrix of one row or column
    if isinstance(sizes, np.ndarray) and sizes.size == max(sizes.shape, default=0):
        sizes = sizes.ravel().tolist()
    if not isinstance(sizes, list | tuple):
        is_array = isinstance(sizes, np.ndarray)
        what = f"an array {sizes.shape}" if is_array else f"a {type(sizes).__name__}"
        raise InputError(f"{path}: {what}; expected a list, a row or a dictionary of sizes")
    yield from (
        Size(str(position), samples, f"{path}: entry {position}")
        for position, samples in enumerate(sizes)
    )


def _from_rows(path: Path) -> Iterator[Size]:
    for number, row in csv_rows(path):
        cells = [cell.strip() for cell in row]
        if number == 1 and [cell.lower() for cell in cells] == HEADER:
            continue
        if len(cells) != len(HEADER) or not cells[0]:
            row_text = ",".join(row)[:40]
            raise InputError(f"{path}: line {number}: {row_text!r}; expected client,size")
        is_number = cells[1].isascii() and cells[1].isdigit()
        samples: Any = int(cells[1]) if is_number else cells[1]
        yield Size(cells[0], samples, f"{path}: line {number}")

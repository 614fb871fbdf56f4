"""``mpifl data show FILE``: what is in a data set of the user."""

from __future__ import annotations

from pathlib import Path

from mpifl.commands.data_text import Panel, label_name, print_dataset
from mpifl.commands.output import standard_output
from mpifl.datasets.check import check_dataset
from mpifl.datasets.dataset import FORMAT, SCHEMA_VERSION, Dataset
from mpifl.datasets.packed import open_without_samples
from mpifl.datasets.skew import Holdings
from mpifl.errors import InputError, counted
from mpifl.io.hdf5 import check_content
from mpifl.population.holdings import holdings_of_part


def show_file(path: Path, picture: Path | None) -> None:
    """Print a data set and, if asked for, draw what the clients of its train part hold.

    All of the file is read once, for its hash. Raises InputError; where only the hash is wrong,
    after the data set is printed.
    """
    data = open_without_samples(path)
    check_dataset(path, data)
    held = {name: holdings_of_part(data, part) for name, part in data.parts.items()}

    damage: InputError | None = None
    content = f"{data.content_sha256} (SHA-256; matches what is in the file)"
    try:
        check_content(path, FORMAT, SCHEMA_VERSION)
    except InputError as error:
        content = f"{data.content_sha256} (SHA-256; does NOT match what is in the file)"
        damage = error

    print_dataset(standard_output(), path, data, content, held)
    if damage is not None:
        raise damage
    if picture is not None:
        from mpifl.commands.data_picture import draw  # loads Matplotlib

        train = held["train"]
        title = (
            f"{data.name}: {counted(train.samples, 'sample')} of {counted(train.clients, 'client')}"
        )
        draw(picture, title, [Panel("", train, label_names(data, train))])
        print(f"drawn to {picture}")


def label_names(data: Dataset, holdings: Holdings) -> list[str]:
    """Return the labels as they are shown; none where there are no labels."""
    labels = holdings.labels
    return [] if labels is None else [label_name(data, label) for label in range(labels.labels)]

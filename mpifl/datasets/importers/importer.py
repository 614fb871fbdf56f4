"""What an importer is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from mpifl.datasets.dataset import Description
from mpifl.datasets.store import Store
from mpifl.errors import InputError
from mpifl.job.section import Section


class Importer(Section):
    """Base of the importers: one format a file. Its fields are the options of ``mpifl data import FORMAT``.

    ``finds_test`` says that it finds the test part beside the train part by itself; else ``--test`` names its sources.
    """

    finds_test: ClassVar[bool] = False

    def read(self, sources: Mapping[str, list[Path]], store: Store) -> Description:
        """Read ``sources`` (files or folders by part: "train", and "test" where the user named some) into the store.

        Reads chunk by chunk and keeps none of it; returns what there is to say of the data set. Raises InputError that names
        file, and line or key, for whatever is wrong.
        """
        raise NotImplementedError


def one_folder(sources: Mapping[str, list[Path]]) -> Path:
    """The only source, a folder. Raises InputError when there are several, or it is none."""
    paths = sources["train"]
    if len(paths) != 1:
        raise InputError(f"SOURCE: {len(paths)} given; this format takes one folder")
    if not paths[0].is_dir():
        raise InputError(f"{paths[0]}: no such folder")
    return paths[0]

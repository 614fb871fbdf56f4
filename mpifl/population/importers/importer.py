"""What an importer is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from mpifl.errors import InputError
from mpifl.job.section import Section
from mpifl.population.dataset import Description
from mpifl.population.store import Store


class Importer(Section):
    """Base of the importers of data sets: one format a file. Its fields are the options of ``mpifl data import FORMAT``."""

    finds_test: ClassVar[bool] = False
    """Whether it finds the test part beside the train part by itself. Otherwise ``--test`` names its sources."""

    def read(self, sources: Mapping[str, list[Path]], store: Store) -> Description:
        """Hand every sample of the sources to the store, chunk by chunk, and return the description of the data set.

        Args:
            sources: Files or folders by part: "train", and "test" where the user named some.
            store: Takes the samples in any order of clients.

        Raises:
            InputError: Something is wrong in a source; names file, and line or key.
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

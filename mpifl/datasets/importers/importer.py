"""The base class of the importers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from mpifl.datasets.dataset import Description
from mpifl.datasets.store import Store
from mpifl.errors import InputError
from mpifl.job.section import Section


class Importer(Section):
    """Base of the importers: one format a file.

    Its fields are the options of ``mpifl data import FORMAT``. ``finds_test`` is true for a format
    whose test part lies beside the train part; other formats take the sources of it by ``--test``.
    """

    finds_test: ClassVar[bool] = False

    def read(self, sources: Mapping[str, list[Path]], store: Store) -> Description:
        """Read a data set into the store.

        Read the sources chunk by chunk; do not hold them in memory.

        Args:
            sources: Files or folders by part: "train", and "test" if the user named some.
            store: Takes the samples, with the client of each, in the order of the source.

        Returns:
            What is not samples: task, number of outputs, scaling, names of classes and tokens.

        Raises:
            InputError: The source is damaged or in another format, or the options do not fit it.
                The message names the file, and the line or key.
        """
        raise NotImplementedError


def one_folder(sources: Mapping[str, list[Path]]) -> Path:
    """Return the only source, a folder. Raise InputError unless there is exactly one."""
    paths = sources["train"]
    if len(paths) != 1:
        raise InputError(f"SOURCE: {len(paths)} given; this format takes one folder")
    if not paths[0].is_dir():
        raise InputError(f"{paths[0]}: no such folder")
    return paths[0]

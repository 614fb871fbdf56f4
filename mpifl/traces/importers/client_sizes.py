"""Oort's and PyramidFL's files of client sizes, which hold data and not devices."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from mpifl.errors import InputError
from mpifl.traces.importers.importer import TraceImporter
from mpifl.traces.importers.parsed_trace import ParsedTrace


class Oort(TraceImporter):
    """Not devices but client sizes (``*_size.pkl``): the error says which command reads them."""

    files: ClassVar[str] = "FILE"

    def read(self, paths: Sequence[Path]) -> ParsedTrace:
        """Raise the InputError that says which command reads these files."""
        raise InputError(
            f"{paths[0]}: client sizes, which say nothing of devices:"
            " use `mpifl data import sizes FILE -o X.h5`"
        )


class Pyramidfl(Oort):
    """Not devices but client sizes (``*_obs_client_distribution.mat``): see the error's command."""

"""What an importer of traces is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from mpifl.job.section import Section
from mpifl.population.trace_importers.found import Found


class TraceImporter(Section):
    """Base of the importers of device traces, one format a file. Fields are options of ``mpifl traces import FORMAT``."""

    files: ClassVar[str]
    """What the format takes, as the command's help shows it: ``CAPACITY [BEHAVE]``."""

    def read(self, paths: Sequence[Path]) -> Found:
        """Return what the files say of devices. Raises InputError that names file, and line or key."""
        raise NotImplementedError

"""What an importer of traces is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from mpifl.job.section import Section
from mpifl.traces.importers.parsed_trace import ParsedTrace


class TraceImporter(Section):
    """Base of the importers: one format a file. Its fields are the options of ``mpifl traces import FORMAT``."""

    files: ClassVar[str]
    """What the format takes, as the command's help shows it: ``CAPACITY [BEHAVE]``."""

    def read(self, paths: Sequence[Path]) -> ParsedTrace:
        """What the files say of phones. Raises InputError that names file, and line or key, for whatever is wrong."""
        raise NotImplementedError

"""The base class of the importers of traces."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from mpifl.job.section import Section
from mpifl.traces.importers.parsed_trace import ParsedTrace


class TraceImporter(Section):
    """Base of the importers of traces: read one format.

    Its fields are the options of ``mpifl traces import FORMAT``, and its docstring is the command's
    help.
    """

    files: ClassVar[str]
    """The files that the format takes, as the command's help shows it: ``CAPACITY [BEHAVE]``."""

    def read(self, paths: Sequence[Path]) -> ParsedTrace:
        """Read the files of a source.

        Args:
            paths: The files that the user named, one or more.

        Returns:
            What the files say of devices, availability and bandwidth.

        Raises:
            InputError: A file cannot be read or is wrong. The error names the file, and the line or
                key.
        """
        raise NotImplementedError

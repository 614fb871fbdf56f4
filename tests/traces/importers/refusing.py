"""What tests of the importers share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from mpifl.errors import InputError
from mpifl.traces.importers.importer import TraceImporter


def refusal(importer: TraceImporter, *paths: Path) -> str:
    """The one line with which an importer refuses its files."""
    with pytest.raises(InputError) as caught:
        importer.read(paths)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def lines(path: Path, rows: Sequence[object]) -> Path:
    """A text file of these rows."""
    path.write_text("".join(f"{row}\n" for row in rows))
    return path

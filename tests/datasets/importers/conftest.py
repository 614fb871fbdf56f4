"""What the tests of importers share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An empty folder for what is imported."""
    (tmp_path / "out").mkdir()
    return tmp_path / "out"

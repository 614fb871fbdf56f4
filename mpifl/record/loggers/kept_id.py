"""The id under which a service knows a run, kept in the run directory for a resume."""

from __future__ import annotations

import uuid
from pathlib import Path

from mpifl.io.files import write_text


def kept_id(path: Path) -> str:
    """Return the id in a file; a new one, written there, if there is none."""
    kept = path.read_text(encoding="utf-8").strip() if path.exists() else ""
    if not kept:
        kept = uuid.uuid4().hex[:12]
        write_text(path, f"{kept}\n")
    return kept

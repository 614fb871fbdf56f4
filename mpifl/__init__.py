"""mpifl: federated learning over millions of emulated phones, on an MPI allocation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mpifl.record.load import Run, load_run

__version__ = "0.1.0"
__all__ = ["Run", "load_run"]


def __getattr__(name: str) -> Any:
    """Import ``load_run`` and ``Run`` when they are asked for: few of those who import mpifl do."""
    if name not in __all__:
        raise AttributeError(f"module 'mpifl' has no attribute {name!r}")
    from mpifl.record import load

    return getattr(load, name)

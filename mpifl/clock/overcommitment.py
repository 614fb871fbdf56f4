"""More participants than updates are wanted."""

from __future__ import annotations

from mpifl.shares import ceil_share


def overcommitted(overcommitment: float, participants: int) -> int:
    """Return ceil(overcommitment x participants), also for a share below 1."""
    return ceil_share(overcommitment, participants)

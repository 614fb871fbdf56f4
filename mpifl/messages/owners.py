"""Which rank has which actor: blocks of actors are dealt in turn to the executors."""

from __future__ import annotations


def owner_of(actor: int, stack: int, ranks: int) -> int:
    """Return the rank that has an actor.

    Blocks of ``stack`` actors are dealt in turn to the executors.
    """
    return dealt_to(block_of(actor, stack), ranks)


def dealt_to(number: int, ranks: int) -> int:
    """Return the rank that gets thing ``number``, counted from 0, of those dealt in turn.

    They go to the ranks 1 to ``ranks - 1``; alone, rank 0 gets all of them.
    """
    return 0 if ranks == 1 else 1 + number % (ranks - 1)


def block_of(actor: int, stack: int) -> int:
    """Return the block of an actor: those of a block are always on the same rank."""
    return actor // stack

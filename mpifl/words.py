"""Words in messages."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """How many of something: ``1 round``, ``1,000 rounds``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"

"""What mpifl logs while a block runs."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from mpifl.io.log import NAME


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@contextlib.contextmanager
def logged() -> Iterator[list[str]]:
    """The messages of the block, as they come."""
    handler, logger = _Lines(), logging.getLogger(NAME)
    logger.addHandler(handler)
    try:
        yield handler.lines
    finally:
        logger.removeHandler(handler)

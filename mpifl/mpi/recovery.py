"""Doing something again with the ranks that are left, after a rank has died."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from types import TracebackType

from mpifl.errors import RankLost
from mpifl.mpi.world import World


class Attempt(AbstractContextManager["Attempt"]):
    """One try: RankLost ends the block, and the ranks that are left form a new communicator."""

    def __init__(self, world: World) -> None:
        self.succeeded = False
        self._world = world

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        self.succeeded = error is None
        if not isinstance(error, RankLost):
            return False
        if not error.recovered:
            self._world.recover()
        return True


def attempts(world: World) -> Iterator[Attempt]:
    """Yield attempts until one succeeds.

    ``for attempt in attempts(world):`` with ``with attempt:`` around what is tried in its body.
    """
    while True:
        attempt = Attempt(world)
        yield attempt
        if attempt.succeeded:
            return

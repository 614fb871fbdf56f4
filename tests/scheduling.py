"""What pytest-xdist gives to a worker at a time."""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

WHOLE = ("tests/e2e/", "tests/clock/")


class FilesFirst(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Whole files of WHOLE, the largest first; then single tests, which fill up both ends.

    Tests of a file in tests/e2e share runs; those of tests/clock, kernels that are compiled the first time: side by side each
    worker would compile the same ones.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if file.startswith(WHOLE) else nodeid

"""mpifl.run with the time in its output: a line ``TIME seconds`` whenever rank 0 shows a round.

Lines come out of mpirun milliseconds later and several at once, which is as long as a small round takes.
"""

from __future__ import annotations

from time import perf_counter

import numpy as np

from mpifl.record.progress import Lines
from mpifl.run import main

TIME = "TIME "
_show = Lines.show


def _timed(lines: Lines, row: np.ndarray) -> None:
    print(f"{TIME}{perf_counter()!r}")
    _show(lines, row)


if __name__ == "__main__":
    Lines.show = _timed  # type: ignore[method-assign]
    main()

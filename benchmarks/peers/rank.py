"""mpifl.run with the time in its output: a line ``TIME seconds`` whenever rank 0 shows a round.

Lines come out of mpirun milliseconds later and several at once, which is as long as a small round takes.
"""

from __future__ import annotations

from time import perf_counter

import numpy as np

from mpifl import run

TIME = "TIME "
_print_round = run.print_round


def _timed(row: np.ndarray, rounds: int) -> None:
    print(f"{TIME}{perf_counter()!r}")
    _print_round(row, rounds)


if __name__ == "__main__":
    run.print_round = _timed
    run.main()

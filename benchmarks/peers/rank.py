"""mpifl.run with the time in its output: a line ``TIME seconds`` whenever rank 0 shows a round.

Lines come out of mpirun milliseconds later and several at once, which is as long as a small round takes.
"""

from __future__ import annotations

from mpifl.cluster.process import prepare_process

if __name__ == "__main__":  # before numpy and torch are loaded, as in mpifl.run
    prepare_process()

from time import perf_counter

from mpifl import run
from mpifl.record.run_record import RunRecord
from mpifl.rounds.plan.round_result import RoundResult

TIME = "TIME "
_ended_round = RunRecord.ended_round


def _timed(record: RunRecord, result: RoundResult) -> None:
    print(f"{TIME}{perf_counter()!r}")
    _ended_round(record, result)


if __name__ == "__main__":
    RunRecord.ended_round = _timed
    run.main()

"""Jobs that nobody thought of: ``python -m benchmarks.combinations [MINUTES]`` (10).

Draws jobs from the schema (tests/drawn_jobs.py), whatever parts and options mpifl accepts together, and runs each at 1 and 3 ranks,
at 2 ranks from a checkpoint of the latter, and at 3 ranks of which one is killed. All four must end with the same model and tables,
or with the same line of error. Prints what did not, and how many were tried. Exit status 1 when there was a defect.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from mpifl.errors import FAILED, WRONG_INPUT
from tests.drawn_jobs import Job, drawn_job
from tests.killing import HERE, KILLED
from tests.launching import Finished, mpirun, mpirun_folder, recovers, resume_runs, run_jobs
from tests.same_runs import differences

BATCH = 20
KILLS = 5  # of a batch: each has an mpirun of its own


def one_batch(first: int, tally: Counter[str]) -> list[str]:
    """Draw and run BATCH jobs, from the seed ``first`` on; returns a line for each defect."""
    jobs = {seed: drawn_job(seed) for seed in range(first, first + BATCH)}
    defects = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, mpirun_folder():
        one, three = (_run(Path(folder, f"at-{ranks}"), ranks, jobs) for ranks in (1, 3))
        ended = {}
        for seed, job in jobs.items():
            found = _compared(one[seed], three[seed])
            defects += [f"seed {seed}, 1 and 3 ranks: {line}\n  {job}" for line in found]
            tally["refused under way" if one[seed].status else "ended"] += 1
            if not found and not one[seed].status:
                ended[seed] = three[seed]

        killed = [seed for seed, job in jobs.items() if seed in ended and not _logs(job)][:KILLS]
        for seed in killed if recovers() else ():
            lost = _with_a_loss(Path(folder), seed, jobs[seed])
            tally["lost a rank"] += (lost.folder / KILLED).exists()
            found = _compared(one[seed], lost)
            defects += [f"seed {seed}, after a loss: {line}\n  {jobs[seed]}" for line in found]

        with_two = [seed for seed, run in ended.items() if _checkpoints(run) > 1]
        for seed, run in zip(
            with_two, resume_runs(2, [ended[seed] for seed in with_two]), strict=True
        ):
            tally["resumed"] += 1
            found = _compared(one[seed], run)
            defects += [f"seed {seed}, resumed: {line}\n  {jobs[seed]}" for line in found]
    return defects


def _run(folder: Path, ranks: int, jobs: dict[int, Job]) -> dict[int, Finished]:
    folder.mkdir()
    runs = run_jobs(ranks, [(folder, job) for job in jobs.values()])
    return dict(zip(jobs, runs, strict=True))


def _with_a_loss(folder: Path, seed: int, job: Job) -> Finished:
    """Run a job at 3 ranks, one of which is killed after one of its first rounds."""
    r = random.Random(seed)
    logger = {"name": f"{HERE}:Killing", "after": r.randint(1, 3), "rank": r.randint(0, 2)}
    out = folder / f"loss-{seed}"
    line = [*job, f"record.loggers={json.dumps([logger])}", "--out", str(out)]
    done = mpirun(3, ["mpifl.run", *line], folder, preloaded=False)
    return Finished(done.returncode, done.stdout, done.stderr, out)


def _compared(first: Finished, second: Finished) -> list[str]:
    """Return what is wrong with two runs that should be the same."""
    for run in (first, second):
        if "Traceback" in run.stderr or run.status not in (0, FAILED, WRONG_INPUT):
            return [f"status {run.status}: {run.stderr[-2000:]}"]
    if first.status != second.status:
        return [f"status {first.status} and {second.status}: {first.stderr}{second.stderr}"]
    return [] if first.status else differences(first, second)


def _logs(job: Job) -> bool:
    return any(one.startswith("record.loggers") for one in job)


def _checkpoints(run: Finished) -> int:
    return len([*(run.folder / "checkpoint").glob("round-*.h5")])


def main() -> None:
    """Until the minutes are over; a batch that has begun goes on to its end."""
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    began, tally, defects = time.monotonic(), Counter[str](), []
    first = random.SystemRandom().randrange(2**31)
    while not tally or time.monotonic() - began < minutes * 60:
        for line in one_batch(first, tally):
            print(line, flush=True)
            defects.append(line)
        first += BATCH
    counts = ", ".join(f"{count:,} {what}" for what, count in tally.items())
    print(f"{(time.monotonic() - began) / 60:.0f} minutes: {counts}; {len(defects)} defects")
    sys.exit(1 if defects else 0)


if __name__ == "__main__":
    main()

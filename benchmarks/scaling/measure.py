"""A job run at several numbers of ranks: rounds a second, what ranks wait, what they send, and the work to predict from."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from benchmarks.scaling.rounds import Work
from mpifl.clock.timeline import Outcome
from mpifl.errors import WRONG_INPUT, InputError, TrainingError
from mpifl.io.files import write_text
from mpifl.job import Job, read_job
from mpifl.mpi.launch import command
from mpifl.rounds.experiment.experiment import Experiment
from mpifl.rounds.plan.plan import TASK, largest_first, task_groups

FORMAT = "mpifl-scaling-1"
POINTS = "points.jsonl"
LEAST_ROUNDS = 4
ROUND_LINE = re.compile(r"(\S+ \S+) INFO round (\d+)/\d+, ")
ROOT_PHASES, PLAN_PHASES = ("server", "writing"), ("selection", "clock")


@dataclass(frozen=True)
class Seconds:
    """Where a run's wall time went, in seconds of the whole run, by phase.

    Rank 0's (``root``), and what it did besides while executors trained (``hidden``); the executors' mean, and the most of one.
    """

    root: dict[str, float]
    hidden: dict[str, float]
    mean: dict[str, float]
    most: dict[str, float]


def seconds_of(summary: Mapping[str, Any]) -> Seconds:
    """What summary.json says of wall time. Raises KeyError for a run of an mpifl that has not measured it."""
    executors = summary["executor_seconds"]
    parts = [
        {phase: float(both[which]) for phase, both in executors.items()}
        for which in ("mean", "most")
    ]
    return Seconds(summary["seconds"], summary["hidden_seconds"], *parts)


def measure(
    job: str, overrides: Sequence[str], ranks: Sequence[int], per_executor: int | None, out: Path
) -> list[dict[str, Any]]:
    """Run ``job`` on each number of ranks, into folders of ``out``; each adds a line to its points.jsonl, and is returned.

    With ``per_executor`` there are so many participants for each executor (weak scaling), else as many as the job says. Raises
    InputError, and TrainingError for a run that fails.
    """
    asked = read_job(job, overrides)
    if asked.rounds < LEAST_ROUNDS:
        raise InputError(
            f"rounds: {asked.rounds} is not allowed: the first two and the last are not timed; allowed: 4 and more"
        )
    points = []
    for count in ranks:
        name, more = f"strong-{count}", ["record.participants=all"]
        if per_executor is not None:
            name, more = (
                f"weak-{count}",
                [*more, f"selection.participants={per_executor * max(1, count - 1)}"],
            )
        _run(count, [job, *overrides, *more, "--out", str(out / name)])
        points.append(point(out / name, _ends(out / name), per_executor))
        path = out / POINTS
        write_text(
            path,
            (path.read_text(encoding="utf-8") if path.exists() else "")
            + json.dumps(points[-1])
            + "\n",
        )
    return points


def _run(ranks: int, arguments: Sequence[str]) -> None:
    """Run a job. Raises InputError, and TrainingError when it fails."""
    line = command(ranks, arguments, os.environ)
    done = subprocess.run(
        line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        lines = [text.strip() for text in done.stdout.splitlines() if text.strip(" -")]
        own = [text for text in lines if text.startswith("mpifl: ")]
        last = (own or lines[:1] or [""])[-1].removeprefix("mpifl: ")
        wrong = done.returncode == WRONG_INPUT
        raise (InputError if wrong else TrainingError)(f"on {ranks} ranks: {last}")


def _ends(folder: Path) -> dict[int, float]:
    """When each round ended, by its number, in seconds of rank 0's clock, as log.txt has them.

    Not when their lines arrive here: on a busy machine several come at once.
    """
    lines = (folder / "log.txt").read_text(encoding="utf-8").splitlines()
    rounds = {
        int(found.group(2)): found.group(1) for found in map(ROUND_LINE.match, lines) if found
    }
    return {
        number: datetime.fromisoformat(moment.replace(",", ".")).timestamp()
        for number, moment in rounds.items()
    }


def point(folder: Path, times: Mapping[int, float], per_executor: int | None) -> dict[str, Any]:
    """The line of a run directory, whose rounds ended at ``times``.

    The line of a round comes with the next batch, which tests its model: the first is begun after two batches, the last has no
    training in it.
    """
    summary, environment = (
        json.loads((folder / f"{name}.json").read_text()) for name in ("summary", "environment")
    )
    job = read_job(str(folder / "job.yaml"))
    try:
        seconds = seconds_of(summary)
    except KeyError as error:
        raise InputError(
            f"{folder}/summary.json: no {error}: where the wall time went; run it with a newer mpifl"
        ) from error
    rounds, ranks = summary["rounds"], summary["ranks"]
    here = max(environment["ranks_by_host"].values())
    work = work_of(folder, job, seconds, max(1, ranks - 1))
    whole = sum(seconds.mean.values())
    return {
        "format": FORMAT,
        "name": summary["name"],
        "scaling": "strong" if per_executor is None else "weak",
        "synchronous": not job.clock.asynchronous,
        "ranks": ranks,
        "ranks_per_node": here,
        "nodes": len(environment["ranks_by_host"]),
        "crowded": here > (os.cpu_count() or 1) + 1,
        "participants": work.participants,
        "rounds": rounds,
        "seconds_a_round": (times[rounds - 1] - times[1]) / (rounds - 2),
        "root_seconds": {phase: value / rounds for phase, value in seconds.root.items()},
        "executor_seconds": {phase: value / rounds for phase, value in seconds.mean.items()},
        "idle_share": {"mean": seconds.mean["idle"] / whole, "most": seconds.most["idle"] / whole},
        "bytes_a_rank": round(rounds * work.parameters * (4 * work.sent + 8 * work.summed)),
        "peak_bytes": summary.get("peak_bytes", []),
        "mpi": summary["mpi"],
        "model_sha256": summary["model_sha256"],
        "work": asdict(work),
    }


def work_of(folder: Path, job: Job, seconds: Seconds, executors: int) -> Work:
    """A round of a run: that of its rounds whose samples are the median; a second of training goes to each sample alike."""
    with h5py.File(folder / "run.h5") as file:
        rows = file["participants"][:]
        tests = int(np.isfinite(file["rounds"]["loss"]).sum())
    done = rows[rows["outcome"] == Outcome.COMPLETED]
    totals = np.bincount(done["round"], done["samples"])[1:]
    train, test = (executors * seconds.mean[phase] for phase in ("training", "evaluation"))
    middle = done[done["round"] == 1 + int(np.argsort(totals, kind="stable")[len(totals) // 2])]
    experiment = _experiment(folder)
    parameters = experiment.layout.size
    shards = experiment.shards
    return Work(
        participants=len(middle),
        parameters=parameters,
        sent=sum(map(math.prod, experiment.version_shapes.values())) / parameters,
        summed=experiment.sums.total / parameters,
        task_seconds=tuple(
            (_group_samples(middle, job) * (train / done["samples"].sum())).tolist()
        ),
        shards=shards,
        shard_seconds=test / max(1, tests * shards),
        root_seconds=sum(seconds.root.get(phase, 0.0) for phase in ROOT_PHASES) / len(totals),
        plan_seconds=sum(seconds.hidden.get(phase, 0.0) for phase in PLAN_PHASES)
        / max(1, len(totals) - 1),
    )


def _group_samples(done: np.ndarray, job: Job) -> np.ndarray:
    """Samples of each group of participants that is trained as one, in the order in which executors take them."""
    tasks = np.zeros(len(done), TASK)
    for name in ("round", "client", "samples"):
        tasks[name] = done[name]
    stack = job.training.stack or 1
    tasks = largest_first(tasks, stack)
    return np.array([tasks["samples"][group].sum() for group in task_groups(tasks, stack)])


def _experiment(folder: Path) -> Experiment:
    """What a run trained."""
    from mpifl.rounds.experiment.build_experiment import check_job

    experiment = check_job(str(folder / "job.yaml"), [])[0]
    assert isinstance(experiment, Experiment)
    return experiment


def read_points(paths: Iterable[Path]) -> list[dict[str, Any]]:
    """All lines of all files. Raises InputError."""
    points: list[dict[str, Any]] = []
    for path in paths:
        try:
            lines = [
                json.loads(line)
                for line in path.read_text(encoding="utf-8").splitlines()
                if line.strip()
            ]
            if any(line["format"] != FORMAT for line in lines):
                raise ValueError("another format")
            [Work(**line["work"]).of(line["participants"]) for line in lines]
            points += lines
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path}: no lines of measured runs ({type(error).__name__}: {error});"
                " make some: python -m benchmarks.scaling measure JOB --ranks 2,3 -o DIR"
            ) from error
    if not points:
        raise InputError(
            "POINTS: no measured run in it; make some: python -m benchmarks.scaling measure JOB --ranks 2,3 -o DIR"
        )
    return points

"""Figures that need runs: which runs a figure is made of, and what is read of them.

A figure's folder has its job files and ``runs.yaml``, which says for each of them which runs there
are: a label, and the changes of the job. ``seeds: 3`` runs each with the seeds 1, 2 and 3.

    small.yaml:
      seeds: 3
      runs: {uniform: [], oort: [selection.name=oort]}

A file may be that of another figure (``../oort-11/small.yaml``): equal runs are run once. Files
whose names begin with ``full`` are the jobs in the paper's size. No figure runs them here.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.figures.stores import Data
from mpifl.errors import InputError
from mpifl.job import load_yaml
from mpifl.record.load import Run, load_run
from mpifl.report.target import Target, reached

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
Runs = Mapping[str, Sequence[Run]]
"""Runs by label, one a seed."""


@dataclass(frozen=True)
class Planned:
    """A run of a figure: job file, label, seed, and the changes of the job that make the run."""

    figure: str
    job: Path
    label: str
    seed: int
    changes: tuple[str, ...]

    @property
    def arguments(self) -> list[str]:
        """What ``mpifl run`` is to be called with, but for the folder."""
        return [str(self.job), *self.changes, f"seed={self.seed}"]

    @property
    def folder(self) -> str:
        """A name for its run directory: another job or other changes have another name."""
        content = "\n".join([self.job.read_text(encoding="utf-8"), *self.arguments[1:]])
        return f"{self.job.parent.name}-{hashlib.sha256(content.encode()).hexdigest()[:12]}"


def planned(figure: str, job: str | None = None) -> Iterator[Planned]:
    """Yield the runs of a figure, those of one of its job files or of all."""
    folder = HERE / figure
    for name, section in load_yaml((folder / "runs.yaml").read_text(encoding="utf-8")).items():
        if job not in (None, name):
            continue
        for label, changes in section["runs"].items():
            for seed in range(1, section.get("seeds", 1) + 1):
                yield Planned(figure, (folder / name).resolve(), str(label), seed, tuple(changes))


def runs(data: Data, figure: str, job: str = "small.yaml") -> Runs:
    """Return the runs of a figure's job file by label; those that are not in ``data.work`` run."""
    plans = list(planned(figure, job))
    found: dict[str, list[Run]] = {}
    with ThreadPoolExecutor(data.at_once) as pool:
        for plan, run in zip(plans, pool.map(partial(made, data), plans), strict=True):
            found.setdefault(plan.label, []).append(run)
    return found


def made(data: Data, plan: Planned, ranks: int = 1) -> Run:
    """Return a run, made in the folder of the data sets, so that a job names them as they are."""
    folder = data.work / "runs" / (plan.folder + (f"-n{ranks}" if ranks > 1 else ""))
    if (folder / "summary.json").exists():
        return load_run(folder)

    line = [*plan.arguments, "--resume", str(folder.resolve())]
    job = os.path.relpath(line[0])
    print(shlex.join(["mpifl", "run", "-n", str(ranks), job, *plan.arguments[1:]]), flush=True)
    alone = [sys.executable, "-m", "mpifl.run", *line]
    several = [sys.executable, "-m", "mpifl", "run", "-n", str(ranks), *line]
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    ended = subprocess.run(
        alone if ranks == 1 else several,
        cwd=data.work,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
        capture_output=True,
        text=True,
    )
    if ended.returncode:
        said = (ended.stderr.strip() or ended.stdout.strip()).splitlines()
        raise InputError(f"{plan.figure}, {plan.label}: {said[-1] if said else 'no word'}")
    return load_run(folder)


def tested(run: Run) -> np.ndarray:
    """Return the rows of /rounds after which the model was tested."""
    rows: np.ndarray = run.rounds[np.isfinite(run.rounds["accuracy"])]
    return rows


def traffic(run: Run) -> np.ndarray:
    """Return the bytes down and up from the run's beginning to each test, (tests,)."""
    total = np.cumsum(run.rounds["bytes_down"] + run.rounds["bytes_up"])
    return total[np.isfinite(run.rounds["accuracy"])]


def mean_curve(own: Sequence[Run], x: str) -> tuple[np.ndarray, ...]:
    """Return the means over seeds of column ``x`` and of the accuracy at each test, (tests,) each."""
    rows = [tested(run) for run in own]
    tests = min(map(len, rows))
    return tuple(np.mean([one[name][:tests] for one in rows], axis=0) for name in (x, "accuracy"))


CURVES = ("series", "seed", "round", "virtual_seconds", "megabytes", "accuracy")


def curve_table(found: Runs) -> list[list[object]]:
    """Return the rows of a table with the columns CURVES: every test of every run."""
    return [
        [label, run.job["seed"], *_point(row, sent)]
        for label, own in found.items()
        for run in own
        for row, sent in zip(tested(run), traffic(run), strict=True)
    ]


def _point(row: np.void, sent: int) -> tuple[object, ...]:
    """Return round, virtual seconds, megabytes until then and accuracy of a row of /rounds."""
    return int(row["round"]), float(row["end_seconds"]), float(sent / 1e6), float(row["accuracy"])


def target_of(found: Runs, share: float = 0.99) -> float:
    """Return an accuracy that all runs reach: a share of the lowest of their best accuracies."""
    return share * min(tested(run)["accuracy"].max() for own in found.values() for run in own)


@dataclass(frozen=True)
class Until:
    """What runs of one label took to reach an accuracy, means over seeds; NaN: not all did."""

    rounds: float
    hours: float
    megabytes: float
    completed: float


def until(own: Sequence[Run], accuracy: float) -> Until:
    """Return what the runs took until they first had the accuracy."""
    found = [reached(run.rounds, Target("accuracy", accuracy), lower=False) for run in own]
    if not all(found):
        return Until(np.nan, np.nan, np.nan, np.nan)
    ends = [one for one in found if one]
    updates = [run.rounds["completed"][: e.round].sum() for run, e in zip(own, ends, strict=True)]
    return Until(
        rounds=float(np.mean([one.round for one in ends])),
        hours=float(np.mean([one.virtual_seconds / 3600 for one in ends])),
        megabytes=float(np.mean([one.bytes / 1e6 for one in ends])),
        completed=float(np.mean(updates)),
    )


def best(own: Sequence[Run]) -> list[float]:
    """Return the best accuracy of each run in per cent."""
    return [100 * float(tested(run)["accuracy"].max()) for run in own]


def last(own: Sequence[Run], tests: int = 5) -> list[float]:
    """Return the mean accuracy of each run over its last tests in per cent."""
    return [100 * float(tested(run)["accuracy"][-tests:].mean()) for run in own]


def print_table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table as Markdown, for the README; numbers keep three or four figures."""
    print("\n| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(_cell(cell) for cell in row) + " |")


def _cell(cell: Any) -> str:
    if isinstance(cell, float):
        return "never" if np.isnan(cell) else f"{cell:.4g}"
    if isinstance(cell, (list, np.ndarray)):
        mean = f"{np.mean(cell):.1f}"
        return mean if len(cell) == 1 else f"{mean} ± {np.std(cell):.1f}"
    return str(cell)

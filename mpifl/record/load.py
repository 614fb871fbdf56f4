"""Reads a run directory: tables, job, summary and model."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from mpifl.errors import InputError, counted, printable
from mpifl.io.files import is_file, read_errors
from mpifl.io.hdf5 import check_heaps
from mpifl.job import load_yaml
from mpifl.job.metrics import HIGHER_IS_BETTER, LOWER_IS_BETTER
from mpifl.record.run_folders import is_run, runs_in
from mpifl.record.scores import own_scores
from mpifl.record.tables import CLIENT_SCORES, SCORES, TABLES

if TYPE_CHECKING:
    from mpifl.population.population import Population

BLOCK_ROWS = 1 << 18


@dataclass(frozen=True)
class Run:
    """A run that has ended, was stopped, or is still under way.

    Attributes are read when they are first used. They raise InputError, naming the file, for what
    is missing or damaged.
    """

    folder: Path

    @cached_property
    def job(self) -> dict[str, Any]:
        """The resolved job as nested dicts, with every default. Plug-ins are not loaded.

        That of a Flower app are its settings, and what of a job has the same meaning.
        """
        path = self.folder / "job.yaml"
        with read_errors(path):
            text = path.read_text(encoding="utf-8")
        try:
            job = load_yaml(text)
        except InputError as error:
            raise error.within(str(path)) from error
        return self._as_job(job) if "supernodes" in job else job

    def _as_job(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Return the settings of a Flower app with the keys of a job that reports read.

        A round is a call, of which the app makes as many as it likes.
        """
        return {
            **settings,
            "rounds": len(self.rounds),
            "data": {"name": None, "partition": {"name": "the app's"}},
            "population": {"clients": settings["supernodes"], "trace": settings["trace"]},
            "record": {"participants": "all", "sample_share": 1.0},
        }

    @cached_property
    def environment(self) -> dict[str, Any]:
        """environment.json: versions, processors, hosts and content hashes."""
        return self._json("environment.json")

    @cached_property
    def population(self) -> Population:
        """The run's clients: ``labels``, ``devices``, ``patterns`` and ``samples`` of each.

        Reads the job, loading its plug-ins, its data set and its trace. Raises InputError when the
        trace is not the one of the run.
        """
        # Imported here: reading a table needs neither Numba nor the job's classes.
        from mpifl.job import read_job
        from mpifl.population.build import open_population, prepare

        job = read_job(str(self.folder / "job.yaml"), [])
        population = open_population(job, *prepare(job))
        trace = population.trace
        if trace is None or trace.content_sha256 != self.environment["content_sha256"]["trace"]:
            raise InputError(f"{self.folder}: population.trace has changed since the run began")
        return population

    @property
    def complete(self) -> bool:
        """Whether the run has ended: summary.json, which is written last, exists."""
        return is_file(self.folder / "summary.json")

    @property
    def begun(self) -> bool:
        """Whether the run has a table of rounds, which may be empty; True of one that has ended."""
        return self.complete or is_file(self.folder / "run.h5")

    @cached_property
    def summary(self) -> dict[str, Any]:
        """summary.json: totals, final scores, model_sha256. It is missing until the run ends."""
        return self._json("summary.json")

    @property
    def too_few(self) -> list[str]:
        """What a run that has ended says of rounds with too few clients online, or updates."""
        lines = self.summary.get("too_few")
        return [printable(str(line)) for line in lines] if isinstance(lines, list) else []

    @cached_property
    def rounds(self) -> np.ndarray:
        """/rounds of run.h5: a structured array with a row for each round."""
        return self.table("rounds")

    @cached_property
    def higher_is_better(self) -> dict[str, bool]:
        """By name of each score in /rounds, whether its higher value is the better one.

        A run of an earlier mpifl does not say it: there only scores that mpifl knows are named.
        """
        with self._run_file() as file:
            columns = file["rounds"].dtype
            said = file.attrs.get("higher_is_better")
        scores = [*SCORES, *CLIENT_SCORES, *own_scores(columns)]
        there = [name for name in scores if name in (columns.names or ())]
        if said is None:
            known = (*HIGHER_IS_BETTER, *LOWER_IS_BETTER)
            return {name: name in HIGHER_IS_BETTER for name in there if name in known}
        higher = set(map(str, np.atleast_1d(said)))
        return {name: name in higher for name in there}

    @cached_property
    def participants(self) -> np.ndarray:
        """/participants of run.h5: a structured array, a row for each participant of a round."""
        return self.table("participants")

    @cached_property
    def clients(self) -> np.ndarray:
        """/clients of run.h5: a structured array with the tests of single clients.

        It is empty without evaluation.per_client and evaluation.personal.
        """
        return self.table("clients")

    @cached_property
    def messages(self) -> np.ndarray:
        """/messages of run.h5: a structured array with a row for each round.

        It is empty but for protocols of actors.
        """
        return self.table("messages")

    @cached_property
    def analytics(self) -> np.ndarray:
        """/analytics of run.h5: a structured array with what was found after each round.

        It is empty but for algorithms without a model.
        """
        return self.table("analytics")

    @cached_property
    def model(self) -> dict[str, np.ndarray]:
        """The final model's tensors by name.

        They are missing until the run ends, and in runs that train nothing.
        """
        from safetensors.numpy import load_file

        path = self.folder / "model.safetensors"
        with read_errors(path):
            tensors: dict[str, np.ndarray] = load_file(path)
        return tensors

    def table(self, name: str) -> np.ndarray:
        """Return a table of run.h5 as a structured array.

        Tables are ``rounds``, ``participants``, ``clients``, ``messages``, ``analytics`` and
        ``losses``. While a run is under way these are the rows written so far.
        """
        _check_table(name)
        with self._run_file() as file:
            rows: np.ndarray = file[name][:]
        return rows

    def blocks(self, name: str, rows: int = BLOCK_ROWS) -> Iterator[np.ndarray]:
        """Yield a table of run.h5 in structured arrays of at most ``rows`` rows, in order.

        For tables that do not fit into memory; else as ``table``.
        """
        with self._run_file() as file:
            table = file[name]
            for start in range(0, len(table), rows):
                yield table[start : start + rows]

    def columns(self, name: str) -> tuple[str, ...]:
        """Return the names of the columns of a table of run.h5; none if it has no such table."""
        with self._run_file() as file:
            return file[name].dtype.names or () if name in file else ()

    def units(self, name: str) -> dict[str, str]:
        """Return the description of each column of a table, with its unit, by the column's name."""
        _check_table(name)
        with self._run_file() as file:
            return {column: str(file[name].attrs[column]) for column in file[name].dtype.names}

    def frame(self, name: str) -> Any:
        """Return a table as a pandas.DataFrame. Raises ImportError without pandas."""
        import pandas

        return pandas.DataFrame(self.table(name))

    @contextlib.contextmanager
    def _run_file(self) -> Iterator[h5py.File]:
        """Open run.h5 for the block, in which it is read; damage shows only then."""
        path = self.folder / "run.h5"
        check_heaps(path)
        swmr = not self.complete
        with read_errors(path), h5py.File(path, "r", swmr=swmr, locking="best-effort") as file:
            yield file

    def _json(self, name: str) -> dict[str, Any]:
        with read_errors(self.folder / name):
            content: dict[str, Any] = json.loads((self.folder / name).read_text(encoding="utf-8"))
        return content


def _check_table(name: str) -> None:
    """Raise InputError for a table that run.h5 never has."""
    if name not in TABLES:
        raise InputError(f"table {name!r} is not known; allowed: {', '.join(TABLES)}")


def lacking(runs: Iterable[Run]) -> list[str]:
    """Return a line about complete runs in whose rounds clients or updates were too few, if any."""
    found = [(run.folder, run.too_few[0]) for run in runs if run.complete and run.too_few]
    if not found:
        return []
    folder, line = found[0]
    return [f"too few clients or updates in {counted(len(found), 'run')}, such as {folder}: {line}"]


def load_run(path: str | Path) -> Run:
    """Return the run of a run directory. Raises InputError when there is none."""
    folder = Path(path)
    if not is_run(folder):
        inside = runs_in(folder)
        hint = f"; it has {counted(len(inside), 'run')}, such as {inside[0]}" if inside else ""
        raise InputError(f"{folder}: not a run directory: it has no job.yaml{hint}")
    return Run(folder)

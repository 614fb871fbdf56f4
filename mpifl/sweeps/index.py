"""The index of a sweep: ``sweep.yaml`` in its folder, which says what each run is."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mpifl.errors import InputError, counted
from mpifl.flower.app import is_app, source_sha256
from mpifl.io.files import is_file, read_errors, write_text
from mpifl.io.verified import bytes_sha256
from mpifl.job import find_job, load_yaml
from mpifl.job.yaml_text import LONGEST_TEXT
from mpifl.sweeps.apps import PROGRAM, app_words
from mpifl.sweeps.axes import parse_axes
from mpifl.sweeps.points import drawn, folder_names, grid

INDEX = "sweep.yaml"

FAST = ".sweep.json"
"""The file with the same index in JSON, below a line with the SHA-256 of ``INDEX``.

Every task of a batch array reads the index. Of 10,000 runs that takes 10 s in YAML.
"""


class _Part(BaseModel):
    """A part of the index: frozen, and with the declared keys alone."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Random(_Part):
    """A random search: the number of points that are drawn, and the seed they are drawn with."""

    points: int = Field(ge=1)
    seed: int = Field(0, ge=0)


class Entry(_Part):
    """One run of a sweep: the name of its run directory, and its changes to the job."""

    folder: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$")
    overrides: tuple[str, ...]


class Index(_Part):
    """What the runs of a sweep are. The same command in the same folder gives the same index.

    Attributes:
        job: The job file or the folder of the Flower app, absolute, or the name of a job that ships
            with mpifl.
        job_sha256: The SHA-256 of that file, or of the app's source.
        directory: Where the sweep was made: paths in overrides are relative to it.
        axes: What the command line asked for.
        random: How the points were drawn; None for a grid.
        runs: The runs, in order; run 1 is the first.
    """

    format: Literal["mpifl-sweep"] = "mpifl-sweep"
    schema_version: Literal[1] = 1
    job: str
    job_sha256: str
    directory: str
    axes: tuple[str, ...]
    random: Random | None
    runs: tuple[Entry, ...]

    @property
    def program(self) -> str:
        """The program that runs a run."""
        return PROGRAM if is_app(self.job) else "mpifl.run"

    def arguments(self, number: int, sweep: Path) -> list[str]:
        """Return the arguments of ``program`` that start or resume run ``number`` (from 1).

        Raises InputError when there is no such run.
        """
        if not 1 <= number <= len(self.runs):
            raise InputError(
                f"run {number}: {sweep} has none of that number; allowed: 1 to {len(self.runs)}"
            )
        entry = self.runs[number - 1]
        words = [self.job, *entry.overrides]
        if is_app(self.job):
            words = app_words(self.job, entry.overrides)
        return [*words, "--resume", str(sweep / entry.folder)]


def make_index(job: str, axes: Sequence[str], random: Random | None) -> Index:
    """Return the index of a sweep. Raises InputError when job or axes are wrong."""
    digest = source_of(job)
    parsed = parse_axes(axes)
    if random is None:
        points = grid(parsed)
    else:
        points = drawn(parsed, random.points, random.seed)

    runs = [
        Entry(folder=name, overrides=tuple(f"{key}={value}" for key, value in point.items()))
        for name, point in zip(folder_names(parsed, points), points, strict=True)
    ]
    return Index(
        job=os.path.abspath(job) if is_file(Path(job)) or is_app(job) else job,
        job_sha256=digest,
        directory=os.getcwd(),
        axes=tuple(axes),
        random=random,
        runs=tuple(runs),
    )


def source_of(job: str) -> str:
    """Return the SHA-256 of a job's file, or of an app's source. Raises InputError."""
    return source_sha256(job) if is_app(job) else bytes_sha256(find_job(job))


def write_index(folder: Path, index: Index) -> None:
    """Write sweep.yaml into a folder. Raises InputError for one that could not be read again."""
    text = yaml.safe_dump(
        index.model_dump(mode="json"), sort_keys=False, default_flow_style=None, width=100
    )
    if len(text) > LONGEST_TEXT:
        raise InputError(
            f"{folder / INDEX}: {counted(len(index.runs), 'run')} would take {len(text):,}"
            f" characters; allowed: at most {LONGEST_TEXT:,}: fewer runs, or what all have in the"
            " job file"
        )
    plain = json.dumps(index.model_dump(mode="json"))
    write_text(folder / FAST, f"{_sha256(text)}\n{plain}\n")
    write_text(folder / INDEX, text)


def has_index(folder: Path) -> bool:
    """Return whether a folder is that of a sweep."""
    return is_file(folder / INDEX)


def read_index(folder: Path) -> Index:
    """Return the index of a sweep's folder. Raises InputError."""
    path = folder / INDEX
    with read_errors(path):
        text = path.read_text(encoding="utf-8")
    index = _read_fast(folder, text)
    if index is not None:
        return index
    try:
        return Index.model_validate(load_yaml(text))
    except InputError as error:
        raise error.within(str(path)) from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(f"{path}: {place}: {first['msg']}; restore it from a copy") from error


def _read_fast(folder: Path, text: str) -> Index | None:
    """Return the index in ``FAST``; None unless that was written with this ``text`` of INDEX."""
    try:
        digest, plain = (folder / FAST).read_text(encoding="utf-8").split("\n", 1)
        return Index.model_validate(json.loads(plain)) if digest == _sha256(text) else None
    except (OSError, ValueError, RecursionError):  # missing or damaged: INDEX is what counts
        return None


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

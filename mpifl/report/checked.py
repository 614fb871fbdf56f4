"""Checks that a run directory has what is read of it, so that a damaged one is told in a line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mpifl.errors import InputError
from mpifl.io.files import is_file
from mpifl.job.flat import flat
from mpifl.record.load import Run
from mpifl.record.tables import TABLES

Fits = Callable[[Any], bool]
"""Returns whether a value is what a run writes."""


def _anything(value: Any) -> bool:
    return True


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _mapping(value: Any) -> bool:
    return isinstance(value, Mapping)


def _of(kind: Fits) -> Fits:
    """Return what is true of a mapping to values of a kind."""
    return lambda value: isinstance(value, Mapping) and all(map(kind, value.values()))


def _plug_in(value: Any) -> bool:
    return isinstance(value, Mapping) and "sha256" in value


JOB: Mapping[str, Fits] = {
    "name": _anything,
    "seed": _number,
    "rounds": _number,
    "data.partition.name": _text,
    "population.clients": _number,
    "record.participants": _text,
    "record.sample_share": _number,
}
SUMMARY: Mapping[str, Fits] = {
    "ranks": _number,
    "wall_seconds": _number,
    "seconds": _of(_number),
    "executor_seconds": _of(_of(_number)),
    "model_sha256": _anything,
}
COMPARED_JOB: Mapping[str, Fits] = {"name": _anything, "seed": _number, "rounds": _number}
COMPARED_SUMMARY: Mapping[str, Fits] = {
    "final": _mapping,
    "virtual_seconds": _number,
    "bytes_down": _number,
    "bytes_up": _number,
    "joules": _number,
    "wall_seconds": _number,
}
ENVIRONMENT: Mapping[str, Fits] = {"content_sha256": _mapping, "plug_ins": _of(_plug_in)}


def check_compared(run: Run) -> None:
    """Raise InputError for a run directory that lacks a key that a comparison reads."""
    _check(run, "job.yaml", COMPARED_JOB, run.job)
    if is_file(run.folder / "environment.json"):
        _check(run, "environment.json", ENVIRONMENT, run.environment)
    if run.complete:
        _check(run, "summary.json", COMPARED_SUMMARY, run.summary)


def check_run(run: Run) -> None:
    """Raise InputError for a run directory that lacks a key or a column that a report reads."""
    check_compared(run)
    _check(run, "job.yaml", JOB, flat(run.job))
    if run.complete:
        _check(run, "summary.json", SUMMARY, run.summary)
    for table, columns in TABLES.items():
        _check_names(run, f"run.h5: /{table}", columns, run.columns(table))


def _check(run: Run, place: str, kinds: Mapping[str, Fits], there: Any) -> None:
    """Raise InputError for the first key that a mapping has not, or not with its kind of value."""
    _check_names(run, place, kinds, there)
    for key, fits in kinds.items():
        if not fits(there[key]):
            raise InputError(
                f"{run.folder}/{place}: {key}: {there[key]!r} is not what a run writes there"
            )


def _check_names(run: Run, place: str, names: Iterable[str], there: Any) -> None:
    """Raise InputError for the first of ``names`` that a mapping, or a list of them, has not."""
    known = there if isinstance(there, Mapping | tuple) else ()
    missing = [name for name in names if name not in known]
    if missing:
        raise InputError(
            f"{run.folder}/{place}: {missing[0]}: missing; it has to have what a run of this"
            " version of mpifl writes"
        )

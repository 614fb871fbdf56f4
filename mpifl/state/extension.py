"""How a run gets another end when it is resumed: more ``rounds``, or another ``stop``."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mpifl.errors import InputError
from mpifl.io.files import disk_full_errors, write_text
from mpifl.job import Job, dump_job, part_name, with_names
from mpifl.job.read import MORE
from mpifl.record.load import load_run
from mpifl.record.stop_rule import StopRule
from mpifl.rounds.plan.round_result import PERSONAL
from mpifl.rounds.plan.snapshot import Snapshot, Waiting

LOG = logging.getLogger(__name__)

FALLING = ("cosine", "linear")
"""Schedules of the learning rate that depend on the number of rounds."""


def rounds_at_end(folder: Path, job: Job, complete: bool) -> int:
    """Return after how many rounds a run ends: of a ``complete`` one how many it has run.

    Raises InputError when its summary.json does not say that.
    """
    if not complete:
        return job.rounds
    summary: Any = load_run(folder).summary
    rounds = summary.get("rounds") if isinstance(summary, dict) else None
    if not isinstance(rounds, int):
        raise InputError(
            f"--resume: {folder}/summary.json: rounds: {rounds!r}; expected how many were run;"
            " restore the file from a copy, or remove it: a resume writes it again"
        )
    return rounds


def with_sums(overrides: Sequence[str], rounds: int, complete: bool) -> list[str]:
    """Return overrides in which ``rounds=+N`` names the sum of that and ``rounds``.

    Raises InputError for a run that is not ``complete``: the same command, given again after the
    run was stopped, would extend it once more.
    """
    summed = []
    for override in overrides:
        if override.startswith(MORE):
            more = override.removeprefix(MORE)
            if not more.isdecimal():
                raise InputError(f"{override}: rounds=+N takes a number")
            if not complete:
                raise InputError(
                    f"--resume: {override}: the run has not come to its end, which is round"
                    f" {rounds}: leave it out, or name the number of rounds"
                )
            override = f"rounds={rounds + int(more)}"
        summed.append(override)
    return summed


def with_end(folder: Path, job: Job, asked: Job, complete: bool) -> Job:
    """Return the job of a run directory with the end that is asked for.

    The result has to be that of a run that had this end from the beginning. Raises InputError where
    it would not be.
    """
    end = rounds_at_end(folder, job, complete)
    if asked.rounds < end:
        raise InputError(
            f"--resume: rounds is {end} in {folder} and {asked.rounds} here; a run can be extended,"
            " not shortened: leave it out, or name more"
        )
    schedule = job.training.schedule.name
    if asked.rounds != job.rounds and schedule in FALLING:
        raise InputError(
            f"--resume: rounds: {asked.rounds} is not allowed: with training.schedule {schedule}"
            " the learning rates of the rounds so far would have been others; start a new run,"
            f" also from this model: model.initial={folder}"
        )
    if asked.rounds != job.rounds and job.privacy.knows_rounds:
        raise InputError(
            f"--resume: rounds: {asked.rounds} is not allowed: with privacy.name {job.privacy.name}"
            " the noise of the rounds so far would have been another; start a new run"
        )
    if asked.stop != job.stop:
        _check_stop(folder, job, asked, complete)
    elif asked.rounds != job.rounds and complete:
        _check_not_stopped(folder, job)
    return job.model_copy(update={"rounds": asked.rounds, "stop": asked.stop})


def _check_stop(folder: Path, job: Job, asked: Job, complete: bool) -> None:
    """Raise InputError when a run cannot go on with another ``stop``."""
    if not complete:
        raise InputError(
            "--resume: stop: not allowed to change before the run has come to its end; leave it out"
        )
    if asked.stop.metric not in (None, job.stop.metric):
        raise InputError(
            f"--resume: stop.metric is {job.stop.metric!r} in {folder / 'job.yaml'} and"
            f" {asked.stop.metric!r} here; allowed: the same, or none (stop={{}})"
        )

    rule = StopRule(asked.stop, job.objective.higher_is_better)
    rounds = load_run(folder).rounds
    for row in rounds[:, np.newaxis]:
        if row["round"][0] < len(rounds) or job.evaluation.due(int(row["round"][0])):
            rule.add(row)
    if rule.met_by is not None:
        raise InputError(
            f"--resume: {rule.met_by} is met after round {rule.met_after} already, and the run has"
            f" {len(rounds)}"
        )


def _check_not_stopped(folder: Path, job: Job) -> None:
    """Raise InputError when a complete run was ended by ``stop``, and would be with more rounds.

    It would not by a test that came only because the round was the last one.
    """
    summary = load_run(folder).summary
    stopped_by = summary.get("stopped_by")
    rounds = summary["rounds"]
    out_of_time = job.stop.out_of_time(summary["virtual_seconds"])
    if rounds == job.rounds and not job.evaluation.due(rounds) and not out_of_time:
        return
    if stopped_by is not None:
        raise InputError(
            f"--resume: rounds: {stopped_by} has ended the run after round {rounds}, and"
            f" more rounds do not change that; change it too ({stopped_by}=...), or leave it out"
            " (stop={})"
        )


def extend(folder: Path, job: Job, rounds_done: int) -> None:
    """Give a run directory a job with another end than before ``rounds_done`` rounds were made.

    summary.json of the run as it was stays under another name.
    """
    summary = folder / "summary.json"
    if summary.exists():
        rounds = json.loads(summary.read_text(encoding="utf-8"))["rounds"]
        summary.rename(folder / f"summary-{rounds}.json")
    names = {key: part_name(job, key).removeprefix(f"{folder}/") for key in job.plug_ins}
    with disk_full_errors(folder / "job.yaml", run=folder):
        write_text(folder / "job.yaml", dump_job(with_names(job, names)))

    LOG.info("extended to %d rounds; going on after round %d", job.rounds, rounds_done)


def with_due_tests(snapshot: Snapshot, job: Job) -> Snapshot:
    """Return a snapshot without a test that was due only because its round was the last one.

    Whenever a run is taken up: its job may have got another end since the snapshot was saved.
    """
    untested = (_with_due_test(waiting, job) for waiting in snapshot.untested)
    return replace(snapshot, untested=tuple(untested))


def _with_due_test(waiting: Waiting, job: Job) -> Waiting:
    number = waiting.plan.round_number
    if (
        job.evaluation.due(number)
        or number == job.rounds
        or job.stop.out_of_time(waiting.plan.timeline.end_seconds)
    ):
        return waiting
    return replace(waiting, version=None, personal=np.empty(0, PERSONAL))

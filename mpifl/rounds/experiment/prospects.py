"""What a job's rounds will lack, foretold from its trace: clients online, and updates.

Who is online is counted at moments over the trace's time. Some rounds are timed by the job's own
clock, each beginning at one of these moments, with clients drawn uniformly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mpifl.clock.kernels.availability import count_online
from mpifl.clock.kernels.online_patterns import walk
from mpifl.clock.online import online_index
from mpifl.clock.timeline import Call, ClockState, Outcome
from mpifl.errors import counted
from mpifl.population.population import Population
from mpifl.rounds.experiment.experiment import TimingExperiment
from mpifl.rounds.experiment.shortage import MORE_ONLINE, asked, asked_text, more_updates
from mpifl.rounds.plan.plan import ONLINE_SAMPLE
from mpifl.rounds.plan.securing import advance
from mpifl.seeds import Purpose, number

MOMENTS = 96
EVERY = 6
"""A round is timed at one of so many moments."""

MOST_UPDATES = 500
"""Larger rounds are timed as rounds of so many updates, and their numbers scaled up."""

MOST_DRAWS = 1 << 17
"""So many clients are looked at, one by one, to find those that a round asks."""

SHORT = 0.995
"""The share of the updates wanted below which a round is called short: less may be chance."""


@dataclass(frozen=True)
class Prospects:
    """The clients online when the run begins and at each of the moments (MOMENTS,).

    The other numbers are the mean of the timed rounds.
    """

    first: float
    online: np.ndarray
    asked: float
    completed: float
    dropped: float
    cut: float
    abandoned: float


def prospects(experiment: TimingExperiment) -> list[str]:
    """Return in words who is online, what a round gets, and the keys to change where it lacks.

    Raises:
        InputError: No client can ever finish.
    """
    job = experiment.job
    clients = experiment.population.clients
    found = foretell(experiment)
    lines = []

    if not experiment.population.always_online:
        mean = found.online.mean()
        lines.append(
            f"online: {mean:,.0f} of {counted(clients, 'client')} ({mean / clients:.0%}) on average"
            f" over the trace, {found.online.min():,.0f} at the least of {MOMENTS} moments"
        )
    if job.protocol.has_actors:
        return lines + job.protocol.describe(job, experiment.population)
    asks = min(asked(job), clients)
    few = np.count_nonzero(found.online < asks)
    if few and not job.selection.varies:
        lines.append(
            f"at {few} of {MOMENTS} moments fewer are online than {asked_text(job)}: only those"
            f" take part; {MORE_ONLINE}"
        )
    if found.first < asks <= found.online.mean() and not job.selection.varies:
        lines.append(
            f"when the run begins {found.first:,.0f} are online, fewer than {asked_text(job)};"
            " another clock.start begins it at another hour of the trace"
        )

    wanted = job.clock.wanted(job.selection.participants)
    if job.clock.asynchronous or not wanted:
        return lines
    abandoned = f", {found.abandoned:,.1f} are abandoned" if found.abandoned else ""
    does = "would have if all were online" if job.selection.varies else "waits for"
    lines.append(
        f"a round: {found.completed:,.1f} of the {counted(wanted, 'update')} that it {does};"
        f" {found.asked:,.1f} participants, of whom {found.dropped:,.1f} drop out and"
        f" {found.cut:,.1f} are cut{abandoned} (mean of {MOMENTS // EVERY} rounds over the trace)"
    )
    if job.secure_aggregation.active and found.abandoned:
        smaller = hasattr(job.secure_aggregation, "threshold")
        smaller_keys = ["secure_aggregation.threshold"] if smaller else []
        smaller_keys += ["privacy.least_updates"] if job.privacy.shared else []
        key = f"a smaller {' or '.join(smaller_keys)}, or " if smaller_keys else ""
        lines.append(
            "rounds are void: too few are left to unmask their sums; what helps:"
            f" {key}fewer who are cut or drop out"
        )
    elif not job.selection.varies and found.completed < SHORT * wanted <= found.asked:
        keys = more_updates(job.clock, found.dropped, found.cut)
        lines.append(f"that is fewer updates than a round waits for; {keys}")
    return lines


def foretell(experiment: TimingExperiment) -> Prospects:
    """Return what a job's rounds are likely to have. It depends on the job and its trace alone.

    Raises:
        InputError: No client can ever finish.
    """
    job = experiment.job
    population = experiment.population
    phones = population.phones
    horizon = float(np.max(phones.period))
    moments = (np.arange(MOMENTS) + 0.5) * horizon / MOMENTS

    key = number(job.seed, Purpose.ONLINE, 0)
    first, *online = [
        count_online(phones, population.clients, key, moment, ONLINE_SAMPLE)
        for moment in [0.0, *moments.tolist()]
    ]
    counts = np.zeros(5)
    if not job.clock.asynchronous and not job.protocol.has_actors:
        rounds = [
            _round(experiment, float(moments[index]), float(online[index]), index)
            for index in range(EVERY // 2, MOMENTS, EVERY)
        ]
        counts = np.mean(rounds, axis=0)
    return Prospects(first, np.array(online), *counts.tolist())


def _round(experiment: TimingExperiment, now: float, online: float, draw: int) -> list[float]:
    """Return how many are asked, complete, drop out, are cut and abandoned in a round from ``now``.

    ``online`` clients are online then. ``draw`` is the number of the draw, from 0.
    """
    job = experiment.job
    updates = job.clock.updates(job.selection.participants)
    timed = min(updates, MOST_UPDATES)
    scale = updates / timed

    def choose(now: float, wanted: int, draw: int, busy: np.ndarray) -> np.ndarray:
        # As small a share of the smaller round as of the real one, where few are online.
        if job.selection.varies:
            wanted = max(1, round(wanted * online / experiment.population.clients))
        wanted = min(wanted, max(1, math.ceil(online / scale)))
        key = number(job.seed, Purpose.ONLINE, 0, draw)
        return _drawn(experiment.population, key, now, wanted, busy)

    call = Call(timed, choose, experiment.population, experiment.workload, job.seed, round=1 + draw)
    timeline = advance(job, 1 + draw, ClockState(now=now, draws=draw), call)[0]
    outcomes = (Outcome.COMPLETED, Outcome.DROPPED, Outcome.CUT, Outcome.ABANDONED)
    return [
        scale * count
        for count in (len(timeline.participants), *(timeline.count(kind) for kind in outcomes))
    ]


def _drawn(
    population: Population, key: int, now: float, wanted: int, busy: np.ndarray
) -> np.ndarray:
    """Return up to ``wanted`` clients that are online ``now`` and not busy, drawn uniformly, int64.

    The index of who is online takes time with the patterns of a trace, and serves for moments that
    lie close together. It is used where few are online alone.
    """
    clients = population.clients
    draws = min(clients, MOST_DRAWS)
    drawn, _ = walk(population.phones, clients, key, now, wanted, busy, 0, draws)
    if len(drawn) == wanted or draws == clients:
        return drawn
    return online_index(population).draw(key, now, wanted, busy)

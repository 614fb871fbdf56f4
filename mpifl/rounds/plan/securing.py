"""A round with secure aggregation in virtual time: steps before training, and after the upload.

Each step is a participation of its own: phones receive, compute and send, may drop out, and the
server waits for all who are left. The round policy decides in between, with the clients that have
shared their secrets, as ever.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from mpifl.clock.latency import work_seconds
from mpifl.clock.online import NOBODY
from mpifl.clock.settlement import Settlement, as_declared
from mpifl.clock.timeline import PARTICIPANT, SECURED, Call, ClockState, Outcome, Timeline
from mpifl.job import Job
from mpifl.rounds.plan.step_load import plain_load, step_load
from mpifl.secure_aggregation.secure_aggregation import with_phase
from mpifl.secure_aggregation.step import Cohort, Phase, Step, Steps


@dataclass(frozen=True)
class Prepared:
    """A round whose clients have shared their secrets, or that cannot be saved any more.

    Attributes:
        cohort: Who was asked.
        phases: How far each has come, (n,) uint8.
        rows: They (structured PARTICIPANT), in the order in which they were asked, with what the
            steps have cost so far.
        waited: The seconds in which nobody was online to be asked.
        end: The virtual second.
        void: Whether the round fails already.
        call: What the round policy is asked for: those who are left, and what the rest costs them.
    """

    cohort: Cohort
    phases: np.ndarray
    rows: np.ndarray
    waited: float
    end: float
    void: bool
    call: Call


def advance(
    job: Job, round_number: int, state: ClockState, call: Call
) -> tuple[Timeline, ClockState]:
    """Return the next round and the state after it.

    Args:
        job: Has the clock, and the protocol of secure aggregation, if there is one.
        round_number: From 1 on.
        state: The clock's state after the round before.
        call: What the round policy is asked for.
    """
    return as_declared(settlement(job, round_number, state, call))


def settlement(job: Job, round_number: int, state: ClockState, call: Call) -> Settlement:
    """Return the next round in the making; arguments are those of ``advance``."""
    if not job.secure_aggregation.active:
        return (yield from job.clock.settlement(state, call))
    prepared = prepare(job, round_number, state, call)
    if prepared.void:
        return voided(job, state, prepared)
    start = training_from(state, prepared)
    timeline, after = yield from job.clock.settlement(start, prepared.call)
    return finish(job, state, prepared, timeline, after)


def prepare(job: Job, round_number: int, state: ClockState, call: Call) -> Prepared:
    """Return a round after the steps before training; arguments are those of ``advance``."""
    protocol = job.secure_aggregation
    rows = job.clock.cohort(state, call, job.clock.at_once(call.participants))
    start = float(rows["start_seconds"][0])
    entries = call.workload.masked_entries
    cohort = Cohort(np.sort(rows["client"]), round_number, job.seed, entries)

    for name in ("bytes_down", "bytes_up", "joules"):
        rows[name] = 0
    rows["outcome"] = Outcome.COMPLETED
    rows["stop_seconds"] = start
    phases, end = _run(job, call, cohort, rows, protocol.prepare(cohort), start, state)
    if end == start:  # all were offline at its end: time has to move on, as in RoundPolicy.together
        end += float(work_seconds(rows).min())

    left = phases >= Phase.SHARED
    order = rows["client"][left[np.searchsorted(cohort.clients, rows["client"])]]
    step = protocol.upload(cohort, phases)
    clients = cohort.clients[step.places]
    workload = step_load(call.workload, call.population.phones, clients, step, trains=True)

    def choose(now: float, wanted: int, draw: int, busy: np.ndarray) -> np.ndarray:
        return order[:wanted]

    return Prepared(
        cohort=cohort,
        phases=phases,
        rows=rows,
        waited=start - state.now,
        end=end,
        void=_fails(job, cohort, np.where(left, Phase.ANSWERED, phases)),
        call=replace(call, choose=choose, workload=workload),
    )


def training_from(state: ClockState, prepared: Prepared) -> ClockState:
    """Return the clock's state in which training begins, given that after the round before."""
    return replace(state, now=prepared.end)


def voided(job: Job, state: ClockState, prepared: Prepared) -> tuple[Timeline, ClockState]:
    """Return a round that has failed before training, and the state after it."""
    rows = prepared.rows.copy()
    rows["outcome"][rows["outcome"] == Outcome.COMPLETED] = Outcome.ABANDONED
    end = prepared.end + job.clock.latency.server_seconds
    plain = np.zeros((len(rows), 2), np.int64)
    timeline = _timeline(prepared, rows, prepared.phases, plain, end, None, void=True)
    return timeline, replace(state, now=end, draws=state.draws + 1)


def finish(
    job: Job,
    state: ClockState,
    prepared: Prepared,
    timeline: Timeline,
    after: ClockState,
) -> tuple[Timeline, ClockState]:
    """Return a round with the steps after its upload, and the state after it.

    Args:
        job: The job.
        state: The clock's state after the round before.
        prepared: The round before training.
        timeline: The round as the policy has settled it.
        after: The state after that.
    """
    protocol = job.secure_aggregation
    rows, plain = _with_training(prepared, timeline)
    places = np.searchsorted(prepared.cohort.clients, rows["client"])
    uploaded = rows["outcome"] == Outcome.COMPLETED
    phases = with_phase(prepared.phases, places[uploaded], Phase.UPLOADED)
    end = timeline.end_seconds

    possible = np.where(phases >= Phase.UPLOADED, Phase.ANSWERED, phases)
    void = _fails(job, prepared.cohort, possible)
    if not void:
        steps = protocol.recover(prepared.cohort, phases)
        phases, end = _run(job, prepared.call, prepared.cohort, rows, steps, end, state)
        void = _fails(job, prepared.cohort, phases)

    # Who left while others still needed its masked update does not count; who left later does.
    counts = phases[places] >= Phase.UPLOADED
    rows["outcome"][uploaded] = Outcome.DROPPED
    rows["outcome"][counts] = Outcome.ABANDONED if void else Outcome.COMPLETED
    return (
        _timeline(prepared, rows, phases, plain, end, timeline, void),
        replace(after, now=end, version=state.version if void else after.version),
    )


def _fails(job: Job, cohort: Cohort, phases: np.ndarray) -> bool:
    """Return whether a round is void.

    Its sum cannot be unmasked, or clients help to unmask it no more: it has too few updates, and so
    too little noise.
    """
    updates = int(np.count_nonzero(phases >= Phase.UPLOADED))
    return updates < job.privacy.fewest(job) or job.secure_aggregation.failure(cohort, phases)


def _run(
    job: Job,
    call: Call,
    cohort: Cohort,
    rows: np.ndarray,
    steps: Steps,
    now: float,
    state: ClockState,
) -> tuple[np.ndarray, float]:
    """Run the steps of a protocol from ``now`` on; return the phases after them, and their end.

    What they cost is added to ``rows`` (structured PARTICIPANT, a row for each of the cohort); who
    does not come to the end of a step has DROPPED there, or is CUT.
    """
    order = np.argsort(rows["client"])
    step = next(steps)
    while True:
        done, ended = _run_step(job, call, cohort, step, now, state)
        own = order[step.places]
        for name in ("bytes_down", "bytes_up", "joules"):
            rows[name][own] += ended[name]
        if len(own):
            rows["outcome"][own] = ended["outcome"]
            rows["stop_seconds"][own] = ended["stop_seconds"]
            now = float(ended["stop_seconds"].max())
        try:
            step = steps.send(done)
        except StopIteration as end:
            return end.value, now


def _run_step(
    job: Job, call: Call, cohort: Cohort, step: Step, now: float, state: ClockState
) -> tuple[np.ndarray, np.ndarray]:
    """Return who comes to the end of a step (n,) bool, and their rows (structured PARTICIPANT)."""
    clock = job.clock
    clients = cohort.clients[step.places]
    if not len(clients):
        return np.zeros(0, bool), np.zeros(0, PARTICIPANT)
    limit = job.secure_aggregation.timeout_seconds
    until = math.inf if limit is None else now + limit

    load = step_load(call.workload, call.population.phones, clients, step, trains=False)
    charged = replace(call, workload=load, holders=NOBODY, order=None)
    rows = clock.launch(charged, clients, now, state.version, state.draws + 1)
    flows = clock.share(charged, rows, len(rows), until)
    end = min(until, float(rows["stop_seconds"].max()))
    if math.isinf(end):
        end = clock.last_stop(rows)
    clock.cut(rows, end)
    done = rows["outcome"] == Outcome.COMPLETED
    clock.account(charged, rows, done, flows, end)
    return done, rows


def _with_training(prepared: Prepared, timeline: Timeline) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of a round's clients after the policy has settled it.

    And the bytes (n, 2) down and up that went over the air for what they would have exchanged
    without secure aggregation.
    """
    rows = prepared.rows.copy()
    plain = np.zeros((len(rows), 2), np.int64)
    order = np.argsort(rows["client"])
    trained = timeline.participants
    own = order[np.searchsorted(prepared.cohort.clients, trained["client"])]

    whole = trained.copy()
    whole["start_seconds"] = rows["start_seconds"][own]
    plain_loads = plain_load(prepared.call.workload).loads(trained["client"])
    for column, (way, load) in enumerate(zip(("down", "up"), plain_loads, strict=True)):
        sent = trained[f"bytes_{way}"]
        loads = np.maximum(trained[f"load_{way}"], 1)
        share = sent.astype(object) * load // loads  # the product may be above int64
        plain[own, column] = np.minimum(sent, share.astype(np.int64))
        whole[f"bytes_{way}"] += rows[f"bytes_{way}"][own]
        whole[f"load_{way}"] = load
    whole["joules"] += rows["joules"][own]
    rows[own] = whole
    return rows, plain


def _timeline(
    prepared: Prepared,
    rows: np.ndarray,
    phases: np.ndarray,
    plain: np.ndarray,
    end: float,
    training: Timeline | None,
    void: bool,
) -> Timeline:
    """Return a round; ``training`` is the part of it that the policy has settled."""
    secured = np.zeros(len(rows), SECURED)
    secured["phase"] = phases[np.searchsorted(prepared.cohort.clients, rows["client"])]
    secured["bytes_down"] = rows["bytes_down"] - plain[:, 0]
    secured["bytes_up"] = rows["bytes_up"] - plain[:, 1]
    start = float(rows["start_seconds"][0])
    spent = 0.0 if training is None else training.end_seconds - training.start_seconds
    return Timeline(
        start_seconds=start,
        end_seconds=end,
        waited_seconds=prepared.waited,
        participants=rows,
        secured=secured,
        secure_seconds=end - start - spent,
        void=void,
    )

"""What a job will take: transfers, computing, state, the memory of a rank, clients to test."""

from __future__ import annotations

import math

import numpy as np
from rich.filesize import decimal

from mpifl.algorithms.arrays import BYTES_PER_NUMBER
from mpifl.attacks.attackers import attackers_text
from mpifl.clock.cost import Cost
from mpifl.clock.workload import Workload
from mpifl.clock.workload_by_held import WorkloadByHeld
from mpifl.clock.workload_by_kind import WorkloadByKind
from mpifl.clock.workload_by_round import WorkloadByRound
from mpifl.errors import counted
from mpifl.population.sample_size import CONFIDENCE, clients_to_test, deviation_of
from mpifl.rounds.experiment.experiment import Experiment, TimingExperiment
from mpifl.secure_aggregation.step import Cohort
from mpifl.secure_aggregation.whole_round import bytes_of_round

BYTES_PER_SUM = 8

MOST_COUNTED = 10_000
"""The most clients that are looked at for the share of each kind."""

NEAR = 0.05
"""The deviation of a mean accuracy for which it is said how many clients it takes."""


def demands(experiment: TimingExperiment) -> list[str]:
    """Return in words what a job will take, one line each."""
    work = experiment.workload
    lines = []
    if not experiment.job.protocol.has_actors:
        lines.append(
            f"each participant: {_transfer(experiment, 'down')}, {_transfer(experiment, 'up')};"
            f" computes {computing(work.cost)}{_scaled(work)}"
        )
    lines += _ordered(experiment)
    if isinstance(work, WorkloadByKind):
        lines += _by_kind(experiment, work)
    lines += _secure_aggregation(experiment)
    lacking = experiment.population.without_memory
    if experiment.job.population.memory_mb is not None:
        every = counted(experiment.population.clients, "client")
        lines.append(
            f"{lacking:,} of {every} have devices of less than"
            f" {experiment.job.population.memory_mb:g} MB and are never online"
        )
    if not isinstance(experiment, Experiment):
        return lines

    kept = _kept_bytes(experiment)
    if kept:
        clients = experiment.population.clients
        lines.append(
            f"each client that took part keeps {decimal(kept)} in the run directory:"
            f" {decimal(kept * clients)} if all of {counted(clients, 'client')} do, twice as much"
            " for those that take part again before the next checkpoint"
        )
    lines += _recorded_updates(experiment)
    lines += attackers_text(experiment.attackers)
    lines += experiment.job.privacy.describe(experiment.job, experiment.population)
    lines += _held_updates(experiment)
    lines += _others(experiment)
    return [*lines, _memory(experiment), *_base(experiment), *_sample(experiment)]


def _memory(experiment: Experiment) -> str:
    """Return in words what arrays of the model's size take on a rank."""
    version = BYTES_PER_NUMBER * sum(math.prod(s) for s in experiment.version_shapes.values())
    sums = BYTES_PER_SUM * sum(math.prod(shape) for shape in experiment.sums.shapes(1))
    whole = 1 + experiment.needs_initial
    alone = experiment.stack == 1  # then a client is trained in the whole model itself
    trained = 1 if alone else 2 * experiment.stack
    layout = experiment.layout
    models = BYTES_PER_NUMBER * (whole * layout.size + trained * layout.trained)
    return (
        f"each rank, besides torch and samples: {decimal(version + sums + models)},"
        f" of which {decimal(version)} for a model version, {decimal(sums)} for the sums of a"
        f" round, {decimal(models)} for models in training and their gradients"
    )


def _by_kind(experiment: TimingExperiment, work: WorkloadByKind) -> list[str]:
    """Return in words what each kind of participant has less of, and how many clients are of it."""
    count = min(experiment.population.clients, MOST_COUNTED)
    of_kind = np.bincount(work.kinds_of(np.arange(count)), minlength=len(work.kinds))
    return [
        f"participants of {experiment.job.algorithm.kind_name(kind)}: {decimal(has.bytes_down)}"
        f" down, {decimal(has.bytes_up)} up, {has.compute_scale:.3g} of the computing a sample;"
        f" {100 * of_kind[kind] / count:.3g}% of the clients"
        for kind, has in enumerate(work.kinds)
    ]


def _ordered(experiment: TimingExperiment) -> list[str]:
    """Return in words what the selection rule, or the clock, changes of that, if it does."""
    rule = experiment.job.selection
    clock = experiment.job.clock
    if clock.orders_steps:
        return [f"clock.mode {clock.mode} says how many local steps each makes"]
    parts = []
    if rule.orders_steps:
        parts.append("how many local steps each makes")
    if rule.orders_uploads:
        parts.append("what share of its upload each sends")
    if not parts or experiment.job.protocol.has_actors:
        return []
    return [f"selection.name {rule.name} says in each round {' and '.join(parts)}"]


def _transfer(experiment: TimingExperiment, way: str) -> str:
    """Return in words what a participant receives or sends, before and after ``exchange``."""
    work = experiment.workload
    if way == "down" and isinstance(work, WorkloadByHeld):
        return (
            f"{decimal(work.bytes_down)} down the first time, then {_difference(experiment)} for"
            " each version that it has missed, if that is less"
        )
    sent = getattr(experiment.workload, f"bytes_{way}")
    plain = getattr(experiment.workload, f"plain_{way}")
    if isinstance(work, WorkloadByRound):
        return f"{decimal(sent)} {way} at most"
    if plain is None:
        return f"{decimal(sent)} {way}"
    if plain == sent and experiment.job.clock.costs == "measured":
        return f"{decimal(plain)} {way} before exchange.{way}, less after it"
    return f"{decimal(sent)} {way} ({decimal(plain)} without exchange.{way})"


def _difference(experiment: TimingExperiment) -> str:
    """Return in words what a difference of two versions weighs."""
    way = experiment.down if isinstance(experiment, Experiment) else None
    if way is None or way.bytes is None:
        return "what its values take"
    return decimal(way.bytes - way.beside)


def _secure_aggregation(experiment: TimingExperiment) -> list[str]:
    """Return in words what secure aggregation sends, if there is any."""
    job = experiment.job
    protocol = job.secure_aggregation
    if not protocol.active:
        return []
    updates = job.clock.updates(job.selection.participants)
    asked = min(job.clock.at_once(updates), experiment.population.clients)
    cohort = Cohort(np.arange(asked), 1, job.seed, experiment.workload.masked_entries)
    down, up = bytes_of_round(protocol, cohort).mean(axis=1).tolist()
    return [
        f"secure aggregation ({protocol.name}) of {counted(asked, 'participant')}:"
        f" {decimal(int(down))} down besides the model, and {decimal(int(up))} up with the masked"
        " update, each, where nobody leaves"
    ]


def _held_updates(experiment: Experiment) -> list[str]:
    """Return in words which updates ranks keep until the end of a round, if they do."""
    job = experiment.job
    if job.protocol.has_actors:
        size = decimal(BYTES_PER_NUMBER * experiment.layout.size)
        return [
            "the ranks keep models of every client (its own, the reported, the trained), and those"
            f" of messages under way: {size} each"
        ]
    updates = job.clock.updates(job.selection.participants)
    if job.clock.costs == "measured":
        updates = job.clock.at_once(updates)
        why = "until the round is settled"
    elif experiment.needs_updates:
        rule = job.aggregation
        why = f"for aggregation.name {rule.name}" if rule.needs_updates else "for attacks"
        if job.contribution.active:
            why = f"for contribution.name {job.contribution.name}, and then those of all"
    else:
        return []
    sizes = [array.size for array in experiment.sums.arrays]
    update = BYTES_PER_NUMBER * (sum(sizes) + experiment.sums.averaged)
    kept = _kept_bytes(experiment)
    beside = f", and {decimal(kept)} that its client is to keep" if kept else ""
    return [
        f"each rank keeps the updates of its share of {counted(updates, 'participant')} {why}:"
        f" {decimal(update)} each{beside}"
    ]


def _others(experiment: Experiment) -> list[str]:
    """Return in words what is read of what participants keep, if anything is."""
    job = experiment.job
    if not job.algorithm.needs_others:
        return []
    updates = job.clock.updates(job.selection.participants)
    shapes = experiment.kept_shapes
    size = BYTES_PER_NUMBER * sum(math.prod(shapes[name]) for name in job.algorithm.needs_others)
    return [
        "a rank that reads what the last round's participants keep has up to"
        f" {counted(updates, 'state')} of {decimal(size)}: {decimal(size * updates)}"
    ]


def _kept_bytes(experiment: Experiment) -> int:
    """Return the bytes of what a client keeps from one participation to the next."""
    return BYTES_PER_NUMBER * sum(math.prod(shape) for shape in experiment.kept_shapes.values())


def _recorded_updates(experiment: Experiment) -> list[str]:
    """Return in words what recorded updates take, if there are any."""
    wanted = experiment.job.record.updates
    if wanted is None:
        return []
    size = BYTES_PER_NUMBER * (experiment.layout.size + experiment.layout.trained)
    return [
        f"record.updates: {decimal(size)} in the run directory for each update of"
        f" {counted(len(wanted.clients), 'named client')} in"
        f" {counted(len(wanted.rounds), 'round')}, with the model that was received"
    ]


def _base(experiment: Experiment) -> list[str]:
    """Return in words what the base of ``model.lora`` takes, and training on it."""
    lora = experiment.job.model.lora
    if lora is None:
        return []

    from mpifl.training.base_memory import activation_bytes, base_bytes  # they import torch
    from mpifl.training.samples import pool_of

    size, mapped = base_bytes(experiment.model)
    whose = "of its own on each rank"
    if mapped > size / 2:
        whose = "mapped from its files, so that the ranks of a host share it"
    kept = f", its linear layers in {lora.base_bits} bits" if lora.base_bits else ""
    data = experiment.population.data
    x, y = pool_of(data, data.train).read(slice(0, 1))
    longest = data.shape.sample[0] / x.shape[1]
    sample = activation_bytes(experiment.model, experiment.objective, x, y) * longest
    batch = experiment.job.training.batch_size
    return [
        f"the frozen base{kept}: {decimal(size)}, {whose}; training keeps about"
        f" {decimal(round(batch * sample))} for a batch of {batch}"
    ]


def _sample(experiment: Experiment) -> list[str]:
    """Return in words how well the clients that are tested stand for all, if they are a sample."""
    wanted = experiment.job.evaluation.personal_clients
    clients = experiment.population.clients
    if wanted is None or wanted >= clients:
        return []
    tested = len(experiment.personal_clients)
    return [
        f"{tested:,} of {counted(clients, 'client')} are tested: their mean accuracy is within"
        f" {deviation_of(clients, tested):.2g} of that of all with a probability of"
        f" {CONFIDENCE:.0%}; that of {clients_to_test(clients, NEAR):,} would be within {NEAR:g}"
    ]


def _scaled(work: Workload) -> str:
    return "" if work.scale == 1 else f", {work.scale:.3g} times the computing a sample"


def computing(cost: Cost) -> str:
    """Return a cost in words."""
    parts = []
    if cost.training:
        times = "" if cost.training == 1 else f"{cost.training:g} times "
        parts.append(f"{times}its local steps")
    if cost.extra_steps:
        parts.append(counted(cost.extra_steps, "more step"))
    for passes, what in (
        (cost.gradients, "with gradients"),
        (cost.evaluations, "without gradients"),
    ):
        if passes:
            noun = "pass" if passes == 1 else "passes"
            parts.append(f"{passes:g} {noun} over its samples {what}")
    if cost.public:
        parts.append(f"{cost.public:,.0f} public samples")
    return ", ".join(parts) or "nothing"

"""What a round costs a participant: bytes, samples, computing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from mpifl.algorithms.algorithm import Algorithm
from mpifl.algorithms.arrays import BYTES_PER_NUMBER
from mpifl.clock.cost import TRAINING_PER_INFERENCE
from mpifl.clock.workload import Workload
from mpifl.clock.workload_by_held import WorkloadByHeld
from mpifl.clock.workload_by_kind import Kind, WorkloadByKind
from mpifl.clock.workload_by_round import Transfers, WorkloadByRound
from mpifl.errors import InputError
from mpifl.exchange.way import Way
from mpifl.job import Job
from mpifl.models.layout import Layout
from mpifl.models.sized import Sized
from mpifl.population.population import Population
from mpifl.rounds.experiment.job_checks import check_server
from mpifl.rounds.experiment.secure_checks import check_masked_upload, masked_entries
from mpifl.rounds.experiment.ways import (
    bytes_of_participant,
    bytes_of_steering,
    check_ways,
    way_down,
    way_up,
)
from mpifl.rounds.plan.held import Held


def make_workload(
    job: Job,
    layout: Layout,
    flops: Mapping[str, float],
    population: Population,
    passes: float = 0.0,
) -> Workload:
    """Return what a round costs a participant.

    ``layout`` is that of the model, ``flops`` what training takes for one sample, by the paths of
    the modules (empty: all), ``passes`` those of the objective beside it, which the counted
    ``flops`` have in them.
    """
    latency = job.clock.latency
    training = job.training

    inferences = TRAINING_PER_INFERENCE + passes
    if latency.compute == "flops":
        if not flops[""] > 0:
            raise InputError(_no_flops(job))
        inferences = flops[""] / latency.reference_flops

    algorithm = job.algorithm
    scale: float = 1
    if flops[""] and own_flops(algorithm) and not algorithm.trains_parts(layout):
        scale = algorithm.flops(layout, 0, flops) / flops[""]
    plain_down, plain_up = bytes_of_participant(job, layout, layout.size)
    check_ways(job, layout)
    down = way_down(job, layout)
    up = way_up(job, layout)
    sent_down = plain_down
    if down is not None and down.bytes is not None and not job.exchange.delta:
        sent_down = down.bytes
    steering = bytes_of_steering(up)
    check_masked_upload(job, up, plain_up)
    workload = Workload(
        bytes_down=sent_down + steering,
        bytes_up=plain_up if up is None or up.bytes is None else up.bytes,
        plain_down=None if down is None and not steering else plain_down,
        plain_up=None if up is None else plain_up,
        batch_size=training.batch_size,
        epochs=training.epochs,
        local_steps=training.local_steps,
        inferences_per_sample=inferences,
        bits_per_kbit=float(latency.kbit),
        full_batches=latency.compute == "batches",
        drop_last=training.drops_last,
        cost=algorithm.cost(layout),
        masked_entries=masked_entries(job, layout, plain_up),
        bytes_of_part=_bytes_of_part(up),
        scale=scale,
    )
    check_server(job, workload)
    if down is not None and job.exchange.delta:
        return _by_held(workload, down.beside + steering)
    if algorithm.trains_parts(layout):
        return _by_kind(job, layout, flops, population, workload)
    if algorithm.numbers_of_round(layout, 1) is not None:
        return _by_round(job, layout, workload)
    return workload


def needs_flops(job: Job, layout: Layout) -> bool:
    """Return whether the FLOPs of the model have to be counted."""
    algorithm = job.algorithm
    counts = own_flops(algorithm) or algorithm.trains_parts(layout)
    return counts or job.clock.latency.compute == "flops"


def own_flops(algorithm: Algorithm) -> bool:
    """Return whether an algorithm computes something else for a sample than the model does."""
    return type(algorithm).flops is not Algorithm.flops


def _by_held(workload: Workload, beside: int) -> WorkloadByHeld:
    """Return a workload with ``exchange.delta``, before anybody has taken part."""
    return WorkloadByHeld(**_fields(workload), beside=beside, behind=Held().behind)


def _by_round(job: Job, layout: Layout, workload: Workload) -> WorkloadByRound:
    """Return a workload of which each round has other bytes, as the algorithm says."""
    masks = job.secure_aggregation.active

    def transfers_of(round_number: int) -> Transfers:
        down, up = job.algorithm.numbers_of_round(layout, round_number) or (0, 0)
        masked = up + 1 if masks else 0  # the weight is one of them
        return Transfers(BYTES_PER_NUMBER * down, BYTES_PER_NUMBER * up, masked)

    rounds = [transfers_of(round_number) for round_number in range(1, job.rounds + 1)]
    most = {
        "bytes_down": max(each.bytes_down for each in rounds),
        "bytes_up": max(each.bytes_up for each in rounds),
    }
    return WorkloadByRound(**_fields(workload) | most, transfers_of=transfers_of)


def _no_flops(job: Job) -> str:
    if isinstance(job.model, Sized):
        return (
            "model.training_flops: 0 is not allowed with clock.latency.compute: flops; allowed:"
            " numbers above 0"
        )
    return (
        f"clock.latency.compute: 'flops' is not allowed with model.name {job.model.name}, whose"
        " training has no operation that is counted; allowed: samples, batches"
    )


def _by_kind(
    job: Job,
    layout: Layout,
    flops: Mapping[str, float],
    population: Population,
    workload: Workload,
) -> WorkloadByKind:
    """Return a workload of which clients have less, as the algorithm says; arguments as above."""
    algorithm = job.algorithm
    kinds = []
    for kind in range(algorithm.kinds):
        down, up = bytes_of_participant(job, layout, algorithm.entries(layout, kind))
        scale = algorithm.flops(layout, kind, flops) / flops[""]
        kinds.append(Kind(down, up, scale))
    kinds_of = partial(algorithm.kinds_of, population=population)
    return WorkloadByKind(**_fields(workload), kinds=tuple(kinds), kinds_of=kinds_of)


def _bytes_of_part(up: Way | None) -> Callable[[float], int] | None:
    """Return what says the bytes of a share of an upload; None where that is not known."""
    if up is None or not up.divides or up.bytes is None:
        return None

    def size(sent: float) -> int:
        return up.part(sent).bytes or 0

    return size


def _fields(workload: Workload) -> dict[str, Any]:
    return {name: getattr(workload, name) for name in Workload.__dataclass_fields__}

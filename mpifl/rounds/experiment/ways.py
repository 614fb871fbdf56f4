"""The ways of a job's arrays between server and clients: ``exchange.up`` and ``exchange.down``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mpifl.algorithms.arrays import BYTES_PER_NUMBER, bytes_of
from mpifl.errors import InputError
from mpifl.exchange.way import Way, way_of
from mpifl.job import Job
from mpifl.models.layout import Layout

if TYPE_CHECKING:
    from mpifl.algorithms.algorithm import Algorithm

ARRIVED = "arrived "
"""Stands before the name of a version's array: what participants receive of it."""

STEERED = "exchange.up"
"""The name of a version's array: the number, (1,), for the stage that the server steers."""


def way_up(job: Job, layout: Layout) -> Way | None:
    """Return the way of what participants upload; None where nothing happens to it."""
    algorithm = job.algorithm
    arrays = algorithm.uploaded_arrays(layout)
    averages = bytes_of_averages(algorithm, layout)
    return way_of("exchange.up", job.exchange.up, arrays, layout, averages)


def way_down(job: Job, layout: Layout) -> Way | None:
    """Return the way of what participants receive; None where nothing happens to it."""
    arrays = job.algorithm.received_arrays(layout)
    return way_of("exchange.down", job.exchange.down, arrays, layout)


def bytes_of_averages(algorithm: Algorithm, layout: Layout) -> int:
    """Return the bytes of an averaged segment that is uploaded beside arrays of other sizes.

    Model-sized ones count it.
    """
    uploaded = algorithm.uploaded_arrays(layout)
    counted = any(array.of_model for array in uploaded.values())
    beside = algorithm.shares_averages and not counted
    return BYTES_PER_NUMBER * layout.averaged if beside else 0


def bytes_of_participant(job: Job, layout: Layout, entries: int) -> tuple[int, int]:
    """Return the bytes that a participant downloads and uploads, without ``exchange``.

    ``entries`` are those of the model that it has.
    """
    latency = job.clock.latency
    received, uploaded = job.algorithm.transfers(layout)
    whole_up = latency.model_bytes if latency.model_bytes_up is None else latency.model_bytes_up
    down = bytes_of(received, layout, latency.model_bytes, entries)
    up = bytes_of(uploaded, layout, whole_up, entries)
    return down, up + bytes_of_averages(job.algorithm, layout)


def bytes_of_steering(up: Way | None) -> int:
    """Return the bytes of the number that a model version has for the stage that is steered."""
    return 0 if up is None or up.steered is None else BYTES_PER_NUMBER


def check_ways(job: Job, layout: Layout) -> None:
    """Raise InputError for an exchange that does not work with the rest of the job."""
    _check_delta(job)
    _check_parts(job, way_up(job, layout))
    for way in (way_up(job, layout), way_down(job, layout)):
        if way is None:
            continue
        way.check()
        _check_declared(job, layout, way)
        if not way.shapes:
            does = "send" if way.key == "exchange.up" else "receive"
            raise InputError(
                f"{way.key}: not allowed with algorithm.name {job.algorithm.name}, whose"
                f" participants {does} nothing that stages could code; leave it out"
            )
        latency = job.clock.latency
        for key in ("model_bytes", "model_bytes_up"):
            given = getattr(latency, key)
            if given is not None:
                raise InputError(
                    f"clock.latency.{key}: {given} is not allowed with {way.key}, whose stages say"
                    " what is sent; leave it out"
                )
        if way.bytes is None and job.clock.costs != "measured":
            raise InputError(
                f"{way.key}: what these stages send depends on the values, and is known when it is"
                " sent; set clock.costs to measured"
            )
    if job.exchange.down and layout.averaged and job.algorithm.shares_averages:
        _check_averages(job, layout)


def _check_parts(job: Job, up: Way | None) -> None:
    """Raise InputError where participants cannot send a share of their uploads, and are to."""
    if not job.selection.orders_uploads:
        return
    where = f"selection.name: {job.selection.name!r} says what share of its upload everyone sends"
    stages = () if up is None else up.stages
    place = next((number for number, stage in enumerate(stages) if stage.divides), None)
    if place is None:
        raise InputError(
            f"{where}, and exchange.up has no stage that sends a share; put one there, such as"
            " {name: random_k, share: 1.0, scaled: false}"
        )
    for number, stage in enumerate(stages[place + 1 :], place + 1):
        if stage.needs_shape:
            raise InputError(
                f"exchange.up.{number}.name: {stage.name!r} is not allowed behind"
                f" {stages[place].name!r} with selection.name {job.selection.name}, by which that"
                " leaves another number of numbers each time; put it before"
            )


def _check_delta(job: Job) -> None:
    """Raise InputError where differences cannot be sent down."""
    if not job.exchange.delta:
        return
    where = "exchange.delta: true is not allowed"
    if not job.exchange.down:
        raise InputError(
            f"{where} without stages in exchange.down, which code the differences; put some there,"
            " such as {name: top_k, share: 0.01}"
        )
    if job.clock.asynchronous:
        raise InputError(
            f"{where} with clock.mode {job.clock.mode}, in which clients begin with models that are"
            " still to be made; allowed: sync, deadline, all"
        )
    if job.training.engine == "none":
        raise InputError(f"{where} with training.engine none, which makes no models")


def _check_declared(job: Job, layout: Layout, way: Way) -> None:
    """Raise InputError where participants send or receive parts of the declared arrays."""
    algorithm = job.algorithm
    declared = algorithm.received_arrays(layout), algorithm.uploaded_arrays(layout)
    parts = algorithm.trains_parts(layout) or algorithm.transfers(layout) != declared
    if parts or algorithm.numbers_of_round(layout, 1) is not None:
        raise InputError(
            f"{way.key}: not allowed with algorithm.name {algorithm.name}, whose participants send"
            " or receive parts of what its stages would code; leave it out"
        )


def _check_averages(job: Job, layout: Layout) -> None:
    """Raise InputError where averaged buffers would go through the stages of ``exchange.down``."""
    for name, array in job.algorithm.received_arrays(layout).items():
        if not array.of_model and array.shape:
            raise InputError(
                f"exchange.down: not allowed with algorithm.name {job.algorithm.name} and a model"
                f" with averaged buffers (batch norm): they are in the array {name!r} that"
                " participants receive, and coding them would spoil them"
            )

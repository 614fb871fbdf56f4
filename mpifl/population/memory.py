"""The memory that a participant needs: clients of devices with less are never online."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mpifl.errors import InputError, counted
from mpifl.population.phones import Pinned, rows_of
from mpifl.population.population import Population
from mpifl.traces.labels import Labels
from mpifl.traces.on_off import DAY_SECONDS
from mpifl.traces.trace import Trace

KEY = "population.memory_mb"


def with_memory(population: Population, needed_mb: float) -> Population:
    """Return the population in which clients of devices with less memory are never online.

    They get the pattern of ``_with_never_online``; all others keep the rows that they have. Raises
    InputError when the trace does not know its devices' memory, or when none has enough.
    """
    trace = population.trace
    assert trace is not None
    if not len(trace.memory_mb):
        raise InputError(
            f"{KEY}: {needed_mb:g} is not allowed: the trace {trace.name} has no memory_mb of its"
            " devices; leave it out"
        )

    device, pattern, curve = rows_of(population.phones, np.arange(population.clients))
    lacking = trace.memory_mb[device] < needed_mb
    if lacking.all():
        raise InputError(
            f"{KEY}: {needed_mb:g} is not allowed: no device of"
            f" {counted(population.clients, 'client')} has so much;"
            f" allowed: up to {trace.memory_mb[device].max():g}"
        )

    trace = _with_never_online(trace, population.always_online)
    pattern = np.where(lacking, trace.patterns - 1, 0 if population.always_online else pattern)
    return replace(
        population,
        trace=trace,
        always_online=False,
        as_traced=population.as_traced or population,
        pinned=Pinned.of(device, pattern, curve, trace.patterns),
        without_memory=int(lacking.sum()),
    )


def _with_never_online(trace: Trace, always: bool) -> Trace:
    """Return the trace with one more pattern, which is never online.

    With ``always`` it has one other pattern, which always is.
    """
    if always:
        return replace(
            trace,
            offsets=np.array([0, 1, 1]),
            start=np.zeros(1),
            end=np.full(1, DAY_SECONDS),
            period=np.full(2, DAY_SECONDS),
            labels=Labels(trace.labels.devices),
        )

    more = {
        name: np.append(column, np.array(b"", column.dtype))
        for name, column in trace.labels.patterns.items()
    }
    return replace(
        trace,
        offsets=np.append(trace.offsets, trace.offsets[-1]),
        period=np.append(trace.period, trace.period.min()),
        labels=Labels(trace.labels.devices, more),
    )

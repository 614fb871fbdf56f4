"""Regional outages: the clients of a region are offline together (``population.outages``)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mpifl.errors import InputError
from mpifl.job.outages import Outages
from mpifl.kernels.compile import kernel
from mpifl.kernels.permutation import uniforms
from mpifl.population.phones import Pinned, rows_of
from mpifl.population.population import Population
from mpifl.seeds import Purpose, generator, number
from mpifl.traces.labels import Labels
from mpifl.traces.on_off import DAY_SECONDS
from mpifl.traces.slots import Slots, of_counts
from mpifl.traces.trace import SLOT_COLUMNS, Trace

HOUR_SECONDS = 3600.0
MOST_SLOTS = 100_000_000

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Offsets, start, end and period of ``Slots``."""


def outages_of(outages: Outages, seed: int, region: int) -> np.ndarray:
    """Return the outages (2, n) of a region: begin and end of each, seconds of the run."""
    random = generator(seed, Purpose.OUTAGE, region)
    limit = outages.days * DAY_SECONDS
    now = 0.0
    found: list[tuple[float, float]] = []
    while True:
        begin = now + random.exponential(outages.days_between * DAY_SECONDS)
        if begin >= limit:
            return np.array(found).reshape(-1, 2).T
        now = begin + random.exponential(outages.hours * HOUR_SECONDS)
        found.append((begin, min(now, limit)))


def region_of(clients: np.ndarray, regions: int, seed: int) -> np.ndarray:
    """Return the region (n,) int64 of each of ``clients`` (n,) int64."""
    drawn = uniforms(clients, number(seed, Purpose.OUTAGE))
    return np.minimum((drawn * regions).astype(np.int64), regions - 1)


def with_outages(population: Population, outages: Outages, seed: int) -> Population:
    """Return the population in which clients are offline during the outages of their regions.

    Each client gets a pattern of its own pattern and region. Raises InputError when these would
    have more than MOST_SLOTS slots.
    """
    assert outages.regions is not None
    everyone = np.arange(population.clients)
    device, pattern, curve = rows_of(population.phones, everyone)
    trace = population.trace
    assert trace is not None
    if population.always_online:
        trace = _always(trace)
        pattern = np.zeros_like(pattern)

    pairs = pattern * outages.regions + region_of(everyone, outages.regions, seed)
    used, own = np.unique(pairs, return_inverse=True)
    trace = _cut(trace, used // outages.regions, used % outages.regions, outages, seed)
    return replace(
        population,
        trace=trace,
        always_online=False,
        as_traced=population.as_traced or population,
        pinned=Pinned.of(device, own.astype(np.int64), curve, trace.patterns),
    )


def _always(trace: Trace) -> Trace:
    """Return the trace with one pattern, which is always online."""
    return replace(
        trace,
        offsets=np.array([0, 1]),
        start=np.zeros(1),
        end=np.full(1, DAY_SECONDS),
        period=np.full(1, DAY_SECONDS),
        labels=Labels(trace.labels.devices),
    )


def _cut(
    trace: Trace, pattern: np.ndarray, region: np.ndarray, outages: Outages, seed: int
) -> Trace:
    """Return the trace with a pattern for each (pattern, region): its own without the outages."""
    assert outages.regions is not None
    of_regions = [outages_of(outages, seed, place) for place in range(outages.regions)]
    cuts = of_counts(
        np.array([cut.shape[1] for cut in of_regions]),
        np.concatenate([cut[0] for cut in of_regions]),
        np.concatenate([cut[1] for cut in of_regions]),
        np.full(outages.regions, outages.days * DAY_SECONDS),
    )
    # Copies: mapped arrays are read-only, which is another type for Numba.
    slots = Slots(*(np.array(getattr(trace, name)) for name in SLOT_COLUMNS))

    turns = np.ceil(outages.days * DAY_SECONDS / slots.period[pattern]).astype(np.int64)
    most = int((turns * np.diff(slots.offsets)[pattern]).sum())
    most += int(np.diff(cuts.offsets)[region].sum())
    if most > MOST_SLOTS:
        raise InputError(
            f"population.outages.days: {outages.days} is not allowed: the online times of all"
            f" clients in {outages.regions} regions would be {most:,} slots; allowed:"
            f" {MOST_SLOTS:,} (fewer days or regions, or a trace of fewer phones)"
        )

    start = np.empty(most)
    end = np.empty(most)
    counts = cut_slots(_arrays(slots), _arrays(cuts), pattern, region, turns, start, end)
    total = int(counts.sum())
    after = of_counts(counts, start[:total], end[:total], turns * slots.period[pattern])
    labels = {name: column[pattern] for name, column in trace.labels.patterns.items()}
    return replace(
        trace,
        offsets=after.offsets,
        start=after.start,
        end=after.end,
        period=after.period,
        labels=Labels(trace.labels.devices, labels),
    )


def _arrays(slots: Slots) -> Arrays:
    """Return slots as the kernel takes them."""
    return slots.offsets, slots.start, slots.end, slots.period


@kernel
def cut_slots(
    slots: Arrays,
    cuts: Arrays,
    pattern: np.ndarray,
    region: np.ndarray,
    turns: np.ndarray,
    start: np.ndarray,
    end: np.ndarray,
) -> np.ndarray:
    """Write the slots of each (pattern, region), and return how many each (n,) has.

    ``slots`` and ``cuts`` are offsets, start, end and period. The first ``turns`` (n,) periods of
    pattern[k] without the cuts of region[k] go into ``start`` and ``end``, one after the other.
    """
    counts = np.zeros(len(pattern), np.int64)
    written = 0
    for k in range(len(pattern)):
        before = written
        cut = cuts[0][region[k]]
        last = cuts[0][region[k] + 1]
        period = slots[3][pattern[k]]
        for turn in range(turns[k]):
            for slot in range(slots[0][pattern[k]], slots[0][pattern[k] + 1]):
                begin = turn * period + slots[1][slot]
                until = min(turn * period + slots[2][slot], (turn + 1) * period)
                while cut < last and cuts[2][cut] <= begin:
                    cut += 1
                here = cut
                while here < last and cuts[1][here] < until:
                    if cuts[1][here] > begin:
                        start[written] = begin
                        end[written] = cuts[1][here]
                        written += 1
                    begin = cuts[2][here]
                    here += 1
                if begin < until:
                    start[written] = begin
                    end[written] = until
                    written += 1
        counts[k] = written - before
    return counts

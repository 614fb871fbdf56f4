"""One's own availability, without a file format: FedScale's ``load_client_availability`` (Lai et al., 2021, section 4)."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from mpifl.errors import InputError
from mpifl.traces.importers.parsed_trace import ParsedTrace, completed, read_trace
from mpifl.traces.on_off import DAY_SECONDS
from mpifl.traces.slots import check_slots, of_counts, without_empty
from mpifl.traces.trace import Trace

WHERE = "load_client_availability"


def load_client_availability(
    clients: Mapping[Hashable, Sequence[tuple[float, float]]],
    *,
    name: str = "own",
    period_seconds: float | Mapping[Hashable, float] = DAY_SECONDS,
    base: Trace | str = "phones",
    source: str = "load_client_availability",
    licence: str = "unknown",
) -> Trace:
    """The trace ``base`` with these clients' slots, for ``write_trace`` and then ``population.trace`` of a job.

    ``clients`` gives each client's slots (start, end) in seconds, sorted, not overlapping, inside its period, after which they
    repeat; no slots is a client that is never online. ``base`` is a trace, or what ``mpifl traces show`` takes. As with every
    trace a job's clients are dealt to these patterns by a seeded permutation. Raises InputError naming client and value.

    >>> trace = load_client_availability({"anna": [(0, 28_800), (79_200, 86_400)], "bo": []})
    >>> trace.patterns, float((trace.end - trace.start).sum())
    (2, 36000.0)
    """
    if not clients:
        raise InputError(f"{WHERE}: no clients; a trace needs one or more")
    if isinstance(period_seconds, Mapping):
        for client in clients:
            if client not in period_seconds:
                raise InputError(f"{WHERE}: client {client}: no period_seconds; give each client one, or all the same")
        period = [period_seconds[client] for client in clients]
    else:
        period = [period_seconds] * len(clients)
    try:
        table = np.array([slot for slots in clients.values() for slot in slots], np.float64).reshape(-1, 2)
        counts = np.array([len(slots) for slots in clients.values()])
        slots = of_counts(counts, table[:, 0], table[:, 1], np.array(period, np.float64))
    except (TypeError, ValueError, OverflowError):
        raise InputError(
            f"{WHERE}: client {_first_odd(clients)}: slots are pairs of numbers, (start, end) in seconds"
        ) from None
    check_slots(WHERE, list(clients), slots)
    found = ParsedTrace(source, licence, slots=without_empty(slots))
    return completed(name, found, read_trace(base) if isinstance(base, str) else base)[0]


def _first_odd(clients: Mapping[Hashable, Sequence[tuple[float, float]]]) -> object:
    for client, slots in clients.items():
        try:
            if np.array(list(slots), np.float64).reshape(-1, 2).shape[0] != len(slots):
                return client
        except (TypeError, ValueError, OverflowError):
            return client
    return "(its period_seconds)"

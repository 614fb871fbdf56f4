"""Availability from Python, without a file format: FedScale's ``load_client_availability``.

Lai et al., 2021, section 4.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from mpifl.errors import InputError
from mpifl.traces.importers.parsed_trace import ParsedTrace, completed, read_trace
from mpifl.traces.labels import Labels, name_labels
from mpifl.traces.on_off import DAY_SECONDS
from mpifl.traces.slots import check_slots, of_counts, without_empty
from mpifl.traces.trace import Trace

FUNCTION = "load_client_availability"  # as error messages begin


def load_client_availability(
    clients: Mapping[Hashable, Sequence[tuple[float, float]]],
    *,
    name: str = "own",
    period_seconds: float | Mapping[Hashable, float] = DAY_SECONDS,
    base: Trace | str = "phones",
    source: str = "load_client_availability",
    licence: str = "unknown",
) -> Trace:
    """Return the trace ``base`` with the slots of these clients as its availability patterns.

    Write it with ``write_trace`` and name the file in a job's population.trace. As with every trace
    a job's clients are dealt to the patterns by a seeded permutation.

    Args:
        clients: The slots (start, end) of each client in seconds, sorted, not overlapping, inside
            the period. A client without slots is never online.
        name: Name of the trace.
        period_seconds: Seconds after which the slots repeat, for all clients or by client.
        base: A trace, or what ``mpifl traces show`` takes.
        source: Where the slots come from.
        licence: Licence of the slots.

    Returns:
        The trace; its patterns are in the order of ``clients``.

    Raises:
        InputError: The slots are wrong; the error names client and value.

    >>> trace = load_client_availability({"anna": [(0, 28_800), (79_200, 86_400)], "bo": []})
    >>> trace.patterns, float((trace.end - trace.start).sum())
    (2, 36000.0)
    """
    if not clients:
        raise InputError(f"{FUNCTION}: no clients; a trace needs one or more")
    periods = _periods(clients, period_seconds)
    try:
        every_slot = [slot for slots in clients.values() for slot in slots]
        table = np.array(every_slot, np.float64).reshape(-1, 2)
        counts = np.array([len(slots) for slots in clients.values()])
        slots = of_counts(counts, table[:, 0], table[:, 1], np.array(periods, np.float64))
    except (TypeError, ValueError, OverflowError):
        raise InputError(
            f"{FUNCTION}: client {_first_malformed(clients)}:"
            " slots are pairs of numbers, (start, end) in seconds"
        ) from None

    check_slots(FUNCTION, list(clients), slots)
    labels = Labels(patterns=name_labels(list(clients)))
    parsed = ParsedTrace(source, licence, slots=without_empty(slots), labels=labels)
    base_trace = read_trace(base) if isinstance(base, str) else base
    return completed(name, parsed, base_trace)[0]


def _periods(
    clients: Mapping[Hashable, object], period_seconds: float | Mapping[Hashable, float]
) -> list[float]:
    """Return the period of each client."""
    if not isinstance(period_seconds, Mapping):
        return [period_seconds] * len(clients)
    for client in clients:
        if client not in period_seconds:
            raise InputError(
                f"{FUNCTION}: client {client}: no period_seconds;"
                " give each client one, or all the same"
            )
    return [period_seconds[client] for client in clients]


def _first_malformed(clients: Mapping[Hashable, Sequence[tuple[float, float]]]) -> object:
    """Return the first client whose slots are not pairs of numbers."""
    for client, slots in clients.items():
        try:
            if np.array(list(slots), np.float64).reshape(-1, 2).shape[0] != len(slots):
                return client
        except (TypeError, ValueError, OverflowError):
            return client
    return "(its period_seconds)"

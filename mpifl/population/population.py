"""Clients: the data and the device of each. Nothing here grows with the number of clients."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mpifl.datasets.dataset import Dataset
from mpifl.errors import InputError, counted
from mpifl.job.quantiles import Quantiles
from mpifl.kernels.compile import kernel
from mpifl.kernels.permutation import uniforms
from mpifl.population.phones import (
    Curves,
    Phones,
    Pinned,
    pattern_row,
    phone_of,
    phones_of_pattern,
    rows_of,
)
from mpifl.traces.trace import DEVICE_COLUMNS, Trace


@dataclass(frozen=True)
class Population:
    """``clients`` clients, 0 to clients - 1, over a data set and a device trace.

    Client c trains on the samples of data client ``c mod data clients``. In a population without
    data (``dataset`` None) its number of samples is drawn from ``sizes`` by the client's number.
    Its phone is ``permuted(c)`` of a permutation keyed by ``phone_key``: neighbours in the trace
    are not neighbours here, and no two clients share a phone while there are enough phones. Where
    ``pinned`` is given, it has the rows of the trace that each client has instead. ``trace`` is
    None on ranks that do not use it. ``without_memory`` is the number of clients that are never
    online because their devices lack memory. Where outages or lacking memory keep clients offline,
    ``as_traced`` is the population without them, whose clients are online as the trace says.
    """

    clients: int
    dataset: Dataset | None
    trace: Trace | None
    phone_key: int
    always_online: bool = False
    sizes: Quantiles | None = None
    pinned: Pinned | None = None
    without_memory: int = 0
    as_traced: Population | None = None

    @cached_property
    def phones(self) -> Phones:
        """The trace, and which of its phones each client has."""
        trace = self.trace
        assert trace is not None
        # Not the number of curves: a client has the same phone with or without curves.
        size = max(self.clients, trace.devices, trace.patterns)
        if self.pinned is not None:
            size = self.clients
        return Phones(
            size,
            self.phone_key,
            self.always_online,
            **{column: getattr(trace, column) for column in DEVICE_COLUMNS},
            offsets=trace.offsets,
            start=trace.start,
            end=trace.end,
            period=trace.period,
            curves=Curves.of(trace.bandwidth),
            pinned=self.pinned or Pinned.none(),
        )

    @cached_property
    def chargers(self) -> Phones:
        """The phones as they are plugged in: by the trace alone, whatever availability says."""
        return (self.as_traced or self).phones._replace(always_online=False)

    @cached_property
    def notes(self) -> dict[str, Any]:
        """A cache for results that other modules derive from this population, by name.

        No result of a run may depend on it.
        """
        return {}

    @property
    def data(self) -> Dataset:
        """The data set, in a run that trains."""
        assert self.dataset is not None
        return self.dataset

    def data_client(self, client: int) -> int:
        """Return the client of the data set whose samples a client trains on."""
        return client % self.data.train.clients

    def samples(self, clients: np.ndarray) -> np.ndarray:
        """Return the number of train samples of each of ``clients`` (int64), int64."""
        if self.dataset is None:
            assert self.sizes is not None
            drawn = self.sizes.at(uniforms(clients, self.phone_key))
            return np.maximum(np.rint(drawn), 1).astype(np.int64)

        offsets = self.dataset.train.offsets
        data_client = clients % self.dataset.train.clients
        return offsets[data_client + 1] - offsets[data_client]

    def devices(self, clients: np.ndarray) -> np.ndarray:
        """Return the device of the trace (int64) that each of ``clients`` (int64) has."""
        return rows_of(self.phones, clients)[0]

    def patterns(self, clients: np.ndarray) -> np.ndarray:
        """Return the availability pattern (int64) that each of ``clients`` (int64) has."""
        return rows_of(self.phones, clients)[1]

    def labels(self, clients: np.ndarray) -> dict[str, np.ndarray]:
        """Return what the trace says of the rows of ``clients`` (n,) int64: columns (n,) of str.

        They are ``device_name``, ``device_model``, ``device_country`` and the same of
        ``availability``, as far as the trace has them. An empty text is unknown.
        """
        assert self.trace is not None
        labels = self.trace.labels
        device, pattern, _ = rows_of(self.phones, clients)
        tables = (
            ("device", labels.devices, device),
            ("availability", labels.patterns, pattern),
        )
        return {
            f"{kind}_{name}": np.char.decode(column[rows], "utf-8")
            for kind, columns, rows in tables
            for name, column in columns.items()
        }

    def client_name(self, client: int) -> str:
        """Return a client's number, with its name in the source if that is another one."""
        name = self.data.train.client[self.data_client(client)]
        text = name.decode() if isinstance(name, bytes) else str(name)
        return str(client) if text == str(client) else f"{client} ({text})"


def check_participants(population: Population, participants: int) -> None:
    """Raise InputError when a round can never be full.

    This is so when there are too few clients, or too few that are ever online.
    """
    refused = f"selection.participants: {participants} is not allowed"
    clients = counted(population.clients, "client")
    if participants > population.clients:
        raise InputError(f"{refused}: the population has {clients}")

    ever = ever_online(population.phones, population.clients)
    if ever < participants:
        keys = "population.trace" + (", population.memory_mb" if population.without_memory else "")
        raise InputError(
            f"{refused}: of {clients} only {ever:,} are ever online ({keys}); ask fewer,"
            " or set clock.availability: always, which ignores availability"
        )


@kernel
def ever_online(phones: Phones, clients: int) -> int:
    """Return how many clients are online at some time.

    O(patterns) where every phone has a client, else O(clients).
    """
    if phones.always_online:
        return clients

    count = 0
    if clients < phones.size:
        for client in range(clients):
            pattern = pattern_row(phones, phone_of(phones, client))
            count += phones.offsets[pattern] < phones.offsets[pattern + 1]
        return count

    for pattern in range(len(phones.period)):
        if phones.offsets[pattern] < phones.offsets[pattern + 1]:
            count += phones_of_pattern(phones, pattern)
    return count

"""Clients: the data and the device of each. Nothing here grows with the number of clients."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from mpifl.datasets.dataset import Dataset
from mpifl.errors import InputError, counted
from mpifl.job.quantiles import Quantiles
from mpifl.kernels.compile import kernel
from mpifl.kernels.permutation import permuted, uniforms
from mpifl.traces.bandwidth import Bandwidth
from mpifl.traces.trace import DEVICE_COLUMNS, Trace


class Curves(NamedTuple):
    """Bandwidth over time as the Numba kernels read it; row 0 of each pair is down, row 1 up.

    Curve k has points offsets[k] to offsets[k + 1]. From each point on the speed is ``kbps``
    (2, points) kbit/s; ``kbit`` (2, points) is what the curve has carried from its begin to the
    point. A whole ``period`` (curves,) seconds carries ``period_kbit`` (2, curves), and the highest
    speed is ``peak_kbps`` (2, curves).
    """

    offsets: np.ndarray
    start: np.ndarray
    period: np.ndarray
    kbps: np.ndarray
    kbit: np.ndarray
    period_kbit: np.ndarray
    peak_kbps: np.ndarray

    @classmethod
    def of(cls, bandwidth: Bandwidth) -> Curves:
        """Return the curves of a trace, with the sums of what they have carried."""
        # Copies: mapped arrays are read-only, which is another type for Numba, and every kernel
        # would be compiled once more.
        offsets = np.array(bandwidth.offsets)
        start = np.array(bandwidth.start)
        period = np.array(bandwidth.period)
        kbps = np.stack([bandwidth.download_kbps, bandwidth.upload_kbps])

        kbit = np.zeros_like(kbps)
        period_kbit = np.zeros((2, len(period)))
        peak_kbps = np.zeros((2, len(period)))
        for curve in range(len(period)):
            points = slice(offsets[curve], offsets[curve + 1])
            seconds = np.diff(start[points], append=period[curve])
            carried = np.cumsum(kbps[:, points] * seconds, axis=1)
            kbit[:, points][:, 1:] = carried[:, :-1]
            period_kbit[:, curve] = carried[:, -1]
            peak_kbps[:, curve] = kbps[:, points].max(axis=1)
        return cls(offsets, start, period, kbps, kbit, period_kbit, peak_kbps)


class Phones(NamedTuple):
    """A trace as the Numba kernels read it: its columns, and which phone each client has.

    ``size`` and ``key`` are those of the permutation that deals phones to clients. With
    ``always_online`` availability patterns are ignored. ``curves``, where there are any, replace
    the constant download_kbps and upload_kbps of the devices.
    """

    size: int
    key: int
    always_online: bool
    compute_ms_per_sample: np.ndarray
    download_kbps: np.ndarray
    upload_kbps: np.ndarray
    compute_watts: np.ndarray
    download_joules_per_byte: np.ndarray
    upload_joules_per_byte: np.ndarray
    offsets: np.ndarray
    start: np.ndarray
    end: np.ndarray
    period: np.ndarray
    curves: Curves


@dataclass(frozen=True)
class Population:
    """``clients`` clients, 0 to clients - 1, over a data set and a device trace.

    Client c trains on the samples of data client ``c mod data clients``. In a population without
    data (``dataset`` None) its number of samples is drawn from ``sizes`` by the client's number.
    Its phone is ``permuted(c)`` of a permutation keyed by ``phone_key``: neighbours in the trace
    are not neighbours here, and no two clients share a phone while there are enough phones.
    ``trace`` is None on ranks that do not use it.
    """

    clients: int
    dataset: Dataset | None
    trace: Trace | None
    phone_key: int
    always_online: bool = False
    sizes: Quantiles | None = None

    @cached_property
    def phones(self) -> Phones:
        """The trace, and the permutation that deals its phones to clients."""
        trace = self.trace
        assert trace is not None
        # Not the number of curves: a client has the same phone with or without curves.
        size = max(self.clients, trace.devices, trace.patterns)
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
        )

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
        phones = self.phones
        places = [int(permuted(client, phones.size, phones.key)) for client in clients.tolist()]
        return np.array(places, np.int64) % len(phones.compute_ms_per_sample)

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
        raise InputError(
            f"{refused}: of {clients} only {ever:,} are ever online (population.trace); ask fewer,"
            " or set clock.availability: always, which ignores availability"
        )


@kernel
def ever_online(phones: Phones, clients: int) -> int:
    """Return how many clients are online at some time.

    O(patterns) where every phone has a client, else O(clients).
    """
    if phones.always_online:
        return clients

    patterns = len(phones.period)
    count = 0
    if clients < phones.size:
        for client in range(clients):
            pattern = permuted(client, phones.size, phones.key) % patterns
            count += phones.offsets[pattern] < phones.offsets[pattern + 1]
        return count

    for pattern in range(patterns):
        if phones.offsets[pattern] < phones.offsets[pattern + 1]:
            count += (phones.size - pattern + patterns - 1) // patterns
    return count

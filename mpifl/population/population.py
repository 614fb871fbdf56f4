"""Clients: what each holds and which phone it is. Nothing here is as large as the population."""

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

    Curve k has points offsets[k] to offsets[k + 1]; at each it begins to carry ``kbps`` (2, points) kbit/s and has carried
    ``kbit`` (2, points) since the curve began. In a ``period`` (curves,) it carries ``period_kbit`` (2, curves), and at no
    moment more than ``peak_kbps`` (2, curves).
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
        """The curves of a trace, with what they have carried added up."""
        # Copies: mapped arrays are read-only, of another type for Numba, and all kernels would be compiled once more.
        offsets, start, period = (np.array(column) for column in (bandwidth.offsets, bandwidth.start, bandwidth.period))
        kbps = np.stack([bandwidth.download_kbps, bandwidth.upload_kbps])
        kbit, period_kbit, peak_kbps = np.zeros_like(kbps), np.zeros((2, len(period))), np.zeros((2, len(period)))
        for curve in range(len(period)):
            points = slice(offsets[curve], offsets[curve + 1])
            carried = np.cumsum(kbps[:, points] * np.diff(start[points], append=period[curve]), axis=1)
            kbit[:, points][:, 1:] = carried[:, :-1]
            period_kbit[:, curve], peak_kbps[:, curve] = carried[:, -1], kbps[:, points].max(axis=1)
        return cls(offsets, start, period, kbps, kbit, period_kbit, peak_kbps)


class Phones(NamedTuple):
    """What the Numba kernels read: the trace's columns, and which phone a client has (size and key of a permutation).

    With ``always_online`` nobody ever is offline, whatever the patterns say. Where there are ``curves`` they stand for the
    devices' constant download_kbps and upload_kbps.
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
    """``clients`` clients 0 to clients - 1 over a data set and a device trace.

    Client c trains on the samples of data client ``c mod data clients``; in a population without data (``dataset`` None) it
    has as many samples as ``sizes`` say, drawn by its number. Its phone is ``permuted(c)`` of a permutation keyed by
    ``phone_key``, so that neighbours in the trace are not neighbours here, and no two clients share a phone while there are
    phones left. ``trace`` is None on ranks that have no use for it.
    """

    clients: int
    dataset: Dataset | None
    trace: Trace | None
    phone_key: int
    always_online: bool = False
    sizes: Quantiles | None = None

    @cached_property
    def phones(self) -> Phones:
        """The trace and the permutation that deals its phones to clients."""
        t = self.trace
        assert t is not None
        size = max(self.clients, t.devices, t.patterns)  # not the curves: with or without them a client has the same phone
        devices = {column: getattr(t, column) for column in DEVICE_COLUMNS}
        slots = {"offsets": t.offsets, "start": t.start, "end": t.end, "period": t.period}
        return Phones(size, self.phone_key, self.always_online, **devices, **slots, curves=Curves.of(t.bandwidth))

    @cached_property
    def notes(self) -> dict[str, Any]:
        """What others found out about this population, by name, to save the work: no result depends on it."""
        return {}

    @property
    def data(self) -> Dataset:
        """The data set, in a run that trains."""
        assert self.dataset is not None
        return self.dataset

    def data_client(self, client: int) -> int:
        """Whose samples a client trains on."""
        return client % self.data.train.clients

    def samples(self, clients: np.ndarray) -> np.ndarray:
        """How many train samples each of ``clients`` (int64) holds, int64."""
        if self.dataset is None:
            assert self.sizes is not None
            drawn = self.sizes.at(uniforms(clients, self.phone_key))
            return np.maximum(np.rint(drawn), 1).astype(np.int64)
        offsets = self.dataset.train.offsets
        holder = clients % self.dataset.train.clients
        return offsets[holder + 1] - offsets[holder]

    def client_name(self, client: int) -> str:
        """A client's number, with its name in the data's source where it has one of its own."""
        name = self.data.train.client[self.data_client(client)]
        text = name.decode() if isinstance(name, bytes) else str(name)
        return str(client) if text == str(client) else f"{client} ({text})"


def check_participants(population: Population, participants: int) -> None:
    """Raise InputError when no moment can exist at which a round is full: too few clients, or too few ever online."""
    refused, all_of_them = f"selection.participants: {participants} is not allowed", counted(population.clients, "client")
    if participants > population.clients:
        raise InputError(f"{refused}: the population has {all_of_them}")
    ever = ever_online(population.phones, population.clients)
    if ever < participants:
        raise InputError(
            f"{refused}: of {all_of_them} only {ever:,} are ever online (population.trace); ask fewer, or set"
            " clock.availability: always, which ignores availability"
        )


@kernel
def ever_online(phones: Phones, clients: int) -> int:
    """How many clients are online at some time. O(patterns) where every phone has a client, else O(clients)."""
    if phones.always_online:
        return clients
    patterns, count = len(phones.period), 0
    if clients < phones.size:
        for client in range(clients):
            pattern = permuted(client, phones.size, phones.key) % patterns
            count += phones.offsets[pattern] < phones.offsets[pattern + 1]
        return count
    for pattern in range(patterns):
        if phones.offsets[pattern] < phones.offsets[pattern + 1]:
            count += (phones.size - pattern + patterns - 1) // patterns
    return count

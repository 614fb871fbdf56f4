"""A trace as the Numba kernels read it, and the rows of the trace that a client has."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mpifl.kernels.compile import inner_kernel, kernel
from mpifl.kernels.permutation import inverse_permuted, permuted
from mpifl.traces.bandwidth import Bandwidth


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


class Pinned(NamedTuple):
    """The rows of the trace that each client has, where they are not dealt; else empty arrays.

    Client c has the device ``device[c]``, the availability pattern ``pattern[c]`` and, where there
    are any, the bandwidth curve ``curve[c]`` (clients,) int64. ``clients`` (clients,) int64 are all
    clients, sorted by pattern: pattern k is that of clients[offsets[k]] to clients[offsets[k + 1]].
    """

    device: np.ndarray
    pattern: np.ndarray
    curve: np.ndarray
    clients: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of(
        cls, device: np.ndarray, pattern: np.ndarray, curve: np.ndarray, patterns: int
    ) -> Pinned:
        """Return the rows (clients,) int64 of a trace with so many patterns, sorted as well."""
        counts = np.bincount(pattern, minlength=patterns)
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return cls(device, pattern, curve, np.argsort(pattern, kind="stable"), offsets)

    @classmethod
    def none(cls) -> Pinned:
        """Return empty arrays: phones are dealt."""
        return cls(*(np.empty(0, np.int64) for _ in cls._fields))


class Phones(NamedTuple):
    """A trace as the Numba kernels read it: its columns, and which phone each client has.

    Phones are numbers from 0 to ``size`` - 1, one for each client or more. They are dealt to
    clients by the permutation of ``key``, unless ``pinned`` has the rows of each client. With
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
    pinned: Pinned


@inner_kernel
def phone_of(phones: Phones, client: int) -> int:
    """Return the phone of a client; where rows are pinned, it has the client's number."""
    if len(phones.pinned.device) > 0:
        return client
    return permuted(client, phones.size, phones.key)


@inner_kernel
def device_row(phones: Phones, phone: int) -> int:
    """Return the device of a phone: its pinned row, or the phone's number mod devices."""
    if len(phones.pinned.device) > 0:
        return phones.pinned.device[phone]
    return phone % len(phones.compute_ms_per_sample)


@inner_kernel
def pattern_row(phones: Phones, phone: int) -> int:
    """Return the availability pattern of a phone: its pinned row, or its number mod patterns."""
    if len(phones.pinned.pattern) > 0:
        return phones.pinned.pattern[phone]
    return phone % len(phones.period)


@inner_kernel
def curve_row(phones: Phones, phone: int) -> int:
    """Return the bandwidth curve of a phone: its pinned row, or its number mod curves."""
    if len(phones.pinned.curve) > 0:
        return phones.pinned.curve[phone]
    return phone % len(phones.curves.period)


@inner_kernel
def phones_of_pattern(phones: Phones, pattern: int) -> int:
    """Return how many phones have an availability pattern."""
    if len(phones.pinned.offsets) > 0:
        offsets = phones.pinned.offsets
        return offsets[pattern + 1] - offsets[pattern]
    patterns = len(phones.period)
    return (phones.size - pattern + patterns - 1) // patterns


@inner_kernel
def client_of_pattern(phones: Phones, pattern: int, place: int) -> int:
    """Return the client who has phone ``place`` of a pattern's ``phones_of_pattern``.

    Phones may be more than clients: then it may be a number that no client has.
    """
    if len(phones.pinned.offsets) > 0:
        first = phones.pinned.offsets[pattern]
        return phones.pinned.clients[first + place]
    return inverse_permuted(pattern + place * len(phones.period), phones.size, phones.key)


@kernel
def rows_of(phones: Phones, clients: np.ndarray) -> np.ndarray:
    """Return device, availability pattern and curve, (3, n) int64, of each of ``clients`` (n,).

    The curve is 0 where there are none.
    """
    rows = np.zeros((3, len(clients)), np.int64)
    for i in range(len(clients)):
        phone = phone_of(phones, clients[i])
        rows[0, i] = device_row(phones, phone)
        rows[1, i] = pattern_row(phones, phone)
        if len(phones.curves.period) > 0:
            rows[2, i] = curve_row(phones, phone)
    return rows

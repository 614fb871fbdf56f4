"""Compare the counts of an import with those that were published."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np

from mpifl.datasets.catalogue.catalogue import Count, Entry, Figures, Published


class Counted(Protocol):
    """A part of a data set, as far as it is counted."""

    @property
    def offsets(self) -> np.ndarray:
        """(clients + 1,): client k holds samples offsets[k] to offsets[k + 1]."""

    @property
    def client(self) -> Any:
        """(clients,): names, as bytes, text or numbers."""


def differences(entry: Entry, parts: Mapping[str, Counted]) -> list[str]:
    """Return one line for each published figure that differs; none if one place agrees entirely.

    ``parts`` are the parts by name (train, validation, test). Clients are not compared where a
    partitioner has to make them.
    """
    lines: list[str] = []
    for source in entry.published:
        compared = list(_compared(source, parts, clients=entry.client_key is not None))
        differing = [line for line in compared if line]
        if compared and not differing:
            return []
        lines += [f"{source.place}: {line}" for line in differing]
    return lines


def _compared(source: Published, parts: Mapping[str, Counted], clients: bool) -> Iterator[str]:
    """Yield a line for each figure of a place: the difference, or an empty text."""
    for figures in source.figures:
        scopes = _scopes(figures, parts)
        if clients and figures.clients is not None:
            counts = {name: _clients(counted) for name, counted in scopes.items()}
            yield _difference("clients", figures, figures.clients, counts)
        if figures.samples is not None:
            counts = {name: _samples(counted) for name, counted in scopes.items()}
            yield _difference("samples", figures, figures.samples, counts)


def _scopes(figures: Figures, parts: Mapping[str, Counted]) -> dict[str, list[Counted]]:
    """Return, by name, the sets of parts that the figures may count."""
    if figures.part == "all":
        return {"all": list(parts.values())}
    if figures.part == "either":
        train = [parts["train"]] if "train" in parts else []
        return {"train": train, "all": list(parts.values())}
    return {figures.part: [parts[figures.part]] if figures.part in parts else []}


def _difference(what: str, figures: Figures, published: Count, imported: dict[str, int]) -> str:
    """Return the difference in words, or an empty text if one of the imported counts agrees."""
    if any(number in published for number in imported.values()):
        return ""
    counts = " or ".join(f"{number:,} ({name})" for name, number in imported.items())
    part = "" if figures.part == "either" else f"{figures.part} "
    return f"{part}{what} {published.text} published, {counts} imported"


def _clients(parts: list[Counted]) -> int:
    """Return the number of clients; clients of the same name in several parts count once."""
    return len(set().union(*(np.asarray(part.client).tolist() for part in parts)))


def _samples(parts: list[Counted]) -> int:
    return sum(int(part.offsets[-1]) for part in parts)

"""What was imported against what was published."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np

from mpifl.datasets.catalogue.catalogue import Count, Entry, Figures, Published


class Counted(Protocol):
    """What is needed of a part of a data set: offsets (clients + 1,) of its samples, and the clients' names (clients,)."""

    @property
    def offsets(self) -> np.ndarray:
        """Client k holds samples offsets[k] to offsets[k + 1]."""

    @property
    def client(self) -> Any:
        """Names, as bytes, text or numbers."""


def differences(entry: Entry, parts: Mapping[str, Counted]) -> list[str]:
    """What differs from every place that published figures of this data set, a line each; none if one place agrees wholly.

    ``parts`` are the parts by name (train, validation, test). Clients that a partitioner has to make are not compared.
    """
    lines: list[str] = []
    for source in entry.published:
        compared = list(_compared(source, parts, clients=entry.client_key is not None))
        wrong = [line for line in compared if line]
        if compared and not wrong:
            return []
        lines += [f"{source.place}: {line}" for line in wrong]
    return lines


def _compared(source: Published, parts: Mapping[str, Counted], clients: bool) -> Iterator[str]:
    """A line for each figure: what is wrong with it, or nothing."""
    for figures in source.figures:
        scopes = _scopes(figures, parts)
        if clients and figures.clients is not None:
            yield _difference("clients", figures, figures.clients, {name: _clients(found) for name, found in scopes.items()})
        if figures.samples is not None:
            yield _difference("samples", figures, figures.samples, {name: _samples(found) for name, found in scopes.items()})


def _scopes(figures: Figures, parts: Mapping[str, Counted]) -> dict[str, list[Counted]]:
    """The parts that figures may be of, by how to call them."""
    if figures.part == "all":
        return {"all": list(parts.values())}
    if figures.part == "either":
        return {"train": [parts["train"]] if "train" in parts else [], "all": list(parts.values())}
    return {figures.part: [parts[figures.part]] if figures.part in parts else []}


def _difference(what: str, figures: Figures, published: Count, imported: dict[str, int]) -> str:
    if any(number in published for number in imported.values()):
        return ""
    found = " or ".join(f"{number:,} ({name})" for name, number in imported.items())
    part = "" if figures.part == "either" else f"{figures.part} "
    return f"{part}{what} {published.text} published, {found} imported"


def _clients(parts: list[Counted]) -> int:
    """How many clients there are; one that is in several parts by the same name counts once."""
    return len(set().union(*(np.asarray(part.client).tolist() for part in parts)))


def _samples(parts: list[Counted]) -> int:
    return sum(int(part.offsets[-1]) for part in parts)

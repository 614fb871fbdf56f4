"""The base class of partitioners."""

from __future__ import annotations

import random as global_random
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from pydantic import Field

from mpifl.datasets.partitioners import WITHOUT_CLASSES
from mpifl.errors import InputError, counted
from mpifl.job.section import Section


@dataclass(frozen=True)
class Samples:
    """What a partitioner may know of the train samples.

    ``labels`` is the data set's y: (count,) int64 for classes, another shape or type otherwise, and
    None for a language. ``coarse`` (count,) int64 is the coarse class of each sample, or None.
    """

    count: int
    labels: np.ndarray | None = None
    coarse: np.ndarray | None = None


class Partitioner(Section):
    """Base of the partitioners: deal samples to ``clients`` clients.

    Its fields are the options of the job's section data.partition. The seed is the partition's own,
    so that jobs with different seeds share a partition.
    """

    left_to_plug_ins: ClassVar[tuple[str, ...]] = ("deal",)

    name: str
    clients: int = Field(100, ge=1, description="number of clients")
    seed: int = Field(0, ge=0, description="seed of the partition, independent of the job's")

    def deal(self, samples: Samples, random: np.random.Generator) -> np.ndarray:
        """Deal the train samples to clients.

        Args:
            samples: Number and labels of the samples.
            random: Generator that depends on ``seed`` only.

        Returns:
            (samples.count,) int64: the client, 0 to clients - 1, of each sample. Every client holds
            one sample or more.

        Raises:
            InputError: The samples cannot be dealt with these options.
        """
        raise NotImplementedError

    def check_enough(self, samples: int, each: int = 1) -> None:
        """Check that every client can hold enough samples.

        Args:
            samples: Number of samples.
            each: Number of samples that every client needs.

        Raises:
            InputError: There are fewer than ``clients * each`` samples.
        """
        if samples < self.clients * each:
            raise InputError(
                f"data.partition.clients: {counted(self.clients, 'client')} of {each} or more"
                f" samples: {self.clients * each:,} needed; the data has {samples:,}"
            )

    def classes_of(self, samples: Samples) -> np.ndarray:
        """Return the class of each sample.

        Args:
            samples: Number and labels of the samples.

        Returns:
            (samples.count,) integers.

        Raises:
            InputError: The samples have no classes.
        """
        labels = samples.labels
        if labels is None or labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
            kind = "no labels"
            if labels is not None:
                kind = f"labels of {labels.dtype} {labels.shape[1:] or ''}".strip()
            raise InputError(
                f"data.partition.name: {self.name!r} deals by class and the data has {kind};"
                f" allowed: {', '.join(WITHOUT_CLASSES)}"
            )
        return labels


def dealt(partition: Partitioner, samples: Samples, random: np.random.Generator) -> np.ndarray:
    """Return the client (count,) int64 of each sample, as a partitioner deals them.

    Raises InputError for what is no such answer, and for one that was drawn from a global
    generator: the data would be others each time that they are dealt.
    """
    before = _global_states()
    client = partition.deal(samples, random)
    if _global_states() != before:
        raise InputError(
            f"data.partition.name: {partition.name!r} draws from the global generator of random or"
            " numpy; draw from `random`, which deal is given"
        )
    return check_dealt(partition, samples, client)


def _global_states() -> tuple[object, ...]:
    _, keys, place, *_ = np.random.get_state()  # noqa: NPY002  (a plug-in's)
    return global_random.getstate(), np.asarray(keys).tobytes(), place


def check_dealt(partition: Partitioner, samples: Samples, client: np.ndarray) -> np.ndarray:
    """Return what a partitioner's ``deal`` returned, as int64.

    Raises:
        InputError: It is not one client of 0 to ``clients - 1`` for each sample, or a client got no
            sample. A partitioner may be a plug-in.
    """
    place = f"data.partition.name: {partition.name!r}"
    client = np.asarray(client)
    if client.shape != (samples.count,) or not np.issubdtype(client.dtype, np.integer):
        raise InputError(
            f"{place} dealt {client.dtype} of shape {client.shape}; allowed: one integer for each"
            f" of {counted(samples.count, 'sample')}"
        )

    wrong = (client < 0) | (client >= partition.clients)
    if wrong.any():
        sample = int(np.argmax(wrong))
        raise InputError(
            f"{place} dealt sample {sample} to client {client[sample]}; allowed:"
            f" 0 to {partition.clients - 1} (data.partition.clients)"
        )

    empty = np.bincount(client, minlength=partition.clients) == 0
    if empty.any():
        raise InputError(
            f"{place} dealt no sample to {np.count_nonzero(empty)} of"
            f" {counted(partition.clients, 'client')},"
            f" the first is {int(np.argmax(empty))}; every client must hold one sample or more"
        )
    return client.astype(np.int64)

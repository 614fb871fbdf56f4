"""From the job's data and population sections to a Population, through the cache.

What is embedded or re-partitioned is built once into the cache folder under a name that holds a hash of everything it is
made from. Rank 0 builds; the other ranks open what rank 0 names.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mpifl.datasets import dataset as datasets
from mpifl.datasets.check import check_dataset
from mpifl.datasets.dataset import Dataset, is_compressed, open_dataset, repack, write_dataset
from mpifl.datasets.embedded import NAME as DIGITS
from mpifl.datasets.embedded import digits
from mpifl.datasets.parties import dealt_to_parties
from mpifl.datasets.partitioners import REGISTRY as PARTITIONERS
from mpifl.datasets.partitioners.natural import Natural
from mpifl.datasets.partitioners.partitioner import Partitioner, Samples
from mpifl.datasets.partitioners.vertical import Vertical
from mpifl.datasets.split import TRAIN, arranged, split_samples
from mpifl.errors import InputError
from mpifl.io.files import cache_folder, is_file, shipped, shipped_names
from mpifl.io.hdf5 import check_content
from mpifl.io.verified import bytes_sha256, verified
from mpifl.job import Job
from mpifl.population.population import Population
from mpifl.seeds import Purpose, generator, number
from mpifl.traces import trace as traces
from mpifl.traces.synthesis import find_trace, read_recipe, synthesize
from mpifl.traces.trace import check_trace, merged, open_trace, write_trace

SIZES = "sizes"  # the data.name of a population without samples
BUILD_VERSION = 3  # part of every cache key: raise it when a builder changes what it makes


def prepare(job: Job) -> tuple[Path | None, Path]:
    """On rank 0: the files of data set (None for data.name sizes) and trace, built where need be and checked.

    Raises InputError.
    """
    if job.data.samples_per_client is not None and job.data.name != SIZES:
        raise InputError(f"data.samples_per_client: not allowed with data.name {job.data.name!r}; it goes with {SIZES}")
    trace_path = _trace_path(job.population.trace)
    if job.data.name == SIZES:
        _check_sizes(job)
        return None, trace_path
    data_path = _data_path(job)
    check_dataset(data_path, open_dataset(data_path))
    return data_path, trace_path


def open_population(job: Job, data_path: Path | None, trace_path: Path | None) -> Population:
    """On every rank: map what ``prepare`` named, or of the trace nothing (None).

    ``prepare`` has verified what is mapped; a file that somebody writes to after that is not noticed.
    """
    data = None if data_path is None else open_dataset(data_path)
    trace = None if trace_path is None else open_trace(trace_path)
    if trace is not None and job.population.merge_gaps_seconds is not None:
        trace = merged(trace, job.population.merge_gaps_seconds)
    clients = job.population.clients or (data.train.clients if data else 0)
    always = job.clock.availability == "always"
    return Population(clients, data, trace, number(job.seed, Purpose.PHONES), always, job.data.samples_per_client)


def resolved(job: Job, population: Population) -> Job:
    """The job with what was found out written into it: absolute paths and the number of clients."""
    data, people = job.data, job.population
    if data.name not in (DIGITS, SIZES):
        data = data.model_copy(update={"name": str(Path(data.name).resolve())})
    if shipped("traces", people.trace) is None:
        people = people.model_copy(update={"trace": str(Path(people.trace).resolve())})
    people = people.model_copy(update={"clients": population.clients})
    return job.model_copy(update={"data": data, "population": people})


def _check_sizes(job: Job) -> None:
    for key, given in (
        ("data.samples_per_client", job.data.samples_per_client),
        ("population.clients", job.population.clients),
    ):
        if given is None:
            raise InputError(f"{key}: missing; data.name sizes needs it")
    if job.training.engine != "none":
        raise InputError(f"training.engine: {job.training.engine!r} is not allowed with data.name sizes; allowed: none")


def _data_path(job: Job) -> Path:
    if job.data.name == DIGITS:
        if isinstance(job.data.partition, Natural):
            allowed = ", ".join(name for name in PARTITIONERS if name not in ("natural", "pachinko"))
            raise InputError(f"data.partition: 'natural' is not allowed: digits names no writers; allowed: {allowed}")
        return _arranged(job, {"data": DIGITS}, digits)
    path = Path(job.data.name)
    if not is_file(path):
        from mpifl.datasets.catalogue.making import how_to_make  # here: it reads the catalogue's files

        allowed = f"allowed: {DIGITS}, {SIZES}, or a data set in HDF5"
        raise InputError(f"data.name: {job.data.name!r}: no file {os.path.abspath(path)}; {allowed}; {how_to_make(str(path))}")
    if is_compressed(path):
        path = _unpacked(path)
    else:
        _checked(path)
    if isinstance(job.data.partition, Natural) and job.data.split.by == "published":
        return path.resolve()
    return _arranged(job, {"data": open_dataset(path).content_sha256}, lambda: _checked(path))


def _checked(path: Path) -> Dataset:
    """A data set that the caller has not made itself: all that a run relies on, and that no byte of it has changed."""
    data = open_dataset(path)
    check_dataset(path, data)
    verified(path, datasets.FORMAT, datasets.SCHEMA_VERSION)
    return data


def _unpacked(path: Path) -> Path:
    """A compressed data set as one that all ranks of a node can map.

    It is known by the hash of the file as it lies on the disk, which takes less time than to unpack it and check that.
    """
    key = {"unpacked": bytes_sha256(path)}

    def write(target: Path) -> None:
        check_content(path, datasets.FORMAT, datasets.SCHEMA_VERSION)
        repack(path, target)

    return _cached("data", key, write, datasets.FORMAT, datasets.SCHEMA_VERSION)


def _arranged(job: Job, key: dict[str, str], load: Callable[[], Dataset]) -> Path:
    """The data set dealt out as data.partition says, and then split as data.split says."""
    partition, split = job.data.partition, job.data.split
    if isinstance(partition, Vertical) and split.by != "published":
        raise InputError(f"data.split.by: {split.by!r} is not allowed with data.partition.name vertical; allowed: published")

    def write(path: Path) -> None:
        data, random = load(), generator(partition.seed if isinstance(partition, Partitioner) else 0, Purpose.PARTITION)
        if isinstance(partition, Vertical):
            write_dataset(path, dealt_to_parties(data, partition.features_of(math.prod(data.shape.sample), random)))
            return
        client, names = _clients(data, partition, random)
        part = np.full(len(client), TRAIN, np.uint8)
        if split.by != "published":
            part = split_samples(split, client, len(names), generator(split.seed, Purpose.SPLIT))
        parts: dict[str, Any] = dict(arranged(data, client, names, part))
        write_dataset(path, replace(data, **parts))

    made_from = {**key, "partition": _options(job), "split": split.model_dump()}
    return _cached("data", made_from, write, datasets.FORMAT, datasets.SCHEMA_VERSION)


def _options(job: Job) -> dict[str, Any]:
    """All that a partition is made from: the partitioner's options and, of a plug-in, its source and not where that lies."""
    options: dict[str, Any] = job.data.partition.model_dump()
    plug_in = job.plug_ins.get("data.partition.name")
    if plug_in is not None:
        options |= {"name": options["name"].rpartition(":")[2], "plug_in": plug_in.sha256}
    return options


def _clients(data: Dataset, partition: Partitioner | Natural, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The client of each train sample (samples,) int64, and the clients' names."""
    if isinstance(partition, Natural):
        return np.repeat(np.arange(data.train.clients), np.diff(data.train.offsets)), data.train.client
    client = partition.deal(Samples(data.train.samples, data.train.y, data.train.coarse), random)
    return client, np.array([str(number).encode() for number in range(partition.clients)])


def _trace_path(name: str) -> Path:
    found = find_trace(name)
    if found is None:
        names = ", ".join(shipped_names("traces"))
        raise InputError(f"population.trace: {name!r}: no file {os.path.abspath(name)}; allowed: {names}, or a file")
    if found.suffix != ".yaml":
        open_trace(found)  # says what is wrong, where it can
        verified(found, traces.FORMAT, traces.SCHEMA_VERSION)
        return found.resolve()
    recipe = read_recipe(found)

    def write(path: Path) -> None:
        trace = synthesize(recipe)
        check_trace(found, trace)
        write_trace(path, trace)

    return _cached("trace", {"recipe": recipe.model_dump()}, write, traces.FORMAT, traces.SCHEMA_VERSION)


def _cached(kind: str, made_from: Mapping[str, object], write: Callable[[Path], None], form: str, schema: int) -> Path:
    """The cache file for ``made_from``: verified when it is there, else built. A damaged one is built again."""
    text = json.dumps({**made_from, "schema": schema, "build": BUILD_VERSION}, sort_keys=True, default=str)
    path = cache_folder() / f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.h5"
    if not (path.is_file() and _intact(path, form, schema)):
        write(path)
        verified(path, form, schema)
    return path


def _intact(path: Path, form: str, schema: int) -> bool:
    try:
        verified(path, form, schema)
    except InputError:
        return False
    return True

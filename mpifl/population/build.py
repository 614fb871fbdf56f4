"""Make a Population from the data and population sections of a job, through the cache.

Data sets that are embedded, partitioned or split, and traces of recipes, are built once into the
cache folder. The file's name has a hash of everything that the file is made from. Rank 0 builds;
the other ranks open the files that rank 0 names.
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
from mpifl.datasets.dataset import Dataset, write_dataset
from mpifl.datasets.embedded import EMBEDDED
from mpifl.datasets.packed import is_compressed, repack
from mpifl.datasets.parties import dealt_to_parties
from mpifl.datasets.partitioners import REGISTRY as PARTITIONERS
from mpifl.datasets.partitioners.natural import Natural
from mpifl.datasets.partitioners.partitioner import Partitioner, Samples, dealt
from mpifl.datasets.partitioners.vertical import Vertical
from mpifl.datasets.split import TRAIN, arranged, split_samples
from mpifl.errors import InputError
from mpifl.io.files import cache_folder, is_file, shipped, shipped_names
from mpifl.io.hdf5 import check_content
from mpifl.io.verified import bytes_sha256, verified
from mpifl.job import Job
from mpifl.population.memory import with_memory
from mpifl.population.open_files import ANEW, Files
from mpifl.population.outages import with_outages
from mpifl.population.pinning import pinned_rows, table_of
from mpifl.population.population import Population
from mpifl.seeds import Purpose, generator, number
from mpifl.traces import trace as traces
from mpifl.traces.synthesis import find_trace, read_recipe, synthesize
from mpifl.traces.trace import begun_at, check_trace, merged, write_trace

SIZES = "sizes"  # the data.name of a population without samples
BUILD_VERSION = 4  # part of every cache key: raise it when a builder changes what it makes


def prepare(job: Job, files: Files = ANEW) -> tuple[Path | None, Path]:
    """Return the files of data set and trace, built if necessary and checked. On rank 0 only.

    The data set is None for data.name sizes. Raises InputError.
    """
    if job.data.samples_per_client is not None and job.data.name != SIZES:
        raise InputError(
            f"data.samples_per_client: not allowed with data.name {job.data.name!r};"
            f" it goes with {SIZES}"
        )

    trace_path = trace_file(job.population.trace, job.population.phones, files)
    if job.data.name == SIZES:
        _check_sizes(job)
        return None, trace_path

    data_path = _data_path(job, files)
    files.checked(data_path)
    return data_path, trace_path


def open_population(
    job: Job, data_path: Path | None, trace_path: Path | None, files: Files = ANEW
) -> Population:
    """Return the population over the files of ``prepare``, mapped. On every rank.

    A rank that does not use the trace gives None for it. ``prepare`` has verified the files; a
    change to them after that is not noticed.
    """
    data = None if data_path is None else files.dataset(data_path)
    trace = None if trace_path is None else files.trace(trace_path)
    if trace is not None and job.population.merge_gaps_seconds is not None:
        trace = merged(trace, job.population.merge_gaps_seconds)
    if trace is not None and job.clock.start:
        trace = begun_at(trace, job.clock.start)

    clients = job.population.clients or (data.train.clients if data else 0)
    phone_key = number(job.seed, Purpose.PHONES)
    always = job.clock.availability == "always"
    dealt = Population(clients, data, trace, phone_key, always, job.data.samples_per_client)
    if trace is None:
        return dealt
    population = replace(dealt, pinned=pinned_rows(dealt, job.population.devices))
    if job.population.outages.regions is not None:
        population = with_outages(population, job.population.outages, job.seed)
    needed_mb = job.population.memory_mb
    return population if needed_mb is None else with_memory(population, needed_mb)


def resolved(job: Job, population: Population) -> Job:
    """Return the job with absolute paths and the number of clients filled in."""
    data = job.data
    if data.name not in (*EMBEDDED, SIZES):
        data = data.model_copy(update={"name": str(Path(data.name).resolve())})

    section = job.population
    if shipped("traces", section.trace) is None:
        section = section.model_copy(update={"trace": str(Path(section.trace).resolve())})
    table = table_of(section.devices)
    if table is not None:
        section = section.model_copy(update={"devices": str(table.resolve())})
    section = section.model_copy(update={"clients": population.clients})

    return job.model_copy(update={"data": data, "population": section})


def _check_sizes(job: Job) -> None:
    """Raise InputError unless the job has what a population without samples needs."""
    for key, value in (
        ("data.samples_per_client", job.data.samples_per_client),
        ("population.clients", job.population.clients),
    ):
        if value is None:
            raise InputError(f"{key}: missing; data.name sizes needs it")
    if job.training.engine != "none":
        raise InputError(
            f"training.engine: {job.training.engine!r} is not allowed with data.name sizes;"
            " allowed: none"
        )


def _data_path(job: Job, files: Files) -> Path:
    """Return the file of the data set, partitioned and split, that the job trains on."""
    load = EMBEDDED.get(job.data.name)
    if load is not None:
        if job.data.name == "digits" and isinstance(job.data.partition, Natural):
            names = [name for name in PARTITIONERS if name not in ("natural", "pachinko")]
            raise InputError(
                "data.partition: 'natural' is not allowed: digits names no writers;"
                f" allowed: {', '.join(names)}"
            )
        return _arranged(job, {"data": job.data.name}, load)

    path = Path(job.data.name)
    if not is_file(path):
        from mpifl.datasets.catalogue.making import how_to_make  # slow: reads the catalogue

        raise InputError(
            f"data.name: {job.data.name!r}: no file {os.path.abspath(path)};"
            f" allowed: {', '.join(EMBEDDED)}, {SIZES}, or a data set in HDF5;"
            f" {how_to_make(str(path))}"
        )
    if is_compressed(path):
        path = _unpacked(path)
    else:
        _checked(path, files)

    if isinstance(job.data.partition, Natural) and job.data.split.by == "published":
        return path.resolve()
    key = {"data": files.dataset(path).content_sha256}
    return _arranged(job, key, lambda: _checked(path, files))


def _checked(path: Path, files: Files) -> Dataset:
    """Return a data set of the user, checked for training and verified byte by byte."""
    data = files.checked(path)
    verified(path, datasets.FORMAT, datasets.SCHEMA_VERSION)
    return data


def _unpacked(path: Path) -> Path:
    """Return a compressed data set as a cache file that all ranks of a node can map.

    The key is the hash of the compressed file, which takes less time than to unpack and hash it.
    """
    key = {"unpacked": bytes_sha256(path)}

    def write(target: Path) -> None:
        check_content(path, datasets.FORMAT, datasets.SCHEMA_VERSION)
        repack(path, target)

    return _cached("data", key, write, datasets.FORMAT, datasets.SCHEMA_VERSION)


def _arranged(job: Job, key: dict[str, str], load: Callable[[], Dataset]) -> Path:
    """Return a cache file of the data set, dealt by data.partition and split by data.split.

    ``load`` returns the data set, and ``key`` identifies it.
    """
    partition = job.data.partition
    split = job.data.split
    if isinstance(partition, Vertical) and split.by != "published":
        raise InputError(
            f"data.split.by: {split.by!r} is not allowed with data.partition.name vertical;"
            " allowed: published"
        )

    def write(path: Path) -> None:
        data = load()
        seed = partition.seed if isinstance(partition, Partitioner) else 0
        random = generator(seed, Purpose.PARTITION)
        if isinstance(partition, Vertical):
            features_of = partition.features_of(math.prod(data.shape.sample), random)
            write_dataset(path, dealt_to_parties(data, features_of))
            return

        client, names = _clients(data, partition, random)
        part = np.full(len(client), TRAIN, np.uint8)
        if split.by != "published":
            random = generator(split.seed, Purpose.SPLIT)
            part = split_samples(split, client, len(names), random)
        parts: dict[str, Any] = dict(arranged(data, client, names, part))
        write_dataset(path, replace(data, **parts))

    made_from = {**key, "partition": _options(job), "split": split.model_dump()}
    return _cached("data", made_from, write, datasets.FORMAT, datasets.SCHEMA_VERSION)


def _options(job: Job) -> dict[str, Any]:
    """Return everything that a partition is made from: the partitioner and its options.

    A plug-in is identified by its class and the hash of its source, not by its path.
    """
    options: dict[str, Any] = job.data.partition.model_dump()
    plug_in = job.plug_ins.get("data.partition.name")
    if plug_in is not None:
        options |= {"name": options["name"].rpartition(":")[2], "plug_in": plug_in.sha256}
    return options


def _clients(
    data: Dataset, partition: Partitioner | Natural, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the client of each train sample (samples,) int64, and the clients' names."""
    train = data.train
    if isinstance(partition, Natural):
        return np.repeat(np.arange(train.clients), np.diff(train.offsets)), train.client

    labels = None if data.task == "language" else train.y
    samples = Samples(train.samples, labels, train.coarse)
    client = dealt(partition, samples, random)
    return client, np.array([str(number).encode() for number in range(partition.clients)])


def trace_file(name: str, phones: int | None, files: Files = ANEW) -> Path:
    """Return the file of a trace; for a recipe a cache file, with so many ``phones``."""
    source = find_trace(name)
    if source is None:
        names = ", ".join(shipped_names("traces"))
        raise InputError(
            f"population.trace: {name!r}: no file {os.path.abspath(name)};"
            f" allowed: {names}, or a file"
        )
    if source.suffix != ".yaml":
        if phones is not None:
            raise InputError(
                f"population.phones: {phones} is not allowed: population.trace {name!r} is no"
                " recipe, and has the phones that it has; leave it out"
            )
        files.trace(source)  # its errors are more specific than those of ``verified``
        verified(source, traces.FORMAT, traces.SCHEMA_VERSION)
        return source.resolve()

    recipe = read_recipe(source)
    if phones is not None:
        recipe = recipe.model_copy(update={"phones": phones})

    def write(path: Path) -> None:
        trace = synthesize(recipe)
        check_trace(source, trace)
        write_trace(path, trace)

    made_from = {"recipe": recipe.model_dump()}
    return _cached("trace", made_from, write, traces.FORMAT, traces.SCHEMA_VERSION)


def _cached(
    kind: str,
    made_from: Mapping[str, object],
    write: Callable[[Path], None],
    file_format: str,
    schema: int,
) -> Path:
    """Return the cache file for ``made_from``, built by ``write`` if it is missing or damaged."""
    key = {**made_from, "schema": schema, "build": BUILD_VERSION}
    text = json.dumps(key, sort_keys=True, default=str)
    path = cache_folder() / f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.h5"
    if not (path.is_file() and _is_intact(path, file_format, schema)):
        write(path)
        verified(path, file_format, schema)
    return path


def _is_intact(path: Path, file_format: str, schema: int) -> bool:
    try:
        verified(path, file_format, schema)
    except InputError:
        return False
    return True

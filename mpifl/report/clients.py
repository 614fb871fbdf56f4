"""The clients of a run: their data and devices, opened again without running the job's code."""

from __future__ import annotations

from mpifl.errors import InputError
from mpifl.job import parse_job
from mpifl.population.build import open_population, prepare
from mpifl.population.population import Population
from mpifl.record.load import Run

Clients = Population
CLOCK = ("availability", "start")


def open_clients(run: Run) -> Clients:
    """Return the population of a run.

    A report may be made of a run directory that somebody else sent, so none of the job's plug-ins
    is loaded. Raises InputError for a run of a Flower app, when the partitioner is one, or when the
    data set or the trace is missing or is another one than the run's.
    """
    job = run.job
    if "supernodes" in job:
        raise InputError(f"{run.folder}: a run of a Flower app, whose nodes load their own data")
    partition = job["data"]["partition"]["name"]
    if ":" in partition:
        raise InputError(
            f"data.partition.name: {partition} is a plug-in, whose code a report does not run"
        )

    given = job.get("clock")
    if not isinstance(given, dict):
        raise InputError(f"{run.folder}/job.yaml: clock: missing, or no section")
    clock = {key: given[key] for key in CLOCK if key in given}
    known = parse_job(
        {
            **{key: job[key] for key in ("name", "seed", "rounds", "data", "population")},
            "model": "logreg",
            "selection": {"name": "uniform", "participants": 1},
            "clock": {"mode": "sync", **clock},
            "training": {"engine": "none"},
        }
    )
    population = open_population(known, *prepare(known))
    hashes = run.environment["content_sha256"]
    for name, opened, key in (
        ("trace", population.trace, "population.trace"),
        ("data", population.dataset, "data.name"),
    ):
        if opened is not None and opened.content_sha256 != hashes.get(name):
            raise InputError(f"{run.folder}: {key} has changed since the run began")
    return population

"""Checks of a job that records updates (``record.updates``)."""

from __future__ import annotations

from mpifl.attacks.attackers import data_clients
from mpifl.errors import InputError
from mpifl.population.population import Population
from mpifl.rounds.experiment.experiment import Experiment, TimingExperiment


def check_recorded(experiment: TimingExperiment) -> None:
    """Raise InputError for updates that cannot be recorded."""
    job = experiment.job
    wanted = job.record.updates
    if wanted is None:
        return
    if not isinstance(experiment, Experiment) or job.protocol.has_actors:
        raise InputError(
            "record.updates: not allowed where no updates are sent to a server: with"
            " training.engine none, and with protocol.name other than rounds"
        )
    if job.secure_aggregation.active:
        raise InputError(
            "record.updates: not allowed with secure_aggregation.name"
            f" {job.secure_aggregation.name}: the server sees no single update, only their sum"
        )
    if [array.name for array in experiment.sums.arrays][:1] != ["update"] or (
        experiment.sums.arrays[0].size != experiment.layout.trained
    ):
        raise InputError(
            f"record.updates: not allowed with algorithm.name {job.algorithm.name}, whose clients"
            " do not upload an update of the model; allowed: algorithms such as fedavg"
        )
    late = [number for number in wanted.rounds if number > job.rounds]
    if late:
        raise InputError(
            f"record.updates.rounds: {late[0]} is not allowed; allowed: 1 to {job.rounds}"
        )
    _check_clients(wanted.clients, experiment.population)


def _check_clients(clients: tuple[int | str, ...], population: Population) -> None:
    for client in clients:
        if isinstance(client, int) and not 0 <= client < population.clients:
            raise InputError(
                f"record.updates.clients: {client} is not allowed; allowed: 0 to"
                f" {population.clients - 1}"
            )
    try:
        data_clients(clients, population)
    except InputError as error:
        raise error.within("record.updates.clients") from error

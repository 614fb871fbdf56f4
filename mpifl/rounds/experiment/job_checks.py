"""Checks of a job as a whole: what its sections ask of each other, of the data and of this host."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from mpifl.attacks.attack import collude
from mpifl.attacks.attackers import Attackers, check_attackers
from mpifl.attacks.colluding import Colluding
from mpifl.clock.asynchronous import Asynchronous
from mpifl.clock.workload import Workload
from mpifl.datasets.dataset import Dataset
from mpifl.errors import InputError, counted, keys_at, nearest
from mpifl.job import Job
from mpifl.job.schema import Training
from mpifl.population.population import Population
from mpifl.rounds.experiment.experiment import Experiment, TimingExperiment

if TYPE_CHECKING:
    from mpifl.models.flat import FlatModel

LONGEST_TRANSFER_SECONDS = 1e7


def check_measured(job: Job) -> None:
    """Raise InputError where costs are to be measured and cannot be, or have to be and are not."""
    measured = job.clock.costs == "measured"
    if measured and job.training.engine == "none":
        raise InputError(
            "clock.costs: 'measured' is not allowed with training.engine none; allowed: declared"
        )
    if job.training.early_stop is None:
        return
    if not measured:
        raise InputError(
            f"training.early_stop: {job.training.early_stop:g} is not allowed with clock.costs"
            " declared: who stops early is known when all have been trained; set clock.costs to"
            " measured"
        )
    if job.training.epochs is None:
        raise InputError(
            f"training.early_stop: {job.training.early_stop:g} is not allowed with"
            " training.local_steps; give epochs"
        )


def with_one_at_a_time(job: Job) -> Training:
    """Return ``training``; with a stack of one where who is trained again has to be so alone.

    Raises InputError for a larger one.
    """
    training = job.training
    if job.clock.costs == "declared" or not job.clock.asynchronous:
        return training
    if training.stack not in (None, 1):
        raise InputError(
            f"training.stack: {training.stack} is not allowed with clock.costs measured and"
            f" clock.mode {job.clock.mode}, whose clients are trained one at a time; allowed: 1"
        )
    return training.model_copy(update={"stack": 1})


def check_loggers(job: Job) -> None:
    """Raise InputError for a logger that cannot log here, and for one that the job names twice.

    Two of a plug-in are allowed: it knows where each of them writes.
    """
    names = Counter(logger.name for logger in job.record.loggers)
    for name, count in names.items():
        if count > 1 and ":" not in name:
            raise InputError(f"record.loggers: {name!r} is there {count} times; allowed: once")
    for place, logger in enumerate(job.record.loggers):
        with keys_at("record.loggers", f"record.loggers.{place}"):
            logger.check()


def check_stop(experiment: TimingExperiment) -> None:
    """Raise InputError when ``stop`` asks for a metric that the run's tests do not give."""
    job = experiment.job
    metric = job.stop.metric
    if metric is None:
        return
    if not isinstance(experiment, Experiment):
        raise InputError(
            f"stop.metric: {metric!r} is not allowed with training.engine none, which tests"
            " nothing; allowed: stop.hours"
        )
    metrics = experiment.metrics
    if job.evaluation.by_client:
        scores = [name for name in ("accuracy", "loss") if name in metrics]
        metrics += [f"{whose}_{score}" for whose in ("client", "worst_decile") for score in scores]
    if metric not in metrics:
        needs = ""
        if metric.startswith(("client_", "worst_decile_")):
            needs = " (of single clients with evaluation.per_client or personal)"
        hint = "" if needs else nearest(metric, metrics)
        raise InputError(
            f"stop.metric: {metric!r} is not what this job's tests give{needs}; {hint}allowed:"
            f" {', '.join(metrics)}"
        )


def check_aggregation(job: Job) -> None:
    """Raise InputError for a rule that does not go with the clock or the algorithm."""
    rule = job.aggregation
    if rule.needs_staleness and isinstance(job.clock, Asynchronous):
        given = job.clock.staleness.name
        if given != "constant":
            raise InputError(
                f"clock.staleness.name: {given!r} is not allowed with aggregation.name {rule.name},"
                " which weighs late updates itself; allowed: constant"
            )
    if rule.of_changes and job.algorithm.uploads_model:
        raise InputError(
            f"aggregation.name: {rule.name!r} is not allowed with algorithm.name"
            f" {job.algorithm.name}, whose clients upload models: what they changed in them has the"
            " lengths and signs that the rule looks at; allowed: mean, median, trimmed_mean, krum,"
            " ..."
        )
    single = rule.remembers or rule.needs_staleness
    if rule.bucket > 1 and (not rule.needs_updates or single):
        why = "looks at single updates" if single else "does not look at updates"
        raise InputError(
            f"aggregation.bucket: {rule.bucket} is not allowed with aggregation.name {rule.name},"
            f" which {why}; allowed: 1"
        )
    if rule.remembers and collude(job.attacks):
        raise InputError(
            f"aggregation.name: {rule.name!r} is not allowed with attackers that collude: what they"
            " send is not part of their histories"
        )
    if job.exchange.up and collude(job.attacks):
        raise InputError(
            "exchange.up: not allowed with attackers that collude, who make up what they send when"
            " all updates have come, after the stages"
        )


def check_grown(job: Job) -> None:
    """Raise InputError for a model that the algorithm cannot make: trees, or anything else."""
    if job.model.grown and not job.algorithm.grows:
        raise InputError(
            f"algorithm.name: {job.algorithm.name!r} is not allowed with model.name"
            f" {job.model.name}, whose trees have no gradients; allowed: gbdt"
        )
    if job.algorithm.grows and not job.model.grown:
        raise InputError(
            f"model.name: {job.model.name!r} is not allowed with algorithm.name"
            f" {job.algorithm.name}, which grows trees; allowed: trees"
        )


def check_attacks(job: Job, population: Population) -> None:
    """Raise InputError for attacks that nobody could make, or that this job does not allow."""
    for place, attack in enumerate(job.attacks):
        if isinstance(attack, Colluding) and attack.of_changes and job.algorithm.uploads_model:
            raise InputError(
                f"attacks.{place}.name: {attack.name!r} with these options is not allowed with"
                f" algorithm.name {job.algorithm.name}, whose clients upload models: it goes along"
                " the mean of updates; allowed: direction deviation"
            )
    if job.attacks and job.training.engine == "none":
        raise InputError("attacks: not allowed with training.engine none, which trains nothing")
    if population.trace is not None:  # rank 0
        check_attackers(Attackers(job.attacks, population, job.seed))


def check_uploads(experiment: TimingExperiment) -> None:
    """Raise InputError where a rule, an attack or masks are on what the algorithm does not send.

    An update is the first array that clients upload; the model is what they receive by that name.
    """
    if not isinstance(experiment, Experiment):
        return
    job = experiment.job
    arrays = experiment.sums.arrays
    algorithm = f"algorithm.name {job.algorithm.name}"
    rule = job.aggregation
    looks = rule.needs_updates or rule.remembers or rule.reference != "none"
    on_uploads = {
        "attacks": bool(job.attacks),
        f"aggregation.name: {rule.name!r}": looks,
        f"secure_aggregation.name: {job.secure_aggregation.name!r}": job.secure_aggregation.active,
    }
    key = next((key for key, given in on_uploads.items() if given), None)
    if key is not None and not arrays:
        raise InputError(f"{key}: not allowed with {algorithm}, which uploads nothing")
    received = job.algorithm.received_arrays(experiment.layout)
    if rule.smooths and "model" not in received:
        raise InputError(
            f"aggregation.name: {rule.name!r} is not allowed with {algorithm}, whose participants"
            f" do not train from the model that it changes ({', '.join(received) or 'nothing'} is"
            " what they receive); allowed: algorithms such as fedavg"
        )
    if rule.reference == "root" and arrays[0].size != experiment.layout.trained:
        raise InputError(
            f"aggregation.name: {rule.name!r} is not allowed with {algorithm}: {arrays[0].name},"
            " which it uploads first, is not the model's update"
        )


def check_server(job: Job, workload: Workload) -> None:
    """Raise InputError for a server, or cells, that would take months to transfer one model.

    In so long a round too much happens to phones.
    """
    latency = job.clock.latency
    transfers = (
        ("server_down_kbps", latency.server_down_kbps, workload.bytes_down),
        ("server_up_kbps", latency.server_up_kbps, workload.bytes_up),
        ("cells.down_kbps", latency.cells.down_kbps, workload.bytes_down),
        ("cells.up_kbps", latency.cells.up_kbps, workload.bytes_up),
    )
    for key, kbps, size in transfers:
        if kbps is None:
            continue
        if size * 8 / workload.bits_per_kbit / kbps > LONGEST_TRANSFER_SECONDS:
            raise InputError(
                f"clock.latency.{key}: {kbps:g} is not allowed: the {size:,} bytes of one"
                f" participant would take more than {LONGEST_TRANSFER_SECONDS:g} s"
            )


def check_data(job: Job, data: Dataset) -> None:
    """Raise InputError when there is nothing to train on, or nothing to test on."""
    if job.training.engine == "none":
        return

    if 0 in data.train.x.shape:
        raise InputError(
            f"training.engine: {job.training.engine!r} is not allowed: {data.name} has no features;"
            " allowed: none"
        )
    if job.algorithm.trains and job.evaluation.part not in data.parts:
        raise InputError(
            f"evaluation.part: {data.name} has no {job.evaluation.part} part; data.split makes one:"
            f" data.split.by=clients data.split.{job.evaluation.part}=0.1"
        )
    _check_tested_clients(job, data)


def _check_tested_clients(job: Job, data: Dataset) -> None:
    """Raise InputError when single clients are to be tested on samples that belong to no client.

    A part that was published with one client, where train has several, is such a pool of samples. A
    part that data.split has made is not.
    """
    name = job.evaluation.part
    split = job.data.split
    part = data.parts[name]
    made_by_split = split.by != "published" and getattr(split, name) > 0
    is_pool = part.clients == 1 < data.train.clients and not made_by_split

    if job.evaluation.per_client and is_pool:
        raise InputError(
            f"evaluation.per_client: true is not allowed: the {name} part of {data.name} is one"
            f" pool of {counted(part.samples, 'sample')} that belong to none of its"
            f" {counted(data.train.clients, 'client')}; leave it out, or give clients a part of"
            f" their own: data.split.by=samples (or clients) data.split.{name}=0.1"
        )


def check_batch_norm(job: Job, model: FlatModel, population: Population) -> None:
    """Raise InputError for a policy that the model or the data do not allow."""
    policy = job.training.batch_norm
    if policy == "average":
        return
    if not model.batch_norms:
        raise InputError(
            f"training.batch_norm: {policy!r} is not allowed: the model has no batch norm;"
            " allowed: average"
        )
    if policy == "recompute" and "validation" not in population.data.parts:
        raise InputError(
            f"training.batch_norm: 'recompute' is not allowed: {population.data.name} has no"
            " validation part; data.split makes one: data.split.by=clients"
            " data.split.validation=0.1"
        )

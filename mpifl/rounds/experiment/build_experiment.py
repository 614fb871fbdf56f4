"""From a job to an experiment: rank 0 reads, checks and builds; the other ranks open what it names.

Torch is imported for jobs that train, and for no others.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mpifl.attacks.attackers import of_each
from mpifl.errors import InputError
from mpifl.job import Job, read_job
from mpifl.models.layout import Layout, layout_of
from mpifl.models.sized import Sized
from mpifl.population.build import open_population, prepare, resolved
from mpifl.population.open_files import ANEW, Files
from mpifl.population.population import Population, check_participants
from mpifl.protocols.protocol import refuse_options, refuse_servers_keys
from mpifl.rounds.experiment.contribution_checks import check_contribution, check_judged
from mpifl.rounds.experiment.experiment import Experiment, TimingExperiment
from mpifl.rounds.experiment.job_checks import (
    check_aggregation,
    check_attacks,
    check_batch_norm,
    check_data,
    check_grown,
    check_loggers,
    check_measured,
    check_stop,
    check_uploads,
    with_one_at_a_time,
)
from mpifl.rounds.experiment.make_workload import make_workload, needs_flops
from mpifl.rounds.experiment.memory_checks import check_cohort, check_model
from mpifl.rounds.experiment.personal_clients import check_personal
from mpifl.rounds.experiment.privacy_checks import check_privacy, check_private
from mpifl.rounds.experiment.recording_checks import check_recorded
from mpifl.rounds.experiment.root import check_root
from mpifl.rounds.experiment.secure_checks import (
    check_secure_aggregation,
)
from mpifl.seeds import Purpose, number


def check_job(
    job_name: str, overrides: Sequence[str], files: Files = ANEW
) -> tuple[TimingExperiment, Path | None]:
    """Read a job, check it whole and build what it needs; on rank 0, or before any rank.

    Args:
        job_name: A job file, or the name of a job that ships with mpifl.
        overrides: ``section.key=value`` each.
        files: How its data set and trace are opened.

    Returns:
        The experiment with its job resolved, and the file of its data (None where there is none).

    Raises:
        InputError: When the job or an input is wrong.
    """
    job = read_job(job_name, overrides)
    job.algorithm.check(job)
    job.clock.check()
    job.selection.check(job)
    check_measured(job)
    check_grown(job)
    check_aggregation(job)
    check_loggers(job)
    check_secure_aggregation(job)
    check_contribution(job)
    if job.protocol.has_actors:
        refuse_options(job)
    else:
        job.clock.updates(job.selection.participants)

    data_path, trace_path = prepare(job, files)
    population = open_population(job, data_path, trace_path, files)
    if job.protocol.has_actors:
        job.protocol.check(job, population)
        refuse_servers_keys(job, population)
    else:
        check_participants(population, job.clock.updates(job.selection.participants))
        check_cohort(job, population)

    check_privacy(job, population)
    job = _with_weights(resolved(job, population))
    attacks = of_each(job.attacks, lambda attack: attack.resolved())
    parts = {"attacks": attacks, "protocol": job.protocol.resolved()}
    job = job.model_copy(update=parts)
    job = job.model_copy(update={"algorithm": job.algorithm.settled(population)})
    if job.privacy.private:
        job = job.model_copy(update={"privacy": job.privacy.resolved(job, population)})
    experiment = _experiment(job, population)
    check_stop(experiment)
    check_uploads(experiment)
    check_recorded(experiment)
    check_private(experiment)
    check_judged(experiment)
    return experiment, data_path


def load_experiment(job: Job, data_path: Path | None, trace_path: Path | None) -> TimingExperiment:
    """Return the experiment of a job that was checked; an Experiment when it trains.

    For every rank. Executors need no trace.
    """
    return _experiment(job, open_population(job, data_path, trace_path))


def _experiment(job: Job, population: Population) -> TimingExperiment:
    """Return the experiment of a resolved job, with a model where it needs one."""
    if job.training.engine == "none" and isinstance(job.model, Sized):
        layout = Layout(job.model.parameters)
        job.algorithm.check_model(job, layout)
        workload = make_workload(job, layout, {"": job.model.training_flops}, population)
        return TimingExperiment(job, population, workload)
    return _experiment_with_model(job, population)


def _with_weights(job: Job) -> Job:
    """Return the job with the absolute path of the file that ``model.initial`` stands for."""
    if isinstance(job.model, Sized) or job.model.grown:
        for key in ("initial", "lora"):
            if getattr(job.model, key) is not None:
                raise InputError(
                    f"model.{key}: not allowed with model.name {job.model.name}, which has no"
                    " weights to train; leave it out"
                )
    if job.model.initial is None:
        return job

    from mpifl.models.initial import weights_file

    path = str(weights_file(job.model.initial))
    return job.model_copy(update={"model": job.model.model_copy(update={"initial": path})})


def _experiment_with_model(job: Job, population: Population) -> TimingExperiment:
    """Build the model of a job; return an Experiment, unless the job does not train it."""
    import torch

    from mpifl.models.adapted import adapted
    from mpifl.models.fingerprint import fingerprint
    from mpifl.models.flat import flatten
    from mpifl.models.flops import training_flops
    from mpifl.models.initial import load_initial
    from mpifl.objectives.make import make_objective
    from mpifl.rounds.experiment.kept_optimizer import check_kept_optimizer
    from mpifl.training.allocator import keep_freed_memory
    from mpifl.training.choice import check_single_samples, chosen, with_drop_last
    from mpifl.training.device import seed_everything

    if population.dataset is None or population.dataset.task == "none":
        raise InputError(
            f"model.name: {job.model.name!r} is not allowed: the data have sizes only, no samples;"
            " allowed: sized"
        )
    check_data(job, population.data)
    check_attacks(job, population)
    check_root(job, population)
    check_personal(job, population)
    objective = make_objective(job, population.data)
    if objective.measures:  # columns of run.h5, which is made from the job
        job = job.model_copy(update={"objective": objective.made_for(0)})
    shape = objective.model_shape(population.data.shape)
    check_model(job, shape)

    keep_freed_memory()
    torch.set_num_threads(job.training.threads)
    seed_everything(number(job.seed, Purpose.MODEL))
    module = job.model.build_checked(shape)
    if job.model.initial is not None:
        load_initial(module, Path(job.model.initial))
    merges = job.algorithm.merges_adapters
    module = objective.wrapped(adapted(module, job.model, shape.task, merges))
    hashes = fingerprint(module)
    model = flatten(module, has_base=job.model.lora is not None)
    if job.algorithm.trains and not len(model.gradient):
        raise InputError(
            f"model.name: {job.model.name!r} is not allowed: it has no parameters to train"
        )

    job = job.model_copy(update={"training": with_drop_last(job.training, model)})
    check_batch_norm(job, model, population)
    layout = layout_of(model)
    job.algorithm.check_model(job, layout)
    flops = {"": 0.0}
    if needs_flops(job, layout):
        flops = training_flops(model, population.data.shape)
    workload = make_workload(job, layout, flops, population, objective.passes)
    if job.training.engine == "none":
        return TimingExperiment(job, population, workload)

    check_kept_optimizer(job, layout)
    job.training.transform.check(population.data)
    if job.runtime.on_client_error == "abort":
        check_single_samples(job.training, model, population)
    training = job.training.model_copy(update={"engine": "loop", "stack": 1})
    if job.algorithm.trains:
        training = chosen(with_one_at_a_time(job), model, objective, population.data)
    return Experiment(
        job=job.model_copy(update={"training": training}),
        population=population,
        workload=workload,
        model=model,
        initial=model.moving.numpy().copy(),
        objective=objective,
        fingerprint=hashes,
    )

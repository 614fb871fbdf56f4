"""A group of participants: runs their client programs, and yields what they upload.

Programs yield requests (``mpifl/algorithms/requests.py``). In each turn every program of the group
advances to its next request; those that are alike are served together. What is served together is
fixed by the plan and the programs, so bits do not depend on the ranks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

import numpy as np
import torch

from mpifl.algorithms.context import Upload
from mpifl.algorithms.requests import Request
from mpifl.errors import InputError, TrainingError, at
from mpifl.exchange.clip import norm_of
from mpifl.exchange.way import Sent
from mpifl.rounds.clients.assignment import Versions
from mpifl.rounds.clients.attacking import attacked
from mpifl.rounds.clients.client_errors import or_drop, task_names
from mpifl.rounds.clients.client_program import ClientProgram, Ended, advance, start_program
from mpifl.rounds.clients.client_update import ClientUpdate
from mpifl.rounds.clients.recording import recorded_of
from mpifl.rounds.clients.serving import serve
from mpifl.rounds.clients.update_sum import check_summable
from mpifl.rounds.clients.worker import Worker
from mpifl.rounds.experiment.experiment import Experiment
from mpifl.rounds.experiment.kept_optimizer import NAMES, kept_of
from mpifl.rounds.plan.round_result import HISTORY, STATISTICS
from mpifl.seeds import Purpose, generator
from mpifl.training.device import CPU

NOTHING_SENT = Sent({}, 0, {}, 0.0)

Received = dict[int, tuple[str, torch.Tensor, int]]
"""The tensors that a group was sent, by id: the name, and torch's count of writes to it."""


def client_updates(worker: Worker, tasks: np.ndarray, versions: Versions) -> Iterator[ClientUpdate]:
    """Run the client programs of a group of tasks and yield their updates.

    A client whose program fails ends the run or is left out, as ``runtime.on_client_error`` says.
    An update is made when it is asked for, so that one at a time is in memory.

    Args:
        worker: What this rank trains with.
        tasks: The group (structured TASK), all of one round.
        versions: Model versions by number, among them those that the tasks train from.
    """
    experiment = worker.experiment
    running: list[ClientProgram] = []
    for index, task in enumerate(tasks):
        program = or_drop(experiment, task, partial(start_program, worker, tasks, index, versions))
        if program is not None:
            running.append(program)
    # Those that come with mpifl are tested not to write into what they receive.
    received = _received(running) if worker.plug_in else {}

    while running:
        waiting: list[tuple[ClientProgram, Request]] = []
        for program in running:
            reached = or_drop(experiment, program.task, partial(advance, worker, program))
            if received:
                _check_received(experiment, tasks[[program.index]], received)
            if worker.plug_in:
                _check_others(worker, tasks[[program.index]])
            if isinstance(reached, Ended):
                make = partial(_update, worker, program, reached.value)
                update = or_drop(experiment, program.task, make)
                if update is not None:
                    yield update
            elif reached is not None:
                waiting.append((program, reached))
        running = serve(worker, tasks, waiting)
        _check_received(experiment, tasks, received)


def _update(worker: Worker, program: ClientProgram, upload: object) -> ClientUpdate:
    """Return what an upload adds to the sums, and what the client keeps."""
    experiment = worker.experiment
    if not isinstance(upload, Upload):
        raise TrainingError(
            f"{_name(experiment)}: client returned {type(upload).__name__}; it has to return an"
            " Upload"
        )
    arrays = [
        _summed(experiment, upload, number, worker.device)
        for number in range(len(experiment.sums.arrays))
    ]
    if len(upload.arrays) > len(arrays):
        unknown = set(upload.arrays) - {summed.name for summed in experiment.sums.arrays}
        raise TrainingError(
            f"{_name(experiment)} uploads {min(unknown)}, which it does not declare"
        )
    if not 0 <= upload.slot < experiment.sums.slots:
        raise TrainingError(
            f"{_name(experiment)} uploads into slot {upload.slot}; there are"
            f" {experiment.sums.slots}, counted from 0"
        )

    base = None
    if experiment.job.algorithm.uploads_model:
        base = program.context.received_model[: experiment.layout.trained]
    arrays = attacked(experiment, program.task, _private(worker, program, arrays), base)
    averages = _averages(worker, program, upload)
    shared = averages if experiment.sums.averaged else worker.nothing
    job = experiment.job
    sent = NOTHING_SENT
    if worker.uplink is not None:
        check_summable(experiment, arrays, shared)  # stages take finite numbers
        context = program.context
        memory = {name: program.stored[name] for name in worker.memory} if program.stored else {}
        part = float(program.task["sent"]) if job.selection.orders_uploads else 1.0
        arrays, sent = worker.uplink.send(
            context.round, context.client, arrays, memory, program.number, part
        )
    leaves_out = job.runtime.on_client_error == "drop" or experiment.survives_divergence
    if leaves_out or experiment.needs_updates:
        check_summable(experiment, arrays, shared)  # before anything is added: no half of a client

    steps = 0 if program.first is None else program.first.steps
    norm = math.nan
    if arrays and job.selection.norms:
        norm = norm_of(arrays[0].detach().to(CPU).numpy())
    recorded = None
    if arrays and job.record.updates is not None:
        recorded = recorded_of(experiment, program.context, steps, arrays[0])
    return ClientUpdate(
        index=program.index,
        slot=upload.slot,
        arrays=arrays,
        averages=shared,
        losses=program.losses,
        kept=_kept(worker, program, upload, averages, arrays, sent.kept),
        steps=program.context.steps if program.first is None else program.first.steps,
        bytes_up=sent.bytes,
        told=sent.told,
        norm=norm,
        recorded=recorded,
    )


def _private(
    worker: Worker, program: ClientProgram, arrays: list[torch.Tensor]
) -> list[torch.Tensor]:
    """Return what a client sends where it protects its update itself, else these arrays."""
    job = worker.experiment.job
    if not job.privacy.local:
        return arrays
    context = program.context
    keys = (context.round, context.client)
    random = partial(generator, job.seed, Purpose.UPLOAD_NOISE, *keys)
    model = context.received_model[: worker.experiment.layout.trained]
    return [job.privacy.perturb(arrays[0], model, random)]


def _averages(worker: Worker, program: ClientProgram, upload: Upload) -> torch.Tensor:
    """Return the averaged segment that a client ends with, (averaged,) float32."""
    layout = worker.experiment.layout
    if not layout.averaged:
        return worker.nothing
    if upload.averages is not None:
        return upload.averages
    if program.first is not None:
        return program.first.averages
    return program.context.received_model[layout.averages]


def _summed(
    experiment: Experiment, upload: Upload, number: int, device: torch.device
) -> torch.Tensor:
    """Return the entries of an uploaded array that are summed, (size,) float32."""
    summed = experiment.sums.arrays[number]
    if summed.name not in upload.arrays:
        raise TrainingError(f"{_name(experiment)} does not upload {summed.name}")
    values = torch.as_tensor(upload.arrays[summed.name], dtype=torch.float32, device=device)
    if values.shape != summed.shape:
        raise TrainingError(
            f"{summed.name} is not usable: its shape is {tuple(values.shape)}, declared is"
            f" {summed.shape}"
        )
    if summed.of_model and experiment.layout.averaged:
        values = values[..., : experiment.layout.trained]
    return values if values.dim() == 1 else values.reshape(-1)


def _kept(
    worker: Worker,
    program: ClientProgram,
    upload: Upload,
    averages: torch.Tensor,
    arrays: list[torch.Tensor],
    memory: dict[str, np.ndarray],
) -> dict[str, np.ndarray]:
    """Return what a client keeps, by name.

    With ``memory``, what it keeps for ``exchange.up``, and with the sum of what it has sent, where
    that counts.
    """
    experiment = worker.experiment
    names = set(worker.store.shapes) - {STATISTICS, HISTORY} - memory.keys() - NAMES
    if upload.keep.keys() != names:
        kept = ", ".join(sorted(upload.keep)) or "nothing"
        declared = ", ".join(sorted(names)) or "nothing"
        raise TrainingError(f"{_name(experiment)} keeps {kept}; its ``kept`` declares {declared}")
    values = {**upload.keep, **memory, STATISTICS: averages}
    if HISTORY in worker.store.shapes:
        values[HISTORY] = arrays[0]
        if program.stored:
            before = torch.from_numpy(program.stored[HISTORY]).to(worker.device)
            values[HISTORY] = arrays[0] + before
    if experiment.job.training.optimizer.keep:
        values |= kept_of(program.memory, program.stored, worker.store.shapes)
    return {
        name: torch.as_tensor(values[name], dtype=torch.float32).cpu().numpy()
        for name in worker.store.shapes
    }


def _name(experiment: Experiment) -> str:
    return f"algorithm.name: {experiment.job.algorithm.name!r}"


def _received(programs: list[ClientProgram]) -> Received:
    return {
        id(array): (name, array, array._version)
        for program in programs
        for name, array in program.context.received.items()
    }


def _check_received(experiment: Experiment, tasks: np.ndarray, received: Received) -> None:
    """Raise InputError when a program has written into a tensor that the server sent.

    The tensor is the rank's one copy for all clients, and on rank 0 the server's own.
    """
    for name, array, writes in received.values():
        if array._version != writes:
            _refuse_change(experiment, tasks, f"received[{name!r}]")


def _check_others(worker: Worker, tasks: np.ndarray) -> None:
    """Raise InputError when a program has written into what another client kept."""
    changed = worker.others.changed
    if changed is not None:
        _refuse_change(worker.experiment, tasks, changed)


def _refuse_change(experiment: Experiment, tasks: np.ndarray, what: str) -> None:
    with at(partial(task_names, experiment, tasks)):
        raise InputError(
            f"{_name(experiment)} is not allowed: it changes {what} in place, which other clients"
            " get too; change a copy (clone)"
        )

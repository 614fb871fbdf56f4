"""The aggregator, rank 0: the round loop. ``executor.py`` is the other side of the same protocol.

The test of the model that round t made is part of round t + 1's queue, so that it fills the tail of training; a last pass
without tasks tests the final model.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from mpifl.algorithms.algorithm import State
from mpifl.client_state import ClientStore
from mpifl.errors import TrainingError, at
from mpifl.exact_sum import from_fixed
from mpifl.executor import HEADER, TESTED, Round, empty_sum, execute
from mpifl.experiment import Experiment
from mpifl.mpi.queue import Queue
from mpifl.mpi.world import World
from mpifl.plan import TASK, make_plan
from mpifl.result import METRIC, RoundResult, Tested


def run_aggregator(
    world: World, experiment: Experiment, store: ClientStore, ended_round: Callable[[RoundResult], None]
) -> State:
    """All rounds of a job; tells ``ended_round`` of each once its model is tested; returns the server's last state."""
    job = experiment.job
    queue = Queue(world)
    state: State = job.algorithm.start(experiment.initial)
    now, waiting = 0.0, None  # waiting: the round whose model is yet to be tested
    for round_number in range(1, job.rounds + 2):
        with at(f"round {round_number}"):
            last = round_number > job.rounds
            plan = None if last else make_plan(job, experiment.population, experiment.workload, round_number, now)
            tasks = np.empty(0, TASK) if plan is None else plan.tasks
            shards = _shards(experiment) if _test_due(experiment, round_number - 1) else 0
            sent = {name: state[name] for name in job.algorithm.sent}
            this_round = Round(round_number, tasks, shards, sent)
            _send(world, this_round)
            if world.executes:
                total, metrics = execute(experiment, store, this_round, queue)
            else:
                total, metrics = empty_sum(experiment), np.empty(0, METRIC)
            world.sum_to_root(total)
            metrics = world.gather_rows(metrics)
            if waiting is not None:
                ended_round(RoundResult(*waiting, _tested(total) if shards else None))
            if plan is not None:
                waiting = plan, np.sort(metrics, order="client")
                state = _step(experiment, state, total, len(tasks))
                now = plan.timeline.end_seconds
    world.broadcast(np.zeros(1, HEADER))
    queue.close()
    return state


def _send(world: World, this_round: Round) -> None:
    world.broadcast(np.array([(this_round.round_number, len(this_round.tasks), this_round.shards)], HEADER))
    world.broadcast(this_round.tasks)
    for vector in this_round.sent.values():
        world.broadcast(vector)


def _step(experiment: Experiment, state: State, total: np.ndarray, participants: int) -> State:
    """The server's side of the algorithm. A round that nobody completed leaves the state as it is."""
    if participants == 0:
        return state
    algorithm, length = experiment.job.algorithm, len(experiment.model.weights)
    mean = {name: from_fixed(total[i * length : (i + 1) * length]) for i, name in enumerate(algorithm.summed)}
    trainable, before = len(experiment.model.gradient), state["model"]
    state = algorithm.step(state, mean, participants, experiment.population.clients)
    state = {name: np.ascontiguousarray(vector, np.float32) for name, vector in state.items()}
    # No gradient made the rest (running means of batch norm, frozen tensors): it is averaged, whatever the algorithm.
    state["model"][trainable:] = before[trainable:] + mean["update"][trainable:]
    for name, vector in state.items():
        if not np.isfinite(vector).all():
            index = int(np.argmin(np.isfinite(vector)))
            tensor = experiment.model.where(index)
            raise TrainingError(f"the server's {name} is {vector[index]} in tensor {tensor} (a smaller server_lr may help)")
    return state


def _test_due(experiment: Experiment, rounds_done: int) -> bool:
    job = experiment.job
    return rounds_done > 0 and (rounds_done % job.evaluation.every == 0 or rounds_done == job.rounds)


def _shards(experiment: Experiment) -> int:
    return math.ceil(len(experiment.population.dataset.test.y) / experiment.job.evaluation.batch_size)


def _tested(total: np.ndarray) -> Tested:
    samples, correct, loss = total[-len(TESTED) :]
    return Tested(int(samples), int(correct) / int(samples), float(from_fixed(loss)))

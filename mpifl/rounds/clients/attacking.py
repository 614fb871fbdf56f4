"""What attackers do on the rank that trains them: to their samples, and to their updates."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch

from mpifl.aggregation.updates import Updates
from mpifl.aggregation.views import Make, replaced
from mpifl.attacks.attack import Attack, Attacker
from mpifl.attacks.colluding import Colluding, Plot
from mpifl.errors import TrainingError
from mpifl.rounds.clients.update_sum import summable
from mpifl.rounds.experiment.experiment import Experiment
from mpifl.seeds import Purpose, generator, number
from mpifl.training.device import CPU, seed_torch
from mpifl.training.participant import Poison


def attacks_of(experiment: Experiment, task: Any) -> Iterator[tuple[int, Attack]]:
    """Yield the attacks of a task's client (structured TASK), each with its place in the job."""
    if task["attacks"]:
        for place, attack in enumerate(experiment.attacks):
            if int(task["attacks"]) >> place & 1:
                yield place, attack


def poison_of(
    experiment: Experiment, attacks: tuple[Attack, ...], keys: tuple[int, ...]
) -> Poison | None:
    """Return what a client makes of samples before it trains on them; None: nothing.

    Args:
        experiment: The job, and its data.
        attacks: Those of the client that poison samples.
        keys: What it draws depends on these and the seed: round, client, request.
    """
    if not attacks:
        return None
    classes = experiment.population.data.outputs
    random = generator(experiment.job.seed, Purpose.POISON, *keys)

    def poison(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        for attack in attacks:
            x, y = attack.poison(x, y, classes, random)
        return x, y

    return poison


def count_labels(
    experiment: Experiment, rows: slice, attacks: tuple[Attack, ...] = ()
) -> np.ndarray:
    """Return how many of some training samples each class has, (classes,) int64.

    ``attacks`` are those of their client that poison samples: it counts what it trains on.
    """
    data = experiment.population.data
    if data.task != "classification" or data.train.y is None:
        raise TrainingError(
            f"algorithm.name: {experiment.job.algorithm.name!r} needs data with classes;"
            f" {data.name} is for {data.task}"
        )
    labels = data.train.y[rows]
    for attack in attacks:
        labels = attack.labels(labels, data.outputs)
    return np.bincount(labels, minlength=data.outputs)


def attacked(
    experiment: Experiment,
    task: Any,
    arrays: list[torch.Tensor],
    base: torch.Tensor | None = None,
) -> list[torch.Tensor]:
    """Return what a client sends in place of ``arrays``: of an honest one these arrays.

    Attackers change the first of them. Those who collude do so later (``combining.py``). ``base``
    is the model that a client received (trained,), where clients upload models: then attackers
    change the difference to it. Else None.
    """
    for place, attack in attacks_of(experiment, task):
        keys = (int(task["began"]), int(task["client"]), place)
        for device in {CPU, arrays[0].device}:  # a plug-in may draw from torch's generators
            seed_torch(device, number(experiment.job.seed, Purpose.ATTACK, *keys))
        random = partial(generator, experiment.job.seed, Purpose.ATTACK, *keys)
        update = arrays[0] if base is None else arrays[0] - base
        sent = attack.change(update, Attacker(keys[1], keys[0], random))
        _check_sent(f"attacks.{place}.name: {attack.name!r}", sent, update)
        if base is None:
            arrays = [sent, *arrays[1:]]
        elif type(attack).change is not Attack.change:  # or it sends its model
            arrays = [base + sent, *arrays[1:]]
    return arrays


def _check_sent(what: str, sent: Any, update: torch.Tensor) -> None:
    """Raise TrainingError for what is no update: an attack may be a plug-in."""
    shape = tuple(sent.shape) if isinstance(sent, torch.Tensor) else None
    if shape != tuple(update.shape):
        found = type(sent).__name__ if shape is None else f"a tensor of shape {shape}"
        raise TrainingError(
            f"{what}: change returned {found}; expected a tensor of the update's shape"
            f" {tuple(update.shape)}"
        )


def colluded(experiment: Experiment, updates: Updates, tasks: np.ndarray) -> Updates:
    """Return the updates of a slot with those that colluding attackers send; collective.

    ``tasks`` (n,) are those of the first n rows.
    """
    seed = experiment.job.seed
    for place, attack in enumerate(experiment.job.attacks):
        rows = np.flatnonzero(tasks["attacks"] >> np.uint32(place) & np.uint32(1))
        if not isinstance(attack, Colluding) or not len(rows):
            continue
        round_number = int(tasks["round"][0])
        plot = Plot(
            attackers=rows,
            known=np.arange(len(tasks)) if attack.knows == "all" else rows,
            clients=tasks["client"],
            make_generator=partial(generator, seed, Purpose.ATTACK, round_number, place),
        )
        make = _summable(experiment, attack.name, attack.craft(updates, plot))
        updates = replaced(updates, rows, make)
    return updates


def _summable(experiment: Experiment, attack: str, make: Make) -> Make:
    """Return what makes the updates of colluding attackers, as far as the sum takes them."""
    bits = experiment.sums.arrays[0].bits
    what = f"attacks: {attack!r} makes updates with values"

    def crafted(place: slice, columns: np.ndarray) -> np.ndarray:
        return summable(experiment, make(place, columns), bits, what)

    return crafted

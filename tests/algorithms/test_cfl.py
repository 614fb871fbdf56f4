"""CFL against the paper's algorithm written down plainly: who splits when, and the models."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from mpifl.algorithms.cfl import halves
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.rounds.experiment.experiment import Experiment
from tests.algorithms.personal import personal_model
from tests.algorithms.plug_ins import BATCH_NORM
from tests.algorithms.reference import EQUAL, SETTING, Run, assert_close
from tests.known import added

SPLITS = "algorithm={name: cfl, eps_1: 2.0, eps_2: 0.3, first_rounds: 1, gamma_max: 0.2, most_clusters: 12}"


def best_halves(cosines: np.ndarray) -> tuple[set[int], set[int]]:
    """All ways to part clients in two, and the one whose largest cosine across is the least."""
    everyone = range(len(cosines))
    best = 2.0
    found: tuple[set[int], set[int]] = (set(everyone), set())
    for size in range(1, len(cosines) // 2 + 1):
        for one in itertools.combinations(everyone, size):
            other = [i for i in everyone if i not in one]
            crossing = max(cosines[i, j] for i in one for j in other)
            if crossing < best - 1e-15:
                best, found = crossing, (set(one), set(other))
    return found


@pytest.mark.parametrize("participants", [12, 7])
def test_five_rounds_are_those_of_the_paper(tmp_path: Path, participants: int) -> None:
    run = Run(tmp_path, SPLITS, f"selection.participants={participants}")
    clusters = [(run.initial.clone(), set(range(run.clients)))]
    for number, rows in run.rounds():
        after = []
        for model, members in clusters:
            updates = {
                client: (run.sgd(model, number, client, steps) - model).numpy().astype(float)
                for client, _, steps in rows
                if client in members
            }
            if not updates:
                after.append((model, members))
                continue
            mean = np.mean(list(updates.values()), axis=0)
            model = model + torch.from_numpy(mean).float()
            longest = max(np.linalg.norm(update) for update in updates.values())
            parts = number > 1 and np.linalg.norm(mean) < 2.0 and longest > 0.3
            one: set[int] = set()
            if parts and len(updates) >= 3:
                names = sorted(updates)
                unit = np.array([updates[c] / np.linalg.norm(updates[c]) for c in names])
                cosines = unit @ unit.T
                small, large = best_halves(cosines)
                crossing = max(cosines[i, j] for i in small for j in large)
                if np.sqrt((1 - crossing) / 2) > 0.2:
                    leaves = large if len(small) == len(large) and 0 in small else small
                    one = {names[i] for i in leaves}
            after.append((model, members - one))
            if one:
                after.append((model.clone(), one))
        clusters = after

    cluster = run.state["cluster"].long().tolist()
    assert len(clusters) > 1
    found = sorted(sorted(c for c in range(12) if cluster[c] == k) for k in set(cluster))
    assert found == sorted(sorted(members) for _, members in clusters)
    for model, members in clusters:
        for client in members:
            assert_close(run.state["models"][cluster[client]], model)
            assert torch.equal(personal_model(run, client), run.state["models"][cluster[client]])
    whole = added(len(members) / 12 * model for model, members in clusters)
    assert_close(run.state["model"], whole)


@pytest.mark.parametrize("model", ["model={name: mlp, hidden: [16]}", BATCH_NORM])
@pytest.mark.parametrize("engine", ["loop", "auto"])
def test_before_any_split_it_is_fedavg_to_the_bit(tmp_path: Path, model: str, engine: str) -> None:
    same = (*EQUAL, model, f"training.engine={engine}")
    cfl = Run(tmp_path / "a", "algorithm=cfl", *same)
    fedavg = Run(tmp_path / "b", *same)
    assert torch.equal(cfl.state["model"], fedavg.state["model"])
    assert not cfl.state["cluster"].any()


def test_halves_are_those_of_all_ways_to_part_the_clients() -> None:
    random = np.random.default_rng(2)
    for clients in (3, 4, 7, 9):
        updates = random.normal(size=(clients, 5))
        unit = updates / np.linalg.norm(updates, axis=1, keepdims=True)
        second = halves(unit @ unit.T)
        small, large = best_halves(unit @ unit.T)
        assert set(np.flatnonzero(second)) in (small, large)


def test_clients_that_are_alike_are_parted_from_the_others() -> None:
    """As attackers that collude are: the cosines of equal updates may be above 1 by rounding."""
    cosines = np.full((4, 4), 1 + 2e-16)
    cosines[3, :3] = cosines[:3, 3] = 0.5
    assert halves(cosines).tolist() == [False, False, False, True]
    assert halves(np.full((3, 3), 1 + 2e-16)).any()


def test_a_participant_receives_one_model() -> None:
    experiment = check_job("quickstart", [*SETTING, SPLITS])[0]
    assert isinstance(experiment, Experiment)
    size = 4 * experiment.layout.size
    assert (experiment.workload.bytes_down, experiment.workload.bytes_up) == (size, size)

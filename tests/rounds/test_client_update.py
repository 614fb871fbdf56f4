"""A group of participants: what it adds to the sum, and what is left of it when one of them fails."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mpifl.aggregation.exact_sum import RoundSum, from_fixed, from_parts
from mpifl.algorithms.algorithm import ClientContext
from mpifl.algorithms.fedavg import FedAvg
from mpifl.algorithms.scaffold import Scaffold
from mpifl.errors import InputError, TrainingError, where
from mpifl.io.files import DiskFull
from mpifl.rounds.build_experiment import check_job
from mpifl.rounds.client_state import ClientStore
from mpifl.rounds.experiment import Experiment
from mpifl.rounds.plan import TASK
from mpifl.rounds.tickets import train_group
from mpifl.rounds.worker import make_worker
from mpifl.seeds import KeyedGenerator, Purpose
from mpifl.training.loop import Loop
from mpifl.training.participant import Participant
from mpifl.training.samples import pool_of
from tests.logged import logged
from tests.normed import HERE, Rough, Squares
from tests.small_disk import Mount, mounting, mounts

ROUND, CLIENTS, STEPS, WEIGHTS = 2, (1, 4, 6, 9), (3, 7, 5, 4), (0.1, 0.4, 0.2, 0.3)
FAILS = 2
"""The place in the group of the client that fails: it has 5 steps, and no other."""
TASKS = np.array(
    [
        (ROUND, client, 1, n, 8 * n, w, 0)
        for client, n, w in zip(CLIENTS, STEPS, WEIGHTS, strict=True)
    ],
    TASK,
)
OTHERS = np.delete(np.arange(4), FAILS)
Contributed = tuple[np.ndarray, np.ndarray]


class Refuses(FedAvg):
    """Fails in the steps of the client that has 5 of them."""

    def adjust(self, gradient: torch.Tensor, weights: torch.Tensor, context: ClientContext) -> None:
        if context.steps == STEPS[FAILS]:
            raise ValueError("no gradient for me")


class Spoils(FedAvg):
    """Its update is not finite."""

    def contribute(
        self, update: torch.Tensor, context: ClientContext
    ) -> tuple[dict[str, torch.Tensor], None]:
        if context.steps == STEPS[FAILS]:
            update[7] = torch.inf
        return {"update": update}, None


class Full(FedAvg):
    """What a full disk says, in the middle of a step."""

    def adjust(self, gradient: torch.Tensor, weights: torch.Tensor, context: ClientContext) -> None:
        if context.steps == STEPS[FAILS]:
            raise DiskFull(Path("/somewhere"), "No space left on device", 8, None)


class Unreadable(ClientStore):
    """Where what one client keeps cannot be read."""

    def read(self, client: int, round_number: int) -> np.ndarray:
        if client == CLIENTS[FAILS]:
            raise OSError("cannot be read")
        return super().read(client, round_number)


WITH_STATE = TASKS.copy()
"""That client has kept something before."""
WITH_STATE["state_round"][FAILS] = ROUND - 1


@pytest.fixture(params=["stacked", "loop"])
def experiment(request: pytest.FixtureRequest) -> Experiment:
    overrides = [
        "rounds=4",
        "model={name: mlp, hidden: [8]}",
        "training.batch_size=8",
        "selection.participants=4",
    ]
    overrides += [
        "data.partition={name: dirichlet, clients: 10, min_samples: 4}",
        f"training.engine={request.param}",
    ]
    found = check_job("quickstart", overrides)[0]
    assert isinstance(found, Experiment)
    return found


def dropping(experiment: Experiment, **changed: Any) -> Experiment:
    runtime = experiment.job.runtime.model_copy(update={"on_client_error": "drop"})
    return replace(
        experiment, job=experiment.job.model_copy(update={"runtime": runtime, **changed})
    )


def nothing(experiment: Experiment) -> RoundSum:
    summed, model = experiment.job.algorithm.summed, experiment.model
    return RoundSum(
        np.zeros((len(summed), len(model.gradient)), np.int64),
        np.zeros((2, model.averaged), np.int64),
    )


def contributed(
    experiment: Experiment,
    folder: Path,
    tasks: np.ndarray = TASKS,
    store: type[ClientStore] = ClientStore,
) -> Contributed:
    """The running sum of a group that begins with nothing, and its metrics."""
    algorithm, length = experiment.job.algorithm, len(experiment.model.weights)
    part = nothing(experiment)
    sent = {
        name: experiment.initial if name == "model" else np.full(length, 0.01, np.float32)
        for name in algorithm.sent
    }
    place = make_worker(experiment, store(folder / "clients", length))
    return part.vectors, train_group(place, tasks, {1: sent}, part, 0)


def one_by_one(experiment: Experiment, folder: Path, places: Any = OTHERS) -> Contributed:
    """Groups of one, added up."""
    found = [contributed(experiment, folder, TASKS[[place]]) for place in places]
    return sum(part for part, _ in found), np.concatenate([metrics for _, metrics in found])


def assert_dropped(found: Contributed, others: Contributed) -> None:
    """The client that fails is left out, and the sum is that of the others."""
    assert np.array_equal(found[0], others[0])
    assert found[1]["failed"].tolist() == [0, 0, 1, 0]
    assert found[1]["client"].tolist() == list(CLIENTS)
    assert np.isnan(found[1]["loss"][FAILS])
    assert found[1]["loss"][OTHERS].tolist() == others[1]["loss"].tolist()
    assert np.abs(found[0]).max() > 0


def assert_close(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(from_fixed(found), from_fixed(expected), rtol=0, atol=1e-5)


def test_a_group_adds_each_ones_weighted_update(experiment: Experiment, tmp_path: Path) -> None:
    data, seed = experiment.population.data, experiment.job.seed
    group = [
        Participant(
            base=torch.from_numpy(experiment.initial),
            pool=pool_of(data, data.train),
            rows=data.train.rows(client),
            steps=steps,
            order=lambda client=client: KeyedGenerator(seed, Purpose.BATCHES)(ROUND, client),
            rng_seed=lambda: 0,
            adjust=None,
        )
        for client, steps in zip(CLIENTS, STEPS, strict=True)
    ]
    expected = Loop(experiment.model, experiment.objective, experiment.job.training)(group)
    part, metrics = contributed(experiment, tmp_path)
    mean = sum(w * one.update.double().numpy() for w, one in zip(WEIGHTS, expected, strict=True))
    np.testing.assert_allclose(from_fixed(part[0]), mean, rtol=0, atol=1e-5)
    assert metrics["loss"] == pytest.approx([one.loss for one in expected], abs=1e-5)
    assert metrics["failed"].tolist() == [0] * 4
    assert (metrics["client"].tolist(), set(metrics["round"])) == (list(CLIENTS), {ROUND})


def test_a_group_adds_to_what_is_there(experiment: Experiment, tmp_path: Path) -> None:
    first, _ = contributed(experiment, tmp_path)
    part = RoundSum(np.full_like(first, 1000), nothing(experiment).averages)
    place = make_worker(experiment, ClientStore(tmp_path, first.shape[1]))
    train_group(place, TASKS, {1: {"model": experiment.initial}}, part, 0)
    assert np.array_equal(part.vectors, first + 1000)


def test_a_client_that_fails_in_a_step_is_dropped_alone(
    experiment: Experiment, tmp_path: Path
) -> None:
    refusing = dropping(experiment, algorithm=Refuses())
    with logged() as said:
        found = contributed(refusing, tmp_path)
    assert_dropped(found, one_by_one(refusing, tmp_path))  # each trained anew, alone
    assert_close(found[0], contributed(experiment, tmp_path, TASKS[OTHERS])[0])
    name = experiment.population.client_name(CLIENTS[FAILS])
    assert said == [f"round 2, client {name}: dropped: ValueError: no gradient for me"]


def test_a_client_whose_update_is_not_finite_is_dropped_alone(
    experiment: Experiment, tmp_path: Path
) -> None:
    whole, metrics = contributed(experiment, tmp_path)
    found = contributed(dropping(experiment, algorithm=Spoils()), tmp_path)
    alone, _ = contributed(experiment, tmp_path, TASKS[[FAILS]])
    assert_close(found[0] + alone, whole)
    assert found[1]["failed"].tolist() == [0, 0, 1, 0]
    assert (
        found[1]["loss"][OTHERS].tolist() == metrics["loss"][OTHERS].tolist()
    )  # all four were trained together


def test_a_client_whose_data_is_not_finite_is_dropped_alone(
    experiment: Experiment, tmp_path: Path
) -> None:
    data = experiment.population.data
    x = data.train.x.astype(np.float32)
    x[data.train.rows(CLIENTS[FAILS])] = np.nan
    population = replace(
        experiment.population, dataset=replace(data, train=replace(data.train, x=x))
    )
    found = contributed(dropping(replace(experiment, population=population)), tmp_path)
    assert_close(found[0], contributed(experiment, tmp_path, TASKS[OTHERS])[0])
    assert found[1]["failed"].tolist() == [0, 0, 1, 0]
    assert np.isfinite(found[1]["loss"]).tolist() == [True, True, False, True]


def test_a_client_whose_state_cannot_be_read_is_dropped_alone(
    experiment: Experiment, tmp_path: Path
) -> None:
    scaffold = dropping(experiment, algorithm=Scaffold())
    with logged() as lines:
        found = contributed(scaffold, tmp_path, WITH_STATE, Unreadable)
    assert_dropped(
        found, contributed(scaffold, tmp_path / "others", TASKS[OTHERS])
    )  # the same group as without it, bit by bit
    (line,) = lines
    assert "dropped: OSError: cannot be read" in line


def test_a_group_in_which_all_fail_adds_nothing(experiment: Experiment, tmp_path: Path) -> None:
    for algorithm, tasks, store in (
        (Scaffold(), WITH_STATE, Unreadable),
        (Refuses(), TASKS, ClientStore),
    ):
        part, metrics = contributed(
            dropping(experiment, algorithm=algorithm), tmp_path, tasks[[FAILS]], store
        )
        assert not part.any()
        assert metrics["failed"].tolist() == [1]


def test_who_stops_a_run_is_named(experiment: Experiment, tmp_path: Path) -> None:
    names = [experiment.population.client_name(client) for client in CLIENTS]
    jobs = [
        experiment.job.model_copy(update={"algorithm": algorithm})
        for algorithm in (Scaffold(), Refuses())
    ]
    scaffold, refusing = (replace(experiment, job=job) for job in jobs)
    with pytest.raises(OSError, match="cannot be read") as unread:
        contributed(scaffold, tmp_path, WITH_STATE, Unreadable)
    assert where(unread.value) == f"round 2, client {names[FAILS]}"
    with pytest.raises(ValueError, match="no gradient for me") as refused:
        contributed(refusing, tmp_path)
    assert (
        where(refused.value) == f"round 2, clients {', '.join(map(str, names))}"
    )  # one of those, which were one computation
    with pytest.raises(ValueError, match="no gradient for me") as alone:
        contributed(refusing, tmp_path, TASKS[[FAILS]])
    assert where(alone.value) == f"round 2, client {names[FAILS]}"


@pytest.mark.parametrize("places", [range(4), [FAILS]], ids=["group", "alone"])
def test_a_full_disk_is_no_clients_failure(
    experiment: Experiment, tmp_path: Path, places: Any
) -> None:
    with pytest.raises(DiskFull, match="/somewhere"):
        contributed(dropping(experiment, algorithm=Full()), tmp_path, TASKS[list(places)])


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    yield from mounts(tmp_path)


@mounting
def test_a_disk_that_is_full_of_what_clients_keep_ends_the_run(
    experiment: Experiment, tmp_path: Path, mount: Mount, *, request: pytest.FixtureRequest
) -> None:
    scaffold, disk = dropping(experiment, algorithm=Scaffold()), mount("tmpfs", 1 << 20)
    part, metrics = contributed(scaffold, disk.folder)
    assert part.any(axis=1).tolist() == [True, True]
    assert not metrics["failed"].any()
    disk.leave(0)
    with pytest.raises(DiskFull):
        contributed(scaffold, disk.folder / "other")


def test_what_clients_keep_is_theirs(experiment: Experiment, tmp_path: Path) -> None:
    def kept(folder: str, groups: list[np.ndarray]) -> list[np.ndarray]:
        scaffold = replace(
            experiment, job=experiment.job.model_copy(update={"algorithm": Scaffold()})
        )
        for tasks in groups:
            contributed(scaffold, tmp_path / folder, tasks)
        store = ClientStore(tmp_path / folder / "clients", len(experiment.model.weights))
        return [store.read(client, ROUND) for client in CLIENTS]

    together = kept("together", [TASKS])
    alone = kept("alone", [TASKS[[place]] for place in range(4)])
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-4)


def test_an_algorithm_without_state_writes_none(experiment: Experiment, tmp_path: Path) -> None:
    contributed(experiment, tmp_path)
    assert not (tmp_path / "clients").exists()


def test_a_client_whose_state_is_missing_ends_the_run_also_with_drop(
    experiment: Experiment, tmp_path: Path
) -> None:
    """To go on as if it had never taken part would give other bits."""
    tasks = TASKS.copy()
    tasks["state_round"] = ROUND - 1
    with pytest.raises(
        InputError, match=rf"/{CLIENTS[0]:02x}/{CLIENTS[0]}/{ROUND - 1}: missing on host .*--out"
    ):
        contributed(dropping(experiment, algorithm=Scaffold()), tmp_path, tasks)


@pytest.mark.parametrize(
    ("keeps", "said"),
    [
        (True, "returned no state to keep, and keeps_state is True"),
        (False, "returned state to keep, and keeps_state is False"),
    ],
)
def test_an_algorithm_that_does_not_keep_what_it_declares_is_refused(
    experiment, tmp_path, keeps: bool, said: str
) -> None:
    class Undeclared(FedAvg):
        keeps_state = keeps

        def contribute(self, update, context):
            return {"update": update}, None if keeps else update

    wrong = replace(experiment, job=experiment.job.model_copy(update={"algorithm": Undeclared()}))
    with pytest.raises(TrainingError, match=said):
        contributed(wrong, tmp_path)


class Writes(FedAvg):
    """Changes what the server sent: in its steps, or when it contributes."""

    where: str

    def adjust(self, gradient: torch.Tensor, weights: torch.Tensor, context: ClientContext) -> None:
        if self.where == "adjust" and context.steps == STEPS[FAILS]:
            context.sent["model"][3:5] *= 2

    def contribute(
        self, update: torch.Tensor, context: ClientContext
    ) -> tuple[dict[str, torch.Tensor], None]:
        if self.where == "contribute" and context.steps == STEPS[FAILS]:
            context.sent["model"].sub_(1)
        return {"update": update}, None


@pytest.mark.parametrize("hook", ["adjust", "contribute"])
@pytest.mark.parametrize("drop", [False, True])
def test_a_tensor_of_the_server_that_a_client_changes_ends_the_run(
    experiment: Experiment, tmp_path: Path, hook: str, drop: bool
) -> None:
    """Issue 12, point 12: with one rank it was the server's own."""
    writes = Writes(name="writes", where=hook)
    job = experiment.job.model_copy(update={"algorithm": writes})
    changed = dropping(experiment, algorithm=writes) if drop else replace(experiment, job=job)
    with pytest.raises(InputError) as error:
        contributed(changed, tmp_path)
    said = f"algorithm.name: 'writes' is not allowed: its {hook} changes context.sent['model'] in place"
    assert str(error.value).startswith(said)
    named = where(error.value)
    name = str(experiment.population.client_name(CLIENTS[FAILS]))
    # In a stack the steps of all are one: all are named.
    assert named == f"round 2, client {name}" if hook == "contribute" else name in named


COUNTED: list[int] = []


class Counts(FedAvg):
    """Notes in its module whom it has seen."""

    def contribute(
        self, update: torch.Tensor, context: ClientContext
    ) -> tuple[dict[str, torch.Tensor], None]:
        COUNTED.append(context.steps)
        return {"update": update}, None


def test_a_plug_in_that_carries_state_from_client_to_client_ends_the_run(
    experiment: Experiment, tmp_path: Path
) -> None:
    """Issue 12, point 12: module globals."""
    with pytest.raises(
        InputError,
        match=r"carries state from one call to the next: COUNTED of test_client_update\.py",
    ) as error:
        contributed(dropping(experiment, algorithm=Counts(name="counts")), tmp_path)
    assert where(error.value).startswith("round 2, client")


def test_squares_are_kept_in_a_unit_of_their_own(experiment: Experiment, tmp_path: Path) -> None:
    """Issue 12, point 8."""
    kept, lost = (dropping(experiment, algorithm=algorithm) for algorithm in (Squares(), Rough()))
    fine, _ = contributed(kept, tmp_path)
    rough, _ = contributed(lost, tmp_path)
    updates = [contributed(experiment, tmp_path, TASKS[[i]])[0][0] for i in range(4)]
    squares = [
        (1e-4 * (from_fixed(u) / w)).astype(np.float32) ** 2
        for u, w in zip(updates, WEIGHTS, strict=True)
    ]
    mean = sum(w * square for w, square in zip(WEIGHTS, squares, strict=True))
    moved = mean > 0
    assert (rough[1][moved] == 0).mean() > 0.2  # what one unit for all arrays would round away
    assert (fine[1][moved] != 0).all()
    np.testing.assert_allclose(from_fixed(fine[1], 80)[moved], mean[moved], rtol=0.01, atol=1e-20)
    assert np.array_equal(fine[0], rough[0])


class Large(Squares):
    """A square beyond what its unit can hold, if only in one entry."""

    def contribute(
        self, update: torch.Tensor, context: ClientContext
    ) -> tuple[dict[str, torch.Tensor], None]:
        square = torch.zeros_like(update)
        square[7] = 1.0
        return {"update": update, "square": square}, None


@pytest.mark.parametrize("drop", [False, True])
def test_the_error_names_the_limit_of_that_array(
    experiment: Experiment, tmp_path: Path, drop: bool
) -> None:
    large = dropping(experiment, algorithm=Large())
    said = (
        "square is not usable: tensor 1.weight is 1, and 3.8147e-06 is the limit of the 80 bits that Large.units gives it:"
        " fewer bits allow larger values"
    )
    if drop:
        with logged() as lines:
            assert contributed(large, tmp_path)[1]["failed"].all()
        assert any(said in line for line in lines)
        return
    with pytest.raises(TrainingError) as error:
        contributed(
            replace(experiment, job=experiment.job.model_copy(update={"algorithm": Large()})),
            tmp_path,
        )
    assert str(error.value) == said


@pytest.fixture
def normed() -> Experiment:
    overrides = [
        f"model.name={HERE}:Normed",
        "training.batch_size=8",
        "selection.participants=4",
        "model.frozen=true",
    ]
    overrides += [
        "data.partition={name: dirichlet, clients: 10, min_samples: 16}",
        "runtime.on_client_error=abort",
    ]
    found = check_job("quickstart", overrides)[0]
    assert isinstance(found, Experiment)
    return found


def test_buffers_are_summed_as_values(normed: Experiment, tmp_path: Path) -> None:
    place = make_worker(normed, ClientStore(tmp_path, len(normed.initial)))
    model, part = normed.model, nothing(normed)
    assert model.averaged == 2 * 64
    other = normed.initial.copy()
    other[model.averages] = 100.0  # an old base
    train_group(place, TASKS[:1], {1: {"model": other}}, part, 0)
    trained = model.weights[model.averages].double().numpy()  # as the only client has left it
    np.testing.assert_allclose(from_parts(part.averages), WEIGHTS[0] * trained, rtol=1e-14)
    assert part.vectors.shape == (1, len(model.gradient))
    assert np.array_equal(
        model.weights[model.averages.stop :].numpy(), other[model.averages.stop :]
    )  # frozen


@pytest.mark.parametrize("drop", [False, True])
@pytest.mark.parametrize(
    ("scale", "said"), [(1e10, r"is \d.*, and 4\.4e\+12 is the limit"), (np.nan, "is nan after")]
)
def test_a_buffer_that_cannot_be_averaged_is_named(
    normed: Experiment, tmp_path: Path, drop: bool, scale: float, said: str
) -> None:
    data = normed.population.data
    x = data.train.x.astype(np.float32) * np.float32(scale)
    large = replace(normed.population, dataset=replace(data, train=replace(data.train, x=x)))
    changed = replace(normed, population=large)
    place = make_worker(
        dropping(changed) if drop else changed, ClientStore(tmp_path, len(normed.initial))
    )
    part = nothing(normed)
    expected = rf"buffer 3\.running_(mean|var) is not usable: it {said}.*scale them in the data"
    if drop:
        with logged() as lines:
            assert train_group(place, TASKS[:1], {1: {"model": normed.initial}}, part, 0)[
                "failed"
            ].all()
        assert re.search(expected if np.isfinite(scale) else "not usable", "\n".join(lines)), lines
        assert not part.vectors.any()
        assert not part.averages.any()
        return
    with pytest.raises(TrainingError, match=expected if np.isfinite(scale) else "is nan"):
        train_group(place, TASKS[:1], {1: {"model": normed.initial}}, part, 0)


class Noisy(FedAvg):
    """Adds noise from torch's own generator."""

    def contribute(
        self, update: torch.Tensor, context: ClientContext
    ) -> tuple[dict[str, torch.Tensor], None]:
        return {"update": 0 * update + torch.randn_like(update)}, None


def test_noise_of_torchs_generator_depends_on_round_and_client_only(
    experiment: Experiment, tmp_path: Path
) -> None:
    noisy = replace(
        experiment, job=experiment.job.model_copy(update={"algorithm": Noisy(name="noisy")})
    )
    together, _ = contributed(noisy, tmp_path)
    torch.rand(7)
    alone = [contributed(noisy, tmp_path, TASKS[[place]])[0] for place in (2, 0, 3, 1)]
    assert np.array_equal(together, sum(alone))
    other = TASKS.copy()
    other["round"] = ROUND + 1
    rng_seed = [
        from_fixed(contributed(noisy, tmp_path, tasks[[0]])[0][0]) / WEIGHTS[0]
        for tasks in (TASKS, TASKS[::-1], other)
    ]
    assert np.abs(rng_seed[0] - rng_seed[2]).max() > 1
    assert 0.8 < rng_seed[0].std() < 1.2

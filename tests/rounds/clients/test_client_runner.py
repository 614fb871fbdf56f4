"""A group of participants: what it adds to the sum, and what is left of it when one of them fails."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mpifl.aggregation.exact_sum import RoundSum, from_fixed, from_parts
from mpifl.algorithms.arrays import MODEL
from mpifl.algorithms.context import ClientContext, Program, Upload
from mpifl.algorithms.fedavg import FedAvg
from mpifl.algorithms.requests import Train, Trained
from mpifl.algorithms.scaffold import Scaffold
from mpifl.errors import InputError, TrainingError, where
from mpifl.io.files import DiskFull
from mpifl.rounds.clients.client_state import ClientStore
from mpifl.rounds.clients.worker import make_worker
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.rounds.experiment.experiment import Experiment
from mpifl.rounds.tickets import train_group
from mpifl.seeds import KeyedGenerator, Purpose
from mpifl.training.loop import Loop
from mpifl.training.participant import Participant
from mpifl.training.recipe import recipe_of
from mpifl.training.samples import pool_of
from tests.algorithms.sides import sent
from tests.known import added
from tests.logged import logged
from tests.normed import HERE, Rough, Squares
from tests.rounds.groups import (
    CLIENTS,
    FAILS,
    OTHERS,
    ROUND,
    STEPS,
    TASKS,
    WEIGHTS,
    assert_close,
    assert_dropped,
    contributed,
    dropping,
    one_by_one,
    running,
    small_experiment,
    version,
)
from tests.small_disk import Mount, mounting, mounts
from tests.summed import no_sums


class Refuses(FedAvg):
    """The client that has 5 steps fails: in its program, in a step, or in what it asks for."""

    place: str = "training"

    def client(self, c: ClientContext) -> Program:
        model = c.received["model"]
        fails = c.steps == STEPS[FAILS]
        if fails and self.place == "program":
            raise ValueError("no gradient for me")
        if fails and self.place == "step":
            trained = yield Train(model, adjust=self.refuse)
        elif fails and self.place == "training":
            trained = yield Train(model[:-1])
        else:
            trained = yield Train(model)
        return Upload(update=trained.update)

    def refuse(self, gradient: torch.Tensor, weights: torch.Tensor) -> None:
        raise ValueError("no gradient for me")


class Spoils(FedAvg):
    """Its update is not finite."""

    def client(self, c: ClientContext) -> Program:
        trained: Trained = yield Train(c.received["model"])
        if c.steps == STEPS[FAILS]:
            trained.update[7] = torch.inf
        return Upload(update=trained.update)


class Full(FedAvg):
    """What a full disk says, in the middle of a step."""

    def client(self, c: ClientContext) -> Program:
        trained: Trained = yield Train(c.received["model"], adjust=self.fill(c.steps))
        return Upload(update=trained.update)

    def fill(self, steps: int) -> Any:
        def adjust(gradient: torch.Tensor, weights: torch.Tensor) -> None:
            if steps == STEPS[FAILS]:
                raise DiskFull(Path("/somewhere"), "No space left on device", 8, None)

        return adjust


class Unreadable(ClientStore):
    """Where what one client keeps cannot be read."""

    def read(self, client: int, round_number: int) -> dict[str, np.ndarray]:
        if client == CLIENTS[FAILS]:
            raise OSError("cannot be read")
        return super().read(client, round_number)


WITH_STATE = TASKS.copy()
"""That client has kept something before."""
WITH_STATE["state_round"][FAILS] = ROUND - 1


@pytest.fixture(params=["stacked", "loop"])
def experiment(request: pytest.FixtureRequest) -> Experiment:
    return small_experiment(request.param)


def test_a_group_adds_each_ones_weighted_update(experiment: Experiment, tmp_path: Path) -> None:
    data, seed = experiment.population.data, experiment.job.seed
    group = [
        Participant(
            start=torch.from_numpy(experiment.initial),
            pool=pool_of(data, data.train),
            rows=data.train.rows(client),
            steps=steps,
            order=partial(KeyedGenerator(seed, Purpose.BATCHES), ROUND, client),
            rng_seed=lambda: 0,
        )
        for client, steps in zip(CLIENTS, STEPS, strict=True)
    ]
    recipe = recipe_of(experiment.job.training, experiment.job.training.lr)
    expected = Loop(experiment.model, experiment.objective)(recipe, group)
    part, metrics = contributed(experiment, tmp_path)
    mean = sum(
        w * (one.weights.double().numpy() - experiment.initial)
        for w, one in zip(WEIGHTS, expected, strict=True)
    )
    np.testing.assert_allclose(from_fixed(part), mean, rtol=0, atol=1e-5)
    assert metrics["loss"] == pytest.approx([one.loss for one in expected], abs=1e-5)
    assert metrics["failed"].tolist() == [0] * 4
    assert (metrics["client"].tolist(), set(metrics["round"])) == (list(CLIENTS), {ROUND})


def test_a_group_adds_to_what_is_there(experiment: Experiment, tmp_path: Path) -> None:
    first, _ = contributed(experiment, tmp_path)
    part = RoundSum(np.full_like(first, 1000), no_sums(experiment.sums).averages)
    worker = make_worker(experiment, ClientStore(tmp_path, {}))
    train_group(worker, TASKS, {1: version(experiment)}, part, 0)
    assert np.array_equal(part.vectors, first + 1000)


@pytest.mark.parametrize("place", ["program", "step", "training"])
def test_a_client_that_fails_is_dropped_alone(
    experiment: Experiment, tmp_path: Path, place: str
) -> None:
    refusing = dropping(experiment, Refuses(name="refuses", place=place))
    with logged() as lines:
        found = contributed(refusing, tmp_path)
    # Where a group cannot be trained as one, each is trained anew, alone.
    others = one_by_one if place == "training" else contributed
    arguments = () if place == "training" else (TASKS[OTHERS],)
    assert_dropped(found, others(refusing, tmp_path, *arguments))
    assert_close(found[0], contributed(experiment, tmp_path, TASKS[OTHERS])[0])
    name = experiment.population.client_name(CLIENTS[FAILS])
    (line,) = lines
    assert line.startswith(f"round 2, client {name}: dropped: ")
    assert place == "training" or line.endswith(": ValueError: no gradient for me")


def test_a_client_whose_update_is_not_finite_is_dropped_alone(
    experiment: Experiment, tmp_path: Path
) -> None:
    whole, metrics = contributed(experiment, tmp_path)
    found = contributed(dropping(experiment, Spoils()), tmp_path)
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
    scaffold = dropping(experiment, Scaffold())
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
        (Refuses(place="program"), TASKS, ClientStore),
    ):
        part, metrics = contributed(
            dropping(experiment, algorithm), tmp_path, tasks[[FAILS]], store
        )
        assert not part.any()
        assert metrics["failed"].tolist() == [1]


def test_who_stops_a_run_is_named(experiment: Experiment, tmp_path: Path) -> None:
    names = [experiment.population.client_name(client) for client in CLIENTS]
    one = f"round 2, client {names[FAILS]}"
    with pytest.raises(OSError, match="cannot be read") as unread:
        contributed(running(experiment, Scaffold()), tmp_path, WITH_STATE, Unreadable)
    assert where(unread.value) == one
    for place in ("program", "step"):
        with pytest.raises(ValueError, match="no gradient for me") as refused:
            contributed(running(experiment, Refuses(place=place)), tmp_path)
        assert where(refused.value) == one
    refusing = running(experiment, Refuses(place="training"))
    with pytest.raises(RuntimeError) as together:
        contributed(refusing, tmp_path)
    all_four = f"round 2, clients {', '.join(map(str, names))}"
    assert where(together.value) == all_four  # one of those, which were one computation
    with pytest.raises(RuntimeError) as alone:
        contributed(refusing, tmp_path, TASKS[[FAILS]])
    assert where(alone.value) == one


@pytest.mark.parametrize("places", [range(4), [FAILS]], ids=["group", "alone"])
def test_a_full_disk_is_no_clients_failure(
    experiment: Experiment, tmp_path: Path, places: Any
) -> None:
    with pytest.raises(DiskFull, match="/somewhere"):
        contributed(dropping(experiment, Full()), tmp_path, TASKS[list(places)])


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    yield from mounts(tmp_path)


@mounting
def test_a_disk_that_is_full_of_what_clients_keep_ends_the_run(
    experiment: Experiment, tmp_path: Path, mount: Mount, *, request: pytest.FixtureRequest
) -> None:
    scaffold, disk = dropping(experiment, Scaffold()), mount("tmpfs", 1 << 20)
    part, metrics = contributed(scaffold, disk.folder)
    assert [part[array.place(0)].any() for array in scaffold.sums.arrays] == [True, True]
    assert not metrics["failed"].any()
    disk.leave(0)
    with pytest.raises(DiskFull):
        contributed(scaffold, disk.folder / "other")


def test_what_clients_keep_is_theirs(experiment: Experiment, tmp_path: Path) -> None:
    def kept(folder: str, groups: list[np.ndarray]) -> list[np.ndarray]:
        scaffold = running(experiment, Scaffold())
        for tasks in groups:
            contributed(scaffold, tmp_path / folder, tasks)
        store = ClientStore(tmp_path / folder / "clients", scaffold.kept_shapes)
        return [store.read(client, ROUND)["control"] for client in CLIENTS]

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
        contributed(dropping(experiment, Scaffold()), tmp_path, tasks)


@pytest.mark.parametrize(
    ("declared", "returned", "said"),
    [
        (["own"], [], "keeps nothing; its ``kept`` declares own"),
        ([], ["own"], "keeps own; its ``kept`` declares nothing"),
        (["own"], ["other", "own"], "keeps other, own; its ``kept`` declares own"),
        (
            ["own"],
            ["own"],
            r"^keep: 'own' has the shape \(1,\); the algorithm declares \(610,\) in kept",
        ),
    ],
)
def test_an_algorithm_that_does_not_keep_what_it_declares_is_refused(
    experiment: Experiment, tmp_path: Path, declared: list[str], returned: list[str], said: str
) -> None:
    class Undeclared(FedAvg):
        kept = dict.fromkeys(declared, MODEL)

        def client(self, c: ClientContext) -> Program:
            trained: Trained = yield Train(c.received["model"])
            return Upload(update=trained.update, keep=dict.fromkeys(returned, torch.zeros(1)))

    with pytest.raises(TrainingError, match=said):
        contributed(running(experiment, Undeclared()), tmp_path)


class Writes(FedAvg):
    """Changes what the server sent: before, in or after its steps."""

    place: str

    def client(self, c: ClientContext) -> Program:
        model = c.received["model"]
        writes = c.steps == STEPS[FAILS]
        if writes and self.place == "before":
            model.mul_(2)

        def adjust(gradient: torch.Tensor, weights: torch.Tensor) -> None:
            model[3:5] *= 2

        in_a_step = writes and self.place == "in"
        trained: Trained = yield Train(model.clone(), adjust=adjust if in_a_step else None)
        if writes and self.place == "after":
            model.sub_(1)
        return Upload(update=trained.update)


@pytest.mark.parametrize("place", ["before", "in", "after"])
@pytest.mark.parametrize("drop", [False, True])
def test_a_tensor_of_the_server_that_a_client_changes_ends_the_run(
    experiment: Experiment, tmp_path: Path, place: str, drop: bool
) -> None:
    """Issue 12, point 12: with one rank it was the server's own."""
    writes = Writes(name="writes", place=place)
    with pytest.raises(InputError) as error:
        contributed((dropping if drop else running)(experiment, writes), tmp_path)
    said = "algorithm.name: 'writes' is not allowed: it changes received['model'] in place"
    assert str(error.value).startswith(said)
    named = where(error.value)
    name = str(experiment.population.client_name(CLIENTS[FAILS]))
    # The requests of all are served before it is found: all are named.
    assert name in named if place == "in" else named == f"round 2, client {name}"


COUNTED: list[int] = []


class Counts(FedAvg):
    """Notes in its module whom it has seen."""

    def client(self, c: ClientContext) -> Program:
        COUNTED.append(c.steps)
        trained: Trained = yield Train(c.received["model"])
        return Upload(update=trained.update)


def test_a_plug_in_that_carries_state_from_client_to_client_ends_the_run(
    experiment: Experiment, tmp_path: Path
) -> None:
    """Issue 12, point 12: module globals."""
    with pytest.raises(
        InputError,
        match=r"carries state from one call to the next: COUNTED of test_client_runner\.py",
    ) as error:
        contributed(dropping(experiment, Counts(name="counts")), tmp_path)
    assert where(error.value).startswith("round 2, client")


def test_squares_are_kept_in_a_unit_of_their_own(experiment: Experiment, tmp_path: Path) -> None:
    """Issue 12, point 8."""
    fine, rough = (
        contributed(dropping(experiment, algorithm), tmp_path)[0].reshape(2, -1)
        for algorithm in (Squares(), Rough())
    )
    updates = [contributed(experiment, tmp_path, TASKS[[i]])[0] for i in range(4)]
    squares = [
        (1e-4 * (from_fixed(u) / w)).astype(np.float32) ** 2
        for u, w in zip(updates, WEIGHTS, strict=True)
    ]
    mean = added(w * square for w, square in zip(WEIGHTS, squares, strict=True))
    moved = mean > 0
    assert (rough[1][moved] == 0).mean() > 0.2  # what one unit for all arrays would round away
    assert (fine[1][moved] != 0).all()
    np.testing.assert_allclose(from_fixed(fine[1], 80)[moved], mean[moved], rtol=0.01, atol=1e-20)
    assert np.array_equal(fine[0], rough[0])


class Large(Squares):
    """A square beyond what its unit can hold, if only in one entry."""

    def client(self, c: ClientContext) -> Program:
        upload = yield from super().client(c)
        square = torch.zeros_like(sent(upload, "update"))
        square[7] = 1.0
        upload.arrays["square"] = square
        return upload


@pytest.mark.parametrize("drop", [False, True])
def test_the_error_names_the_limit_of_that_array(
    experiment: Experiment, tmp_path: Path, drop: bool
) -> None:
    large = dropping(experiment, Large())
    said = (
        "square is not usable: tensor 1.weight is 1, and 3.8147e-06 is the limit of the 80 bits that Large.uploaded gives it:"
        " fewer bits allow larger values"
    )
    if drop:
        with logged() as lines:
            assert contributed(large, tmp_path)[1]["failed"].all()
        assert any(said in line for line in lines)
        return
    with pytest.raises(TrainingError) as error:
        contributed(running(experiment, Large()), tmp_path)
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
    worker = make_worker(normed, ClientStore(tmp_path, {}))
    model, part = normed.model, no_sums(normed.sums)
    frozen = model.fixed.numpy().copy()
    assert model.averaged == 2 * 64
    other = normed.initial.copy()
    other[model.averages] = 100.0  # an old base
    train_group(worker, TASKS[:1], {1: {"model": other}}, part, 0)
    trained = model.weights[model.averages].double().numpy()  # as the only client has left it
    np.testing.assert_allclose(from_parts(part.averages[0]), WEIGHTS[0] * trained, rtol=1e-14)
    assert part.vectors.shape == (len(model.gradient),)
    assert len(frozen) > 0
    assert np.array_equal(model.weights[model.averages.stop :].numpy(), frozen)


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
    worker = make_worker(dropping(changed) if drop else changed, ClientStore(tmp_path, {}))
    part = no_sums(normed.sums)
    expected = rf"buffer 3\.running_(mean|var) is not usable: it {said}.*scale them in the data"
    if drop:
        with logged() as lines:
            assert train_group(worker, TASKS[:1], {1: {"model": normed.initial}}, part, 0)[
                "failed"
            ].all()
        assert re.search(expected if np.isfinite(scale) else "not usable", "\n".join(lines)), lines
        assert not part.vectors.any()
        assert not part.averages.any()
        return
    with pytest.raises(TrainingError, match=expected if np.isfinite(scale) else "is nan"):
        train_group(worker, TASKS[:1], {1: {"model": normed.initial}}, part, 0)


class Noisy(FedAvg):
    """Adds noise from torch's own generator."""

    def client(self, c: ClientContext) -> Program:
        yield Train(c.received["model"])
        return Upload(update=torch.randn_like(c.received["model"]))


def test_noise_of_torchs_generator_depends_on_round_and_client_only(
    experiment: Experiment, tmp_path: Path
) -> None:
    noisy = running(experiment, Noisy(name="noisy"))
    together, _ = contributed(noisy, tmp_path)
    torch.rand(7)
    alone = [contributed(noisy, tmp_path, TASKS[[place]])[0] for place in (2, 0, 3, 1)]
    assert np.array_equal(together, sum(alone))
    other = TASKS.copy()
    other["began"] = ROUND + 1
    rng_seed = [
        from_fixed(contributed(noisy, tmp_path, tasks[[0]])[0]) / WEIGHTS[0]
        for tasks in (TASKS, TASKS[::-1], other)
    ]
    assert np.abs(rng_seed[0] - rng_seed[2]).max() > 1
    assert 0.8 < rng_seed[0].std() < 1.2

"""Client programs: what they may ask for and return, and that requests served together give what each gives alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any, ClassVar, cast

import numpy as np
import pytest
import torch
from torch import nn

from mpifl.aggregation.exact_sum import from_fixed
from mpifl.algorithms.arrays import MODEL, SCALAR, Array
from mpifl.algorithms.context import ClientContext, Program, Upload
from mpifl.algorithms.fedavg import FedAvg
from mpifl.algorithms.requests import (
    Call,
    Differentiated,
    Evaluate,
    Evaluated,
    Gradient,
    Request,
    Train,
    Trained,
)
from mpifl.clock.cost import Cost
from mpifl.errors import TrainingError, where
from mpifl.models.layout import Layout
from mpifl.optimizers.adjust import Adjust, proximal, shift
from mpifl.optimizers.sgd import Sgd
from mpifl.rounds.clients.client_state import ClientStore
from mpifl.rounds.clients.worker import make_worker
from mpifl.rounds.experiment.experiment import Experiment
from mpifl.rounds.tickets import train_group
from mpifl.seeds import Purpose, generator
from mpifl.training.samples import pool_of
from tests.known import added, known
from tests.logged import logged
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
    running,
    small_experiment,
)
from tests.summed import no_sums

Ask = Callable[[ClientContext], Any]
"""A client's program, written as a function of its context: a generator."""


class Programmed(FedAvg):
    """Runs the program that it is given, in a frame of its own."""

    name: str = "programmed"
    ask: Any
    costs: Any = Cost()
    several: int = 1

    uploaded: ClassVar[dict[str, Array]] = {"update": MODEL}
    needs_initial: ClassVar[bool] = True

    @property
    def slots(self) -> int:
        return self.several

    def cost(self, layout: Layout) -> Cost:
        return self.costs

    def client(self, c: ClientContext) -> Program:
        return self.ask(c)


@cache
def experiment_of(engine: str) -> Experiment:
    return small_experiment(engine)


@pytest.fixture(params=["stacked", "loop"])
def experiment(request: pytest.FixtureRequest) -> Experiment:
    return experiment_of(request.param)


def train(c: ClientContext) -> Program:
    trained: Trained = yield Train(c.received["model"])
    return Upload(update=trained.update)


def first_then_train(*requests: Callable[[ClientContext], Any]) -> Ask:
    """A program that asks for these first."""

    def ask(c: ClientContext) -> Program:
        for request in requests:
            yield request(c)
        return (yield from train(c))

    return ask


def asking(function: Callable[..., Any], c: ClientContext) -> Call:
    """Have the function called with the model that was received."""
    return Call(function, c.received["model"])


def counted(module: nn.Module, x: torch.Tensor, y: torch.Tensor) -> int:
    return len(x)


# What a program asks for


@pytest.mark.parametrize(
    ("ask", "cost", "said"),
    [
        (
            first_then_train(lambda c: Train(c.received["model"])),
            Cost(),
            "asks for 6 local steps; its cost() declares 3 (Cost.training)",
        ),
        (
            first_then_train(lambda c: Train(c.received["model"], steps=1)),
            Cost(),
            "asks for 4 local steps; its cost() declares 3 (Cost.training)",
        ),
        (
            first_then_train(*[lambda c: Train(c.received["model"], steps=5)] * 2),
            Cost(training=2, extra_steps=5),
            "asks for 13 local steps; its cost() declares 11 (Cost.training)",
        ),
        (
            first_then_train(lambda c: Evaluate(c.received["model"])),
            Cost(),
            "asks for 1 passes without gradients; its cost() declares 0 (Cost.evaluations)",
        ),
        (
            first_then_train(*[lambda c: Evaluate(c.received["model"])] * 3),
            Cost(evaluations=2),
            "asks for 3 passes without gradients; its cost() declares 2 (Cost.evaluations)",
        ),
        (
            first_then_train(lambda c: Gradient(c.received["model"])),
            Cost(evaluations=9),
            "asks for 1 passes with gradients; its cost() declares 0 (Cost.gradients)",
        ),
        (
            first_then_train(lambda c: Call(counted, c.received["model"], gradients=1.5)),
            Cost(gradients=1),
            "asks for 1.5 passes with gradients; its cost() declares 1 (Cost.gradients)",
        ),
        (
            first_then_train(lambda c: Call(counted, c.received["model"], evaluations=0.5)),
            Cost(gradients=1),
            "asks for 0.5 passes without gradients; its cost() declares 0 (Cost.evaluations)",
        ),
    ],
)
def test_a_program_that_asks_for_more_than_its_cost_is_stopped_and_named(
    experiment: Experiment, tmp_path: Path, ask: Ask, cost: Cost, said: str
) -> None:
    with pytest.raises(TrainingError) as error:
        contributed(running(experiment, Programmed(ask=ask, costs=cost)), tmp_path)
    assert str(error.value) == f"algorithm.name: 'programmed' {said}"
    name = experiment.population.client_name(CLIENTS[0])
    assert where(error.value) == f"round 2, client {name}"


@pytest.mark.parametrize(
    ("ask", "cost"),
    [
        (first_then_train(lambda c: Train(c.received["model"])), Cost(training=2)),
        (first_then_train(lambda c: Train(c.received["model"], steps=7)), Cost(extra_steps=7)),
        (
            first_then_train(*[lambda c: Train(c.received["model"], steps=c.steps)] * 9),
            Cost(training=10),
        ),
        (first_then_train(*[lambda c: Evaluate(c.received["model"])] * 3), Cost(evaluations=3)),
        (first_then_train(lambda c: Gradient(c.received["model"])), Cost(gradients=1)),
        (
            first_then_train(*[lambda c: Call(counted, c.received["model"], 0.1, 0.2)] * 3),
            Cost(gradients=0.3, evaluations=0.6),
        ),
        (first_then_train(lambda c: Call(counted, c.received["model"])), Cost()),
    ],
)
def test_what_a_program_declares_it_may_ask_for(
    experiment: Experiment, tmp_path: Path, ask: Ask, cost: Cost
) -> None:
    _, metrics = contributed(running(experiment, Programmed(ask=ask, costs=cost)), tmp_path)
    assert not metrics["failed"].any()


@pytest.mark.parametrize(
    "nonsense",
    [None, 3, "train", Train, Upload(update=0.0)],
    ids=["nothing", "number", "text", "class", "upload"],
)
def test_a_request_that_is_none_is_refused(
    experiment: Experiment, tmp_path: Path, nonsense: Any
) -> None:
    def ask(c: ClientContext) -> Program:
        yield nonsense
        return (yield from train(c))

    with pytest.raises(TrainingError) as error:
        contributed(running(experiment, Programmed(ask=ask)), tmp_path)
    kind = type(nonsense).__name__
    allowed = "allowed: Train, Evaluate, Gradient, Call"
    assert str(error.value) == f"algorithm.name: 'programmed' yielded {kind}; {allowed}"


def test_a_client_without_yield_is_told_what_to_write(
    experiment: Experiment, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match=r"'programmed': client has no yield; .* = yield Train"):
        contributed(running(experiment, Programmed(ask=lambda c: Upload(update=0.0))), tmp_path)


@pytest.mark.parametrize("kind", [Train, Evaluate, Gradient])
def test_a_request_that_is_taken_for_its_answer_says_what_to_write(kind: Any) -> None:
    with pytest.raises(AttributeError, match=rf"a request, .*: answer = yield {kind.__name__}\("):
        _ = kind(torch.zeros(3)).loss_of_it


# What a program returns


def returning(make: Callable[[ClientContext, Trained], Any]) -> Ask:
    def ask(c: ClientContext) -> Program:
        trained: Trained = yield Train(c.received["model"])
        return make(c, trained)

    return ask


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda c, trained: None, ": client returned NoneType; it has to return an Upload"),
        (
            lambda c, trained: trained.update,
            ": client returned Tensor; it has to return an Upload",
        ),
        (lambda c, trained: Upload(), " does not upload update"),
        (
            lambda c, trained: Upload(update=trained.update, other=1.0),
            " uploads other, which it does not declare",
        ),
        (
            lambda c, trained: Upload(update=trained.update, slot=2),
            " uploads into slot 2; there are 2, counted from 0",
        ),
        (
            lambda c, trained: Upload(update=trained.update, slot=-1),
            " uploads into slot -1; there are 2, counted from 0",
        ),
        (
            lambda c, trained: Upload(update=trained.update, keep={"own": trained.weights}),
            " keeps own; its ``kept`` declares nothing",
        ),
    ],
)
@pytest.mark.parametrize("drop", [False, True])
def test_an_upload_that_is_not_as_declared_is_refused(
    experiment: Experiment,
    tmp_path: Path,
    make: Callable[[ClientContext, Trained], Any],
    said: str,
    drop: bool,
) -> None:
    wrong = Programmed(ask=returning(make), several=2)
    if drop:
        with logged() as lines:
            part, metrics = contributed(dropping(experiment, wrong), tmp_path)
        assert metrics["failed"].all()
        assert not part.any()
        assert [line.partition(": dropped: ")[2] for line in lines] == [
            f"TrainingError: algorithm.name: 'programmed'{said}"
        ] * 4
        return
    with pytest.raises(TrainingError) as error:
        contributed(running(experiment, wrong), tmp_path)
    assert str(error.value) == f"algorithm.name: 'programmed'{said}"
    assert where(error.value).startswith("round 2, client ")


@pytest.mark.parametrize("shape", [(609,), (611,), (1, 610), ()])
def test_an_array_of_another_shape_is_refused(
    experiment: Experiment, tmp_path: Path, shape: tuple[int, ...]
) -> None:
    wrong = Programmed(ask=returning(lambda c, trained: Upload(update=torch.zeros(shape))))
    with pytest.raises(TrainingError) as error:
        contributed(running(experiment, wrong), tmp_path)
    said = f"update is not usable: its shape is {shape}, declared is (610,)"
    assert str(error.value) == said


class Tables(Programmed):
    """Numbers, tables and models side by side."""

    uploaded: ClassVar[dict[str, Array]] = {
        "number": SCALAR,
        "table": Array((2, 3)),
        "models": Array((2, "model"), bits=50),
    }


def test_each_array_is_summed_in_the_place_of_its_slot(
    experiment: Experiment, tmp_path: Path
) -> None:
    """With three slots: a number may be a float, and what is wanted in float32 may come in float64."""

    def ask(c: ClientContext) -> Program:
        trained: Trained = yield Train(c.received["model"])
        return Upload(
            number=float(c.steps),
            table=torch.arange(6, dtype=torch.float64).reshape(2, 3) + c.steps,
            models=torch.stack([trained.update, -trained.update]),
            slot=c.steps % 3,
        )

    tables = running(experiment, Tables(ask=ask, several=3))
    part, metrics = contributed(tables, tmp_path)
    assert metrics["slot"].tolist() == [steps % 3 for steps in STEPS]
    updates = [contributed(experiment, tmp_path, TASKS[[place]])[0] for place in range(4)]
    number, table, models = tables.sums.arrays
    for slot in range(3):
        members = [place for place in range(4) if STEPS[place] % 3 == slot]
        expected = sum(WEIGHTS[place] * STEPS[place] for place in members)
        np.testing.assert_allclose(
            from_fixed(part[number.place(slot)]), [expected], rtol=0, atol=1e-11
        )
        rows = sum(
            (WEIGHTS[place] * (np.arange(6.0) + STEPS[place]) for place in members), np.zeros(6)
        )
        np.testing.assert_allclose(from_fixed(part[table.place(slot)]), rows, rtol=0, atol=1e-11)
        moved = sum((from_fixed(updates[place]) for place in members), np.zeros(610))
        found = from_fixed(part[models.place(slot)], 50).reshape(2, 610)
        np.testing.assert_allclose(found[0], moved, rtol=0, atol=1e-5)
        np.testing.assert_array_equal(found[0], -found[1])


def test_entries_of_a_table_are_named_by_their_place(
    experiment: Experiment, tmp_path: Path
) -> None:
    def ask(c: ClientContext) -> Program:
        trained: Trained = yield Train(c.received["model"])
        table = torch.zeros(2, 3)
        table[1, 1] = torch.nan
        models = torch.stack([trained.update, trained.update])
        return Upload(number=0.0, table=table, models=models)

    with pytest.raises(TrainingError, match="table is not usable: entry 4 is nan"):
        contributed(running(experiment, Tables(ask=ask)), tmp_path)


# What a program sees


Notes = SimpleQueue[Any]
"""What programs of a test note down: into what the contract of plug-ins does not look at."""


def noted(notes: Notes) -> list[Any]:
    return [notes.get() for _ in range(notes.qsize())]


def test_a_program_sees_its_client(experiment: Experiment, tmp_path: Path) -> None:
    seen: Notes = SimpleQueue()

    def ask(c: ClientContext) -> Program:
        seen.put(c)
        return (yield from train(c))

    contributed(running(experiment, Programmed(ask=ask)), tmp_path)
    data, job, contexts = experiment.population.data, experiment.job, noted(seen)
    assert [c.client for c in contexts] == list(CLIENTS)
    assert [c.steps for c in contexts] == list(STEPS)
    for c in contexts:
        y = known(data.train.y)[data.train.rows(c.client)]
        assert c.samples == len(y)
        assert c.count_labels().tolist() == [np.count_nonzero(y == label) for label in range(10)]
        assert (c.round, c.lr, c.kept, c.kept_round) == (ROUND, job.training.lr, {}, 0)
        assert list(c.received) == ["model"]
        assert torch.equal(c.received["model"], c.initial)
        assert c.layout == experiment.layout
        expected = generator(job.seed, Purpose.CLIENT, ROUND, c.client).random(3)
        assert c.make_generator().random(3).tolist() == expected.tolist()


class Forgetful(Programmed):
    needs_initial: ClassVar[bool] = False


def test_a_program_that_asks_for_initial_weights_says_that_it_does(
    experiment: Experiment, tmp_path: Path
) -> None:
    def ask(c: ClientContext) -> Program:
        yield Train(c.initial)
        raise AssertionError

    run = running(experiment, Forgetful(ask=ask))
    with pytest.raises(TrainingError, match=r"set needs_initial = True in the class"):
        contributed(run, tmp_path)


class Counter(Programmed):
    """Keeps how often it took part, and its weights."""

    kept: ClassVar[dict[str, Array]] = {"count": SCALAR, "own": MODEL}


def test_a_program_sees_what_it_kept(experiment: Experiment, tmp_path: Path) -> None:
    seen: Notes = SimpleQueue()

    def ask(c: ClientContext) -> Program:
        seen.put(c)
        trained: Trained = yield Train(c.kept.get("own", c.received["model"]))
        count = c.kept["count"] + 1 if c.kept else torch.ones(())
        return Upload(update=trained.update, keep={"own": trained.weights, "count": count})

    counter = running(experiment, Counter(ask=ask))
    contributed(counter, tmp_path)
    again = TASKS.copy()
    again["round"], again["began"], again["state_round"] = 7, 7, ROUND
    contributed(counter, tmp_path, again)
    contexts = noted(seen)
    assert [c.kept_round for c in contexts] == [0] * 4 + [ROUND] * 4
    store = ClientStore(tmp_path / "clients", counter.kept_shapes)
    for c in contexts[4:]:
        kept = store.read(c.client, ROUND)
        assert (float(kept["count"]), float(c.kept["count"])) == (1, 1)
        assert torch.equal(c.kept["own"], torch.from_numpy(kept["own"]))
        assert float(store.read(c.client, 7)["count"]) == 2


# What a program is answered


def test_the_answers_are_those_of_torch(experiment: Experiment, tmp_path: Path) -> None:
    """Losses, predictions and gradients over all samples of a client, and what a function is called with."""
    answers: Notes = SimpleQueue()

    def ask(c: ClientContext) -> Program:
        model = c.received["model"]
        answers.put((yield Evaluate(model)))
        answers.put((yield Gradient(model)))
        call = Call(lambda module, x, y: (module(x).detach().clone(), x, y), model + 1)
        answers.put((yield call))
        trained = yield Train(model, steps=1)
        return Upload(update=trained.update)

    asking = Programmed(ask=ask, costs=Cost(evaluations=1, gradients=1))
    contributed(running(experiment, asking), tmp_path, TASKS[:1])

    data = experiment.population.data
    x, y = pool_of(data, data.train).read(data.train.rows(CLIENTS[0]))
    module = experiment.model.module
    experiment.model.load(torch.from_numpy(experiment.initial))
    output = module(x)
    loss = nn.functional.cross_entropy(output, y)
    gradients = torch.autograd.grad(loss, tuple(module.parameters()))
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])

    tested, differentiated, called = noted(answers)
    assert isinstance(tested, Evaluated)
    assert tested.loss == pytest.approx(loss.item(), rel=1e-6)
    assert (tested.correct, tested.predictions) == (int((output.argmax(1) == y).sum()), len(y))
    assert isinstance(differentiated, Differentiated)
    assert differentiated.loss == pytest.approx(loss.item(), rel=1e-6)
    torch.testing.assert_close(differentiated.gradient, flat, rtol=1e-4, atol=1e-7)
    experiment.model.load(torch.from_numpy(experiment.initial) + 1)
    for found, expected in zip(called, (module(x).detach(), x, y), strict=True):
        assert torch.equal(found, expected)


def test_a_module_that_a_function_changes_is_restored(
    experiment: Experiment, tmp_path: Path
) -> None:
    def spoil(module: nn.Module, x: torch.Tensor, y: torch.Tensor) -> None:
        for parameter in module.parameters():
            parameter.data.fill_(torch.nan)
        nn.functional.cross_entropy(module(x), y).backward()

    after = [
        contributed(
            running(
                experiment,
                Programmed(ask=first_then_train(partial(asking, function))),
            ),
            tmp_path,
        )[0]
        for function in (spoil, counted)
    ]
    assert np.array_equal(after[0], after[1])


# Requests that are served together


def differing(c: ClientContext) -> Program:
    """Two trainings, in which some of the four clients ask for what others do not."""
    model = c.received["model"]
    place = STEPS.index(c.steps)
    head = frozenset(c.layout.head)
    add = torch.linspace(-0.1, 0.1, len(model))
    requests: list[Request] = [
        [
            Train(model, lr=0.05),
            Train(model, lr=0.05, steps=c.steps - 1),
            Train(model),
            Train(model, adjust=proximal(model, 0.3)),
        ][place],
        [
            Train(model, trainable=head),
            Train(model, trainable=head, adjust=Adjust(pull=0.2, towards=model + 1, add=add)),
            Train(model, optimizer=Sgd(momentum=0.5)),
            Train(model, adjust=shift(add)),
        ][place],
    ]
    total = torch.zeros_like(model)
    for request in requests:
        trained: Trained = yield request
        total += trained.update
    return Upload(update=total)


def test_requests_that_differ_are_served_as_each_alone(tmp_path: Path) -> None:
    """In learning rate, steps, optimizer, trainable parameters and adjustments; up to 1e-5 of the loop engine's."""
    programmed = Programmed(ask=differing, costs=Cost(training=2))
    stacked, loop = (running(experiment_of(engine), programmed) for engine in ("stacked", "loop"))
    together, metrics = contributed(stacked, tmp_path)
    assert not metrics["failed"].any()
    alone = [contributed(loop, tmp_path, TASKS[[place]])[0] for place in range(4)]
    assert_close(together, added(alone))
    # And they do differ: of each client from plain training twice.
    for place in range(4):
        plain = contributed(experiment_of("loop"), tmp_path, TASKS[[place]])[0]
        assert np.abs(from_fixed(alone[place]) - 2 * from_fixed(plain)).max() > 1e-3


def test_requests_that_are_alike_are_one_computation(tmp_path: Path) -> None:
    """Groups of the same learning rate, parameters and pull, in the order of the clients."""
    experiment = running(
        experiment_of("stacked"), Programmed(ask=differing, costs=Cost(training=2))
    )
    worker = make_worker(experiment, ClientStore(tmp_path, {}))
    groups = []
    engine = worker.engine

    def noting(recipe: Any, group: Any) -> Any:
        groups.append((recipe.lr, [participant.steps for participant in group]))
        return engine(recipe, group)

    part = no_sums(experiment.sums)
    noted_worker = replace(worker, engine=noting)
    train_group(noted_worker, TASKS, {1: {"model": experiment.initial}}, part, 0)
    assert groups == [
        (0.05, [3, 6]),
        (0.2, [5]),
        (0.2, [4]),
        (0.2, [3]),
        (0.2, [7]),
        (0.2, [5]),
        (0.2, [4]),
    ]


def test_each_training_of_a_program_has_an_order_of_its_own(
    experiment: Experiment, tmp_path: Path
) -> None:
    """And the first one has that of an algorithm that trains once."""
    seen: Notes = SimpleQueue()

    def ask(c: ClientContext) -> Program:
        first: Trained = yield Train(c.received["model"])
        second: Trained = yield Train(c.received["model"])
        seen.put((first, second))
        return Upload(update=first.update)

    twice = running(experiment, Programmed(ask=ask, costs=Cost(training=2)))
    found = contributed(twice, tmp_path, TASKS[:1])[0]
    assert np.array_equal(found, contributed(experiment, tmp_path, TASKS[:1])[0])
    ((first, second),) = noted(seen)
    assert not torch.equal(first.weights, second.weights)
    assert first.steps == second.steps == STEPS[0]


def test_a_program_of_another_length_leaves_the_others_alone(
    experiment: Experiment, tmp_path: Path
) -> None:
    """The client that ends after one training, and those that go on, get what they get alone."""

    def ask(c: ClientContext) -> Program:
        trained: Trained = yield Train(c.received["model"])
        if c.steps != STEPS[FAILS]:
            trained = yield Train(trained.weights)
        return Upload(update=trained.weights - c.received["model"])

    uneven = running(experiment, Programmed(ask=ask, costs=Cost(training=2)))
    together, metrics = contributed(uneven, tmp_path)
    assert metrics["client"].tolist() == list(CLIENTS)
    alone = added(contributed(uneven, tmp_path, TASKS[[place]])[0] for place in range(4))
    assert_close(together, alone)


def test_the_loss_is_that_of_the_first_training_or_of_the_first_test(
    experiment: Experiment, tmp_path: Path
) -> None:
    losses: Notes = SimpleQueue()

    def tests_only(c: ClientContext) -> Program:
        first: Evaluated = yield Evaluate(c.received["model"])
        yield Evaluate(c.received["model"] + 1)
        losses.put(first.loss)
        return Upload(update=torch.zeros_like(c.received["model"]))

    def trains_twice(c: ClientContext) -> Program:
        yield Evaluate(c.received["model"] + 1)
        first: Trained = yield Train(c.received["model"])
        yield Train(c.received["model"])
        losses.put(first.loss)
        return Upload(update=first.update)

    for ask, cost in (
        (tests_only, Cost(evaluations=2)),
        (trains_twice, Cost(training=2, evaluations=1)),
    ):
        programmed = running(experiment, Programmed(ask=ask, costs=cost))
        _, metrics = contributed(programmed, tmp_path)
        assert metrics["loss"].tolist() == noted(losses)
        assert len({*metrics["loss"].tolist()}) == 4


# A program that fails


def failing(place: str) -> Ask:
    """The client with 5 steps fails after this many requests of two, or with one of them."""

    def ask(c: ClientContext) -> Program:
        model = c.received["model"]
        fails = c.steps == STEPS[FAILS]
        if fails and place == "start":
            raise ValueError("not I")
        tested: Evaluated = yield Evaluate(model[:-1] if fails and place == "evaluate" else model)
        assert tested.loss > 0
        if fails and place == "between":
            raise ValueError("not I")
        if fails and place == "call":
            yield Call(fail, model)
        if fails and place == "nonsense":
            yield cast(Request, "nonsense")
        if fails and place == "too much":
            yield Gradient(model)
        return (yield from train(c))

    return ask


def fail(module: nn.Module, x: torch.Tensor, y: torch.Tensor) -> None:
    raise ValueError("not I")


@pytest.mark.parametrize("place", ["start", "evaluate", "between", "call", "nonsense", "too much"])
def test_a_program_that_fails_is_dropped_alone_and_leaves_the_others_their_bits(
    experiment: Experiment, tmp_path: Path, place: str
) -> None:
    programmed = Programmed(ask=failing(place), costs=Cost(evaluations=1))
    with logged() as lines:
        found = contributed(dropping(experiment, programmed), tmp_path)
    assert_dropped(found, contributed(dropping(experiment, programmed), tmp_path, TASKS[OTHERS]))
    name = experiment.population.client_name(CLIENTS[FAILS])
    (line,) = lines
    assert line.startswith(f"round 2, client {name}: dropped: ")
    with pytest.raises(Exception) as error:  # noqa: PT011  (whatever it is, it ends the run)
        contributed(running(experiment, programmed), tmp_path)
    assert where(error.value) == f"round 2, client {name}"


def test_a_program_that_fails_at_its_end_is_dropped_and_the_others_were_trained_with_it(
    experiment: Experiment, tmp_path: Path
) -> None:
    def ask(c: ClientContext) -> Program:
        upload = yield from train(c)
        if c.steps == STEPS[FAILS]:
            raise ValueError("not I")
        return upload

    found = contributed(dropping(experiment, Programmed(ask=ask)), tmp_path)
    _, metrics = contributed(experiment, tmp_path)
    assert found[1]["failed"].tolist() == [0, 0, 1, 0]
    assert found[1]["loss"][OTHERS].tolist() == metrics["loss"][OTHERS].tolist()
    assert_close(found[0], contributed(experiment, tmp_path, TASKS[OTHERS])[0])


def test_labels_are_counted_where_there_are_classes_only(tmp_path: Path) -> None:
    experiment = experiment_of("loop")
    data = replace(experiment.population.data, task="regression")
    other = replace(experiment, population=replace(experiment.population, dataset=data))

    def ask(c: ClientContext) -> Program:
        c.count_labels()
        return (yield from train(c))

    with pytest.raises(TrainingError, match=r"'programmed' needs data with classes; .* regression"):
        contributed(running(other, Programmed(ask=ask)), tmp_path)

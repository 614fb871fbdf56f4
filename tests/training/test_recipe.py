"""What a recipe and an algorithm make of gradients, in every engine, against an ordinary module and torch.nn.utils."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from mpifl.errors import InputError
from mpifl.models.flat import FlatModel, flatten
from mpifl.objectives.make import objective_of
from mpifl.optimizers.adjust import Adjust, proximal
from mpifl.optimizers.sgd import Sgd
from mpifl.training.linear_stack import LinearStack
from mpifl.training.loop import Loop
from mpifl.training.participant import LocalResult, Participant
from mpifl.training.recipe import Recipe, numbers_of, recipe_of
from mpifl.training.stack import Stack
from mpifl.training.stacked import Stacked
from mpifl.training.vmap_stack import VmapStack
from tests.training.test_stacked import OUTPUTS, RAGGED, group, made, work

WHAT = objective_of("classification", OUTPUTS)
Kind = Callable[[FlatModel, Any], Callable[[Recipe, list[Participant]], list[LocalResult]]]


class Forced(Stacked):
    """The stacked engine with one kind of stack for every recipe."""

    kind: type[Stack]

    def stack(self, recipe: Recipe, clients: int) -> Stack:
        weights = [p.new_empty(clients, *p.shape) for p in self._model.parameters]
        made: Any = self.kind
        stack: Stack = made(self._model, self._objective, weights)
        return stack


class ByHand(Forced):
    kind = LinearStack


class Mapped(Forced):
    kind = VmapStack


def batches(recipe: Recipe, one: Participant) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """A client's minibatches: whole epochs, each in a new permutation."""
    x, y = one.pool.read(one.rows)
    random = one.order()
    rows: list[torch.Tensor] = []
    for _ in range(one.steps):
        if not rows:
            rows = [*torch.from_numpy(random.permutation(len(y))).split(recipe.batch_size)]
        row = rows.pop(0)
        yield x[row], y[row]


def flat_of(module: nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


def by_torch(
    flat: FlatModel,
    recipe: Recipe,
    one: Participant,
    change: Callable[[nn.Module], None] = lambda module: None,
) -> torch.Tensor:
    """The weights of an ordinary module under torch.optim.SGD; ``change`` works on the gradients in it.

    Not for convolutions: their weights lie in another order in our vector.
    """
    module = copy.deepcopy(flat.module)
    nn.utils.vector_to_parameters(one.start.clone(), module.parameters())
    trained = [
        parameter
        for name, parameter in module.named_parameters()
        if recipe.trainable is None or name in recipe.trainable
    ]
    options = recipe.optimizer.model_dump(exclude={"name", "keep"})
    sgd = torch.optim.SGD(trained, recipe.lr, **options)
    schedule = torch.optim.lr_scheduler.ExponentialLR(sgd, recipe.lr_decay)
    for x, y in batches(recipe, one):
        module.zero_grad()
        cross_entropy(module(x), y).backward()
        change(module)
        sgd.step()
        schedule.step()
    return flat_of(module)


def adjusted(adjust: Adjust) -> Callable[[nn.Module], None]:
    """An Adjust on a module's gradients, as its docstring has it."""

    def change(module: nn.Module) -> None:
        weights = flat_of(module)
        more = torch.zeros_like(weights)
        if adjust.pull:
            towards = 0 if adjust.towards is None else adjust.towards
            more += adjust.pull * (weights - towards)
        if adjust.add is not None:
            more += adjust.add
        start = 0
        for parameter in module.parameters():
            assert parameter.grad is not None
            stop = start + parameter.numel()
            parameter.grad += more[start:stop].view_as(parameter)
            start = stop

    return change


def assert_close(found: torch.Tensor, expected: torch.Tensor, one: Participant) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    assert (expected - one.start).abs().max() > 1e-3  # there was something to get wrong


ALL: list[Kind] = [Loop, ByHand, Mapped]
BOTH: list[Kind] = [Loop, Mapped]


@pytest.mark.parametrize(
    "kinds", [("control", "none"), ("proximal",), ("pulled", "both", "to zero")], ids=str
)
@pytest.mark.parametrize("settings", [{}, {"weight_decay": 0.1}, {"lr_decay": 0.8}], ids=str)
@pytest.mark.parametrize("engine", ALL)
def test_a_linear_adjustment_is_what_it_says(
    engine: Kind, settings: dict[str, Any], kinds: tuple[str, ...]
) -> None:
    flat, recipe = made("mlp"), work(**settings)
    together = group(flat, "mlp", "classification", RAGGED, kinds)
    for one, result in zip(together, engine(flat, WHAT)(recipe, together), strict=True):
        adjust = one.adjust or Adjust()
        assert isinstance(adjust, Adjust)
        assert_close(result.weights, by_torch(flat, recipe, one, adjusted(adjust)), one)


@pytest.mark.parametrize("engine", ALL)
def test_a_vector_that_all_share_pulls_each(engine: Kind) -> None:
    flat, recipe = made("mlp"), work()
    shared = proximal(flat.moving.clone(), 0.9)
    together = [
        replace(one, adjust=Adjust(0.9, shared.towards))
        for one in group(flat, "mlp", "classification", RAGGED)
    ]
    for one, result in zip(together, engine(flat, WHAT)(recipe, together), strict=True):
        assert_close(result.weights, by_torch(flat, recipe, one, adjusted(shared)), one)


def test_a_function_of_an_algorithm_is_served_by_the_loop() -> None:
    """It gets one vector, and may do what no linear adjustment can: here signs, and a pull that grows."""
    flat, recipe = made("mlp"), work(momentum=0.5)
    one = group(flat, "mlp", "classification", [(9, 7)])[0]

    def signs(gradient: torch.Tensor, weights: torch.Tensor) -> None:
        assert gradient.shape == weights.shape == (len(flat.gradient),)
        gradient.sign_().add_(weights**3)

    def change(module: nn.Module) -> None:
        for parameter in module.parameters():
            assert parameter.grad is not None
            parameter.grad = parameter.grad.sign() + parameter.detach() ** 3

    participant = replace(one, adjust=signs)
    assert not participant.stackable
    (result,) = Loop(flat, WHAT)(recipe, [participant])
    assert_close(result.weights, by_torch(flat, recipe, one, change), one)


def test_a_function_gets_zeros_for_what_is_not_trained() -> None:
    flat = made("mlp")
    trained = frozenset(flat.names[2:3])
    (one,) = group(flat, "mlp", "classification", [(9, 3)])
    bounds = slice(flat.starts[2], flat.starts[3])
    seen: list[torch.Tensor] = []

    def adjust(gradient: torch.Tensor, weights: torch.Tensor) -> None:
        seen.append(gradient.clone())
        gradient.fill_(1.0)

    (result,) = Loop(flat, WHAT)(work(trainable=trained), [replace(one, adjust=adjust)])
    assert len(seen) == 3
    for gradient in seen:
        assert (gradient[bounds] != 0).any()
        gradient[bounds] = 0
        assert (gradient == 0).all()
    expected = one.start.clone()
    expected[bounds] -= 3 * 0.1
    torch.testing.assert_close(result.weights, expected, rtol=0, atol=1e-6)


def test_a_loss_of_an_algorithm_is_served_by_the_loop() -> None:
    flat, recipe = made("mlp"), work()
    (one,) = group(flat, "mlp", "classification", [(9, 4)])

    def loss(module: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        penalty = sum((p**2).sum() for p in module.parameters())
        return cross_entropy(module(x), y) + 0.35 * penalty

    participant = replace(one, loss=loss)
    assert not participant.stackable
    (result,) = Loop(flat, WHAT)(recipe, [participant])
    assert_close(result.weights, by_torch(flat, recipe, one, adjusted(Adjust(pull=0.7))), one)
    assert result.loss > Loop(flat, WHAT)(recipe, [one])[0].loss  # it is the loss that is trained


@pytest.mark.parametrize("kinds", [("none",), ("pulled", "both")], ids=str)
@pytest.mark.parametrize("settings", [{}, {"momentum": 0.9, "weight_decay": 0.1}], ids=str)
@pytest.mark.parametrize("name", ["mlp", "tanh", "tied", "conv"])
@pytest.mark.parametrize("engine", [Loop, Stacked])
def test_what_is_not_trained_keeps_its_bits(
    engine: Kind, name: str, settings: dict[str, Any], kinds: tuple[str, ...]
) -> None:
    flat = made(name)
    names = flat.names[: len(flat.parameters)]
    for trained in ({names[0]}, {names[-1], names[0]}):
        recipe = work(trainable=frozenset(trained), **settings)
        together = group(flat, name, "classification", RAGGED, kinds)
        for one, result in zip(together, engine(flat, WHAT)(recipe, together), strict=True):
            before, after = flat.split(one.start), flat.split(result.weights)
            for number, other in enumerate(names):
                assert torch.equal(before[number], after[number]) == (other not in trained)


@pytest.mark.parametrize("kinds", [("none",), ("pulled", "both")], ids=str)
@pytest.mark.parametrize("engine", BOTH)
def test_what_is_trained_goes_as_if_the_rest_were_frozen(
    engine: Kind, kinds: tuple[str, ...]
) -> None:
    flat = made("mlp")
    names = flat.names[: len(flat.parameters)]
    recipe = work(trainable=frozenset(names[2:5]), momentum=0.5, weight_decay=0.1)
    together = group(flat, "mlp", "classification", RAGGED, kinds)
    for one, result in zip(together, engine(flat, WHAT)(recipe, together), strict=True):
        adjust = one.adjust or Adjust()
        assert isinstance(adjust, Adjust)
        assert_close(result.weights, by_torch(flat, recipe, one, adjusted(adjust)), one)


def test_names_of_no_parameter_are_refused() -> None:
    names = ("a.weight", "a.bias")
    assert numbers_of(names, None) == [0, 1]
    assert numbers_of(names, frozenset({"a.bias"})) == [1]
    said = r"Train\.trainable: {} is not allowed; allowed: one or more of a\.weight, a\.bias$"
    with pytest.raises(InputError, match=said.format("'b'")):
        numbers_of(names, frozenset({"a.bias", "b"}))
    with pytest.raises(InputError, match=said.format("an empty set")):
        numbers_of(names, frozenset())


class Scaled(nn.Module):
    """With a parameter that is a number."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.3))
        self.linear = nn.Linear(6, OUTPUTS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.scale * self.linear(x.flatten(1))
        return out


def clip(recipe: Recipe) -> Callable[[nn.Module], None]:
    def change(module: nn.Module) -> None:
        if recipe.clip_value is not None:
            nn.utils.clip_grad_value_(module.parameters(), recipe.clip_value)
        if recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(module.parameters(), recipe.clip_norm)

    return change


CLIPS: list[dict[str, Any]] = [
    {"clip_value": 0.02},
    {"clip_norm": 0.2},
    {"clip_norm": 100.0},
    {"clip_value": 0.05, "clip_norm": 0.1, "momentum": 0.9, "weight_decay": 0.1},
    {"clip_norm": 0.1, "lr_decay": 0.7},
]


@pytest.mark.parametrize("settings", CLIPS, ids=str)
@pytest.mark.parametrize("module", ["mlp", "scaled"])
@pytest.mark.parametrize("engine", BOTH)
def test_gradients_are_clipped_as_by_torch(
    engine: Kind, module: str, settings: dict[str, Any]
) -> None:
    flat = made("mlp") if module == "mlp" else flatten(Scaled())
    recipe = work(**settings)
    together = group(flat, "mlp", "classification", RAGGED)
    for one, result in zip(together, engine(flat, WHAT)(recipe, together), strict=True):
        assert_close(result.weights, by_torch(flat, recipe, one, clip(recipe)), one)
    plain = work(**{name: value for name, value in settings.items() if "clip" not in name})
    free = by_torch(flat, plain, together[0])
    limited = by_torch(flat, recipe, together[0], clip(recipe))
    assert torch.allclose(free, limited, atol=1e-6) == (settings == {"clip_norm": 100.0})


def test_clipped_in_the_loop_to_the_bits_of_torch() -> None:
    flat, recipe = made("mlp"), work(clip_norm=0.1)
    (one,) = group(flat, "mlp", "classification", [(9, 7)])
    (result,) = Loop(flat, WHAT)(recipe, [one])
    assert torch.equal(result.weights, by_torch(flat, recipe, one, clip(recipe)))


@pytest.mark.parametrize("engine", BOTH)
def test_adjustments_are_clipped_too(engine: Kind) -> None:
    flat, recipe = made("mlp"), work(clip_norm=0.3)
    together = group(flat, "mlp", "classification", RAGGED, ("both",))
    for one, result in zip(together, engine(flat, WHAT)(recipe, together), strict=True):
        assert isinstance(one.adjust, Adjust)
        adjust, limit = adjusted(one.adjust), clip(recipe)

        def change(module: nn.Module, adjust: Any = adjust, limit: Any = limit) -> None:
            adjust(module)
            limit(module)

        assert_close(result.weights, by_torch(flat, recipe, one, change), one)


@pytest.mark.parametrize("settings", [{}, {"momentum": 0.9}], ids=str)
@pytest.mark.parametrize("engine", BOTH)
def test_the_learning_rate_decays_from_step_to_step(engine: Kind, settings: dict[str, Any]) -> None:
    flat, recipe = made("mlp"), work(lr_decay=0.6, **settings)
    assert [recipe.lr_of(step) for step in range(3)] == pytest.approx([0.1, 0.06, 0.036])
    together = group(flat, "mlp", "classification", RAGGED)
    for one, result in zip(together, engine(flat, WHAT)(recipe, together), strict=True):
        assert_close(result.weights, by_torch(flat, recipe, one), one)


def test_a_recipe_has_the_settings_of_its_job() -> None:
    from mpifl.rounds.experiment.build_experiment import check_job

    settings = (
        "{batch_size: 7, drop_last: true, lr: 0.3, lr_decay: 0.9, clip_value: 2, clip_norm: 3}"
    )
    job = check_job("quickstart", [f"training={settings}", "training.optimizer.momentum=0.5"])[
        0
    ].job
    recipe = recipe_of(job.training, 0.25)
    assert recipe == replace(
        work(batch_size=7, drop_last=True, lr=0.25, lr_decay=0.9),
        optimizer=job.training.optimizer,
        clip_value=2.0,
        clip_norm=3.0,
    )
    assert isinstance(job.training.optimizer, Sgd)
    assert job.training.optimizer.momentum == 0.5


def test_the_order_of_a_group_is_that_of_its_results() -> None:
    flat = made("mlp")
    together = group(flat, "mlp", "classification", [(5, 1), (5, 6), (5, 3), (5, 6)])
    results = Stacked(flat, WHAT)(work(), together)
    for one, result in zip(together, results, strict=True):
        assert_close(result.weights, by_torch(flat, work(), one), one)
    assert len({float(np.round(result.loss, 6)) for result in results}) == 4

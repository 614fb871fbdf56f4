"""Clients trained together: each gets what the loop engine gives it, to 1e-5."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from mpifl.models.flat import FlatModel, flatten
from mpifl.objectives.make import objective_of
from mpifl.objectives.objective import IGNORED, Objective
from mpifl.optimizers.adjust import Adjust, proximal, shift
from mpifl.optimizers.sgd import Sgd
from mpifl.training.linear_stack import LinearStack, is_linear
from mpifl.training.loop import Loop
from mpifl.training.participant import LocalResult, Participant
from mpifl.training.recipe import Recipe
from mpifl.training.samples import Pool
from mpifl.training.stacked import Stacked
from mpifl.training.vmap_stack import VmapStack
from tests.budget import examples
from tests.known import known

OUTPUTS, TOKENS, LENGTH = 3, 5, 4
PLAIN: dict[str, Any] = {}


def conv(frozen: bool = False) -> nn.Module:
    """Two channels of 8x8. The weights of its convolutions lie channels last in the flat vector."""
    first = nn.Conv2d(2, 3, 3)
    first.weight.requires_grad_(not frozen)
    layers = [first, nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(3, 4, 2, bias=False), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(16, OUTPUTS))


def normed() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.GroupNorm(2, 4), nn.ReLU(), nn.Flatten(), nn.Linear(144, OUTPUTS)
    )


class Tied(nn.Module):
    """Two layers share a weight, and a third is not used at all."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.unused, self.out = (
            nn.Linear(6, 6),
            nn.Linear(6, 6),
            nn.Linear(2, 2),
            nn.Linear(6, OUTPUTS),
        )
        self.b.weight = self.a.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.out(torch.relu(self.b(torch.relu(self.a(x)))))
        return out


def tied_stack() -> nn.Module:
    """Looks like a stack of linear layers, but its middle layer is there twice."""
    middle = nn.Linear(6, 6)
    return nn.Sequential(
        nn.Linear(6, 6), nn.ReLU(), middle, nn.ReLU(), middle, nn.ReLU(), nn.Linear(6, OUTPUTS)
    )


class Next(nn.Module):
    """Predicts the next token from the last one."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.out = (
            nn.Embedding(TOKENS + 1, 4, padding_idx=TOKENS),
            nn.Linear(4, OUTPUTS),
        )

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.out(self.embedding(tokens))
        return out


class Recurrent(nn.Module):
    """Which torch cannot multiply in one call; it does one client after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.out = nn.LSTM(3, 4, batch_first=True), nn.Linear(4, OUTPUTS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.out(self.lstm(x)[0][:, -1])
        return out


def linear(*hidden: int, bias: bool = True) -> nn.Module:
    """Of samples (2, 3): flattened first, and with a layer that does nothing."""
    widths, layers = [6, *hidden], [nn.Flatten(), nn.Identity()]
    for wide, narrow in pairwise(widths):
        layers += [nn.Linear(wide, narrow, bias=bias), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], OUTPUTS, bias=bias))


@dataclass(frozen=True)
class Case:
    """A module, the shape of its samples, and whether it is a stack of linear layers."""

    make: Callable[[], nn.Module]
    sample: tuple[int, ...]
    linear: bool = False


CASES = {
    "linear": Case(lambda: nn.Sequential(nn.Linear(6, OUTPUTS)), (6,), True),
    "linear, no bias": Case(partial(linear, bias=False), (2, 3), True),
    "mlp": Case(partial(linear, 7, 5), (2, 3), True),
    "mlp, no bias": Case(partial(linear, 7, bias=False), (2, 3), True),
    "mixed bias": Case(
        lambda: nn.Sequential(nn.Linear(6, 5, bias=False), nn.ReLU(), nn.Linear(5, OUTPUTS)),
        (6,),
        True,
    ),
    "conv": Case(conv, (2, 8, 8)),
    "conv, frozen": Case(partial(conv, frozen=True), (2, 8, 8)),
    "group norm": Case(normed, (2, 8, 8)),
    "tied": Case(Tied, (6,)),
    "tied stack": Case(tied_stack, (6,)),
    "tanh": Case(lambda: nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, OUTPUTS)), (6,)),
    "recurrent": Case(Recurrent, (2, 3)),
    "language": Case(Next, (LENGTH,)),
}
pytestmark = pytest.mark.filterwarnings(
    "ignore:There is a performance drop"
)  # of a recurrent network
LINEAR = [name for name, case in CASES.items() if case.linear]


def made(name: str) -> FlatModel:
    torch.manual_seed(3)
    return flatten(CASES[name].make())


def samples(
    objective: str, shape: tuple[int, ...], count: int, random: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    if objective == "language":
        lengths = torch.randint(1, LENGTH + 1, (count, 1), generator=random)
        mask = torch.arange(LENGTH) < lengths
        tokens = torch.where(mask, torch.randint(TOKENS, (count, LENGTH), generator=random), TOKENS)
        return tokens, torch.where(
            mask, torch.randint(OUTPUTS, (count, LENGTH), generator=random), IGNORED
        )
    x = torch.randn(count, *shape, generator=random)
    if objective == "regression":
        return x, torch.randn(count, OUTPUTS, generator=random)
    return x, torch.randint(OUTPUTS, (count,), generator=random)


def adjustment(kind: str, start: torch.Tensor, random: torch.Generator) -> Adjust | None:
    """What an algorithm does to gradients; ``pulled`` and ``both`` have the same pull."""
    control = 0.1 * torch.randn(len(start), generator=random)
    towards = start + 0.1 * torch.randn(len(start), generator=random)
    kinds = {
        "none": None,
        "control": shift(control),
        "proximal": proximal(start, 0.7),
        "pulled": proximal(towards, 0.7),
        "both": Adjust(pull=0.7, towards=towards, add=control),
        "to zero": Adjust(pull=0.7),
    }
    return kinds[kind]


def group(
    flat: FlatModel,
    name: str,
    objective: str,
    clients: list[tuple[int, int]],
    kinds: tuple[str, ...] = ("none",),
) -> list[Participant]:
    """Of clients with (samples, steps), each with a start of its own; they take turns in ``kinds`` of adjustment."""
    shape, found = CASES[name].sample, []
    held = [
        samples(objective, shape, count, torch.Generator().manual_seed(i))
        for i, (count, _) in enumerate(clients)
    ]
    x, y = (torch.cat(column) for column in zip(*held, strict=True))
    pool, stop = Pool(x, y, vocabulary=TOKENS if objective == "language" else 0), 0
    for i, (count, steps) in enumerate(clients):
        random = torch.Generator().manual_seed(100 + i)
        start = flat.moving.clone()
        start += 0.05 * torch.randn(len(start), generator=random)
        rows, stop = slice(stop, stop + count), stop + count
        adjust = adjustment(kinds[i % len(kinds)], start, random)
        order = partial(np.random.default_rng, i)
        found.append(Participant(start, pool, rows, steps, order, partial(int, i), adjust))
    return found


def work(**changed: Any) -> Recipe:
    """A recipe of SGD, with the optimizer's options among the settings."""
    options = {name: changed.pop(name) for name in [*changed] if name in Sgd.model_fields}
    plain = Recipe(batch_size=4, drop_last=False, lr=0.1, optimizer=Sgd(**options))
    return replace(plain, **changed)


def assert_each_as_alone(
    flat: FlatModel, what: Objective, recipe: Recipe, together: list[Participant]
) -> None:
    """The stacked engine gives each what the loop gives it."""
    found, expected = (engine(flat, what)(recipe, together) for engine in (Stacked, Loop))
    assert_alike(found, expected, together)


def assert_alike(
    found: list[LocalResult], expected: list[LocalResult], group: list[Participant]
) -> None:
    for result, other, one in zip(found, expected, group, strict=True):
        torch.testing.assert_close(result.weights, other.weights, rtol=0, atol=1e-5)
        assert result.loss == pytest.approx(other.loss, abs=1e-5)
        assert (other.weights - one.start).abs().max() > 1e-4  # there was something to get wrong


def assert_same(found: list[LocalResult], expected: list[LocalResult]) -> None:
    """Bit by bit."""
    assert [result.loss for result in found] == [result.loss for result in expected]
    assert all(torch.equal(a.weights, b.weights) for a, b in zip(found, expected, strict=True))


CLIENTS = st.lists(st.tuples(st.integers(1, 11), st.integers(1, 8)), min_size=1, max_size=7)
"""Of (samples, steps) in batches of 4: clients with less than a batch, odd ones at the end, and more than one epoch."""
SETTINGS = st.sampled_from(
    [
        PLAIN,
        {"momentum": 0.9},
        {"weight_decay": 0.05},
        {"momentum": 0.5, "weight_decay": 0.1},
        {"momentum": 0.9, "nesterov": True},
        {"momentum": 0.9, "dampening": 0.5},
        {"batch_size": 100},
        {"drop_last": True},
        {"lr_decay": 0.8},
        {"clip_value": 0.05},
        {"clip_norm": 0.3, "momentum": 0.9},
        {"clip_value": 0.1, "clip_norm": 0.2},
    ]
)
KINDS = st.sampled_from(
    [("none",), ("proximal",), ("none", "control"), ("pulled", "both", "to zero")]
)


@examples(50, derandomize=True)
@given(
    st.sampled_from([name for name in CASES if name != "language"]),
    st.sampled_from(["classification", "regression"]),
    CLIENTS,
    SETTINGS,
    KINDS,
)
def test_each_client_gets_what_the_loop_gives_it(
    name: str,
    objective: str,
    clients: list[tuple[int, int]],
    changed: dict[str, Any],
    kinds: tuple[str, ...],
) -> None:
    flat, what = made(name), objective_of(objective, OUTPUTS)
    together = group(flat, name, objective, clients, kinds)
    assert_each_as_alone(flat, what, work(**changed), together)


@examples(50, derandomize=True)
@given(
    st.sampled_from(LINEAR),
    st.sampled_from(["classification", "regression"]),
    CLIENTS,
    st.sampled_from([2, 4, 100]),
    st.booleans(),
    st.sampled_from([PLAIN, {"weight_decay": 0.1}, {"lr_decay": 0.7, "weight_decay": 0.1}]),
    KINDS,
)
def test_linear_stacks_get_what_the_loop_gives_them(
    name: str,
    objective: str,
    clients: list[tuple[int, int]],
    batch_size: int,
    drop_last: bool,
    changed: dict[str, Any],
    kinds: tuple[str, ...],
) -> None:
    flat, what = made(name), objective_of(objective, OUTPUTS)
    recipe = work(batch_size=batch_size, drop_last=drop_last, **changed)
    engine = Stacked(flat, what)
    assert type(engine.stack(recipe, 1)) is LinearStack
    together = group(flat, name, objective, clients, kinds)
    assert_alike(engine(recipe, together), Loop(flat, what)(recipe, together), together)


@examples(15, derandomize=True)
@given(CLIENTS, SETTINGS, KINDS)
def test_sequences_with_targets_that_are_not_there_too(
    clients: list[tuple[int, int]], changed: dict[str, Any], kinds: tuple[str, ...]
) -> None:
    flat, what = made("language"), objective_of("language", OUTPUTS)
    together = group(flat, "language", "language", clients, kinds)
    assert_each_as_alone(flat, what, work(**changed), together)


@pytest.mark.parametrize("kind", [Loop, Stacked])
def test_a_minibatch_without_a_target_has_no_loss_and_does_not_count(
    kind: type[Loop] | type[Stacked],
) -> None:
    """A mean over no predictions is NaN: as a client's loss it would be that of nobody."""
    flat, what = made("language"), objective_of("language", OUTPUTS)
    one, other = group(flat, "language", "language", [(2, 2), (1, 1)])
    y = known(one.pool.y)
    y[1:] = IGNORED
    two, none = kind(flat, what)(work(batch_size=1, lr=1e-9), [one, other])
    flat.load(one.start)
    expected = what.loss(flat.module(one.pool.x[:1]), y[:1])
    assert two.loss == pytest.approx(float(expected.detach()), rel=1e-5)
    assert none.loss == 0
    assert two.weights.isfinite().all()
    assert torch.equal(none.weights, other.start)


RAGGED = [(3, 5), (9, 2), (1, 7), (6, 7)]


@pytest.mark.parametrize("name", CASES)
def test_every_model_in_one_ragged_group(name: str) -> None:
    objective = "language" if name == "language" else "classification"
    flat, what = made(name), objective_of(objective, OUTPUTS)
    together = group(flat, name, objective, RAGGED)
    assert_each_as_alone(flat, what, work(), together)
    assert_each_as_alone(flat, what, work(), together[1:2])


@pytest.mark.parametrize(
    "kinds", [("none",), ("none", "control"), ("pulled", "both", "to zero")], ids=str
)
@pytest.mark.parametrize("changed", [PLAIN, {"weight_decay": 0.1, "lr_decay": 0.9}], ids=str)
@pytest.mark.parametrize("objective", ["classification", "regression"])
@pytest.mark.parametrize("name", LINEAR)
def test_both_stacks_agree(
    name: str, objective: str, changed: dict[str, Any], kinds: tuple[str, ...]
) -> None:
    flat, what, recipe = made(name), objective_of(objective, OUTPUTS), work(**changed)
    together = group(flat, name, objective, RAGGED, kinds)
    starts = torch.stack([one.start for one in together])
    ones, others = (
        [piece.clone(memory_format=torch.contiguous_format) for piece in flat.split(starts)]
        for _ in range(2)
    )
    by_hand, mapped = LinearStack(flat, what, ones), VmapStack(flat, what, others)
    by_hand.begin(recipe, together)
    mapped.begin(recipe, together)
    random = torch.Generator().manual_seed(0)
    steps = ((4, None), (4, [1, 6, 3, 2]), (2, [6, 5]), (1, None))
    for number, (active, counts) in enumerate(steps):
        x, y = samples(objective, CASES[name].sample, 6 * active, random)
        x, y = x.view(active, 6, *x.shape[1:]), y.view(active, 6, *y.shape[1:])
        mask = None if counts is None else torch.arange(6) < torch.tensor(counts)[:, None]
        losses = (stack.step(x, y, mask, number) for stack in (by_hand, mapped))
        torch.testing.assert_close(*losses, rtol=0, atol=1e-6)
    for one, other, before in zip(ones, others, flat.split(starts), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)
        assert (one - before).flatten(1).abs().amax(1).min() > 1e-4


@pytest.mark.parametrize(
    ("changed", "kind"),
    [
        (PLAIN, LinearStack),
        ({"weight_decay": 0.5, "lr_decay": 0.9}, LinearStack),
        ({"momentum": 0.5}, VmapStack),
        ({"clip_value": 1.0}, VmapStack),
        ({"clip_norm": 1.0}, VmapStack),
        ({"trainable": frozenset({"2.bias"})}, VmapStack),
    ],
    ids=str,
)
def test_linear_layers_are_differentiated_by_hand_where_a_step_is_linear(
    changed: dict[str, Any], kind: type
) -> None:
    engine = Stacked(made("mlp"), objective_of("classification", OUTPUTS))
    assert type(engine.stack(work(**changed), 4)) is kind


def test_an_optimizer_with_a_step_of_its_own_inherits_no_shortcut() -> None:
    class Signs(Sgd):
        def step(self, weights: Any, gradients: Any, state: Any, lr: float, number: int) -> None:
            for weight, gradient in zip(weights, gradients, strict=True):
                weight.sub_(gradient.sign(), alpha=lr)

    class Renamed(Sgd):
        name: str = "renamed"

    assert (Sgd().pull, Renamed().pull, Signs().pull) == (0, 0, None)
    assert (Sgd().same_steps, Renamed().same_steps, Signs().same_steps) == (True, True, False)
    flat, what = made("mlp"), objective_of("classification", OUTPUTS)
    recipe = work(optimizer=Signs())
    together = group(flat, "mlp", "classification", RAGGED)
    found = Stacked(flat, what)(recipe, together)
    moved = (found[0].weights - together[0].start) / recipe.lr
    torch.testing.assert_close(moved, moved.round(), rtol=0, atol=1e-4)
    assert_each_as_alone(flat, what, recipe, together)


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(6, 3)), True),
        (
            nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Identity(), nn.Linear(4, 3, bias=False)),
            True,
        ),
        (nn.Linear(6, 3), False),
        (nn.Sequential(nn.Flatten(2), nn.Linear(6, 3)), False),
        (nn.Sequential(nn.Linear(6, 3), nn.Flatten()), False),
        (nn.Sequential(nn.Linear(6, 3), nn.ReLU()), False),
        (nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 3)), False),
        (nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3)), False),
        (nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4, 3)), False),
        (nn.Sequential(nn.Flatten()), False),
        (nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(6, 3))), False),
        (tied_stack(), False),
    ],
    ids=lambda value: str(value).replace("\n", "") if isinstance(value, nn.Module) else "",
)
def test_what_a_stack_of_linear_layers_is(module: nn.Module, expected: bool) -> None:
    assert is_linear(flatten(module), objective_of("classification", OUTPUTS)) == expected
    assert not is_linear(flatten(module), objective_of("language", OUTPUTS))


def test_a_frozen_layer_is_not_one() -> None:
    module = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3))
    module[2].bias.requires_grad_(False)
    assert not is_linear(flatten(module), objective_of("classification", OUTPUTS))


@pytest.mark.parametrize("name", ["mlp", "conv, frozen", "tied"])
def test_depends_on_its_arguments_only_and_leaves_them_alone(name: str) -> None:
    flat, what = made(name), objective_of("classification", OUTPUTS)
    together = group(flat, name, "classification", RAGGED)
    before = [
        (one.start.clone(), *(tensor.clone() for tensor in one.pool.read(one.rows)))
        for one in together
    ]
    engine = Stacked(flat, what)
    first = engine(work(), together)
    kept = [replace(result, weights=result.weights.clone()) for result in first]
    torch.rand(7)
    flat.module.eval()
    for other in (work(lr=0.3), work(momentum=0.5), work(trainable=frozenset(flat.names[:1]))):
        engine(other, group(flat, name, "classification", [(5, 9), (8, 1)], ("control",)))
    flat.weights[: len(flat.gradient)] = torch.nan
    assert_same(engine(work(), together), kept)
    assert_same(first, kept)  # no result is a view into the place of work
    for one, (start, x, y) in zip(together, before, strict=True):
        assert torch.equal(one.start, start)
        assert all(torch.equal(*pair) for pair in zip(one.pool.read(one.rows), (x, y), strict=True))


def test_what_is_frozen_is_in_no_result_and_stays() -> None:
    flat, what = made("conv, frozen"), objective_of("classification", OUTPUTS)
    fixed = flat.weights[len(flat.moving) :].clone()
    assert len(fixed) > 0
    together = group(flat, "conv, frozen", "classification", RAGGED)
    for result in Stacked(flat, what)(work(weight_decay=0.1), together):
        assert result.weights.shape == flat.moving.shape
    assert torch.equal(flat.weights[len(flat.moving) :], fixed)


@pytest.mark.parametrize("name", ["mlp", "tanh", "conv"])
@pytest.mark.parametrize("objective", ["classification", "regression"])
def test_data_that_is_not_finite_spoils_no_other_client(name: str, objective: str) -> None:
    # Short batches are filled up: with what, matters here, because 0 times NaN is NaN.
    flat, what = made(name), objective_of(objective, OUTPUTS)
    together = group(flat, name, objective, [(9, 7), (3, 5), (2, 6)])
    together[0].pool.x[together[0].rows] = torch.nan
    found, expected = (engine(flat, what)(work(), together) for engine in (Stacked, Loop))
    assert found[0].weights.isnan().any()
    assert_alike(found[1:], expected[1:], together[1:])


@pytest.mark.parametrize("kind", [LinearStack, VmapStack])
def test_each_client_has_its_own_adjustment_before_weight_decay_and_momentum(kind: type) -> None:
    # One sample x = 0: the gradient of the loss is 0, what is left is the adjustment.
    flat = flatten(nn.Sequential(nn.Linear(1, 2, bias=False)))
    held = Pool(torch.zeros(1, 1), torch.zeros(1, dtype=torch.int64))
    ones = [
        Participant(
            start=torch.tensor([2.0, 2.0]),
            pool=held,
            rows=slice(0, 1),
            steps=1 + i,
            order=partial(np.random.default_rng, i),
            rng_seed=int,
            adjust=Adjust(pull=0.5, towards=torch.full((2,), i + 1.0), add=torch.full((2,), 0.5)),
        )
        for i in range(2)
    ]
    momentum = 0.5 if kind is VmapStack else 0.0
    recipe = work(lr=0.5, momentum=momentum, weight_decay=0.1)
    engine = Stacked(flat, objective_of("classification", 2))
    assert type(engine.stack(recipe, 2)) is kind
    first, second = engine(recipe, ones)
    # Client 0: 0.5 (2 - 1) + 0.5 + 0.1 * 2 = 1.2, weight 2 - 0.6 = 1.4. Client 1: 0.5 (2 - 2) + 0.5 + 0.2 = 0.7, weight 1.65;
    # 0.5 (1.65 - 2) + 0.5 + 0.165 = 0.49, with momentum 0.35 + 0.49 = 0.84, weight 1.405 or 1.23.
    assert first.weights.tolist() == pytest.approx([1.4, 1.4], rel=1e-6)
    expected = 1.23 if momentum else 1.405
    assert second.weights.tolist() == pytest.approx([expected] * 2, rel=1e-6)


def test_dropout_follows_the_seed_and_is_each_clients_own() -> None:
    torch.manual_seed(0)
    flat = flatten(
        nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.5), nn.ReLU(), nn.Linear(8, OUTPUTS))
    )
    what, start = objective_of("classification", OUTPUTS), flat.weights.clone()
    held = Pool(*samples("classification", (6,), 8, torch.Generator().manual_seed(0)))

    def trained(rng_seed: int) -> list[LocalResult]:
        torch.rand(rng_seed + 1)  # whatever was drawn before
        one = Participant(
            start, held, slice(0, 8), 3, partial(np.random.default_rng, 0), lambda: rng_seed
        )
        return Stacked(flat, what)(work(), [one, one])

    first, again, other = trained(1), trained(1), trained(2)
    assert_same(first, again)
    assert not torch.equal(first[0].weights, other[0].weights)
    assert not torch.equal(
        first[0].weights, first[1].weights
    )  # twins that differ in what was dropped


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("objective", ["classification", "regression"])
def test_the_gradient_by_hand_is_the_derivative_of_the_loss(objective: str, padded: bool) -> None:
    what, random = objective_of(objective, OUTPUTS), torch.Generator().manual_seed(0)
    output = torch.randn(5, 6, OUTPUTS, dtype=torch.float64, generator=random, requires_grad=True)
    _, y = samples(objective, (1,), 30, random)
    y = y.view(5, 6, *y.shape[1:]).double() if objective == "regression" else y.view(5, 6)
    counts = [6, 1, 3, 5, 2] if padded else [6] * 5
    mask = torch.arange(6) < torch.tensor(counts)[:, None]
    each = [_loss(what, output[i], y[i], mask[i] if padded else None) for i in range(5)]
    by_hand = [_loss(what, output[i, :n], y[i, :n], None) for i, n in enumerate(counts)]
    (expected,) = torch.autograd.grad(torch.stack(each).sum(), output)
    share = (
        mask / mask.double().sum(1, keepdim=True)
        if padded
        else torch.full((1, 1), 1 / 6, dtype=torch.float64)
    )
    found = what.loss_and_grad(output.detach().clone(), y, share)
    assert found is not None
    torch.testing.assert_close(torch.stack(each), torch.stack(by_hand))
    torch.testing.assert_close(found[0], torch.stack(each).detach())
    torch.testing.assert_close(found[1], expected)
    assert (found[1][~mask] == 0).all()


def _loss(
    objective: Objective, output: torch.Tensor, y: torch.Tensor, mask: torch.Tensor | None
) -> torch.Tensor:
    return objective.loss(output, y, mask)

"""Clients trained together: each gets what the loop engine gives it, to 1e-5."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from mpifl.job.schema import Training
from mpifl.models.flat import FlatModel, flatten
from mpifl.objectives import REGISTRY
from mpifl.objectives.objective import IGNORED, Objective
from mpifl.training.linear_stack import LinearStack, is_linear
from mpifl.training.loop import Loop
from mpifl.training.participant import Adjust, LocalResult, Participant
from mpifl.training.samples import Pool
from mpifl.training.stacked import Stacked
from mpifl.training.vmap_stack import VmapStack
from tests.budget import examples

OUTPUTS, TOKENS, LENGTH = 3, 5, 4
PLAIN: dict[str, float] = {}


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


def proximal(base: torch.Tensor, gradient: torch.Tensor, weights: torch.Tensor) -> None:
    gradient.add_(weights - base[: len(weights)], alpha=0.7)


def controlled(control: torch.Tensor, gradient: torch.Tensor, weights: torch.Tensor) -> None:
    gradient.add_(control[: len(weights)])


def correction(kind: str, base: torch.Tensor, random: torch.Generator) -> Adjust | None:
    if kind == "proximal":
        return partial(proximal, base)
    return (
        partial(controlled, 0.1 * torch.randn(len(base), generator=random))
        if kind == "control"
        else None
    )


def group(
    flat: FlatModel,
    name: str,
    objective: str,
    clients: list[tuple[int, int]],
    kinds: tuple[str, ...] = ("none",),
) -> list[Participant]:
    """Of clients with (samples, steps), each with a base of its own; they take turns in ``kinds`` of correction."""
    shape, found = CASES[name].sample, []
    held = [
        samples(objective, shape, count, torch.Generator().manual_seed(i))
        for i, (count, _) in enumerate(clients)
    ]
    x, y = (torch.cat(column) for column in zip(*held, strict=True))
    pool, stop = Pool(x, y, vocabulary=TOKENS if objective == "language" else 0), 0
    for i, (count, steps) in enumerate(clients):
        random = torch.Generator().manual_seed(100 + i)
        base = flat.weights.clone()
        base[: len(flat.gradient)] += 0.05 * torch.randn(len(flat.gradient), generator=random)
        rows, stop = slice(stop, stop + count), stop + count
        correct, order = (
            correction(kinds[i % len(kinds)], base, random),
            partial(np.random.default_rng, i),
        )
        found.append(Participant(base, pool, rows, steps, order, partial(int, i), correct))
    return found


def work(**changed: float) -> Training:
    return Training.model_validate({"batch_size": 4, "lr": 0.1, **changed})


def assert_alike(found: list[LocalResult], expected: list[LocalResult]) -> None:
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.update, other.update, rtol=0, atol=1e-5)
        assert one.loss == pytest.approx(other.loss, abs=1e-5)
        assert other.update.abs().max() > 1e-4  # there was something to get wrong


def assert_same(found: list[LocalResult], expected: list[LocalResult]) -> None:
    """Bit by bit."""
    assert [result.loss for result in found] == [result.loss for result in expected]
    assert all(torch.equal(a.update, b.update) for a, b in zip(found, expected, strict=True))


CLIENTS = st.lists(st.tuples(st.integers(1, 11), st.integers(1, 8)), min_size=1, max_size=7)
"""Of (samples, steps) in batches of 4: clients with less than a batch, odd ones at the end, and more than one epoch."""
SETTINGS = st.sampled_from(
    [
        PLAIN,
        {"momentum": 0.9},
        {"weight_decay": 0.05},
        {"momentum": 0.5, "weight_decay": 0.1},
        {"batch_size": 100},
        {"drop_last": True},
    ]
)
KINDS = st.sampled_from([("none",), ("proximal",), ("control",), ("none", "control", "proximal")])


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
    changed: dict[str, float],
    kinds: tuple[str, ...],
) -> None:
    flat, what = made(name), REGISTRY[objective](OUTPUTS)
    together = group(flat, name, objective, clients, kinds)
    training = work(**changed)
    assert_alike(Stacked(flat, what, training)(together), Loop(flat, what, training)(together))


@examples(50, derandomize=True)
@given(
    st.sampled_from(LINEAR),
    st.sampled_from(["classification", "regression"]),
    CLIENTS,
    st.sampled_from([2, 4, 100]),
    st.booleans(),
)
def test_linear_stacks_under_plain_sgd_get_what_the_loop_gives_them(
    name: str, objective: str, clients: list[tuple[int, int]], batch_size: int, drop_last: bool
) -> None:
    flat, what, training = (
        made(name),
        REGISTRY[objective](OUTPUTS),
        work(batch_size=batch_size, drop_last=drop_last),
    )
    together = group(flat, name, objective, clients)
    assert_alike(Stacked(flat, what, training)(together), Loop(flat, what, training)(together))


@examples(15, derandomize=True)
@given(CLIENTS, SETTINGS, KINDS)
def test_sequences_with_targets_that_are_not_there_too(
    clients: list[tuple[int, int]], changed: dict[str, float], kinds: tuple[str, ...]
) -> None:
    flat, what, training = made("language"), REGISTRY["language"](OUTPUTS), work(**changed)
    together = group(flat, "language", "language", clients, kinds)
    assert_alike(Stacked(flat, what, training)(together), Loop(flat, what, training)(together))


RAGGED = [(3, 5), (9, 2), (1, 7), (6, 7)]


@pytest.mark.parametrize("name", CASES)
def test_every_model_in_one_ragged_group(name: str) -> None:
    objective = "language" if name == "language" else "classification"
    flat, what = made(name), REGISTRY[objective](OUTPUTS)
    together = group(flat, name, objective, RAGGED)
    assert_alike(Stacked(flat, what, work())(together), Loop(flat, what, work())(together))
    assert_alike(
        Stacked(flat, what, work())(together[1:2]), Loop(flat, what, work())(together[1:2])
    )


@pytest.mark.parametrize("objective", ["classification", "regression"])
@pytest.mark.parametrize("name", LINEAR)
def test_both_stacks_agree(name: str, objective: str) -> None:
    flat, what, training = made(name), REGISTRY[objective](OUTPUTS), work()
    bases = torch.stack([one.base for one in group(flat, name, objective, RAGGED)])
    ones, others = (
        [piece.clone(memory_format=torch.contiguous_format) for piece in flat.split(bases)]
        for _ in range(2)
    )
    by_hand, mapped = (
        LinearStack(flat, what, training.lr, ones),
        VmapStack(flat, what, training, others),
    )
    random = torch.Generator().manual_seed(0)
    for active, counts in ((4, None), (4, [1, 6, 3, 2]), (2, [6, 5]), (1, None)):
        x, y = samples(objective, CASES[name].sample, 6 * active, random)
        x, y = x.view(active, 6, *x.shape[1:]), y.view(active, 6, *y.shape[1:])
        mask = None if counts is None else torch.arange(6) < torch.tensor(counts)[:, None]
        torch.testing.assert_close(
            by_hand.step(x, y, mask), mapped.step(x, y, mask), rtol=0, atol=1e-5
        )
    for one, other, before in zip(ones, others, flat.split(bases), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)
        assert (one - before).flatten(1).abs().amax(1).min() > 1e-4


def test_linear_layers_are_differentiated_by_hand_where_a_step_is_the_gradient() -> None:
    flat, what = made("mlp"), REGISTRY["classification"](OUTPUTS)
    plain, corrected = (
        group(flat, "mlp", "classification", RAGGED, (kind,)) for kind in ("none", "proximal")
    )
    assert type(Stacked(flat, what, work()).stack(plain)) is LinearStack
    for training, ones in (
        (work(), corrected),
        (work(momentum=0.5), plain),
        (work(weight_decay=0.5), plain),
    ):
        assert type(Stacked(flat, what, training).stack(ones)) is VmapStack


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
    assert is_linear(flatten(module), REGISTRY["classification"](OUTPUTS)) == expected
    assert not is_linear(flatten(module), REGISTRY["language"](OUTPUTS))


def test_a_frozen_layer_is_not_one() -> None:
    module = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3))
    module[2].bias.requires_grad_(False)
    assert not is_linear(flatten(module), REGISTRY["classification"](OUTPUTS))


@pytest.mark.parametrize("name", ["mlp", "conv, frozen", "tied"])
def test_depends_on_its_arguments_only_and_leaves_them_alone(name: str) -> None:
    flat, what = made(name), REGISTRY["classification"](OUTPUTS)
    together = group(flat, name, "classification", RAGGED)
    before = [
        (one.base.clone(), *(tensor.clone() for tensor in one.pool.read(one.rows)))
        for one in together
    ]
    first = Stacked(flat, what, work())(together)
    kept = [replace(result, update=result.update.clone()) for result in first]
    torch.rand(7)
    flat.module.eval()
    Stacked(flat, what, work(lr=0.3))(group(flat, name, "classification", [(5, 9), (8, 1)]))
    flat.weights[: len(flat.gradient)] = torch.nan
    assert_same(Stacked(flat, what, work())(together), kept)
    assert_same(first, kept)  # no result is a view into the place of work
    for one, (base, x, y) in zip(together, before, strict=True):
        assert torch.equal(one.base, base)
        assert all(torch.equal(*pair) for pair in zip(one.pool.read(one.rows), (x, y), strict=True))


def test_what_is_frozen_has_no_update() -> None:
    flat, what = made("conv, frozen"), REGISTRY["classification"](OUTPUTS)
    for result in Stacked(flat, what, work(weight_decay=0.1))(
        group(flat, "conv, frozen", "classification", RAGGED)
    ):
        assert (result.update[len(flat.gradient) :] == 0).all()


@pytest.mark.parametrize("name", ["mlp", "tanh", "conv"])
@pytest.mark.parametrize("objective", ["classification", "regression"])
def test_data_that_is_not_finite_spoils_no_other_client(name: str, objective: str) -> None:
    # Short batches are filled up: with what, matters here, because 0 times NaN is NaN.
    flat, what = made(name), REGISTRY[objective](OUTPUTS)
    together = group(flat, name, objective, [(9, 7), (3, 5), (2, 6)])
    together[0].pool.x[together[0].rows] = torch.nan
    found, expected = Stacked(flat, what, work())(together), Loop(flat, what, work())(together)
    assert found[0].update.isnan().any()
    assert_alike(found[1:], expected[1:])


def test_correct_is_called_in_each_step_of_its_client_alone_before_weight_decay_and_momentum() -> (
    None
):
    calls: dict[int, list[list[float]]] = {0: [], 1: []}

    def correct(client: int, gradient: torch.Tensor, weights: torch.Tensor) -> None:
        calls[client].append(weights.tolist())
        gradient.fill_(client + 1.0)

    flat = flatten(nn.Linear(1, 2, bias=False))
    held = Pool(torch.ones(1, 1), torch.zeros(1, dtype=torch.int64))
    ones = [
        Participant(
            torch.tensor([2.0, 2.0]),
            held,
            slice(0, 1),
            1 + i,
            partial(np.random.default_rng, i),
            int,
            partial(correct, i),
        )
        for i in range(2)
    ]
    training = work(lr=0.5, momentum=0.5, weight_decay=0.1)
    found = Stacked(flat, REGISTRY["classification"](2), training)(ones)
    # Client 0: velocity 1 + 0.1 * 2 = 1.2, weight 2 - 0.6 = 1.4. Client 1: velocity 2.2, weight 0.9; velocity
    # 1.1 + 2 + 0.09 = 3.19, weight 0.9 - 1.595 = -0.695.
    assert calls[0] == [pytest.approx([2.0, 2.0])]
    assert calls[1] == [pytest.approx([2.0, 2.0]), pytest.approx([0.9, 0.9])]
    assert found[0].update.tolist() == pytest.approx([-0.6, -0.6], rel=1e-6)
    assert found[1].update.tolist() == pytest.approx([-2.695, -2.695], rel=1e-6)


def test_dropout_follows_the_seed_and_is_each_clients_own() -> None:
    torch.manual_seed(0)
    flat = flatten(
        nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.5), nn.ReLU(), nn.Linear(8, OUTPUTS))
    )
    what, base = REGISTRY["classification"](OUTPUTS), flat.weights.clone()
    held = Pool(*samples("classification", (6,), 8, torch.Generator().manual_seed(0)))

    def trained(rng_seed: int) -> list[LocalResult]:
        torch.rand(rng_seed + 1)  # whatever was drawn before
        one = Participant(
            base, held, slice(0, 8), 3, partial(np.random.default_rng, 0), lambda: rng_seed, None
        )
        return Stacked(flat, what, work())([one, one])

    first, again, other = trained(1), trained(1), trained(2)
    assert_same(first, again)
    assert not torch.equal(first[0].update, other[0].update)
    assert not torch.equal(
        first[0].update, first[1].update
    )  # twins that differ in what was dropped


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("objective", ["classification", "regression"])
def test_the_gradient_by_hand_is_the_derivative_of_the_loss(objective: str, padded: bool) -> None:
    what, random = REGISTRY[objective](OUTPUTS), torch.Generator().manual_seed(0)
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

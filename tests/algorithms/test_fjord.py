"""FjORD against networks that are really narrower, a new one for each step, and its identities."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from mpifl.algorithms.fjord import Fjord
from mpifl.algorithms.requests import Train
from mpifl.clock.workload_by_kind import WorkloadByKind
from mpifl.errors import InputError
from mpifl.models.flat import flatten
from mpifl.models.layout import layout_of
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.seeds import Purpose, generator
from mpifl.transforms.transform import Mixture, of_targets
from tests.algorithms.reference import (
    EQUAL,
    SETTING,
    Run,
    assert_close,
    assert_is_fedavg,
    assert_resumes_alike,
)
from tests.algorithms.sides import context
from tests.algorithms.test_heterofl import milliseconds, widths_of
from tests.convolved import HERE, network
from tests.known import known
from tests.models.library import library

WIDTHS = (1.0, 0.5, 0.25)
SHARES = "widths: [1.0, 0.5, 0.25], shares: [0.3, 0.3, 0.4]"
FJORD = f"algorithm={{name: fjord, {SHARES}}}"
CONVOLVED = (
    f"model={{name: '{HERE}:Convolved'}}",
    "data.partition={name: iid, clients: 12}",
    "data.split={by: clients, test: 0.2, validation: 0.15}",  # 8 clients of 120 samples
    "training={batch_size: 20, epochs: 2, lr: 0.2, batch_norm: recompute}",
)
"""All batches are full, so that batch norm drops none."""

Build = Callable[[float], nn.Module]
StepLoss = Callable[[nn.Module, nn.Module, torch.Tensor, torch.Tensor], torch.Tensor]
"""The loss of a step, given the client's network, that of the width drawn, and a minibatch."""


def perceptron(width: float) -> nn.Module:
    units = math.ceil(16 * width)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, units), nn.ReLU(), nn.Linear(units, 10))


def convolved(width: float) -> nn.Module:
    return network(10, width)


def leading(of: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """The first entries in each dimension."""
    return of[tuple(slice(size) for size in like.shape)]


def with_leading(module: nn.Module, tensors: list[torch.Tensor]) -> nn.Module:
    """A narrower network with the leading entries of a wider one's tensors."""
    with torch.no_grad():
        for parameter, whole in zip(module.parameters(), tensors, strict=True):
            parameter.copy_(leading(whole, parameter))
    return module


def tensors(run: Run, weights: torch.Tensor) -> list[torch.Tensor]:
    """A model's parameters; those of convolutions have their channels last in the vector."""
    found = []
    for name in run.layout.parameters:
        shape = run.layout.shapes[name]
        tensor = weights[run.layout.slices[name]]
        if len(shape) == 4:
            tensor = tensor.view(shape[0], *shape[2:], shape[1]).moveaxis(-1, 1)
        found.append(tensor.reshape(shape))
    return found


def trained(
    run: Run,
    build: Build,
    model: list[torch.Tensor],
    row: tuple[int, int, int],
    width: float,
    loss: StepLoss,
) -> list[torch.Tensor]:
    """What a client's network is after its local steps by torch.optim."""
    number, client, steps = row
    own = with_leading(build(width), model)
    options = run.job.training
    sgd = torch.optim.SGD(
        own.parameters(),
        options.lr,
        momentum=getattr(options.optimizer, "momentum", 0.0),
        weight_decay=getattr(options.optimizer, "weight_decay", 0.0),
    )
    widths = [each for each in WIDTHS if each <= width]
    drawn = np.zeros(steps, int)
    if len(widths) > 1:
        drawn = generator(run.job.seed, Purpose.CLIENT, number, client).integers(
            len(widths), size=steps
        )
    for place, (x, y) in zip(drawn.tolist(), run.batches(number, client, steps), strict=True):
        sgd.zero_grad()
        if place == 0:
            cross_entropy(own(x), y).backward()
        else:
            part = with_leading(build(widths[place]), list(own.parameters()))
            loss(own, part, x, y).backward()
            for parameter, narrow in zip(own.parameters(), part.parameters(), strict=True):
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                leading(parameter.grad, narrow).add_(known(narrow.grad))
        if options.clip_norm is not None:
            nn.utils.clip_grad_norm_(own.parameters(), options.clip_norm)
        sgd.step()
    return [parameter.detach() for parameter in own.parameters()]


def federated(run: Run, build: Build, loss: StepLoss) -> list[torch.Tensor]:
    """The model's parameters after all rounds; each entry is the mean by samples of those who have it."""
    widths = widths_of(run, milliseconds(run))
    model = tensors(run, run.initial)
    taken = set()
    for number, participants in run.rounds():
        sums = [torch.zeros_like(tensor) for tensor in model]
        weights = [torch.zeros_like(tensor) for tensor in model]
        for client, _, steps in participants:
            samples = len(run.samples(client)[1])
            own = trained(run, build, model, (number, client, steps), widths[client], loss)
            for total, weight, parameter in zip(sums, weights, own, strict=True):
                leading(total, parameter).add_(samples * parameter)
                leading(weight, parameter).add_(samples)
            taken.add(widths[client])
        model = [
            torch.where(weight > 0, total / weight.clamp(min=1), old)
            for total, weight, old in zip(sums, weights, model, strict=True)
        ]
    assert taken == set(WIDTHS)
    return model


def plain(own: nn.Module, part: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return cross_entropy(part(x), y)


def distilled(own: nn.Module, part: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The authors' own code: the narrower network is taught by soft targets alone."""
    widest = own(x)
    return cross_entropy(widest, y) + cross_entropy(part(x), widest.detach().softmax(dim=1))


def tempered(own: nn.Module, part: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Alpha 0.7 and a temperature of 2, sample by sample."""
    widest, output = own(x), part(x)
    distance = torch.tensor(0.0)
    for row, taught in zip(widest.detach(), output, strict=True):
        p, q = (torch.exp(z / 2) / torch.exp(z / 2).sum() for z in (row, taught))
        distance = distance + (p * torch.log(p / q)).sum() / len(y)
    return cross_entropy(widest, y) + 0.3 * cross_entropy(output, y) + 0.7 * distance


PLAIN = "epochs: 2, lr: 0.2"
MOMENTUM = (
    "epochs: 1, lr: 0.1, optimizer: {name: sgd, momentum: 0.9, weight_decay: 0.01}, clip_norm: 1.0"
)


@pytest.mark.parametrize(
    ("options", "loss", "training"),
    [
        ("", plain, PLAIN),
        ("", plain, MOMENTUM),
        (", alpha: 1", distilled, PLAIN),
        (", alpha: 0.7, temperature: 2", tempered, MOMENTUM),
    ],
)
def test_five_rounds_are_those_of_narrower_networks(
    tmp_path: Path, options: str, loss: StepLoss, training: str
) -> None:
    algorithm = f"algorithm={{name: fjord, {SHARES}{options}}}"
    run = Run(tmp_path, algorithm, f"training={{batch_size: 16, {training}}}")
    expected = federated(run, perceptron, loss)
    for found, tensor, before in zip(
        tensors(run, run.state["model"]), expected, tensors(run, run.initial), strict=True
    ):
        assert_close(found, tensor, atol=5e-6)
        assert (found - before).abs().max() > 0.01


@pytest.mark.parametrize(("options", "loss"), [("", plain), (", alpha: 1", distilled)])
def test_three_rounds_are_those_of_narrower_convolutions(
    tmp_path: Path, options: str, loss: StepLoss
) -> None:
    """With batch norm, whose means are of the width drawn; units outside put out 1/2, which no one sees."""
    run = Run(tmp_path, f"algorithm={{name: fjord, {SHARES}{options}}}", *CONVOLVED, "rounds=3")
    expected = federated(run, convolved, loss)
    for found, tensor in zip(tensors(run, run.state["model"]), expected, strict=True):
        assert_close(found, tensor, atol=1e-5)


class Adapters(nn.Module):
    """A perceptron of two frozen layers, each with adapters of a rank whose scale is that of rank 4."""

    def __init__(self, base: list[torch.Tensor], rank: int) -> None:
        super().__init__()
        self.base = base
        shapes = [(rank, 64), (12, rank), (rank, 12), (10, rank)]
        self.own = nn.ParameterList([nn.Parameter(torch.empty(shape)) for shape in shapes])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a, b, c, d = self.own
        first, first_bias, second, second_bias = self.base
        x = x.flatten(1)
        x = (x @ (first + 6 / 4 * b @ a).T + first_bias).relu()
        return x @ (second + 6 / 4 * d @ c).T + second_bias


def test_five_rounds_of_adapters_are_those_of_lower_ranks(tmp_path: Path) -> None:
    library("peft")
    run = Run(tmp_path, FJORD, "model={name: mlp, hidden: [12], lora: {rank: 4, alpha: 6}}")
    parameters = run.experiment.model.module.parameters()
    base = [parameter.detach() for parameter in parameters if not parameter.requires_grad]
    expected = federated(run, lambda width: Adapters(base, int(4 * width)), plain)
    for found, tensor in zip(tensors(run, run.state["model"]), expected, strict=True):
        assert_close(found, tensor)
    assert (run.state["model"] - run.initial).abs().max() > 0.01


@pytest.mark.parametrize("engine", ["loop", "stacked"])
def test_with_one_width_of_1_it_is_fedavg_to_the_bit(tmp_path: Path, engine: str) -> None:
    """Of clients with unlike numbers of samples."""
    one = "{name: fjord, widths: [1.0], alpha: 1}"
    assert_is_fedavg(tmp_path, one, f"training.engine={engine}")


@pytest.mark.parametrize("width", [1.0, 0.5])
def test_with_one_width_it_is_heterofl_of_that_width_to_the_bit(
    tmp_path: Path, width: float
) -> None:
    """Of clients with as many samples each, and without what HeteroFL has besides."""
    fjord, heterofl = (
        Run(tmp_path / name, f"algorithm={{name: {name}, widths: [{width}]{more}}}", *EQUAL)
        for name, more in (("fjord", ""), ("heterofl", ", scaler: false, masked: false"))
    )
    assert torch.equal(fjord.state["model"], heterofl.state["model"])


def test_where_the_narrowest_clients_alone_take_part_nothing_is_drawn(tmp_path: Path) -> None:
    """Three widths, of which all clients have the last: HeteroFL's part, to the bit."""
    shares = "widths: [1.0, 0.5, 0.25], shares: [0, 0, 1]"
    fjord, heterofl = (
        Run(tmp_path / name, f"algorithm={{name: {name}, {shares}{more}}}", *EQUAL)
        for name, more in (("fjord", ""), ("heterofl", ", scaler: false, masked: false"))
    )
    assert torch.equal(fjord.state["model"], heterofl.state["model"])


def test_it_resumes_alike(tmp_path: Path) -> None:
    assert_resumes_alike(tmp_path, f"algorithm={{name: fjord, {SHARES}, alpha: 1}}")


@pytest.mark.parametrize("alpha", [None, 0.0, 1.0])
def test_a_client_pays_for_its_part_and_for_the_mean_of_the_widths_that_it_draws(
    alpha: float | None,
) -> None:
    """64-16-10: products of the half are half the size; with a teacher, one of p_max beside each narrower one."""
    option = "" if alpha is None else f", alpha: {alpha}"
    job = f"algorithm={{name: fjord, {SHARES}{option}}}"
    work = check_job("quickstart", [*SETTING, job])[0].workload
    assert isinstance(work, WorkloadByKind)
    sizes = [4 * (64 * units + units + 10 * units + 10) for units in (16, 8, 4)]
    assert [kind.bytes_down for kind in work.kinds] == sizes
    assert [kind.bytes_up for kind in work.kinds] == sizes
    drawn = [(1 + 1 / 2 + 1 / 4) / 3, (1 / 2 + 1 / 4) / 2, 1 / 4]
    teacher = [0.0, 0.0, 0.0] if alpha is None else [2 / 3, 1 / 4, 0]
    found = [kind.compute_scale for kind in work.kinds]
    assert found == pytest.approx([one + other for one, other in zip(drawn, teacher, strict=True)])


def test_of_a_mixture_of_targets_a_step_draws_once() -> None:
    torch.manual_seed(4)
    module = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3))
    flat = flatten(module)
    x, first, second = torch.randn(8, 5), torch.arange(8) % 3, torch.arange(8) % 2

    def losses(*targets: torch.Tensor | Mixture) -> list[torch.Tensor]:
        c = context(
            {"model": flat.moving.clone()},
            layout=layout_of(flat),
            steps=40,
            loss=lambda output, y: of_targets(lambda target: cross_entropy(output, target), y),
        )
        request = next(Fjord(alpha=0.5).client(c))
        assert isinstance(request, Train)
        assert request.loss is not None
        loss: Callable[..., torch.Tensor] = request.loss
        return [loss(module, x, target) for target in targets]

    mixed = torch.stack(losses(*[Mixture(first, second, 0.3)] * 40))
    one, other = (torch.stack(losses(*[target] * 40)) for target in (first, second))
    assert len(mixed.unique()) == 5  # all widths were drawn
    assert_close(mixed, 0.3 * one + 0.7 * other)


def test_it_trains_on_mixtures(tmp_path: Path) -> None:
    """Were a step to draw for each of its two targets, it would run out of what it has drawn."""
    run, other = (
        Run(tmp_path / name, FJORD, "rounds=1", f"training.transform={name}")
        for name in ("mixup", "none")
    )
    assert not torch.equal(run.state["model"], other.state["model"])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["algorithm.temperature=2"], "algorithm.temperature: 2 does nothing without algorithm.al"),
        (["algorithm.alpha=1.5"], "algorithm.alpha: 1.5 is not allowed"),
        (["algorithm.widths=[0.5, 1.0]"], "widths must fall"),
        (["algorithm.devices={Phone: 0.5}"], "give shares or devices, not both"),
        (["selection={name: power_of_choice, participants: 5}"], "loss of the whole model"),
        (["clock={mode: async, concurrency: 5}"], "clock.mode: 'async' is not allowed"),
        (["privacy={name: gaussian, epsilon: 8}"], "'fjord' is not allowed with privacy"),
        (
            [*CONVOLVED, "training.batch_norm=average"],
            "training.batch_norm: 'average' is not allowed with algorithm.name fjord",
        ),
    ],
)
def test_what_it_cannot_do_is_refused_with_a_line(overrides: list[str], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        check_job("quickstart", [*SETTING, FJORD, *overrides])

"""HeteroFL against networks that are really narrower, trained by torch.optim and merged entry by entry."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from mpifl.algorithms.heterofl import HeteroFL
from mpifl.algorithms.widths import leading_part
from mpifl.clock.timeline import Outcome
from mpifl.clock.workload_by_kind import WorkloadByKind
from mpifl.datasets.dataset import Dataset
from mpifl.errors import InputError
from mpifl.job import parse_job
from mpifl.models.flat import flatten
from mpifl.models.layout import layout_of
from mpifl.population.population import Population
from mpifl.record.participant_columns import own_columns, own_participants
from mpifl.record.rows import participant_rows
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.traces.labels import Labels
from mpifl.traces.trace import Trace
from tests.algorithms.personal import personal_model
from tests.algorithms.reference import EQUAL, SETTING, Run, assert_close
from tests.known import known

WIDTHS = (1.0, 0.5, 0.25)
HETERO = "algorithm={name: heterofl, widths: [1.0, 0.5, 0.25], shares: [0.3, 0.3, 0.4]}"
PLAIN = "scaler: false, masked: false"


class Scaler(nn.Module):
    """The paper's: divide by the width while training."""

    def __init__(self, width: float) -> None:
        super().__init__()
        self.width = width

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x / self.width if self.training else x


Places = list[tuple[slice, ...]]


def narrow(run: Run, weights: torch.Tensor, width: float) -> tuple[nn.Sequential, Places]:
    """A perceptron of 64, ceil(16 width) and 10 units with the leading weights, and where these are."""
    units = math.ceil(16 * width)
    module = nn.Sequential(
        nn.Flatten(), nn.Linear(64, units), Scaler(width), nn.ReLU(), nn.Linear(units, 10)
    )
    places: Places = [
        (slice(units), slice(None)),
        (slice(units),),
        (slice(None), slice(units)),
        (slice(None),),
    ]
    with torch.no_grad():
        for parameter, whole, place in zip(
            module.parameters(), tensors(run, weights), places, strict=True
        ):
            parameter.copy_(whole[place])
    return module, places


def tensors(run: Run, weights: torch.Tensor) -> list[torch.Tensor]:
    return [
        weights[where].view(run.layout.shapes[name]) for name, where in run.layout.slices.items()
    ]


def widths_of(run: Run, slowest: dict[int, float]) -> dict[int, float]:
    """The width of each client: by the order of the milliseconds of the devices."""
    order = sorted(slowest, key=lambda client: (slowest[client], client))
    ranks = [math.ceil(0.3 * len(order)), math.ceil(0.6 * len(order))]
    bounds = [slowest[order[rank - 1]] for rank in ranks]
    return {c: WIDTHS[sum(slowest[c] > bound for bound in bounds)] for c in order}


def milliseconds(run: Run) -> dict[int, float]:
    population = run.experiment.population
    rows = population.devices(np.arange(run.clients))
    return dict(enumerate(known(population.trace).compute_ms_per_sample[rows].tolist()))


@pytest.mark.parametrize(
    "training",
    ["optimizer: sgd", "optimizer: {name: sgd, momentum: 0.9, weight_decay: 0.01}, clip_norm: 1.0"],
)
def test_five_rounds_are_those_of_narrower_networks(tmp_path: Path, training: str) -> None:
    """With the paper's scaler, masked cross-entropy and rows of the last layer by class."""
    more = f"training={{batch_size: 16, epochs: 1, lr: 0.1, {training}}}"
    run = Run(tmp_path, HETERO, more)
    widths = widths_of(run, milliseconds(run))
    model = run.initial.clone()
    taken = set()
    for number, participants in run.rounds():
        sums = [torch.zeros_like(tensor) for tensor in tensors(run, model)]
        counts = [torch.zeros_like(tensor) for tensor in sums]
        for client, _, steps in participants:
            module, places = narrow(run, model, widths[client])
            own = run.samples(client)[1].unique()
            absent = torch.ones(10, dtype=torch.bool)
            absent[own] = False
            decay = 0.01 if "weight_decay" in training else 0.0
            sgd = torch.optim.SGD(
                module.parameters(), 0.1, momentum=0.9 if decay else 0, weight_decay=decay
            )
            for x, y in run.batches(number, client, steps):
                sgd.zero_grad()
                cross_entropy(module(x).masked_fill(absent, 0), y).backward()
                if decay:
                    nn.utils.clip_grad_norm_(module.parameters(), 1.0)
                sgd.step()
            rows = [slice(None), slice(None), own, own]
            for total, count, parameter, place, row in zip(
                sums, counts, module.parameters(), places, rows, strict=True
            ):
                total[place][row] = total[place][row] + parameter.detach()[row]
                count[place][row] = count[place][row] + 1
            taken.add(widths[client])
        merged = [
            torch.where(count > 0, total / count.clamp(min=1), old)
            for total, count, old in zip(sums, counts, tensors(run, model), strict=True)
        ]
        model = torch.cat([tensor.flatten() for tensor in merged])

    assert taken == set(WIDTHS)
    assert_close(run.state["model"], model)


def test_the_record_says_the_width_of_everyone_who_was_asked(tmp_path: Path) -> None:
    training = "training={batch_size: 16, epochs: 1, lr: 0.1}"
    run = Run(tmp_path, HETERO, training, "clock={mode: sync, overcommitment: 1.5}")
    widths = widths_of(run, milliseconds(run))
    columns = own_columns(run.job)
    assert columns["kind"][1].endswith("0 width 1, 1 width 0.5, 2 width 0.25")
    work = run.experiment.workload
    assert isinstance(work, WorkloadByKind)
    for result in run.results:
        rows = own_participants(participant_rows(result), result, columns, work.kinds_of)
        assert np.count_nonzero(rows["outcome"] == Outcome.CUT)
        for row in rows:
            assert WIDTHS[row["kind"]] == widths[int(row["client"])]
    plain = {"rounds": 1, "model": "logreg", "selection": {"name": "uniform", "participants": 1}}
    assert not own_columns(parse_job(plain))


@pytest.mark.parametrize("engine", ["loop", "stacked"])
def test_at_full_width_it_is_fedavg_to_the_bit(tmp_path: Path, engine: str) -> None:
    same = (*EQUAL, f"training.engine={engine}")
    hetero = Run(tmp_path / "a", f"algorithm={{name: heterofl, widths: [1.0], {PLAIN}}}", *same)
    fedavg = Run(tmp_path / "b", *same)
    assert torch.equal(hetero.state["model"], fedavg.state["model"])
    loads = [run.results[0].plan.timeline.participants for run in (hetero, fedavg)]
    assert loads[0].tobytes() == loads[1].tobytes()


def test_a_client_pays_for_the_bytes_and_the_flops_of_its_part() -> None:
    """64-16-10: the half has 64 8 + 8 + 8 10 + 10 weights, and its products half the size."""
    experiment = check_job("quickstart", [*SETTING, HETERO])[0]
    work = experiment.workload
    assert isinstance(work, WorkloadByKind)
    whole, half, quarter = work.kinds
    sizes = [64 * units + units + 10 * units + 10 for units in (16, 8, 4)]
    assert [kind.bytes_down for kind in work.kinds] == [4 * size for size in sizes]
    assert [kind.bytes_up for kind in work.kinds] == [4 * (size + 10) for size in sizes]
    assert (whole.compute_scale, half.compute_scale, quarter.compute_scale) == (1, 0.5, 0.25)

    clients = np.arange(experiment.population.clients)
    kinds = work.kinds_of(clients)
    assert sorted(set(kinds.tolist())) == [0, 1, 2]
    assert work.loads(clients)[0].tolist() == [work.kinds[kind].bytes_down for kind in kinds]
    rows = experiment.population.devices(clients)
    speed = known(experiment.population.trace).compute_ms_per_sample[rows]
    assert speed[kinds == 0].max() <= speed[kinds == 1].min()
    assert speed[kinds == 1].max() <= speed[kinds == 2].min()


def test_it_pays_for_its_part_also_where_all_clients_have_the_same() -> None:
    alone = "algorithm={name: heterofl, widths: [0.5], masked: false}"
    work = check_job("quickstart", [*SETTING, alone])[0].workload
    assert isinstance(work, WorkloadByKind)
    (half,) = work.kinds
    size = 4 * (64 * 8 + 8 + 10 * 8 + 10)
    assert (half.bytes_down, half.bytes_up, half.compute_scale) == (size, size, 0.5)


def test_a_client_is_tested_with_its_own_part(tmp_path: Path) -> None:
    run = Run(tmp_path, HETERO)
    widths = widths_of(run, milliseconds(run))
    for client in range(run.clients):
        whole = personal_model(run, client)
        module, _ = narrow(run, run.state["model"], widths[client])
        x, _ = run.samples(client)
        torch.testing.assert_close(run.output(whole, x), module.eval()(x), atol=1e-5, rtol=0)


def test_the_parts_of_a_convolutional_network_are_those_of_a_narrower_one() -> None:
    """Channels last in memory, a flattened image, a depthwise convolution, batch norm."""

    def network(first: int, second: int, units: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(3, first, 3, bias=False),
            nn.BatchNorm2d(first),
            nn.ReLU(),
            nn.Conv2d(first, first, 3, groups=first),
            nn.Conv2d(first, second, 3),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(second * 4, units),
            nn.ReLU(),
            nn.Linear(units, 5),
        )

    torch.manual_seed(3)
    flat = flatten(network(8, 6, 10))
    part = leading_part(layout_of(flat), 0.5, "heterofl")
    small = flatten(network(4, 3, 5))
    assert len(part.indices) == len(small.gradient)

    inside = torch.zeros(len(flat.moving))
    inside[torch.from_numpy(part.indices)] = flat.moving[torch.from_numpy(part.indices)]
    x = torch.randn(4, 3, 8, 8)
    small.load(torch.cat([flat.moving[torch.from_numpy(part.indices)], small.moving[-8:]]))
    flat.load(torch.cat([inside[:-16], flat.moving[-16:]]))
    torch.testing.assert_close(flat.module.train()(x), small.module.train()(x))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["selection={name: power_of_choice, participants: 5}"], "loss of the whole model"),
        (["exchange.up=[{name: top_k, share: 0.1}]"], "exchange.up: not allowed with"),
        (["algorithm.devices={Phone: 0.5}"], "give shares or devices, not both"),
        (["algorithm.shares=null", "algorithm.devices={Nokia: 0.5}"], "'Nokia' is not allowed"),
        (["algorithm.widths=[0.5, 1.0]"], "widths must fall"),
        (["clock={mode: async, concurrency: 5}"], "clock.mode: 'async' is not allowed"),
    ],
)
def test_what_it_cannot_do_is_refused_with_a_line(overrides: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_job("quickstart", [*SETTING, HETERO, *overrides])


def test_a_model_with_other_layers_is_refused() -> None:
    layout = layout_of(flatten(nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))))
    with pytest.raises(InputError, match="belongs to a layer LayerNorm"):
        leading_part(layout, 0.5, "heterofl")


def test_widths_of_devices_are_those_of_the_trace(
    make_dataset: Callable[..., Dataset],
    make_trace: Callable[..., Trace],
    make_population: Callable[..., Population],
) -> None:
    trace = make_trace([[(0, 100)]] * 3)
    labels = Labels(devices={"model": np.array([b"old", b"new", b"old"])})
    population = make_population(make_dataset([10] * 3), replace(trace, labels=labels))
    devices = population.devices(np.arange(3))
    algorithm = HeteroFL(widths=(1.0, 0.5), devices={"new": 1.0, "old": 0.5}).settled(population)
    expected = [0 if device == 1 else 1 for device in devices.tolist()]
    assert algorithm.kinds_of(np.arange(3), population).tolist() == expected

"""The mean of adapters: that of their products with flora and with a frozen A, and not without."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, linear

from mpifl.algorithms.flora import _products
from mpifl.errors import InputError
from mpifl.rounds.clients.personal import _model
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.seeds import Purpose, generator
from tests.algorithms.reference import Run, assert_close
from tests.models.library import library

RANK, ALPHA = 2, 6.0
SCALE = ALPHA / RANK
SHAPES = ((12, 64), (10, 12))
ADAPTED = f"model={{name: mlp, hidden: [12], lora: {{rank: {RANK}, alpha: {ALPHA}}}}}"
WHOLE = "model.lora.modules_to_save=['3']"


@pytest.fixture(autouse=True)
def _peft() -> None:
    library("peft")


def named(run: Run, vector: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the tensors of a run's vector by name, and those of its base."""
    own = {n: vector[at].view(run.layout.shapes[n]) for n, at in run.layout.slices.items()}
    base = {based.name: based.tensor.detach().clone() for based in run.experiment.model.base}
    return base | own


def layers(tensors: dict[str, torch.Tensor], kind: str) -> list[torch.Tensor]:
    """Return the tensors of both layers, of one kind."""
    return [tensor for name, tensor in sorted(tensors.items()) if kind in name]


def whole(run: Run, vector: torch.Tensor) -> list[torch.Tensor]:
    """Return the weights W + scale B A that a run's vector stands for, layer by layer."""
    found = named(run, vector)
    triples = zip(
        *(layers(found, k) for k in ("base_layer.weight", "lora_A", "lora_B")), strict=True
    )
    return [weight + SCALE * b @ a for weight, a, b in triples]


def rounds_of_products(run: Run, first: list[torch.Tensor] | None) -> list[torch.Tensor]:
    """Average the products B A of plain clients into the weights, in each round anew.

    ``first`` is the A of all clients; without it each draws its own in each round.
    """
    weights = whole(run, run.initial)
    biases = layers(named(run, run.initial), "base_layer.bias")
    for number, participants in run.rounds():
        total = [torch.zeros(shape) for shape in SHAPES]
        for client, share, steps in participants:
            random = generator(run.job.seed, Purpose.CLIENT, number, client)
            own_a = first or [
                torch.from_numpy(random.uniform(-1, 1, (RANK, i)) / i**0.5).float()
                for _, i in SHAPES
            ]
            a = [nn.Parameter(one.clone(), requires_grad=first is None) for one in own_a]
            b = [nn.Parameter(torch.zeros(outputs, RANK)) for outputs, _ in SHAPES]
            sgd = torch.optim.SGD([*b, *a], run.job.training.lr)
            for x, y in run.batches(number, client, steps):
                x = x.flatten(1)
                for k in range(2):
                    x = linear(x, weights[k] + SCALE * b[k] @ a[k], biases[k])
                    x = x.relu() if k == 0 else x
                sgd.zero_grad()
                cross_entropy(x, y).backward()
                sgd.step()
            total = [
                t + share * SCALE * (bk @ ak).detach()
                for t, bk, ak in zip(total, b, a, strict=True)
            ]
        weights = [weight + t for weight, t in zip(weights, total, strict=True)]
    return weights


def test_the_weights_get_the_mean_of_the_products(tmp_path: Path) -> None:
    run = Run(tmp_path, ADAPTED, "algorithm=flora")
    found = whole(run, run.state["model"])
    for ours, theirs, before in zip(
        found, rounds_of_products(run, None), whole(run, run.initial), strict=True
    ):
        assert_close(ours, theirs)
        assert (ours - before).abs().max() > 0.01
    assert not any(b.any() for b in layers(named(run, run.state["model"]), "lora_B"))


def test_with_a_frozen_a_the_mean_of_adapters_is_that_of_products(tmp_path: Path) -> None:
    run = Run(tmp_path, ADAPTED, "model.lora.freeze_a=true")
    first = layers(named(run, run.initial), "lora_A")
    for ours, theirs in zip(
        whole(run, run.state["model"]), rounds_of_products(run, first), strict=True
    ):
        assert_close(ours, theirs)


def test_with_a_trained_a_it_is_not(tmp_path: Path) -> None:
    """What docs/lora.md says of the mean of adapters, in one round: all begin with the same A and B."""
    run = Run(tmp_path, ADAPTED, "rounds=1")
    exact = Run(tmp_path / "exact", ADAPTED, "rounds=1", "algorithm=flora")
    means = [
        w - v for w, v in zip(whole(run, run.state["model"]), whole(run, run.initial), strict=True)
    ]
    products = [
        w - v
        for w, v in zip(
            whole(exact, exact.state["model"]), whole(exact, exact.initial), strict=True
        )
    ]
    assert torch.linalg.matrix_rank(means[0]) == RANK
    assert torch.linalg.matrix_rank(products[0], rtol=1e-4) > RANK


def test_layers_that_are_trained_whole_are_averaged_and_bytes_are_those_of_adapters(
    tmp_path: Path,
) -> None:
    run = Run(tmp_path, ADAPTED, "algorithm=flora", WHOLE, "rounds=1")
    work: Any = run.experiment.workload
    up = RANK * (64 + 12) + 12 * 10 + 10
    assert (work.bytes_up, work.bytes_down) == (4 * up, 4 * (12 * 64 + 12 * 10 + 10))
    before, after = named(run, run.initial), named(run, run.state["model"])
    changed = {name for name in after if not torch.equal(before[name], after[name])}
    kept = {name for name in run.layout.parameters if "lora_" in name}
    assert changed == set(run.layout.parameters) - kept


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("model={name: mlp}", "'flora' is not allowed without model.lora"),
        ("model.lora.freeze_a=true", "model.lora.freeze_a: true is not allowed"),
        ("objective=preference", "objective.name"),
        ("secure_aggregation=secagg", "not allowed with secure_aggregation"),
        ("training.clip_norm=1", "training.clip_norm"),
    ],
)
def test_what_does_not_go_with_it_is_refused(key: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        check_job("quickstart", [ADAPTED, "algorithm=flora", key])


def test_weights_of_fewer_bits_are_those_without_adapters(tmp_path: Path) -> None:
    library("bitsandbytes")
    model = "model={name: mlp, hidden: [12], lora: {rank: 2, target_modules: ['1'], base_bits: 8}}"
    run = Run(tmp_path, model, "algorithm=flora", "rounds=1")
    assert {str(based.tensor.dtype) for based in run.experiment.model.base} >= {"torch.int8"}
    assert any(name.endswith("base_layer.weight") for name in run.layout.parameters)


def test_a_client_fine_tunes_adapters_alone(tmp_path: Path) -> None:
    tune = (
        "data.split={by: samples, test: 0.3}",
        "evaluation={personal: true, fine_tune_steps: 2}",
    )
    run = Run(tmp_path, ADAPTED, "algorithm=flora", "rounds=1", *tune)
    context: Any = SimpleNamespace(received={"model": run.initial}, layout=run.layout)
    request: Any = next(_model(run.experiment, context))
    assert request.trainable == {name for name in run.layout.parameters if "lora_" in name}


EMBEDDED = """
import torch
from torch import nn

from mpifl.models.model import Model


class Pixels(nn.Module):
    def __init__(self):
        super().__init__()
        self.pixels = nn.Embedding(17, 4)
        self.last = nn.Linear(4, 10)

    def forward(self, x):
        return self.last(self.pixels(x.flatten(1).long().clamp(0, 16)).mean(1))


class Embedded(Model):
    name: str = "embedded"

    def build(self, data):
        return Pixels()
"""


def test_adapters_of_embeddings_are_refused(tmp_path: Path) -> None:
    """They have other names than A and B: they would be averaged, and merged too."""
    file = tmp_path / "mine.py"
    file.write_text(EMBEDDED)
    model = f"model={{name: '{file}:Embedded', lora: {{rank: 2, target_modules: [pixels, last]}}}}"
    check_job("quickstart", [model])
    said = "model.lora.target_modules: .* is not allowed with algorithm.name flora"
    with pytest.raises(InputError, match=said):
        check_job("quickstart", [model, "algorithm=flora"])


def test_convolutions_get_their_products(tmp_path: Path) -> None:
    lora = "{rank: 2, target_modules: ['2.second.0']}"
    run = Run(
        tmp_path,
        f"model={{name: resnet, depth: 8, width: 4, lora: {lora}}}",
        "algorithm=flora",
        "rounds=1",
        "training.lr=0.001",
    )
    model = run.experiment.model
    model.load(torch.randn(run.layout.size))
    nothing = torch.empty(0)
    found = dict(
        zip(
            model.names,
            model.split(_products(run.layout, model.module, nothing, nothing)),
            strict=True,
        )
    )
    layer: Any = model.module.get_submodule("base_model.model.2.second.0")
    expected = layer.get_delta_weight("default")
    assert expected.shape == (4, 4, 3, 3)
    assert torch.equal(found.pop("base_model.model.2.second.0.base_layer.weight"), expected)
    assert not any(tensor.any() for tensor in found.values())

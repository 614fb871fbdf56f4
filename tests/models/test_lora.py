"""LoRA: what is trained and sent, plain PEFT's numbers, and what PEFT reads of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mpifl.algorithms.widths import hidden_layers, leading_part
from mpifl.datasets.dataset import DataShape, open_dataset
from mpifl.errors import InputError
from mpifl.job.read import parse_job
from mpifl.models.adapted import adapted, write_adapter
from mpifl.models.flat import FlatModel
from mpifl.models.flat import flatten as flattened
from mpifl.models.hf import Hf
from mpifl.models.layout import layout_of
from mpifl.models.lora import Lora
from mpifl.models.mlp import Mlp
from mpifl.models.model import Model
from mpifl.models.resnet import Resnet
from mpifl.objectives.make import objective_of
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.training.base_memory import activation_bytes, base_bytes
from mpifl.training.loop import Loop
from mpifl.training.participant import Participant
from mpifl.training.recipe import recipe_of
from mpifl.training.samples import pool_of
from tests.models.library import library, shaken
from tests.small_data import small_data

TEXT = DataShape("language", (6,), 12, vocabulary=12)
CLASSES = DataShape("classification", (6,), 4, vocabulary=12)
IMAGES = DataShape("classification", (16, 16), 4)
LLAMA = {
    "model_type": "llama",
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "vocab_size": 12,
    "pad_token_id": 0,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of transformers with a llama of 2 layers, in float32."""
    transformers = library("transformers")
    library("peft")
    base = tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text(json.dumps(LLAMA))
    config = transformers.AutoConfig.from_pretrained(base)
    shaken(transformers.AutoModelForCausalLM.from_config(config)).save_pretrained(base)
    return base


def hf(folder: Path, **options: Any) -> Hf:
    lora = Lora(**{"rank": 2, "alpha": 8.0} | options.pop("lora", {}))
    return Hf(config=str(folder), lora=lora, **options)


def made(model: Model, shape: DataShape) -> torch.nn.Module:
    torch.manual_seed(0)
    return adapted(model.build(shape), model, shape.task)


def flatten(module: torch.nn.Module) -> FlatModel:
    return flattened(module, has_base=True)


def trained(module: torch.nn.Module) -> None:
    """Train a flat model on the samples of one client, as the loop engine does."""
    flat = flatten(module)
    data = open_dataset(small_data("text"))
    job = {"rounds": 1, "model": "mlp", "selection": {"name": "uniform", "participants": 1}}
    training = parse_job({**job, "training": {"batch_size": 8, "lr": 0.5}}).training
    pool = pool_of(data, data.train)
    start = flat.moving.clone()
    order, rows = np.random.default_rng, slice(0, 8)
    one = Participant(start, pool, rows, steps=5, order=order, rng_seed=lambda: 0)
    loop = Loop(flat, objective_of("language", data.outputs))
    flat.load(loop(recipe_of(training, training.lr), [one])[0].weights)


def client_tokens() -> torch.Tensor:
    """The samples of that client."""
    return torch.from_numpy(open_dataset(small_data("text")).train.x[:8].astype(np.int64))


def trained_plainly(base: Any, adapters: dict[str, torch.Tensor]) -> Any:
    """A model of transformers with PEFT's adapters, trained on these samples by a plain loop."""
    peft = library("peft")
    config = peft.LoraConfig(r=2, lora_alpha=8, task_type="CAUSAL_LM")
    plain = peft.get_peft_model(base, config)
    peft.set_peft_model_state_dict(plain, adapters)
    tokens = client_tokens()
    optimizer = torch.optim.SGD([p for p in plain.parameters() if p.requires_grad], lr=0.5)
    plain.train()
    for _ in range(5):
        optimizer.zero_grad()
        plain(input_ids=tokens, labels=tokens).loss.backward()
        optimizer.step()
    return plain


def test_training_is_that_of_a_plain_loop_with_peft_which_reads_what_is_written(
    folder: Path, tmp_path: Path
) -> None:
    peft, transformers = library("peft"), library("transformers")
    module = made(hf(folder), TEXT)
    first = peft.get_peft_model_state_dict(module.network)
    first = {name: tensor.clone() for name, tensor in first.items()}
    trained(module)

    base = transformers.AutoModelForCausalLM.from_pretrained(folder)
    plain = trained_plainly(base, first)
    theirs = peft.get_peft_model_state_dict(plain)
    own = peft.get_peft_model_state_dict(module.network)
    assert own.keys() == theirs.keys()
    assert any(not torch.equal(own[name], first[name]) for name in own)
    for name, tensor in theirs.items():
        torch.testing.assert_close(own[name], tensor, atol=1e-6, rtol=0)

    write_adapter(tmp_path, flatten(module))
    base = transformers.AutoModelForCausalLM.from_pretrained(folder)
    read = peft.PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    with torch.no_grad():
        tokens = client_tokens()
        logits = read(input_ids=tokens).logits[..., :12]
        assert torch.equal(module.eval()(tokens), logits)


def test_only_the_adapters_are_in_the_vector(folder: Path) -> None:
    flat = flatten(made(hf(folder), TEXT))
    each = 2 * (16 + 16)  # A and B of the query and the value of a layer
    assert len(flat.weights) == len(flat.gradient) == layout_of(flat).size == 2 * 2 * each
    assert all(".lora_" in name for name in flat.names)
    assert flat.entries == len(flat.weights) + sum(p.tensor.numel() for p in flat.base)
    assert flat.averaged == 0

    exact = flatten(made(hf(folder, lora={"freeze_a": True}), TEXT))
    assert len(exact.weights) == 2 * 2 * 2 * 16
    assert all(".lora_B." in name for name in exact.names)

    layers = {"target_modules": ["gate_proj"], "rank": 1}
    assert len(flatten(made(hf(folder, lora=layers), TEXT)).weights) == 2 * (16 + 24)


def test_a_base_in_bfloat16_is_mapped_from_its_folder_and_a_new_head_is_trained_whole(
    folder: Path,
) -> None:
    transformers = library("transformers")
    network = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    network.save_pretrained(folder)
    module = made(hf(folder, dtype="bfloat16"), TEXT)
    flat = flatten(module)
    assert {based.tensor.dtype for based in flat.base} == {torch.bfloat16}
    assert module(torch.zeros(1, 6, dtype=torch.int64)).dtype == torch.float32
    ranges = [
        [int(end, 16) for end in line.split()[0].split("-")]
        for line in Path("/proc/self/maps").read_text().splitlines()
        if line.endswith(f"{folder}/model.safetensors")
    ]
    matrices = [based for based in flat.base if based.tensor.dim() == 2]
    for based in matrices:
        assert any(low <= based.pointer < high for low, high in ranges), based.name

    classifier = flatten(made(hf(folder, dtype="bfloat16"), CLASSES))
    assert len(classifier.weights) == 2 * 2 * 2 * (16 + 16) + 4 * 16
    with pytest.raises(InputError, match=r"^model.dtype: 'bfloat16' is not allowed without mod"):
        Hf(config=str(folder), dtype="bfloat16").build(TEXT)


def test_own_models_have_adapters_too() -> None:
    peft = library("peft")
    mlp = Mlp(name="mlp", hidden=[8], lora=Lora(rank=2))
    flat = flatten(made(mlp, IMAGES))
    assert len(flat.weights) == 2 * (256 + 8) + 2 * (8 + 4)
    head = Mlp(name="mlp", hidden=[8], lora=Lora(rank=2, modules_to_save=["3"]))
    assert len(flatten(made(head, IMAGES)).weights) == 2 * (256 + 8) + 4 * 9
    assert isinstance(flat.module, peft.PeftModel)

    normed = Lora(rank=1, target_modules=["head"], modules_to_save=[])
    resnet = Resnet(name="resnet", depth=8, width=4, norm="batch", lora=normed)
    names = [name for name, _ in resnet.build(IMAGES).named_modules()]
    last = Resnet(**{**resnet.model_dump(), "lora": Lora(rank=1, target_modules=[names[-1]])})
    flat = flatten(made(last, IMAGES))
    assert flat.averaged == sum(2 * layer.num_features for layer in flat.batch_norms) > 0
    flat.check_trained()


def test_a_base_that_is_changed_is_an_error(folder: Path) -> None:
    flat = flatten(made(hf(folder), TEXT))
    flat.check_trained()
    with torch.no_grad():
        flat.base[0].tensor.add_(1)
    with pytest.raises(
        InputError, match=r"^model.lora: training changes network.base_model.*embed"
    ):
        flat.check_trained()


def test_what_peft_does_not_take_is_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"^model.lora: the library cannot build .*nowhere"):
        made(hf(folder, lora={"target_modules": ["nowhere"]}), TEXT)
    monkeypatch.setitem(__import__("sys").modules, "peft", None)
    with pytest.raises(
        InputError, match=r"^model.lora: the library peft is not installed; .*\[peft\]"
    ):
        made(hf(folder), TEXT)


def test_what_training_keeps_is_what_torch_keeps() -> None:
    library("peft")
    mlp = Mlp(name="mlp", hidden=[8, 8], lora=Lora(rank=2))
    flat = flatten(made(mlp, IMAGES))
    x, y = torch.zeros(1, 16, 16), torch.zeros(1, dtype=torch.int64)
    layers = [(256, 8), (8, 8), (8, 4)]
    outputs = 8 + 8  # of ReLU, which are the next layer's inputs
    inner = [2 for _ in layers]  # A x
    loss = 4 + 4 + 1  # log-softmax, the target (int64 as two), the total weight
    kept = activation_bytes(flat, objective_of("classification", 4), x, y)
    assert 4 * (256 + outputs + sum(inner)) <= kept <= 4 * (256 + outputs + sum(inner) + loss + 40)
    assert base_bytes(flat) == (4 * sum(a * b + b for a, b in layers), 0)


def test_adapters_of_another_run_are_taken_if_they_fit(folder: Path, tmp_path: Path) -> None:
    first = made(hf(folder), TEXT)
    shaken(first)
    write_adapter(tmp_path, flatten(first))
    again = made(hf(folder, lora={"initial": str(tmp_path)}), TEXT)
    flats = [flatten(module) for module in (first, again)]
    assert torch.equal(flats[0].weights, flats[1].weights)
    folder_of_peft = hf(folder, lora={"initial": str(tmp_path / "adapter"), "freeze_a": True})
    exact = flatten(made(folder_of_peft, TEXT))
    frozen = {based.name: based.tensor for based in exact.base if ".lora_A." in based.name}
    theirs = dict(zip(flats[0].names, flats[0].tensors, strict=True))
    assert frozen
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in frozen.items())

    wide = hf(folder, lora={"initial": str(tmp_path), "rank": 4})
    with pytest.raises(
        InputError, match=r"^model.lora.initial: .* there and \(.* in the model; gi"
    ):
        made(wide, TEXT)
    with pytest.raises(InputError, match=r"^model.lora.initial: no adapter_model.safetensors in"):
        made(hf(folder, lora={"initial": str(folder)}), TEXT)


def test_a_preference_costs_a_pass_of_the_base() -> None:
    library("peft")
    gpt2 = Path(__file__).parent / "gpt2" / "config.json"
    model = f"model={{name: hf, config: {gpt2}, weights: random, lora: {{rank: 1}}}}"

    def inferences(kind: str) -> float:
        job = [f"data={{name: {small_data(kind)}, partition: natural}}", model]
        return check_job("quickstart", job)[0].workload.inferences_per_sample

    assert (inferences("text"), inferences("pairs")) == (3, 4)


def test_preferences_are_learned_as_the_paper_has_them(folder: Path) -> None:
    peft = library("peft")
    shape = DataShape("preference", (2, 7), 12, vocabulary=12)
    with pytest.raises(InputError, match=r"'hf' is not allowed for preference without model.lora"):
        Hf(config=str(folder)).build(shape)
    module = made(hf(folder, lora={"freeze_a": True}), shape)
    flat = flatten(module)
    for tensor in flat.parameters:
        torch.nn.init.normal_(tensor, std=0.3)
    tokens = torch.randint(12, (3, 2, 7))
    tokens[:, 1, :3] = tokens[:, 0, :3]
    tokens[1, 0, 5:] = 12  # ends early
    y = torch.full((3, 1), 3.0)
    loss = objective_of("preference", 12).loss(module(tokens), y)
    found = torch.autograd.grad(loss, flat.parameters)
    flat.check_trained()
    assert {p.requires_grad for p in flat.parameters} == {True}
    assert not any(based.tensor.requires_grad for based in flat.base)

    def said(network: Any, pair: torch.Tensor) -> torch.Tensor:
        """The log-likelihood of a response."""
        pair = pair[pair != 12][None]
        logits = network(input_ids=pair).logits[0, :-1].log_softmax(-1)
        return logits[torch.arange(2, pair.shape[1] - 1), pair[0, 3:]].sum()

    network: Any = module.network
    losses = []
    for pair in tokens:
        rewards = [said(network, one) for one in pair]
        with torch.no_grad(), network.disable_adapter():
            base = [said(network, one) for one in pair]
        margin = (rewards[0] - base[0]) - (rewards[1] - base[1])
        losses.append(-torch.log(torch.sigmoid(0.1 * margin)))
    expected = torch.stack(losses).mean()
    torch.testing.assert_close(loss, expected)
    for ours, theirs in zip(found, torch.autograd.grad(expected, flat.parameters), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-4)
    assert isinstance(network, peft.PeftModel)


def test_a_narrower_client_has_a_lower_rank(folder: Path) -> None:
    flat = flatten(made(hf(folder, lora={"rank": 4}), TEXT))
    layout = layout_of(flat)
    part = leading_part(layout, 0.5, "heterofl")
    assert len(part.indices) * 2 == layout.size
    vector = torch.zeros(layout.size)
    vector[torch.from_numpy(part.indices)] = 1
    for name, view in zip(flat.names, flat.split(vector), strict=True):
        rows = view if ".lora_A." in name else view.T
        assert rows.shape[0] == 4
        assert rows[:2].all()
        assert not rows[2:].any()
    assert all(".lora_A." in f"{layer}." for layer in hidden_layers(layout))
    assert len(hidden_layers(layout)) == 4

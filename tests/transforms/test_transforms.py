"""Transforms of minibatches against plain torch with the same draws, alone, in the loop and in whole jobs."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss, pad

from mpifl.datasets.dataset import Dataset
from mpifl.errors import InputError
from mpifl.job import dump_job, load_yaml, parse_job
from mpifl.models.flat import flatten
from mpifl.objectives.make import objective_of
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.seeds import KeyedGenerator, Purpose, generator
from mpifl.training.loop import Loop
from mpifl.training.participant import Participant
from mpifl.training.samples import Pool
from mpifl.transforms.flip_crop import FlipCrop
from mpifl.transforms.mixup import Mixup
from mpifl.transforms.noise import Noise
from mpifl.transforms.none import None_
from mpifl.transforms.transform import Mixture, Transform
from tests.algorithms.reference import Run, assert_close
from tests.known import known
from tests.launching import run_job, run_jobs
from tests.training.test_stacked import work
from tests.transforms.negated import HERE


def drawn(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def cut(image: torch.Tensor, top: int, left: int, mirrored: bool, size: int) -> torch.Tensor:
    """One image (channels, height, width), padded, cut out and mirrored."""
    height, width = image.shape[1:]
    part = pad(image, (size,) * 4)[:, top : top + height, left : left + width]
    return part.flip(2) if mirrored else part


def flip_crop_by_hand(
    x: torch.Tensor, size: int, flip: bool, random: np.random.Generator
) -> torch.Tensor:
    begin = random.integers(2 * size + 1, size=(len(x), 2))
    mirrored = random.random(len(x)) < 0.5 if flip else np.zeros(len(x), bool)
    images = x if x.dim() == 4 else x[:, None]
    made = [
        cut(image, int(top), int(left), bool(mirror), size)
        for image, (top, left), mirror in zip(images, begin, mirrored, strict=True)
    ]
    return torch.stack(made).view(x.shape)


SHAPES = st.sampled_from([(5, 7), (1, 4, 4), (3, 6, 5), (1, 1)])


@given(SHAPES, st.integers(1, 9), st.integers(0, 4), st.booleans(), st.integers(0, 99))
def test_flip_and_crop_are_those_of_each_image_by_hand(
    shape: tuple[int, ...], count: int, size: int, flip: bool, seed: int
) -> None:
    x = torch.randn(count, *shape, generator=torch.Generator().manual_seed(seed))
    y = torch.arange(count)
    found, targets = FlipCrop(pad=size, flip=flip).apply(x.clone(), y, drawn(seed))
    assert torch.equal(found, flip_crop_by_hand(x, size, flip, drawn(seed)))
    assert torch.equal(targets, torch.arange(count))


def test_images_stay_in_their_range_and_every_place_is_met() -> None:
    x = torch.rand(2000, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    found, _ = FlipCrop(pad=1).apply(x.clone(), torch.zeros(2000), drawn())
    assert found.min() == 0
    assert found.max() <= x.max()
    places = {
        (top, left, mirrored): cut(x[0], top, left, mirrored, 1)
        for top in range(3)
        for left in range(3)
        for mirrored in (False, True)
    }
    ones, _ = FlipCrop(pad=1).apply(x[:1].expand(2000, -1, -1, -1), torch.zeros(2000), drawn())
    met = {place: int((ones == image).flatten(1).all(1).sum()) for place, image in places.items()}
    assert sum(met.values()) == 2000
    assert min(met.values()) > 60  # of 111 expected
    assert max(met.values()) < 170


def test_without_padding_and_flips_images_are_as_they_were() -> None:
    x = torch.randn(6, 3, 4, 5)
    found, _ = FlipCrop(pad=0, flip=False).apply(x.clone(), torch.zeros(6), drawn())
    assert torch.equal(found, x)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 5.0])
def test_mixup_is_that_of_the_paper(alpha: float) -> None:
    x, y = torch.randn(7, 2, 3), torch.arange(7)
    found, targets = Mixup(alpha=alpha).apply(x.clone(), y, drawn(3))
    random = drawn(3)
    share = random.beta(alpha, alpha)
    partners = random.permutation(7)
    for row, partner in enumerate(partners):
        expected = share * x[row] + (1 - share) * x[partner]
        torch.testing.assert_close(found[row], expected, rtol=0, atol=1e-6)
    assert torch.equal(targets.first, y)
    assert targets.second.tolist() == partners.tolist()
    assert targets.share == share


def test_the_loss_of_a_mixture_is_that_of_the_mixed_target() -> None:
    output = torch.randn(6, 4, requires_grad=True)
    y = torch.tensor([0, 1, 2, 3, 0, 1])
    mixture = Mixture(y, y.flip(0), 0.3)
    one_hot = torch.eye(4)
    mixed = 0.3 * one_hot[y] + 0.7 * one_hot[y.flip(0)]
    found = mixture.loss(partial(objective_of("classification", 4).loss, output))
    torch.testing.assert_close(found, cross_entropy(output, mixed))

    numbers = torch.randn(6, 4)
    mixture = Mixture(numbers, numbers.flip(0), 0.3)
    found = mixture.loss(partial(objective_of("regression", 4).loss, output))
    expected = mse_loss(output, 0.3 * numbers + 0.7 * numbers.flip(0))
    (gradient,) = torch.autograd.grad(found, output)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, output)[0])


def participant(count: int = 11, seed: int = 0) -> tuple[nn.Module, Participant]:
    """A small convolutional network, and a participant with images (2, 6, 6)."""
    torch.manual_seed(1)
    module = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 3))
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 2, 6, 6, generator=random)
    y = torch.randint(3, (count,), generator=random)
    one = Participant(
        start=flatten(copy.deepcopy(module)).moving.clone(),
        pool=Pool(x, y),
        rows=slice(0, count),
        steps=7,
        order=lambda: drawn(5),
        rng_seed=int,
        transforms=lambda: drawn(6),
    )
    return module, one


Losses = Callable[[nn.Module, torch.Tensor, torch.Tensor, np.random.Generator], torch.Tensor]


def with_crops(
    module: nn.Module, x: torch.Tensor, y: torch.Tensor, random: np.random.Generator
) -> torch.Tensor:
    return cross_entropy(module(flip_crop_by_hand(x, 2, True, random)), y)


def with_mixtures(
    module: nn.Module, x: torch.Tensor, y: torch.Tensor, random: np.random.Generator
) -> torch.Tensor:
    share = random.beta(0.4, 0.4)
    partners = torch.from_numpy(random.permutation(len(x)))
    output = module(share * x + (1 - share) * x[partners])
    return share * cross_entropy(output, y) + (1 - share) * cross_entropy(output, y[partners])


CASES: list[tuple[Transform, Losses]] = [
    (FlipCrop(pad=2), with_crops),
    (Mixup(alpha=0.4), with_mixtures),
]


@pytest.mark.parametrize(("transform", "loss_of"), CASES, ids=["flip_crop", "mixup"])
def test_the_loop_trains_as_plain_torch_with_the_same_draws(
    transform: Transform, loss_of: Losses
) -> None:
    module, one = participant()
    recipe = work(transform=transform)
    what = objective_of("classification", 3)
    x, y = one.pool.x.clone(), known(one.pool.y).clone()
    (found,) = Loop(flatten(copy.deepcopy(module)), what)(recipe, [one])

    plain = copy.deepcopy(module)
    order, random, losses = drawn(5), drawn(6), []
    rows: list[torch.Tensor] = []
    for _ in range(one.steps):
        if not rows:
            rows = [*torch.from_numpy(order.permutation(len(y))).split(recipe.batch_size)]
        row = rows.pop(0)
        loss = loss_of(plain, x[row], y[row], random)
        gradients = torch.autograd.grad(loss, [*plain.parameters()])
        with torch.no_grad():
            for parameter, gradient in zip(plain.parameters(), gradients, strict=True):
                parameter.sub_(recipe.lr * gradient)
        losses += [loss.item()] * len(row)
    torch.testing.assert_close(found.weights, flatten(plain).moving, rtol=0, atol=1e-6)
    assert found.loss == pytest.approx(np.mean(losses), abs=1e-6)
    assert torch.equal(one.pool.x, x)  # the store is as it was
    assert torch.equal(known(one.pool.y), y)

    (plainly,) = Loop(flatten(copy.deepcopy(module)), what)(work(), [one])
    assert (plainly.weights - found.weights).abs().max() > 1e-3


def test_an_algorithms_own_loss_gets_both_targets_of_a_mixture() -> None:
    module, one = participant()
    own = replace(one, loss=lambda module, x, y: cross_entropy(module(x), y))
    what = objective_of("classification", 3)
    flat = flatten(copy.deepcopy(module))
    first, second = (
        Loop(flat, what)(work(transform=Mixup()), [given])[0].weights for given in (one, own)
    )
    torch.testing.assert_close(first, second, rtol=0, atol=1e-6)


def mixed_gradient(run: Run, model: torch.Tensor, number: int, client: int) -> torch.Tensor:
    """Return the gradient at a model on a client's first minibatch, mixed."""
    ((x, y),) = run.batches(number, client, 1)
    random = KeyedGenerator(run.job.seed, Purpose.TRANSFORM)(number, client, 0)
    share = random.beta(1.0, 1.0)
    partners = random.permutation(len(x))
    mixed = share * x + (1 - share) * x[partners]
    pairs = (share, y), (1 - share, y[partners])
    return torch.stack([part * run.gradient(model, mixed, own) for part, own in pairs]).sum(0)


@pytest.mark.parametrize("name", ["apfl", "fedrod", "pfedme"])
def test_a_loss_that_makes_steps_makes_them_once_for_a_mixture(tmp_path: Path, name: str) -> None:
    """Of one local step the model that a client keeps is written down."""
    options = {"apfl": "alpha: 0.25", "fedrod": "gamma: 1", "pfedme": "inner_steps: 2"}[name]
    job = f"algorithm={{name: {name}, {options}}}", "training.local_steps=1", "training.epochs=null"
    run = Run(tmp_path, *job, "rounds=1", "training.transform=mixup")
    ((number, participants),) = run.rounds()
    for client, *_ in participants:
        kept = run.kept(client)
        if name == "apfl":
            step = -run.job.training.lr * 0.25 * mixed_gradient(run, run.initial, number, client)
            assert_close(kept["v"], run.initial + step)
        elif name == "fedrod":
            step = -run.job.training.lr * mixed_gradient(run, run.initial, number, client)
            assert_close(kept["head"], step[-len(kept["head"]) :])
        else:
            theta = run.initial.clone()
            for _ in range(2):
                gradient = mixed_gradient(run, theta, number, client)
                theta = theta - 0.09 * (gradient + 15.0 * (theta - run.initial))
            assert_close(kept["personal"], theta)


IMAGES = (
    "rounds=3",
    "data.partition={name: dirichlet, alpha: 0.3, clients: 12, min_samples: 5}",
    "selection.participants=5",
)


SECTIONS = ("{name: flip_crop, pad: 1}", "mixup", f"{{name: '{HERE}:Negated'}}")


def test_jobs_have_the_same_bits_at_one_and_three_ranks(tmp_path: Path) -> None:
    jobs = [("quickstart", *IMAGES, f"training.transform={section}") for section in SECTIONS]
    asked = [(tmp_path, job) for job in jobs]
    one, three = (run_jobs(ranks, asked) for ranks in (1, 3))
    for run, other in zip(one, three, strict=True):
        assert run.status == other.status == 0, run.stderr + other.stderr
        assert run.summary["model_sha256"] == other.summary["model_sha256"]
        job = load_yaml((run.folder / "job.yaml").read_text())
        assert job["training"]["engine"] == "loop"
    assert len({run.summary["model_sha256"] for run in one}) == 3


def test_a_plug_in_that_remembers_something_is_found(tmp_path: Path) -> None:
    section = f"{{name: '{HERE}:Negated', counts: true}}"
    done = run_job(1, tmp_path, "quickstart", *IMAGES, f"training.transform={section}")
    assert done.status == 2
    assert "training.transform.name: " in done.stderr
    assert "carries state from one call to the next: COUNTED of" in done.stderr


def test_a_job_trains_as_a_plain_program_with_the_draws_of_each_client(tmp_path: Path) -> None:
    run = Run(tmp_path, "training.transform={name: flip_crop, pad: 1}")
    draws = KeyedGenerator(run.job.seed, Purpose.TRANSFORM)
    model = run.initial
    for number, participants in run.rounds():
        mean = torch.zeros_like(model)
        for client, share, steps in participants:
            random = draws(number, client, 0)
            weights = model.clone()
            for x, y in run.batches(number, client, steps):
                changed = flip_crop_by_hand(x, 1, True, random)
                weights = weights - run.job.training.lr * run.gradient(weights, changed, y)
            mean += share * (weights - model)
        model = model + mean
    assert_close(run.state["model"], model)


def test_requests_of_a_client_have_draws_of_their_own(tmp_path: Path) -> None:
    """Ditto trains twice: with the shared model's draws both would see the same images."""
    transform = "training.transform={name: flip_crop, pad: 1}"
    run = Run(tmp_path, "rounds=1", "algorithm={name: ditto, lam: 0}", transform)
    draws = KeyedGenerator(run.job.seed, Purpose.TRANSFORM)
    ((number, participants),) = run.rounds()
    client, _, steps = participants[0]
    found = run.kept(client)["personal"]
    expected = []
    for request in (0, 1):
        random, weights = draws(number, client, request), run.initial.clone()
        for x, y in run.batches(number, client, steps, 1):
            changed = flip_crop_by_hand(x, 1, True, random)
            weights = weights - run.job.training.lr * run.gradient(weights, changed, y)
        expected.append(weights)
    assert_close(found, expected[1])
    assert (expected[0] - found).abs().max() > 1e-3


def test_draws_are_keyed_apart_from_the_order_of_samples() -> None:
    assert len({int(purpose) for purpose in Purpose}) == len(Purpose)
    both = [
        generator(1, purpose, 2, 3).random() for purpose in (Purpose.BATCHES, Purpose.TRANSFORM)
    ]
    assert both[0] != both[1]


def test_data_that_cannot_be_changed_are_refused(make_dataset: Callable[..., Dataset]) -> None:
    data = make_dataset([5, 7, 3])
    said = (
        r"^training\.transform\.name: 'flip_crop' is not allowed: the samples of test are no images"
        r" \(height, width\) or \(channels, height, width\); allowed: none$"
    )
    with pytest.raises(InputError, match=said):
        FlipCrop().check(data)
    FlipCrop().check(make_dataset([5], shape=(4, 4)))
    FlipCrop().check(make_dataset([5], shape=(3, 4, 4)))
    Mixup().check(data)
    pixels = replace(make_dataset([5], shape=(4, 4)), task="segmentation")
    with pytest.raises(InputError, match="is for segmentation, and the targets would stay"):
        FlipCrop().check(pixels)

    tokens = np.zeros((15, 6), np.int32)
    words = replace(
        data, task="language", vocabulary=5, train=replace(data.train, x=tokens, y=None)
    )
    for transform in (FlipCrop(), Mixup()):
        with pytest.raises(InputError, match="allowed: none"):
            transform.check(words)
    None_().check(words)


def test_a_job_says_its_transform_whole() -> None:
    job = check_job("quickstart", [*IMAGES, "training.transform=flip_crop"])[0].job
    written = load_yaml(dump_job(job))["training"]
    assert written["transform"] == {"name": "flip_crop", "pad": 4, "flip": True}
    assert written["engine"] == "loop"
    assert parse_job(load_yaml(dump_job(job))) == job
    plain = check_job("quickstart", [*IMAGES])[0].job
    assert load_yaml(dump_job(plain))["training"]["transform"] == {"name": "none"}
    assert plain.training.engine == "stacked"


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["training.transform=flipcrop"], "did you mean flip_crop?"),
        (["training.transform={name: flip_crop, pad: -1}"], "training.transform.pad: -1"),
        (["training.transform={name: mixup, alpha: 0}"], "training.transform.alpha: 0"),
        (["training.transform={name: mixup, beta: 1}"], "training.transform.beta"),
        (
            ["training.transform=mixup", "training.engine=stacked"],
            "training.engine: 'stacked' is not allowed: training.transform changes",
        ),
        (["training.transform=./nowhere.py:Mine"], "training.transform.name: "),
    ],
)
def test_wrong_options_are_refused_in_a_line(overrides: list[str], said: str) -> None:
    with pytest.raises(InputError) as error:
        check_job("quickstart", [*IMAGES, *overrides])
    (line,) = error.value.lines
    assert said in line


def test_noise_has_its_deviation_and_leaves_targets_alone() -> None:
    x = torch.randn(7, 3, 2, generator=torch.Generator().manual_seed(1))
    y = torch.arange(7)
    changed, targets = Noise(deviation=0.5).apply(x.clone(), y, drawn(3))
    expected = x.numpy() + 0.5 * drawn(3).standard_normal((7, 3, 2), "float32")
    assert changed.numpy().tolist() == expected.astype(np.float32).tolist()
    assert targets is y

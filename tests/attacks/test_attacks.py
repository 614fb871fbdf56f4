"""Attacks against the papers' formulas, written out with NumPy."""

from __future__ import annotations

import dataclasses
import math
from functools import partial
from operator import itemgetter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mpi4py import MPI

from mpifl.aggregation.updates import Rows, Updates
from mpifl.aggregation.views import replaced
from mpifl.attacks import REGISTRY
from mpifl.attacks.alie import largest_z
from mpifl.attacks.attack import Attack, Attacker
from mpifl.attacks.attackers import Attackers, attackers_text
from mpifl.attacks.colluding import Colluding, Plot
from mpifl.datasets.dataset import Dataset, Part, grouped, write_dataset
from mpifl.errors import InputError, TrainingError
from mpifl.job import parse_job
from mpifl.mpi.world import World
from mpifl.population.build import open_population, prepare
from mpifl.population.population import Population
from mpifl.rounds.clients.attacking import attacked
from mpifl.seeds import Purpose, generator
from tests.budget import examples

ALONE = World(MPI.COMM_SELF)
RAW = {"rounds": 1, "model": "logreg", "selection": {"name": "uniform", "participants": 1}}


def attack_of(name: str, **options: object) -> Attack:
    return parse_job({**RAW, "attacks": [{"name": name, "share": 0.2, **options}]}).attacks[0]


def sent(attack: Attack, update: list[float], round_number: int = 4) -> np.ndarray:
    random = partial(generator, 1, Purpose.ATTACK, round_number, 7, 0)
    given = torch.tensor(update, dtype=torch.float32)
    changed = attack.change(given, Attacker(7, round_number, random))
    assert given.tolist() == update, "the update itself is not changed"
    return changed.numpy()


# Alone


def test_what_attackers_send_in_place_of_their_update() -> None:
    update = [1.0, -2.0, 0.5]
    assert sent(attack_of("sign_flip", strength=2), update).tolist() == [-2.0, 4.0, -1.0]
    assert sent(attack_of("scaling", factor=4), update).tolist() == [4.0, -8.0, 2.0]
    assert sent(attack_of("model_replacement", factor=3), update).tolist() == [3.0, -6.0, 1.5]
    assert np.abs(sent(attack_of("zero"), update)).tolist() == [0.0, 0.0, 0.0]
    assert sent(attack_of("same_value", value=-0.25), update).tolist() == [-0.25] * 3


def test_noise_is_drawn_by_the_seed_and_has_its_deviation() -> None:
    update = [0.0] * 40_000
    drawn = sent(attack_of("gaussian", noise=0.3), update)
    assert drawn.std() == pytest.approx(0.3, rel=0.02)
    assert drawn.tobytes() == sent(attack_of("gaussian", noise=0.3), update).tobytes()
    on_top = sent(attack_of("gaussian", noise=0.3, added=True), [2.0] * 40_000)
    assert on_top - 2 == pytest.approx(drawn, abs=1e-6)

    rider = attack_of("free_rider", noise=0.1, decay=0.5)
    assert sent(rider, update, round_number=25).std() == pytest.approx(0.02, rel=0.02)
    assert not sent(attack_of("free_rider", noise=0), update).any()


# On data


def poisoned(attack: Attack, x: torch.Tensor, y: list[int]) -> tuple[np.ndarray, list[int]]:
    random = generator(1, Purpose.POISON, 1)
    changed, targets = attack.poison(x.clone(), torch.tensor(y), 10, random)
    return changed.numpy(), targets.tolist()


@pytest.mark.parametrize("options", [{}, {"source": 1, "target": 7}])
def test_a_flipping_attacker_counts_the_labels_that_it_trains_on(options: dict[str, int]) -> None:
    attack = attack_of("label_flip", **options)
    labels = [1, 1, 4, 7, 0, 9]
    trained = poisoned(attack, torch.zeros(6, 2), labels)[1]
    assert trained != labels
    assert attack.labels(np.array(labels, np.uint8), 10).tolist() == trained


@pytest.mark.parametrize(
    "attack",
    [
        attack_of("label_flip"),
        attack_of("model_replacement", target=5, poisoned=0.3),
        attack_of("poisoning"),
    ],
)
@examples(60)
@given(labels=st.lists(st.integers(0, 9), min_size=1, max_size=30), size=st.integers(1, 30))
def test_an_attacker_trains_on_no_label_of_which_it_counts_none(
    attack: Attack, labels: list[int], size: int
) -> None:
    """A count of 0 would be an infinite loss of fedlc and fedrod."""
    edge_case = attack_of("edge_case", target=5, source=1)
    assert 5 in edge_case.labels(np.array(labels), 10)
    counted = set(attack.labels(np.array(labels), 10).tolist())
    for begin in range(0, len(labels), size):
        batch = labels[begin : begin + size]
        assert set(poisoned(attack, torch.zeros(len(batch), 4, 4), batch)[1]) <= counted


class Drawn(Attack):
    """An attack of a user's own that draws from torch's generator."""

    name: str = "drawn"

    def change(self, update: torch.Tensor, attacker: Attacker) -> torch.Tensor:
        return torch.randn_like(update)


def test_an_attack_that_draws_from_torch_depends_on_round_and_client_alone() -> None:
    experiment: Any = SimpleNamespace(attacks=(Drawn(share=0.5),), job=SimpleNamespace(seed=3))
    honest = [torch.zeros(4), torch.ones(2)]

    def changed(client: int, began: int = 1) -> list[list[float]]:
        torch.randn(client + 5)  # what this rank did before
        task = {"attacks": 1, "client": client, "began": began}
        return [array.tolist() for array in attacked(experiment, task, honest)]

    first = changed(7)
    other = changed(8)
    assert changed(7) == first
    assert first[0] not in (other[0], changed(7, began=2)[0])
    assert first[1] == [1.0, 1.0]


@pytest.mark.parametrize(("sent", "said"), [(None, "NoneType"), (torch.zeros(3), r"shape \(3,\)")])
def test_an_attack_has_to_return_an_update(sent: Any, said: str) -> None:
    attack = SimpleNamespace(name="mine.py:Mine", change=lambda *_: sent)
    experiment: Any = SimpleNamespace(attacks=(attack,), job=SimpleNamespace(seed=3))
    task = {"attacks": 1, "client": 0, "began": 1}
    with pytest.raises(TrainingError, match=rf"mine\.py:Mine': change returned .*{said}"):
        attacked(experiment, task, [torch.zeros(4)])


def test_labels_are_exchanged_and_tests_ask_for_the_wrong_ones() -> None:
    x = torch.zeros(4, 3)
    assert poisoned(attack_of("label_flip"), x, [0, 3, 9, 5])[1] == [9, 6, 0, 4]
    pair = attack_of("label_flip", source=3, target=8)
    assert poisoned(pair, x, [0, 3, 8, 3])[1] == [0, 8, 8, 8]
    assert pair.aim(x[:2], torch.tensor([3, 8]), 10, 0)[1].tolist() == [8]


@pytest.mark.parametrize(
    ("shape", "stamped"),
    [((16,), [12, 13, 14, 15]), ((4, 4), [10, 11, 14, 15]), ((2, 4, 4), [10, 11, 14, 15])],
    ids=str,
)
def test_a_trigger_is_in_the_last_corner_of_a_share_of_the_samples(
    shape: tuple[int, ...], stamped: list[int]
) -> None:
    backdoor = attack_of("model_replacement", target=2, poisoned=0.5, value=9, size=2)
    x, y = poisoned(backdoor, torch.zeros(5, *shape), [0, 1, 2, 3, 4])
    assert y == [2, 2, 2, 3, 4]
    planes = x.reshape(5, -1, 16)
    for sample, planes_of in enumerate(planes):
        for plane in planes_of:
            assert np.flatnonzero(plane).tolist() == (stamped if sample < 3 else [])
    shown, wanted = backdoor.aim(torch.zeros(3, *shape), torch.tensor([0, 2, 7]), 10, 0)
    assert wanted.tolist() == [2, 2]
    assert (shown == 9).reshape(2, -1).sum(dim=1).tolist() == [4 * math.prod(shape) // 16] * 2


def test_poisoning_goes_through_a_transform() -> None:
    attack = attack_of("poisoning", transform={"name": "noise", "deviation": 2})
    x, y = poisoned(attack, torch.zeros(500, 20), [1] * 500)
    assert x.std() == pytest.approx(2, rel=0.05)
    assert set(y) == {1}
    for wrong in ("blur", "mixup", "none", ["noise"], {"name": ["noise"]}, 3):
        with pytest.raises(
            InputError, match=r"attacks\.0\.transform: .*allowed are flip_crop, noise"
        ):
            attack_of("poisoning", transform=wrong)


@pytest.mark.parametrize("name", ["same_value", "model_replacement"])
def test_a_value_that_float32_does_not_have_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"attacks\.0\.value: .* less than or equal to 10+$"):
        attack_of(name, value=1e300)
    sent(attack_of("same_value", value=1e38), [1.0, 2.0])


def stored(x: list[list[int]], y: list[int]) -> Part:
    return grouped(np.array(x, np.uint8), np.array(y), np.zeros(len(y), np.int64))


PLANE = Dataset(
    name="plane", outputs=3, source="", licence="", feature_scale=0.5, feature_shift=1.0,
    train=stored([[10, 10], [10, 14], [14, 10], [14, 14], [90, 12], [0, 0]], [1, 1, 1, 1, 1, 2]),
    test=stored([[12, 12], [99, 12], [98, 12], [99, 12]], [1, 1, 0, 2]),
)  # fmt: skip


def test_the_tail_of_a_class_is_what_is_farthest_from_its_mean() -> None:
    """The mean of class 1 is (27.6, 12): (90, 12) is 62.4 away, in features 31.2."""
    named = {"target": 2, "source": 1, "rarest": 0.2}
    edge = attack_of("edge_case", **named).bound(PLANE)
    x, y = poisoned(edge, torch.zeros(5, 2), [0, 1, 0, 1, 0])
    assert x.tolist() == [[46.0, 7.0]] * 3 + [[0.0, 0.0]] * 2
    assert y == [2, 2, 2, 1, 0]
    tested = torch.tensor(PLANE.test.x[:] * np.float32(0.5) + 1)
    shown, wanted = edge.aim(tested, torch.tensor(PLANE.test.y), 3, 0)
    assert shown.tolist() == [[50.5, 7.0]]
    assert wanted.tolist() == [2]


def test_rare_samples_come_from_a_file_each_tested_once(tmp_path: Path) -> None:
    write_dataset(tmp_path / "rare.h5", PLANE)
    attack = attack_of("edge_case", target=0, samples=str(tmp_path / "rare.h5")).resolved()
    edge = attack.bound(PLANE)
    drawn = {tuple(row) for row in poisoned(edge, torch.zeros(200, 2), [0] * 200)[0][:100].tolist()}
    assert drawn == {(6, 6), (6, 8), (8, 6), (8, 8), (46, 7), (1, 1)}
    blocks = [edge.aim(torch.zeros(3, 2), torch.zeros(3), 3, first)[0] for first in (0, 3, 6)]
    assert [len(block) for block in blocks] == [3, 1, 0]
    assert torch.cat(blocks)[:, 0].tolist() == [7.0, 50.5, 50.0, 50.5]

    write_dataset(tmp_path / "rare.h5", dataclasses.replace(PLANE, test=PLANE.train))
    with pytest.raises(InputError, match="is not the file with which the run began"):
        attack.bound(PLANE)
    with pytest.raises(InputError, match="is not the file with which the run began"):
        attack.resolved().check(PLANE)  # as in a run that is resumed
    write_dataset(tmp_path / "other.h5", dataclasses.replace(PLANE, train=stored([[1]], [0])))
    with pytest.raises(InputError, match=r"attacks.samples: .* has samples of \(1,\), plane of"):
        attack_of("edge_case", target=0, samples=str(tmp_path / "other.h5")).check(PLANE)


def test_a_transform_that_an_attack_cannot_make_is_refused_by_the_attack_s_key() -> None:
    with pytest.raises(InputError, match=r"^attacks.transform.name: 'flip_crop' is not allowed"):
        attack_of("poisoning", transform="flip_crop").check(PLANE)


def test_an_edge_case_attacker_projects_its_update_and_sends_it_several_times() -> None:
    named = {"target": 2, "source": 1}
    assert sent(attack_of("edge_case", norm=0.5, **named), [3.0, 4.0]).tolist() == pytest.approx(
        [0.3, 0.4]
    )
    boosted = attack_of("edge_case", norm=10, factor=3, **named)
    assert sent(boosted, [3.0, 4.0]).tolist() == [9.0, 12.0]


# Together


HONEST = np.random.default_rng(3).normal(size=(9, 5)).astype(np.float32).astype(float)
ATTACKERS = np.array([2, 5, 6])


def crafted(name: str, compared: int = 5, **options: object) -> np.ndarray:
    """All updates (9, 5) after an attack of rows 2, 5 and 6."""
    attack = attack_of(name, **options)
    assert isinstance(attack, Colluding)
    rows = Rows(dict(enumerate(HONEST.astype(np.float32))), np.zeros(9, np.int64), 5, compared)
    updates = Updates(ALONE, rows, np.full(9, 1 / 9))
    known = np.arange(9) if attack.knows == "all" else ATTACKERS
    random = partial(generator, 1, Purpose.ATTACK)
    plot = Plot(ATTACKERS, known, np.arange(100, 109), random)
    view = replaced(updates, ATTACKERS, attack.craft(updates, plot))
    return np.array([view.columns(itemgetter(i)).values for i in range(9)])


def others_are_left(found: np.ndarray) -> bool:
    left = np.setdiff1d(np.arange(9), ATTACKERS)
    return bool((found[left] == HONEST[left]).all())


@pytest.mark.parametrize("knows", ["attackers", "all"])
def test_alie_is_the_mean_minus_z_deviations(knows: str) -> None:
    seen = HONEST if knows == "all" else HONEST[ATTACKERS]
    found = crafted("alie", knows=knows, z=0.7)
    assert others_are_left(found)
    for row in ATTACKERS:
        assert found[row] == pytest.approx(seen.mean(axis=0) - 0.7 * seen.std(axis=0), rel=1e-6)


def test_alie_takes_the_z_of_the_paper() -> None:
    """50 workers, 24 of them corrupted: s = 2, and z is 1.43."""
    assert largest_z(50, 24) == pytest.approx(1.43, abs=5e-3)
    assert largest_z(10, 2) == 0.0  # four honest ones of eight would have to be won over
    assert largest_z(3, 3) == 0.0


DIRECTIONS = {
    "deviation": lambda seen: -seen.std(axis=0),
    "sign": lambda seen: -np.sign(seen.mean(axis=0)),
    "unit": lambda seen: -seen.mean(axis=0),
}


def halved(allowed: Any) -> float:
    """The largest gamma that is allowed, as the paper looks for it."""
    low, high = 0.0, 1e6
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if allowed(middle) else (low, middle)
    return low


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("knows", ["attackers", "all"])
@pytest.mark.parametrize("name", ["min_max", "min_sum"])
def test_min_max_and_min_sum_go_as_far_as_the_paper_allows(
    name: str, knows: str, direction: str
) -> None:
    seen = HONEST if knows == "all" else HONEST[ATTACKERS]
    mean = seen.mean(axis=0)
    towards = DIRECTIONS[direction](seen)
    apart = ((seen[:, None] - seen[None]) ** 2).sum(axis=2)

    def allowed(gamma: float) -> bool:
        to_it = ((seen - mean - gamma * towards) ** 2).sum(axis=1)
        if name == "min_max":
            return bool(to_it.max() <= apart.max())
        return bool(to_it.sum() <= apart.sum(axis=1).max())

    found = crafted(name, knows=knows, direction=direction)
    assert others_are_left(found)
    for row in ATTACKERS:
        assert found[row] == pytest.approx(mean + halved(allowed) * towards, rel=1e-5, abs=1e-6)


def test_lazy_clients_copy_an_honest_update() -> None:
    found = crafted("lazy")
    assert others_are_left(found)
    honest = HONEST[np.setdiff1d(np.arange(9), ATTACKERS)].tolist()
    assert all(found[row].tolist() in honest for row in ATTACKERS)

    hidden = crafted("lazy", noise=0.01)
    assert 0 < np.abs(hidden - found)[ATTACKERS].max() < 0.1
    assert others_are_left(hidden)


@pytest.mark.parametrize("name", ["alie", "min_max", "lazy"])
def test_only_the_first_array_is_replaced(name: str) -> None:
    found = crafted(name, compared=3)
    assert (found[:, 3:] == HONEST[:, 3:]).all()
    assert (found[ATTACKERS, :3] != HONEST[ATTACKERS, :3]).any()


# Who


@pytest.fixture(scope="module")
def population() -> Population:
    dealt = {"partition": {"name": "iid", "clients": 30}}
    job = parse_job({**RAW, "data": dealt, "population": {"clients": 60}})
    return open_population(job, *prepare(job))


def members(population: Population, **who: object) -> np.ndarray:
    options = {"share": None, **who}
    attack = attack_of("zero", **options)
    clients = np.arange(population.clients)
    rounds = np.full(len(clients), 5)
    return np.flatnonzero(Attackers((attack,), population, 3).marks(clients, rounds))


def test_who_attacks_is_said_in_words(population: Population) -> None:
    attacks = (
        attack_of("zero", share=0.2),
        attack_of("sign_flip", share=None, clients=list(range(12)), first_round=3),
        attack_of("gaussian", share=None, device_class="fast"),
    )
    assert attackers_text(Attackers(attacks, population, 3)) == [
        "attacks.0 (zero): 12 of 60 clients",
        "attacks.1 (sign_flip): clients 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more from round 3",
        "attacks.2 (gaussian): clients whose devices are fast",
    ]


def test_a_share_of_the_clients_is_drawn_by_the_seed(population: Population) -> None:
    drawn = members(population, share=0.2)
    assert len(drawn) == 12
    assert drawn.tolist() == members(population, share=0.2).tolist()
    assert set(drawn) < set(members(population, share=0.5))
    other = Attackers((attack_of("zero"),), population, 4).marks(np.arange(60), np.full(60, 5))
    assert np.flatnonzero(other).tolist() != drawn.tolist()


def test_clients_are_named_by_number_and_by_their_name_in_the_data(population: Population) -> None:
    name = population.data.train.client[4].decode()
    assert members(population, clients=[7, name]).tolist() == [4, 7, 34]


def test_a_device_class_is_a_third_of_the_devices(population: Population) -> None:
    speed = population.phones.compute_ms_per_sample[population.devices(np.arange(60))]
    slow, medium, fast = (
        members(population, device_class=name) for name in ("slow", "medium", "fast")
    )
    assert sorted([*slow, *medium, *fast]) == list(range(60))
    assert speed[slow].min() >= speed[medium].max() >= speed[medium].min() >= speed[fast].max()


def test_attacks_have_a_bit_each_from_their_first_round_on(population: Population) -> None:
    two = (
        attack_of("zero", share=None, clients=[1, 2]),
        attack_of("sign_flip", share=None, clients=[2, 3], first_round=4),
    )
    marks = Attackers(two, population, 3).marks(
        np.array([0, 1, 2, 3, 2]), np.array([4, 4, 4, 4, 3])
    )
    assert marks.tolist() == [0, 1, 3, 2, 1]


@pytest.mark.parametrize("name", REGISTRY)
def test_somebody_has_to_attack(name: str) -> None:
    needed = {"target": 1, "source": 2} if name == "edge_case" else {}
    for who in ({"share": None}, {"share": 0.1, "clients": [1]}):
        with pytest.raises(InputError, match=r"attacks\.0: say who attacks: share, clients or"):
            attack_of(name, **needed, **who)

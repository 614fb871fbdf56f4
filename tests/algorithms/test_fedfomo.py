"""FedFomo against the paper's algorithm written down plainly, its choice of models, and its identity."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from torch.nn.functional import cross_entropy

from mpifl.algorithms.fedfomo import FedFomo, read_table, written_table
from mpifl.errors import InputError
from mpifl.models.layout import Layout
from mpifl.rounds.experiment.build_experiment import check_job
from tests.algorithms.parted import MODELS, clients_of
from tests.algorithms.personal import personal_model
from tests.algorithms.reference import NORMED, Run, assert_close, assert_resumes_alike
from tests.algorithms.sides import context
from tests.budget import examples
from tests.known import known

SPLIT = "data.split={by: samples, test: 0.2, validation: 0.3}"
ALL = "algorithm={name: fedfomo, models: 12}"
"""Everybody's model is sent, whichever is the best."""


def validation_samples(run: Run, client: int) -> tuple[torch.Tensor, torch.Tensor]:
    data = run.experiment.population.data
    names = data.validation.client.tolist()
    rows = data.validation.rows(names.index(data.train.client[client]))
    scale: Any = data.feature_scale
    x = torch.from_numpy(data.validation.x[rows]).float() * scale + data.feature_shift
    return x, torch.from_numpy(known(data.validation.y)[rows])


def followed(run: Run) -> tuple[dict[int, torch.Tensor], list[float], dict[int, Counter[int]]]:
    """Each client's model after all rounds, all weights w_n, and the sums of them."""
    models: dict[int, torch.Tensor] = {}
    starts: dict[int, torch.Tensor] = {}
    last: list[int] = []
    met: list[float] = []
    affinities: dict[int, Counter[int]] = {}
    trained = slice(0, run.layout.trained)

    def loss(weights: torch.Tensor, client: int) -> float:
        x, y = validation_samples(run, client)
        run.experiment.model.module.eval()
        found = float(cross_entropy(run.output(weights, x), y))
        run.experiment.model.module.train()
        return found

    for number, participants in run.rounds():
        after = {}
        for client, _, steps in participants:
            mixture = models.get(client, run.initial)
            asked = 0
            if candidates := [other for other in last if other != client]:
                begun = starts.get(client, run.initial)
                candidates += [client] if client in models else []
                before = loss(begun, client)
                weights = [
                    (before - loss(models[n], client)) / float((models[n] - begun)[trained].norm())
                    for n in candidates
                ]
                asked = 1 + len(candidates)
                met += weights
                for n, weight in zip(candidates, weights, strict=True):
                    if n != client:
                        affinities.setdefault(client, Counter())[n] += weight  # type: ignore[assignment]
                positive = np.maximum(weights, 0)
                if positive.any():
                    mixture = mixture.clone()
                    mixture[trained] = begun[trained]
                    for n, share in zip(candidates, positive / positive.sum(), strict=True):
                        mixture[trained] += float(share) * (models[n] - begun)[trained]
            starts[client] = mixture
            after[client] = run.sgd(mixture, number, client, steps, request=asked)
        models |= after
        last = sorted(after)
    return models, met, affinities


@pytest.mark.parametrize(
    "model", [(SPLIT,), (*NORMED, "data.split={by: samples, validation: 0.2}")]
)
def test_five_rounds_are_those_of_the_paper(tmp_path: Path, model: tuple[str, ...]) -> None:
    run = Run(tmp_path, ALL, *model)
    models, weights, affinities = followed(run)

    assert len(models) > 5
    assert min(weights) < 0 < max(weights)
    for client, expected in models.items():
        kept = run.kept(client)
        assert_close(kept["model"], expected)
        found = read_table(kept["affinities"].numpy())
        assert found == pytest.approx(dict(affinities.get(client, {})), rel=1e-3, abs=1e-4)
    _, participants = list(run.rounds())[-1]
    mean = sum(share * models[client] for client, share, _ in participants)
    assert isinstance(mean, torch.Tensor)
    assert_close(run.state["model"], mean)


def assert_local(fomo: Run, local: Run) -> None:
    """The clients' models are those of local training, to the bit."""
    assert fomo.server.state_rounds == local.server.state_rounds
    for client in fomo.server.state_rounds:
        assert torch.equal(fomo.kept(client)["model"], local.kept(client)["model"])


@pytest.mark.parametrize("model", MODELS)
def test_without_other_models_it_is_local_training_to_the_bit(tmp_path: Path, model: str) -> None:
    job = (*MODELS[model], SPLIT)
    fomo = Run(tmp_path / "a", "algorithm={name: fedfomo, models: 0}", *job)
    assert_local(fomo, Run(tmp_path / "b", "algorithm=local", *job))
    assert len(fomo.server.state_rounds) > 5


def test_a_single_client_trains_locally(tmp_path: Path) -> None:
    job = (SPLIT, "data.partition={name: iid, clients: 1}", "selection.participants=1")
    fomo = Run(tmp_path / "a", "algorithm=fedfomo", *job)
    assert_local(fomo, Run(tmp_path / "b", "algorithm=local", *job))


def test_a_client_without_validation_samples_goes_on_from_its_own_model(tmp_path: Path) -> None:
    """One of few samples: a share of them is rounded down to none."""
    job = (
        "data.partition={name: dirichlet, alpha: 0.1, clients: 40, min_samples: 5}",
        "data.split={by: samples, validation: 0.05, test: 0.2}",
        "selection.participants=20",
    )
    fomo, local = (Run(tmp_path / name, f"algorithm={name}", *job) for name in ("fedfomo", "local"))
    same = {True: [0, 0], False: [0, 0]}
    for client in fomo.server.state_rounds:
        validates = bool(fomo.experiment.validation_rows[client] >= 0)
        equal = torch.equal(fomo.kept(client)["model"], local.kept(client)["model"])
        same[validates][equal] += 1
    assert same[False][0] == 0 < same[False][1]
    assert same[True][0] > 10


def chosen(algorithm: FedFomo, affinities: dict[int, float], seed: int, number: int) -> list[int]:
    others = {client: {"model": torch.zeros(1)} for client in (2, 5, 6, 7, 9)}
    c = context(
        {},
        layout=Layout(1),
        others=others,
        round=number,
        make_generator=lambda: np.random.default_rng(seed),
    )
    return algorithm._chosen(c, affinities)


def test_the_models_that_helped_most_are_sent_and_unknown_ones_before_those_that_did_harm() -> None:
    affinities = {2: 0.1, 5: -0.2, 6: 0.5, 11: 9.0}
    greedy = FedFomo(models=3, epsilon=0)
    assert {tuple(chosen(greedy, affinities, seed, 1)) for seed in range(40)} == {
        (2, 6, 7),
        (2, 6, 9),
    }
    assert chosen(FedFomo(models=9, epsilon=0), affinities, 1, 1) == [2, 5, 6, 7, 9]


def test_epsilon_is_the_probability_of_a_random_one_and_falls_from_round_to_round() -> None:
    affinities = {6: 1.0}
    count = 4000
    for number, epsilon in ((1, 0.3), (5, 0.1), (7, 0.0), (50, 0.0)):
        algorithm = FedFomo(models=1)
        found = Counter(chosen(algorithm, affinities, seed, number)[0] for seed in range(count))
        away = 1 - found[6] / count
        assert away == pytest.approx(0.8 * epsilon, abs=0.03)
    found = Counter(chosen(FedFomo(models=1, epsilon=1), affinities, n, 1)[0] for n in range(count))
    assert min(found[client] for client in (2, 5, 6, 7, 9)) > count / 6


@examples(60)
@given(
    affinities=st.dictionaries(
        st.integers(0, 2**35), st.floats(-100, 100, width=32).filter(bool), max_size=9
    ),
    rows=st.integers(1, 12),
)
def test_a_table_has_the_affinities_that_are_farthest_from_0(
    affinities: dict[int, float], rows: int
) -> None:
    found = read_table(written_table(affinities, rows))
    assert found.items() <= affinities.items()
    assert len(found) == min(rows, len(affinities))
    left = [abs(value) for client, value in affinities.items() if client not in found]
    assert max(left, default=0) <= min((abs(value) for value in found.values()), default=0)


def test_a_client_is_tested_with_its_own_model(tmp_path: Path) -> None:
    run = Run(tmp_path, "algorithm=fedfomo", SPLIT, "rounds=2")
    trained, untrained = (personal_model(run, client) for client in clients_of(run))
    assert torch.equal(trained, run.kept(clients_of(run)[0])["model"])
    assert torch.equal(untrained, run.initial)


def test_a_resumed_run_mixes_the_same_models(tmp_path: Path) -> None:
    assert_resumes_alike(tmp_path, "algorithm=fedfomo", SPLIT)


def test_a_participant_receives_so_many_models_and_measures_them_on_its_validation_samples(
    tmp_path: Path,
) -> None:
    fomo, fedavg = (
        Run(tmp_path / name, f"algorithm={name}", SPLIT, "rounds=1")
        for name in ("fedfomo", "fedavg")
    )
    ours, plain = (run.results[0].plan.timeline.participants for run in (fomo, fedavg))
    assert (ours["bytes_down"] == 5 * plain["bytes_down"]).all()
    assert (ours["bytes_up"] == plain["bytes_up"] + 5 * 4).all()
    data = fomo.experiment.population.data
    share = data.validation.samples / data.train.samples
    assert fomo.job.algorithm.cost(fomo.layout).evaluations == pytest.approx(7 * share)
    assert (ours["compute_seconds"] > plain["compute_seconds"]).all()


@pytest.mark.parametrize(
    ("job", "said"),
    [
        (
            ["data.split={by: samples, test: 0.2}"],
            "algorithm.name: 'fedfomo' is not allowed: no client of digits has samples of a"
            " validation part; give them some: data.split.by=samples data.split.validation=0.2",
        ),
        (
            ["data.split={by: clients, validation: 0.2}"],
            "algorithm.name: 'fedfomo' is not allowed: no client of digits has samples of a",
        ),
        (
            [SPLIT, "evaluation.part=validation"],
            "evaluation.part: 'validation' is not allowed with algorithm.name fedfomo, whose",
        ),
        ([SPLIT, "algorithm.models=-1"], "algorithm.models: -1 is not allowed"),
        ([SPLIT, "algorithm.epsilon=2"], "algorithm.epsilon: 2 is not allowed"),
        ([SPLIT, "algorithm.remembered=0"], "algorithm.remembered: 0 is not allowed"),
        (
            [SPLIT, "aggregation=krum"],
            "aggregation.name: 'krum' is not allowed with algorithm.name",
        ),
    ],
)
def test_what_it_cannot_do_is_refused_in_one_line(job: list[str], said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)) as refused:
        check_job("quickstart", ["algorithm=fedfomo", *job])
    assert "\n" not in str(refused.value)

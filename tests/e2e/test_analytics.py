"""Federated analytics: what NumPy finds in the samples of those who took part, on any number of ranks."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mpifl.analytics import REGISTRY
from mpifl.errors import InputError
from mpifl.record.load import load_run
from mpifl.rounds.experiment.build_experiment import check_job
from tests.launching import Finished, resume_runs

JOB = (
    "quickstart",
    "rounds=3",
    "model=none",
    "selection=uniform",
    "selection.participants=30",
    "checkpoint.every=2",
    "checkpoint.keep=4",
)
EVERYBODY = (
    "selection.participants=100",
    "clock.overcommitment=1",
    "clock.availability=always",
)
PIXEL = "value: feature, column: 20"
QUESTIONS = {
    "mean": (f"algorithm={{name: mean, {PIXEL}, passes: 1}}",),
    "histogram": (f"algorithm={{name: histogram, {PIXEL}, bins: 5, low: 0, high: 1.01}}",),
    "quantiles": (
        f"algorithm={{name: quantiles, {PIXEL}, low: 0, high: 1.5}}",
        "rounds=4",
        *EVERYBODY,
    ),
    "cardinality": (f"algorithm={{name: cardinality, {PIXEL}, cells: 200}}",),
    "heavy_hitters": (
        "algorithm={name: heavy_hitters, value: samples, domain: 1000, epsilon: null,"
        " threshold: 3, voters: 100, vote: one_hot}",
        "secure_aggregation=secagg_plus",
        *EVERYBODY,
    ),
}


def asking(question: str) -> tuple[str, ...]:
    return (*JOB, *QUESTIONS[question])


def assert_same(runs: list[Finished]) -> None:
    for run in runs:
        assert run.status == 0, run.stderr
        for table in ("rounds", "participants", "analytics"):
            assert run.table(table).tobytes() == runs[0].table(table).tobytes(), table


def found(run: Finished, quantity: str) -> np.ndarray:
    """What was found after the last round, as rows of where and how much."""
    rows = run.table("analytics")
    rows = rows[(rows["round"] == rows["round"].max()) & (rows["quantity"] == quantity.encode())]
    return np.stack([rows["at"], rows["value"]], axis=1)


def parts_of(run: Finished) -> list[slice]:
    """The samples of each participation that was completed."""
    population = load_run(run.folder).population
    rows = run.table("participants")
    clients = rows["client"][rows["outcome"] == 0].tolist()
    return [population.data.train.rows(population.data_client(client)) for client in clients]


def values_of(run: Finished, column: int | None) -> list[np.ndarray]:
    """The values of each participation: a pixel, or the labels."""
    data = load_run(run.folder).population.data
    values = data.train.y
    if column is not None:
        x = data.train.x.reshape(len(data.train.x), -1)
        values = (x[:, column].astype(np.float32) * np.float32(data.feature_scale)).astype(float)
    assert values is not None
    return [values[part] for part in parts_of(run)]


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.runs((1, 2, 3), asking)
def test_an_answer_is_the_same_on_any_number_of_ranks(runs: list[Finished], question: str) -> None:
    assert_same(runs)
    assert runs[0].summary["model_sha256"] is None
    assert runs[0].summary["final"] == {}
    assert runs[0].summary["analytics"]
    assert not (runs[0].folder / "model.safetensors").exists()


def test_every_question_is_among_these() -> None:
    assert set(QUESTIONS) == set(REGISTRY)


@pytest.mark.runs((1,), asking("mean"), asking("histogram"), asking("quantiles"))
def test_pixels_are_as_numpy_finds_them(runs: list[Finished]) -> None:
    mean, histogram, quantiles = runs
    values = np.concatenate(values_of(mean, 20))
    assert found(mean, "count")[0, 1] == len(values)
    assert found(mean, "mean")[0, 1] == pytest.approx(values.mean(), rel=1e-9)
    assert mean.table("participants")["compute_seconds"].min() > 0

    values = np.concatenate(values_of(histogram, 20))
    counts, edges = np.histogram(values, 5, (0, 1.01))
    rows = found(histogram, "count")
    assert rows[:, 1].tolist() == counts[counts > 0].tolist()
    np.testing.assert_allclose(rows[:, 0], edges[:-1][counts > 0], atol=1e-12)
    assert histogram.table("participants")["compute_seconds"].max() == 0

    data = load_run(quantiles.folder).population.data.train
    assert sum(part.stop - part.start for part in parts_of(quantiles)) == 4 * data.samples
    values = np.concatenate(values_of(quantiles, 20))
    middle, within = (found(quantiles, name) for name in ("quantile", "within"))
    exact = np.quantile(values, middle[:, 0], method="inverted_cdf")
    assert (np.abs(middle[:, 1] - exact) <= within[:, 1] + 1e-7).all()
    assert within[:, 1].max() < 2e-5


LABELS = (*JOB, "algorithm={name: cardinality, value: label}", "selection.participants=4")


@pytest.mark.runs((1,), asking("cardinality"), LABELS, asking("heavy_hitters"))
def test_sets_and_heavy_hitters_are_as_numpy_finds_them(runs: list[Finished]) -> None:
    hashed, labels, hitters = runs
    exact = len(np.unique(np.concatenate(values_of(hashed, 20))))
    assert found(hashed, "union")[0, 1] == pytest.approx(exact, abs=2)

    sets = [set(own.tolist()) for own in values_of(labels, None)]
    assert found(labels, "union")[0, 1] == len(set.union(*sets))
    assert found(labels, "intersection")[0, 1] == len(set.intersection(*sets))

    population = load_run(hitters.folder).population
    sizes, counts = np.unique(population.samples(np.arange(100)), return_counts=True)
    rows = found(hitters, "votes")
    assert rows[:, 0].tolist() == sizes[counts >= 3].tolist()
    assert rows[:, 1].tolist() == counts[counts >= 3].tolist()
    assert 0 < len(rows) < len(sizes)


@pytest.mark.runs((1,), asking("histogram"))
def test_a_run_without_a_model_goes_on(runs: list[Finished], tmp_path: Path) -> None:
    (whole,) = runs
    copy = replace(whole, folder=tmp_path / "copy")
    shutil.copytree(whole.folder, copy.folder)
    (copy.folder / "model.safetensors").touch()  # resume_runs takes it away
    (again,) = resume_runs(3, [copy])
    assert again.summary["resumed_from"] == 2
    assert_same([whole, again])


REFUSED = {
    "model.name: 'logreg' is not allowed with algorithm.name mean": ("mean", "model=logreg"),
    "model.name: 'none' is not allowed: it has no parameters to train": ("fedavg",),
    "privacy.name: 'gaussian' is not allowed with algorithm.name histogram": (
        "histogram",
        "privacy={name: gaussian, noise_multiplier: 1}",
    ),
    "clock.mode: 'buffered' is not allowed": ("mean", "clock={mode: buffered, concurrency: 40}"),
    "clock.mode: 'semisync' is not allowed with algorithm.name mean, whose clients count alike; allowed:"
    " sync, deadline, all": (
        "mean",
        "clock={mode: semisync, concurrency: 9, window_seconds: 6}",
    ),
    "clock.latency.compute: 'flops' is not allowed with algorithm.name mean, which has no model;": (
        "mean",
        "clock.latency.compute=flops",
    ),
    "algorithm.value: 'token' is not allowed: digits has features": ("{name: mean, value: token}",),
    "algorithm.column: 64 is not allowed; allowed: 0 to 63": (
        "{name: mean, value: feature, column: 64}",
    ),
    "algorithm.bins: missing": ("{name: histogram, value: feature}",),
    "algorithm.cells: missing": ("{name: cardinality, value: feature}",),
    "algorithm.low: missing": ("{name: quantiles, value: samples}",),
    "selection.name: 'oort' is not allowed": ("mean", "selection.name=oort"),
    "algorithm.threshold: 4 is not allowed with epsilon 4, delta 1e-08 and 10,000 clients;"
    " allowed: 54 to 100": ("{name: heavy_hitters, threshold: 4}", "population.clients=10000"),
    "algorithm.epsilon: no threshold is allowed with epsilon 4, delta 0.0001 and 100 clients": (
        "heavy_hitters",
    ),
    "selection.participants: a round asks 130 clients": (
        "heavy_hitters",
        "population.clients=3600",
        "selection.participants=100",
    ),
    "algorithm.vote: 'index' is not allowed with secure_aggregation.name secagg": (
        "heavy_hitters",
        "secure_aggregation=secagg",
    ),
}


@pytest.mark.parametrize("said", REFUSED)
def test_a_question_that_cannot_be_answered_is_refused_in_a_line(said: str) -> None:
    question, *changes = REFUSED[said]
    with pytest.raises(InputError) as caught:
        check_job(JOB[0], [*JOB[1:], f"algorithm={question}", *changes])
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert (
        str(caught.value).count("semisync") <= 1
    )  # what is refused is not allowed in the same line

"""The examples do what they say."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from mpifl import load_run
from mpifl.algorithms.requests import Request, Trained
from mpifl.datasets.dataset import Dataset, open_dataset
from mpifl.datasets.partitioners.partitioner import Samples
from mpifl.datasets.store import storing
from mpifl.errors import InputError
from mpifl.job import load_yaml
from mpifl.population.population import Population
from mpifl.rounds.experiment.build_experiment import check_job
from mpifl.traces.trace import Trace
from tests import asking
from tests.algorithms.sides import context, sent, start, step, uploaded
from tests.feedback import feedback
from tests.launching import run_job

EXAMPLES = Path(__file__).parents[1] / "examples"
PLAIN_FEDAVG = EXAMPLES / "plain_fedavg.py"
PLUG_INS = EXAMPLES / "plug_ins"


def test_fedavg_without_ranks_is_what_a_run_gives(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An oracle in plain torch: it shares the plan with mpifl, and neither engine, sum, queue nor server."""
    spec = importlib.util.spec_from_file_location("plain_fedavg", PLAIN_FEDAVG)
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    found = example.main("quickstart", ["rounds=4"])
    run = run_job(3, tmp_path, "quickstart", "rounds=4", "training.engine=loop")
    assert found == run.summary["model_sha256"]
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_the_example_is_short() -> None:
    assert len(PLAIN_FEDAVG.read_text().splitlines()) <= 100


# Plug-ins: docs/tutorials include these files as they are.

TRAINED = ("model", "algorithm", "selection", "round_policy", "partitioner")
OTHERS = ("last_losses", "objective", "protocol")
"""Second examples of a kind of part, and of parts that are tested alone."""

SMALL = ("aggregation", "attack", "logger", "optimizer", "stage", "transform")
"""Parts that go into one job together."""


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data set that importer.py makes of 6 clients with 10 samples each, run as the tutorial does."""
    folder = tmp_path_factory.mktemp("importer")
    random = np.random.default_rng(0)
    lines = []
    for number in range(60):
        x = random.normal(size=4)
        lines.append(json.dumps({"client": f"c{number % 6}", "x": x.tolist(), "y": int(x[0] > 0)}))
    (folder / "samples.jsonl").write_text("\n".join(lines))
    importer = [sys.executable, str(PLUG_INS / "importer.py"), "samples.jsonl", "samples.h5"]
    subprocess.run(importer, cwd=folder, check=True, timeout=120)
    return folder / "samples.h5"


@pytest.mark.parametrize("name", [*TRAINED, *OTHERS, *SMALL])
def test_the_job_of_a_plug_in_passes_the_check(name: str) -> None:
    experiment, _ = check_job(str(PLUG_INS / f"{name}.yaml"), [])
    assert [plug_in.where for plug_in in experiment.job.plug_ins.values()] == [
        str(PLUG_INS / f"{name}.py")
    ]


def test_all_plug_ins_together_give_the_same_bits_at_1_2_and_3_ranks(tmp_path: Path) -> None:
    texts = {name: load_yaml((PLUG_INS / f"{name}.yaml").read_text()) for name in TRAINED}
    keys = {"algorithm": "algorithm", "selection": "selection", "clock": "round_policy"}
    parts = {key: texts[name][key] for key, name in keys.items()} | {
        "data": texts["partitioner"]["data"]
    }
    parts["selection"]["participants"] = 3
    parts["clock"]["timeout_seconds"] = 12
    overrides = [
        f"{key}={json.dumps(value).replace('./', f'{PLUG_INS}/')}" for key, value in parts.items()
    ]
    runs = [run_job(ranks, tmp_path, PLUG_INS / "model.yaml", *overrides) for ranks in (1, 2, 3)]
    assert [run.status for run in runs] == [0, 0, 0], runs[0].stderr
    assert len({run.summary["model_sha256"] for run in runs}) == 1

    run = load_run(runs[0].folder)
    # The model's residual blocks, and what they learned.
    assert run.model["2.layer.weight"].shape == (32, 32)
    assert run.summary["final"]["accuracy"] > 0.5
    # The partitioner's two sizes; the selection rule's clients with enough samples; the round policy's limit.
    assert (run.participants["samples"] >= 2 * 15).all()  # two epochs
    assert run.participants["samples"].max() > 2 * 45
    took = run.rounds["end_seconds"] - run.rounds["start_seconds"]
    assert took.max() == pytest.approx(12)
    assert took.min() < 11.9
    assert run.summary["cut"] > 0


@pytest.mark.parametrize(
    "name",
    ["fedscale_client", "numpy_client", "teacher_student", "last_losses", "objective", "protocol"],
)
def test_plug_ins_of_other_kinds_give_the_same_bits_at_1_and_3_ranks_and_learn(
    name: str, tmp_path: Path
) -> None:
    job = PLUG_INS / f"{name}.yaml"
    runs = [run_job(ranks, tmp_path, job, "rounds=6", "evaluation.every=6") for ranks in (1, 3)]
    assert [run.status for run in runs] == [0, 0], runs[0].stderr
    assert len({run.summary["model_sha256"] for run in runs}) == 1
    assert runs[0].summary["final"]["accuracy"] > 0.25


def test_small_plug_ins_together_give_the_same_bits_at_1_and_3_ranks_and_learn(
    tmp_path: Path,
) -> None:
    texts = {name: load_yaml((PLUG_INS / f"{name}.yaml").read_text()) for name in SMALL}
    parts = {
        "aggregation": texts["aggregation"]["aggregation"],
        "attacks": texts["attack"]["attacks"],
        "exchange": texts["stage"]["exchange"],
        "record": texts["logger"]["record"],
        "training.optimizer": texts["optimizer"]["training"]["optimizer"],
        "training.transform": texts["transform"]["training"]["transform"],
    }
    overrides = [
        f"{key}={json.dumps(value).replace('./', f'{PLUG_INS}/')}" for key, value in parts.items()
    ]
    job = PLUG_INS / "optimizer.yaml"
    runs = [run_job(ranks, tmp_path, job, "rounds=16", *overrides) for ranks in (1, 3)]
    assert [run.status for run in runs] == [0, 0], runs[0].stderr
    assert len({run.summary["model_sha256"] for run in runs}) == 1
    assert runs[0].summary["final"]["accuracy"] > 0.25
    assert runs[0].summary["bytes_up"] < 0.6 * runs[0].summary["plain_bytes_up"]
    lines = (runs[1].folder / "accuracy.txt").read_text().splitlines()
    assert len(lines) == 16
    assert float(lines[-1].split()[1]) == pytest.approx(
        runs[0].summary["final"]["accuracy"], abs=1e-4
    )


def test_the_optimizer_is_lions_formula() -> None:
    lion = _module("optimizer").Lion(beta_1=0.5, beta_2=0.75)
    weights = [torch.tensor([1.0, -1.0])]
    state = lion.start(weights)
    for gradient, after in (([2.0, -4.0], [0.9, -0.9]), ([-1.5, 3.0], [1.0, -1.0])):
        lion.step(weights, [torch.tensor(gradient)], state, 0.1, 0)
        torch.testing.assert_close(weights[0], torch.tensor(after))


def answered(trained: Trained, request: Request) -> Trained:
    """What a participant is answered, whatever it asks."""
    return trained


def test_the_algorithm_is_its_formula() -> None:
    algorithm = _module("algorithm").ClippedMomentum(lr=0.5, beta=0.5, norm=5)
    participant = context({"model": torch.zeros(2)})
    for after in ([3.0, 4.0], [6.0, 8.0]):
        trained = Trained(torch.zeros(2), torch.tensor(after), 0.5, 3)
        upload, _ = uploaded(algorithm, participant, partial(answered, trained))
        assert sent(upload, "update").tolist() == [3, 4]
    state = start(algorithm, np.zeros(1, np.float32))
    for update, model in ((1.0, 0.5), (0.0, 0.75), (2.0, 1.875)):
        state = step(algorithm, state, {"update": np.array([update])}, 10, 100)
        assert state["model"].tolist() == [model]


def test_the_rule_that_learns_asks_for_the_highest_last_losses(
    make_dataset: Callable[..., Dataset],
    make_trace: Callable[..., Trace],
    make_population: Callable[..., Population],
) -> None:
    """Of all five, whom candidates three times as many as wanted cover."""
    population = make_population(make_dataset([3, 4, 5, 6, 7]), make_trace([[(0, 100)]]))
    rule = _module("last_losses").LastLosses()
    state = rule.start(population, asking.WORK)
    state = rule.learn(state, feedback(population, 1, [0, 1, 4], loss=[0.2, 0.9, 0.4]))
    ended = feedback(population, 2, [1, 3], loss=[0.3, np.nan], outcome=[0, 2])
    state = rule.learn(state, ended)

    chosen = rule.choose(asking.context(population, wanted=5, state=state)).tolist()
    assert sorted(chosen[:2]) == [2, 3]  # 3 was cut
    assert chosen[2:] == [4, 1, 0]


def test_the_partitioner_deals_all_samples_in_two_sizes_or_says_why_not() -> None:
    two_sizes = _module("partitioner").TwoSizes
    client = two_sizes(clients=10, large=0.2, factor=4).deal(
        Samples(1600), np.random.default_rng(1)
    )
    assert np.bincount(client).tolist() == [400, 400, *[100] * 8]
    with pytest.raises(
        InputError, match="a small client would get no sample; the data has 20 for 10"
    ):
        two_sizes(clients=10, large=0.2, factor=100).deal(Samples(20), np.random.default_rng(1))


def test_the_importer_makes_a_data_set_that_a_job_takes(samples: Path) -> None:
    data = open_dataset(samples)
    assert (data.train.clients, data.train.samples, data.outputs) == (6, 60, 2)
    experiment, _ = check_job(str(PLUG_INS / "importer.yaml"), [f"data.name={samples}"])
    assert experiment.population.clients == 6


def test_the_importer_names_file_and_line_of_what_is_wrong(tmp_path: Path) -> None:
    source = tmp_path / "samples.jsonl"
    source.write_text('{"client": "a", "x": [1, 2], "y": 0}\n{"client": "a", "y": 0}\n')
    with (
        pytest.raises(InputError, match=r"samples.jsonl: line 2: KeyError\('x'\); a line is"),
        storing(tmp_path / "x.h5") as store,
    ):
        _module("importer").JsonLines().read({"train": [source]}, store)


def test_the_objective_is_the_focal_loss() -> None:
    torch.manual_seed(0)
    objective = _module("objective").Focal(gamma=3.0).made_for(5)
    output, y = torch.randn(8, 5, dtype=torch.float64), torch.randint(5, (8,))
    p = output.softmax(1)[torch.arange(8), y]
    each = -((1 - p) ** 3) * p.log()
    mask = torch.arange(8) < 6
    torch.testing.assert_close(objective.loss(output, y), each.mean())
    torch.testing.assert_close(objective.loss(output, y, mask), each[:6].mean())


def test_a_loss_of_a_subclass_is_not_trained_with_the_inherited_gradient() -> None:
    """A multilayer perceptron is trained by a stack with gradients by hand, where they are the loss's."""
    experiment, _ = check_job(str(PLUG_INS / "objective.yaml"), [])
    assert experiment.job.training.engine == "loop"
    other, _ = check_job(str(PLUG_INS / "objective.yaml"), ["objective=classification"])
    assert other.job.training.engine == "stacked"


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", PLUG_INS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

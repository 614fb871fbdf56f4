"""Every objective that ships with mpifl trains and is scored, and alike at 1 and 3 ranks."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from mpifl import load_run
from mpifl.datasets.dataset import open_dataset
from mpifl.errors import WRONG_INPUT
from mpifl.job import load_yaml
from mpifl.objectives import REGISTRY
from tests.launching import Finished, process_of, python, run_job
from tests.models.library import library
from tests.small_data import small_data

JOBS = {
    "classification": ("images", "accuracy"),
    "binary": ("anomalies", "auc"),
    "multi_label": ("tags", "recall_at_k"),
    "regression": ("ratings", "rmse"),
    "survival": ("lives", "concordance"),
    "anomaly": ("planes", "auc"),
    "recommendation": ("chosen", "ndcg"),
    "generation": ("signals", "frechet"),
    "preference": ("pairs", "accuracy"),
    "segmentation": ("regions", "miou"),
    "transcription": ("spoken", "cer"),
    "detection": ("boxed", "map_50"),
    "reinforce": ("poles", "mean_return"),
    "q_learning": ("poles", "mean_return"),
    "contrastive": ("images", "neighbour_accuracy"),
    "language": ("text", "perplexity"),
    "translation": ("sentences", "bleu"),
}
"""The kind of data (tests/small_data.py), and a metric."""
GPT2 = Path(__file__).parents[1] / "models" / "gpt2" / "config.json"
KILLED = ("checkpoint.every=1", "record.loggers=[csv]")
OPTIONS = {
    "translation": "{name: translation, end: 10}",
    "reinforce": "{name: reinforce, steps: 30}",
    "q_learning": "{name: q_learning, steps: 20, discount: 0.95}",
}
TRAINING = {
    "translation": "{batch_size: 4, epochs: 4, lr: 0.02, optimizer: adam}",
    "reinforce": "{batch_size: 8, epochs: 2, lr: 0.03, optimizer: adam, engine: stacked}",
}
MODELS = {
    "ratings": "matrix_factorisation",
    "chosen": "matrix_factorisation",
    "text": "{name: lstm, hidden: 16}",
    "signals": "gan",
    "planes": "{name: autoencoder, hidden: [8, 2]}",
    "pairs": f"{{name: hf, config: {GPT2}, weights: random, lora: {{rank: 4, alpha: 32}}}}",
    "regions": "{name: unet, width: 4, depth: 1}",
    "sentences": "{name: seq2seq, separator: 9, width: 16, heads: 2, layers: 1}",
    "boxed": "{name: fcos, width: 4, depth: 2}",
    "poles": "{name: mlp, hidden: [8]}",
    "spoken": "{name: deepspeech, channels: 8, hidden: 16, layers: 1, kernel: 3}",
}


def job(objective: str) -> list[str]:
    kind, _ = JOBS[objective]
    data = ["rounds=5", f"data={{name: {small_data(kind)}, partition: natural}}"]
    training = TRAINING.get(objective, "{batch_size: 4, epochs: 2, lr: 0.3}")
    work = ["selection.participants=6", f"training={training}"]
    tested = ["evaluation={batch_size: 7, every: 2}", "clock.availability=always"]
    model = f"model={MODELS.get(kind, 'logreg')}"
    section = OPTIONS.get(objective, objective)
    return ["quickstart", *data, *work, *tested, model, f"objective={section}"]


@pytest.mark.parametrize("objective", sorted(set(REGISTRY) - {"auto"}))
@pytest.mark.runs((1, 3), job)
def test_every_objective_learns_and_is_scored_alike_at_1_and_3_ranks(
    runs: list[Finished], objective: str
) -> None:
    if objective == "preference":
        library("peft")
    assert [run.status for run in runs] == [0, 0], runs[0].stderr
    assert len({run.summary["model_sha256"] for run in runs}) == 1
    rounds = [run.table("rounds") for run in runs]
    assert rounds[0].tobytes() == rounds[1].tobytes()
    written = load_yaml((runs[0].folder / "job.yaml").read_text())["objective"]["name"]
    assert written == objective

    tested = rounds[0][np.isfinite(rounds[0]["loss"])]
    metric = JOBS[objective][1]
    assert tested["round"].tolist() == [2, 4, 5]
    assert (tested["loss"][-1] < tested["loss"][0]) or metric == "frechet"  # losses of adversaries
    lower = metric in ("rmse", "perplexity", "cer", "frechet")
    assert (tested[metric][-1] <= tested[metric][0]) == lower or tested[metric][-1] > 0.6
    assert runs[0].summary["final"][metric] == tested[metric][-1]


STACKED = sorted(name for name in JOBS if name not in ("preference", "transcription"))


@pytest.mark.parametrize("objective", STACKED)
@pytest.mark.runs((1,), lambda objective: [*job(objective), "rounds=1", "training.engine=stacked"])
def test_every_objective_is_mapped_over_clients(runs: list[Finished], objective: str) -> None:
    assert runs[0].status == 0, runs[0].stderr
    assert np.isfinite(runs[0].summary["final"]["loss"])


def test_an_objective_that_cannot_be_mapped_is_refused(tmp_path: Path) -> None:
    done = run_job(1, tmp_path, *job("transcription"), "training.engine=stacked")
    assert done.status == WRONG_INPUT
    assert "training.engine: 'stacked' is not allowed: the loss of objective transc" in done.stderr


@pytest.mark.runs((3,), lambda: job("binary"))
def test_a_gathered_metric_is_that_of_the_whole_test_at_once(runs: list[Finished]) -> None:
    data = open_dataset(small_data("anomalies"))
    weight, bias = (
        torch.from_numpy(load_run(runs[0].folder).model[f"1.{name}"]) for name in ("weight", "bias")
    )
    output = torch.from_numpy(data.test.x.copy()) @ weight.T + bias
    expected = roc_auc_score(data.test.y, output[:, 1] - output[:, 0])
    assert runs[0].summary["final"]["auc"] == pytest.approx(expected, abs=1e-12)


@pytest.mark.runs((3,), lambda: [*job("binary"), *KILLED])
def test_a_killed_run_goes_on_with_the_columns_of_its_objective(
    runs: list[Finished], tmp_path: Path
) -> None:
    whole = runs[0]
    assert whole.status == 0, whole.stderr
    logged = (whole.folder / "rounds.csv").read_text()
    assert ",auc,average_precision\n" in logged.splitlines(keepends=True)[0]

    line = [*python(), "-m", "mpifl.run", *job("binary"), *KILLED, "--out", str(tmp_path / "x")]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for said in process.stdout:
            if said.startswith("round 3/"):
                os.kill(process_of(process.pid), signal.SIGKILL)
    resumed = [*python(), "-m", "mpifl.run", "--resume", str(tmp_path / "x")]
    subprocess.run(resumed, check=True, capture_output=True, timeout=300)
    again = load_run(tmp_path / "x")
    assert again.summary["model_sha256"] == whole.summary["model_sha256"]
    assert again.rounds.tobytes() == whole.table("rounds").tobytes()
    assert (tmp_path / "x" / "rounds.csv").read_text() == logged

"""Every model that ships with mpifl trains, and to the same bits at 1 and 3 ranks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mpifl.models import REGISTRY
from tests.launching import Finished
from tests.models.library import library
from tests.small_data import small_data

GROUPS = ("model.norm=group", "model.small_images=true")
GPT2 = Path(__file__).parents[1] / "models" / "gpt2" / "config.json"
LIBRARIES = {"torchvision": "torchvision", "timm": "timm", "hf": "transformers"}
JOBS: dict[str, tuple[str, ...]] = {
    "logreg": ("images",),
    "mlp": ("images",),
    "cnn1d": ("signals",),
    "lstm": ("text", "model.hidden=16", "training.lr=1.0"),
    "transformer": ("text", "model.width=16", "model.heads=2", "training.lr=0.3"),
    "seq2seq": (
        "sentences",
        "model.separator=9",
        "model.width=16",
        "model.heads=2",
        "training.lr=0.3",
    ),
    "m5": ("waves", "model.channels=[8, 8, 8, 16]", "model.stride=1", "model.norm=group"),
    "dlrm": ("clicks", "model.dense=2", "model.tables=[2, 2]", "model.bottom=[8]"),
    "matrix_factorisation": ("ratings",),
    "party_mlp": ("images", "model.parties=3"),
    "trees": ("images", "algorithm=gbdt", "model.depth=1"),
    "torchvision": (
        "images",
        "model.network=shufflenet_v2_x0_5",
        "model.norm=group",
        "training.lr=0.1",
    ),
    "timm": (
        "images",
        "model.network=test_vit",
        "model.options={img_size: 16, patch_size: 4}",
        "training.lr=0.02",
    ),
    "hf": ("text", "model.weights=random", f"model.config={GPT2}", "training.lr=0.3"),
    "unet": ("regions", "model.width=4", "model.depth=1"),
    "fcos": ("boxed", "model.width=4"),
    "deepspeech": ("spoken", "model.channels=8", "model.hidden=16", "model.kernel=3"),
    "autoencoder": ("planes", "model.hidden=[8, 2]", "objective=anomaly"),
    "darts": ("images", "model.channels=4", "model.cells=2"),
    "gan": ("images", "objective=generation"),
    "femnist_cnn": ("images", "model.hidden=16"),
    "cifar_cnn": ("images", "model.hidden=16"),
    "resnet": ("images", "model.depth=8", "model.width=4"),
    "shufflenet_v2": ("images", *GROUPS, "model.channels=[24, 32, 64, 128]", "training.lr=0.05"),
    "mobilenet_v2": ("images", *GROUPS, "model.width=0.25", "training.lr=0.02"),
    "efficientnet_lite": ("images", *GROUPS, "model.width=0.25", "training.lr=0.02"),
}
"""The kind of data (tests/small_data.py), and what makes the model small."""

TRAINED = sorted(set(REGISTRY) - {"none", "sized"})


def job(model: str) -> list[str]:
    kind, *options = JOBS[model]
    data = ["rounds=4", f"data={{name: {small_data(kind)}, partition: natural}}"]
    work = [
        "clock.availability=always",
        "selection.participants=6",
        "training={batch_size: 4, epochs: 2, lr: 0.1}",
    ]
    return ["quickstart", *data, *work, f"model={{name: {model}}}", *options]


@pytest.mark.parametrize("model", TRAINED)
@pytest.mark.runs((1, 3), job)
def test_every_model_learns_and_is_the_same_at_1_and_3_ranks(
    runs: list[Finished], model: str
) -> None:
    if model in LIBRARIES:
        library(LIBRARIES[model])
    assert [run.status for run in runs] == [0, 0], runs[0].stderr
    assert len({run.summary["model_sha256"] for run in runs}) == 1
    losses = [run.table("rounds")["loss"] for run in runs]
    assert np.array_equal(losses[0], losses[1])
    assert losses[0][-1] < losses[0][0]
